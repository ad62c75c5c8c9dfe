import * as field from "../../apimachinery/field-error.ts";
import { dns1123Subdomain, pathSegmentName } from "../../apimachinery/names.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import type { ClusterRoleBinding, RoleBinding, RoleRef, Subject } from "../generated/rbac-v1.ts";
import { ClusterRoleBindings, RoleBindings } from "../generated/resources.ts";
import { ageColumn, type Column, column, defineResource, nameColumn, rules, wide } from "../kind.ts";

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

const inGo = ({ apiGroup, kind, name }: RoleRef) => ({ APIGroup: apiGroup, Kind: kind, Name: name });

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
    function* ({ roleRef, subjects = [] }: Binding) {
      yield* validateRoleRef(roleRef, namespaced);
      for (const [i, subject] of subjects.entries()) yield* validateSubject(subject, namespaced, `subjects[${i}]`);
    },
    ({ roleRef }, old) =>
      sameJson(roleRef, old.roleRef) ? [] : [field.invalid("roleRef", inGo(roleRef), "cannot change roleRef")],
  ),
  columns,
});

export const roleBindings = defineResource(RoleBindings, row(true));
export const clusterRoleBindings = defineResource(ClusterRoleBindings, row(false));

function* validateRoleRef({ apiGroup, kind, name }: RoleRef, namespaced: boolean): field.Problems {
  const kinds = namespaced ? ["Role", "ClusterRole"] : ["ClusterRole"];
  if (apiGroup !== group) yield field.notSupported("roleRef.apiGroup", apiGroup ?? "", [group]);
  if (!kinds.includes(kind)) yield field.notSupported("roleRef.kind", kind ?? "", kinds);
  yield* field.requiredName("roleRef.name", name, pathSegmentName);
}

function* validateSubject(subject: Subject, namespaced: boolean, at: string): field.Problems {
  const { kind, apiGroup = "", name, namespace } = subject;
  if (!name) yield field.required(`${at}.name`);
  const wanted = kind === "ServiceAccount" ? "" : group;
  if (!["ServiceAccount", "User", "Group"].includes(kind))
    return yield field.notSupported(`${at}.kind`, kind ?? "", ["ServiceAccount", "User", "Group"]);
  if (kind === "ServiceAccount" && name) yield* field.shaped(`${at}.name`, name, dns1123Subdomain);
  if (apiGroup !== wanted) yield field.notSupported(`${at}.apiGroup`, apiGroup, [wanted]);
  if (kind === "ServiceAccount" && !namespaced && !namespace) yield field.required(`${at}.namespace`);
}
