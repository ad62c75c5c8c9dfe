import { failure, type StatusError } from "../status.ts";
import { type FieldSet, members, type Path, pathText } from "./field-set.ts";
import type { Managed, Manager } from "./managed-fields.ts";

export interface Conflict {
  identity: string;
  manager: Manager;
  path: Path;
}

/** What of `wanted` others own, in the order of their identities. */
export function conflictsOf(managed: Managed, mine: string, owned: (fields: FieldSet) => FieldSet): Conflict[] {
  return [...managed]
    .filter(([identity]) => identity !== mine)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([identity, manager]) => members(owned(manager.fields)).map((path) => ({ identity, manager, path })));
}

/** 409 Conflict: who owns which fields. kubectl shows the text as it is. */
export function conflictError(conflicts: readonly Conflict[]): StatusError {
  const causes = conflicts.map(({ manager, path }) => ({
    reason: "FieldManagerConflict",
    message: `conflict with ${describe(manager)}`,
    field: pathText(path),
  }));
  return failure(409, "Conflict", messageOf(conflicts), { causes });
}

function messageOf(conflicts: readonly Conflict[]): string {
  const [first] = conflicts;
  if (conflicts.length === 1)
    return `Apply failed with 1 conflict: conflict with ${describe(first!.manager)}: ${pathText(first!.path)}`;
  const lines = conflicts.flatMap(({ identity, manager, path }, i) => [
    ...(identity === conflicts[i - 1]?.identity ? [] : [`conflicts with ${describe(manager)}:`]),
    `- ${pathText(path)}`,
  ]);
  return `Apply failed with ${conflicts.length} conflicts: ${lines.join("\n")}`;
}

/** `"kubectl-edit" with subresource "status" using v1` */
function describe({ manager, operation, apiVersion, subresource }: Manager): string {
  const name = `${JSON.stringify(manager)}${subresource ? ` with subresource ${JSON.stringify(subresource)}` : ""}`;
  return operation === "Update" ? `${name} using ${apiVersion}` : name;
}
