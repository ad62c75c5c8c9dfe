import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  Role,
  RoleBinding,
  RoleRef,
  Subject,
} from "../../api/generated/rbac-v1.ts";
import { notFound, type StatusError } from "../../apimachinery/status.ts";
import type { User } from "../request.ts";
import type { Attributes, Authorizer, Decision } from "./authorizer.ts";
import { ruleAllows } from "./rules.ts";

/** The four kinds as they are now. */
export interface RbacObjects {
  clusterRoles: Iterable<ClusterRole>;
  roles: Iterable<Role>;
  clusterRoleBindings: Iterable<ClusterRoleBinding>;
  roleBindings: Iterable<RoleBinding>;
}

/** What one binding gives to one of its subjects. */
interface Grant {
  rules: readonly PolicyRule[];
  /** The role it refers to is not there. */
  error: string | undefined;
  description: string;
}

/** Roles and bindings made ready to be asked: by subject, of the whole cluster (namespace "") and of each namespace. */
export class RbacIndex {
  readonly #roles = new Map<string, readonly PolicyRule[]>();
  readonly #grants = new Map<string, Map<string, Grant[]>>();

  constructor({ clusterRoles, roles, clusterRoleBindings, roleBindings }: RbacObjects) {
    for (const { metadata, rules } of clusterRoles) this.#roles.set(`/${metadata.name}`, rules ?? []);
    for (const { metadata, rules } of roles) this.#roles.set(`${metadata.namespace}/${metadata.name}`, rules ?? []);
    for (const binding of clusterRoleBindings) this.#add("", "ClusterRoleBinding", binding.metadata.name, binding);
    for (const binding of roleBindings) {
      const { name, namespace = "" } = binding.metadata;
      this.#add(namespace, "RoleBinding", `${name}/${namespace}`, binding);
    }
  }

  /** The rules of what a binding in `namespace` refers to. Throws the 404 that upstream answers. */
  rulesOf({ kind, name }: RoleRef, namespace: string): readonly PolicyRule[] {
    const rules = this.#roles.get(kind === "ClusterRole" ? `/${name}` : `${namespace}/${name}`);
    if (rules === undefined) throw notFound({ group: "rbac.authorization.k8s.io", resource: kind.toLowerCase() }, name);
    return rules;
  }

  /** Of the cluster first, then of the namespace. */
  *grants(user: User, namespace: string): Generator<Grant> {
    const subjects = [`User ${user.name}`, ...user.groups.map((group) => `Group ${group}`)];
    for (const scope of namespace === "" ? [""] : ["", namespace]) {
      const grants = this.#grants.get(scope);
      if (grants !== undefined) for (const subject of subjects) yield* grants.get(subject) ?? [];
    }
  }

  #add(namespace: string, kind: string, name: string, { roleRef, subjects = [] }: RoleBinding): void {
    let rules: readonly PolicyRule[] = [];
    let error: string | undefined;
    try {
      rules = this.rulesOf(roleRef, namespace);
    } catch (missing) {
      error = (missing as StatusError).message;
    }
    const scope = this.#grants.get(namespace) ?? new Map<string, Grant[]>();
    this.#grants.set(namespace, scope);
    for (const subject of subjects) {
      const key = subjectKey(subject, namespace);
      if (key === undefined) continue;
      const of = `${roleRef.kind} ${JSON.stringify(roleRef.name)}`;
      const description = `${kind} ${JSON.stringify(name)} of ${of} to ${describe(subject, namespace)}`;
      const list = scope.get(key);
      if (list === undefined) scope.set(key, [{ rules, error, description }]);
      else list.push({ rules, error, description });
    }
  }
}

function subjectKey(subject: Subject, namespace: string): string | undefined {
  if (subject.kind === "User" || subject.kind === "Group") return `${subject.kind} ${subject.name}`;
  const home = subject.namespace || namespace;
  return home === "" ? undefined : `User system:serviceaccount:${home}:${subject.name}`;
}

const describe = ({ kind, name, namespace }: Subject, own: string) =>
  kind === "ServiceAccount"
    ? `${kind} ${JSON.stringify(`${name}/${namespace || own}`)}`
    : `${kind} ${JSON.stringify(name)}`;

/** RBAC: what some binding grants is allowed, there is no way to deny. `index` is asked anew each time. */
export class RbacAuthorizer implements Authorizer {
  readonly index: () => RbacIndex;

  constructor(index: () => RbacIndex) {
    this.index = index;
  }

  authorize(attributes: Attributes): Decision {
    const namespace = "path" in attributes ? "" : attributes.target.namespace;
    const errors: string[] = [];
    for (const { rules, error, description } of this.index().grants(attributes.user, namespace)) {
      if (error !== undefined) errors.push(error);
      if (rules.some((rule) => ruleAllows(rule, attributes)))
        return { type: "Allow", reason: `RBAC: allowed by ${description}` };
    }
    return { type: "NoOpinion", reason: errors.length > 0 ? `RBAC: ${aggregated(errors)}` : "" };
  }

  rulesFor(user: User, namespace: string) {
    const grants = [...this.index().grants(user, namespace)];
    const errors = grants.flatMap(({ error }) => error ?? []);
    return { rules: grants.flatMap(({ rules }) => rules), incomplete: errors.length > 0, errors };
  }
}

function aggregated(errors: readonly string[]): string {
  const distinct = [...new Set(errors)];
  return distinct.length === 1 ? distinct[0]! : `[${distinct.join(", ")}]`;
}
