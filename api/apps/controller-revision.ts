import { invalid, type Problems, required } from "../../apimachinery/field-error.ts";
import type { ControllerRevision } from "../generated/apps-v1.ts";
import { ControllerRevisions } from "../generated/resources.ts";
import { column, defineResource, immutableField, namespaced, rules, shown } from "../kind.ts";

/** A past template of a StatefulSet or DaemonSet, as its controller keeps it. */
export const controllerRevisions = defineResource(ControllerRevisions, {
  defaults(revision) {
    revision.revision ??= 0;
  },
  ...rules(namespaced, validateRevision, ({ data }, old) => immutableField("data", data, old.data)),
  columns: shown(
    column("Controller", controller, "Whose revision it is."),
    column("Revision", ({ revision }) => revision, "Its number."),
  ),
});

function* validateRevision({ data, revision }: ControllerRevision, old?: ControllerRevision): Problems {
  if (revision < 0) yield invalid("revision", revision, "must be greater than or equal to 0");
  if (old) return;
  if (data === undefined || data === null) yield required("data", "data is mandatory");
  else if (typeof data !== "object" || Array.isArray(data)) yield required("data", "data must be a valid JSON object");
}

/** `statefulset.apps/web` */
function controller({ metadata }: ControllerRevision): string {
  const owner = metadata.ownerReferences?.find((o) => o.controller);
  if (!owner) return "<none>";
  const group = owner.apiVersion.includes("/") ? `.${owner.apiVersion.split("/")[0]}` : "";
  return `${owner.kind.toLowerCase()}${group}/${owner.name}`;
}
