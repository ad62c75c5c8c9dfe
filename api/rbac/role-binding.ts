import { isDeepStrictEqual } from "node:util";
import { type FieldError, invalidValue, notSupported, required } from "../../apimachinery/field-error.ts";
import { dns1123Subdomain, pathSegmentName } from "../../apimachinery/names.ts";
import { ageColumn, column, nameColumn, wide } from "../columns.ts";
import type { ClusterRoleBinding, RoleBinding, RoleRef, Subject } from "../generated/rbac-v1.ts";
import { ClusterRoleBindings, RoleBindings } from "../generated/resources.ts";
import { rules } from "../metadata.ts";
import { type Column, defineResource, type Resource } from "../resource.ts";

type Binding = RoleBinding & ClusterRoleBinding;

const group = "rbac.authorization.k8s.io";

const subjectsOf = ({ subjects = [] }: Binding, kind: string): string =>
  subjects
    .filter((subject) => subject.kind === kind)
    .map(({ namespace, name }) => (kind === "ServiceAccount" && namespace ? `${namespace}/${name}` : name))
    .join(", ");

const columns: Column<Binding>[] = [
  nameColumn,
  column("Role", ({ roleRef }) => `${roleRef?.kind ?? ""}/${roleRef?.name ?? ""}`, "What it grants."),
  ageColumn,
  column("Users", (binding) => subjectsOf(binding, "User"), "Users it is granted to.", wide),
  column("Groups", (binding) => subjectsOf(binding, "Group"), "Groups it is granted to.", wide),
  column("ServiceAccounts", (binding) => subjectsOf(binding, "ServiceAccount"), "Accounts it is granted to.", wide),
];

const row = (namespaced: boolean) => ({
  createOnUpdate: true,
  defaults(binding: Binding) {
    binding.roleRef ??= {} as RoleRef;
    binding.roleRef.apiGroup ||= group;
    for (const subject of binding.subjects ?? [])
      if (!subject.apiGroup && /^(User|Group)$/.test(subject.kind)) subject.apiGroup = group;
  },
  ...rules(
    { namespaced, name: pathSegmentName },
    ({ roleRef, subjects = [] }: Binding) => [
      ...validateRoleRef(roleRef, namespaced),
      ...subjects.flatMap((subject, i) => validateSubject(subject, namespaced, `subjects[${i}]`)),
    ],
    ({ roleRef }, old) =>
      isDeepStrictEqual(roleRef, old.roleRef) ? [] : [invalidValue("roleRef", roleRef, "cannot change roleRef")],
  ),
  columns,
});

export const roleBindings: Resource<RoleBinding> = defineResource(RoleBindings, row(true));
export const clusterRoleBindings: Resource<ClusterRoleBinding> = defineResource(ClusterRoleBindings, row(false));

function validateRoleRef({ apiGroup, kind, name }: RoleRef, namespaced: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const kinds = namespaced ? ["Role", "ClusterRole"] : ["ClusterRole"];
  if (apiGroup !== group) errors.push(notSupported("roleRef.apiGroup", apiGroup ?? "", [group]));
  if (!kinds.includes(kind)) errors.push(notSupported("roleRef.kind", kind ?? "", kinds));
  if (!name) errors.push(required("roleRef.name"));
  else for (const p of pathSegmentName(name)) errors.push(invalidValue("roleRef.name", name, p));
  return errors;
}

function validateSubject({ kind, apiGroup = "", name, namespace }: Subject, namespaced: boolean, at: string) {
  const errors: FieldError[] = name ? [] : [required(`${at}.name`)];
  const wanted = kind === "ServiceAccount" ? "" : group;
  if (!["ServiceAccount", "User", "Group"].includes(kind))
    return [...errors, notSupported(`${at}.kind`, kind ?? "", ["ServiceAccount", "User", "Group"])];
  if (kind === "ServiceAccount") {
    if (name) for (const p of dns1123Subdomain(name)) errors.push(invalidValue(`${at}.name`, name, p));
    if (!namespaced && !namespace) errors.push(required(`${at}.namespace`));
  }
  if (apiGroup !== wanted) errors.push(notSupported(`${at}.apiGroup`, apiGroup, [wanted]));
  return errors;
}
