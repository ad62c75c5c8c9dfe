import type { ClusterRole, ClusterRoleBinding, RoleBinding } from "../../api/generated/rbac-v1.ts";
import { ClusterRoleBindings, ClusterRoles, RoleBindings, Roles } from "../../api/generated/resources.ts";
import type { KubernetesObject, ResourceType } from "../../apimachinery/object.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { bootstrapPolicy } from "./bootstrap-policy.ts";
import { uncovered } from "./rules.ts";

type Binding = RoleBinding | ClusterRoleBinding;

/** The default roles and bindings as what each has to become of what is there; undefined leaves it. Roles come first. */
export interface Wanted {
  type: ResourceType<KubernetesObject>;
  object: KubernetesObject;
  reconcile(existing: KubernetesObject): KubernetesObject | undefined;
}

export function wantedPolicy(): Wanted[] {
  const { clusterRoles, roles, clusterRoleBindings, roleBindings } = bootstrapPolicy();
  const all = <T extends KubernetesObject>(
    type: Wanted["type"],
    objects: readonly T[],
    reconcile: (existing: T, expected: T) => T | undefined,
  ) => objects.map((object) => ({ type, object, reconcile: (it: KubernetesObject) => reconcile(it as T, object) }));
  return [
    ...all(ClusterRoles, clusterRoles, reconcileRole),
    ...all(Roles, roles, reconcileRole),
    ...all(ClusterRoleBindings, clusterRoleBindings, reconcileBinding),
    ...all(RoleBindings, roleBindings, reconcileBinding),
  ];
}

/** Missing rules, labels and annotations are put back; what an operator added stays. */
export function reconcileRole(existing: ClusterRole, expected: ClusterRole): ClusterRole | undefined {
  const missing = uncovered(existing.rules ?? [], expected.rules ?? []);
  const own = existing.aggregationRule?.clusterRoleSelectors ?? [];
  const wanted = expected.aggregationRule?.clusterRoleSelectors ?? [];
  const selectors = wanted.filter((selector) => !own.some((other) => sameJson(other, selector)));
  const rules = expected.aggregationRule ? existing.rules! : [...(existing.rules ?? []), ...missing];
  return changed(existing, {
    ...withMetadata(existing, expected),
    rules,
    ...(selectors.length > 0 ? { aggregationRule: { clusterRoleSelectors: [...own, ...selectors] } } : {}),
  });
}

/** Missing subjects are put back. (The role of a binding cannot change.) */
export function reconcileBinding<T extends Binding>(existing: T, expected: T): T | undefined {
  const own = existing.subjects ?? [];
  const missing = (expected.subjects ?? []).filter(
    (subject) =>
      !own.some(
        ({ kind, name, namespace }) =>
          kind === subject.kind && name === subject.name && (namespace ?? "") === (subject.namespace ?? ""),
      ),
  );
  if (missing.length === 0) return changed(existing, withMetadata(existing, expected));
  return changed(existing, { ...withMetadata(existing, expected), subjects: [...own, ...missing] });
}

const autoupdate = "rbac.authorization.kubernetes.io/autoupdate";

function changed<T extends KubernetesObject>(existing: T, next: T): T | undefined {
  if (existing.metadata.annotations?.[autoupdate] === "false") return undefined;
  return sameJson(next, existing) ? undefined : next;
}

function withMetadata<T extends KubernetesObject>(existing: T, { metadata }: T): T {
  const { labels, annotations } = existing.metadata;
  return {
    ...existing,
    metadata: {
      ...existing.metadata,
      labels: { ...labels, ...metadata.labels },
      annotations: { ...annotations, ...metadata.annotations },
    },
  };
}
