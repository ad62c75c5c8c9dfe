import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  Role,
  RoleBinding,
  Subject,
} from "../../api/generated/rbac-v1.ts";
import { table } from "./generated/bootstrap-policy.ts";

/** What generated/bootstrap-policy.ts holds, made by `npm run generate` from bootstrap-policy.txt, which says what it means. */
export interface BootstrapPolicy {
  clusterRoles: ClusterRole[];
  clusterRoleBindings: ClusterRoleBinding[];
  roles: Role[];
  roleBindings: RoleBinding[];
}

export function bootstrapPolicy(): BootstrapPolicy {
  const policy: BootstrapPolicy = { clusterRoles: [], clusterRoleBindings: [], roles: [], roleBindings: [] };
  for (const { name, words, rules } of blocks())
    if (name !== "controller") addRole(policy, name, words, rules);
    else addRole(policy, `system:controller:${words[0]}`, ["<", `sa:kube-system/${words[0]}`, manager], rules);
  return policy;
}

const manager = "u:system:kube-controller-manager";
const aggregateTo = (name: string) => ({ [`rbac.authorization.k8s.io/aggregate-to-${name}`]: "true" });
const group = "rbac.authorization.k8s.io";

function addRole(policy: BootstrapPolicy, full: string, words: readonly string[], rules: PolicyRule[]): void {
  const [name, namespace] = full.split("@") as [string, string?];
  const marks = words.filter((word) => /^[+^]/.test(word));
  const metadata = {
    name,
    ...(namespace ? { namespace } : {}),
    labels: { "kubernetes.io/bootstrapping": "rbac-defaults" } as Record<string, string>,
    annotations: { "rbac.authorization.kubernetes.io/autoupdate": "true" },
  };
  const labels = Object.assign(
    {},
    metadata.labels,
    ...marks.flatMap((m) => (m[0] === "+" ? [aggregateTo(m.slice(1))] : [])),
  );
  const selectors = marks.filter((m) => m[0] === "^").map((m) => ({ matchLabels: aggregateTo(m.slice(1)) }));
  const aggregation = selectors.length > 0 ? { aggregationRule: { clusterRoleSelectors: selectors } } : {};
  const role = { metadata: { ...metadata, labels }, rules, ...aggregation };
  const at = words.indexOf("<");
  const binding = {
    metadata: { ...metadata, ...(name.startsWith("extension-") ? { name: `system::${name}` } : {}) },
    subjects: words.slice(at + 1).map(subjectOf),
    roleRef: { apiGroup: group, kind: namespace ? "Role" : "ClusterRole", name },
  };
  (namespace ? policy.roles : policy.clusterRoles).push(role);
  if (at >= 0) (namespace ? policy.roleBindings : policy.clusterRoleBindings).push(binding);
}

function subjectOf(text: string): Subject {
  const name = text.slice(text.indexOf(":") + 1);
  if (text.startsWith("g:")) return { kind: "Group", apiGroup: group, name };
  if (text.startsWith("u:")) return { kind: "User", apiGroup: group, name };
  const [namespace, account] = name.split("/");
  return { kind: "ServiceAccount", name: account!, namespace: namespace! };
}

function blocks(): { name: string; words: string[]; rules: PolicyRule[] }[] {
  const result: { name: string; words: string[]; rules: PolicyRule[] }[] = [];
  for (const line of table) {
    if (line.startsWith(" ")) result.at(-1)!.rules.push(...line.trim().split("; ").map(ruleOf));
    else {
      const [name, ...words] = line.split(" ");
      result.push({ name: name!, words, rules: [] });
    }
  }
  return result;
}

const read = ["get", "list", "watch"];
const write = ["create", "delete", "deletecollection", "patch", "update"];

function ruleOf(text: string): PolicyRule {
  if (text === "events") return ruleOf("create,patch,update core,events.k8s.io events");
  const [verbs, groups, what, names] = text.split(" ") as [string, string, string, string?];
  const list = [...new Set(verbs.split(",").flatMap((v) => (v === "R" ? read : v === "W" ? write : v)))].sort();
  if (groups === "url") return { verbs: list, nonResourceURLs: what.split(",") };
  const apiGroups = groups.split(",").map((name) => (name === "core" ? "" : name));
  const resourceNames = names ? { resourceNames: names.slice(1).split(",") } : {};
  return { verbs: list, apiGroups, resources: what.split(","), ...resourceNames };
}
