import { duplicate, type Problems, required } from "../../apimachinery/field-error.ts";

/** Of a status: each type once. */
export function* validateConditions({ status }: { status?: { conditions?: { type?: string }[] } }): Problems {
  const types = new Set<string>();
  for (const [i, { type = "" }] of (status?.conditions ?? []).entries()) {
    const at = `status.conditions[${i}].type`;
    if (types.size === types.add(type).size) yield duplicate(at, type);
    if (!type) yield required(at, "must not be empty");
  }
}
