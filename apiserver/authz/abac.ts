import type { PolicyRule } from "../../api/generated/rbac-v1.ts";
import type { User } from "../request.ts";
import { type Attributes, type Authorizer, noOpinion } from "./authorizer.ts";

/** One line of the policy file; "" matches nothing but what is empty, `*` all. */
interface Policy {
  user: string;
  group: string;
  readonly: boolean;
  namespace: string;
  resource: string;
  apiGroup: string;
  nonResourcePath: string;
}

const apiVersion = "abac.authorization.kubernetes.io/v1beta1";

/**
 * ABAC (`--authorization-policy-file`): a JSON object a line, `{"apiVersion": "abac.authorization.kubernetes.io/v1beta1",
 * "kind": "Policy", "spec": {"user": "alice", "namespace": "*", "resource": "*", "apiGroup": "*"}}`. Blank lines and those
 * with a # are skipped. Throws RangeError with the line that is none. Differs: not the format without versions.
 */
export function abacAuthorizer(text: string): Authorizer {
  const policies = text.split("\n").flatMap((line, i) => {
    const trimmed = line.trim();
    return trimmed === "" || trimmed.startsWith("#") ? [] : [parseLine(trimmed, i + 1)];
  });
  return {
    authorize: (attributes) =>
      policies.some((policy) => isOf(policy, attributes.user) && matches(policy, attributes))
        ? { type: "Allow", reason: "" }
        : { ...noOpinion, reason: "No policy matched." },
    rulesFor: (user, namespace) => ({
      rules: policies.filter((policy) => isOf(policy, user)).flatMap((policy) => rulesOf(policy, namespace)),
      incomplete: false,
      errors: [],
    }),
  };
}

function parseLine(line: string, number: number): Policy {
  const wrong = (why: string) => new RangeError(`error reading policy file, line ${number}: ${line}: ${why}`);
  let policy: { apiVersion?: string; kind?: string; spec?: Partial<Policy> };
  try {
    policy = JSON.parse(line);
  } catch (error) {
    throw wrong((error as Error).message);
  }
  if (policy.apiVersion !== apiVersion || policy.kind !== "Policy")
    throw wrong(`no kind "Policy" is registered for version ${JSON.stringify(policy.apiVersion ?? "")}`);
  const who = { user: "", group: "", readonly: false };
  const what = { namespace: "", resource: "", apiGroup: "", nonResourcePath: "" };
  const spec = { ...who, ...what, ...policy.spec };
  // As upstream: everyone means everyone who is known.
  if (spec.user === "*" || spec.group === "*") return { ...spec, user: "", group: "system:authenticated" };
  return spec;
}

const isOf = ({ user, group }: Policy, who: User) =>
  (user !== "" || group !== "") && (user === "" || user === who.name) && (group === "" || who.groups.includes(group));

const reads = ["get", "list", "watch"];
const is = (pattern: string, value: string) => pattern === "*" || pattern === value;

function matches(policy: Policy, attributes: Attributes): boolean {
  if (policy.readonly && !reads.includes(attributes.verb)) return false;
  if ("path" in attributes) {
    const { nonResourcePath: path } = policy;
    return path.endsWith("*") ? attributes.path.startsWith(path.slice(0, -1)) : path !== "" && path === attributes.path;
  }
  const { namespace, resource, group } = attributes.target;
  return is(policy.namespace, namespace) && is(policy.resource, resource) && is(policy.apiGroup, group);
}

function rulesOf(policy: Policy, namespace: string): PolicyRule[] {
  const verbs = policy.readonly ? reads : ["*"];
  const { resource, apiGroup, nonResourcePath } = policy;
  return [
    ...(resource && is(policy.namespace, namespace) ? [{ verbs, apiGroups: [apiGroup], resources: [resource] }] : []),
    ...(nonResourcePath ? [{ verbs, nonResourceURLs: [nonResourcePath] }] : []),
  ];
}
