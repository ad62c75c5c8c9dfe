import { invalid, type Problems } from "../../apimachinery/field-error.ts";
import { dns1123Label } from "../../apimachinery/names.ts";
import type { Namespace } from "../generated/core-v1.ts";
import { Namespaces } from "../generated/resources.ts";
import { column, defineResource, keepAllButStatus, keepStatus, rules, shown, validateFinalizer } from "../kind.ts";

/** Namespaces go when `spec.finalizers` is emptied through the subresource `finalize`. */
export const namespaces = defineResource(Namespaces, {
  shortNames: ["ns"],
  verbs: ["create", "delete", "get", "list", "patch", "update", "watch"],
  subresources: ["finalize", "status"],
  selectable: { "status.phase": "" },
  defaults(namespace) {
    namespace.spec ??= {};
    namespace.status ??= {};
    namespace.status.phase ||= "Active";
    namespace.metadata.labels = {
      ...namespace.metadata.labels,
      "kubernetes.io/metadata.name": namespace.metadata.name,
    };
    if (!namespace.metadata.name) delete namespace.metadata.labels["kubernetes.io/metadata.name"];
  },
  prepareForCreate(namespace) {
    namespace.status = { phase: "Active" };
    const finalizers = namespace.spec.finalizers ?? [];
    if (!finalizers.includes("kubernetes")) namespace.spec.finalizers = [...finalizers, "kubernetes"];
  },
  prepareForUpdate(namespace, old) {
    keepFinalizers(namespace, old);
    keepStatus(namespace, old);
  },
  prepareForStatusUpdate: keepAllButStatus,
  ...rules({ namespaced: false, name: dns1123Label }, validateFinalizers, undefined, validatePhase),
  columns: shown(column("Status", ({ status }) => status?.phase ?? "", "Active or Terminating.")),
});

function* validateFinalizers({ spec }: Namespace): Problems {
  for (const finalizer of spec?.finalizers ?? []) yield* validateFinalizer(finalizer, "spec.finalizers");
}

function* validatePhase({ metadata, status }: Namespace): Problems {
  const deleted = metadata.deletionTimestamp !== undefined;
  const phase = deleted ? "Terminating" : "Active";
  const text = `may only be '${phase}' if \`deletionTimestamp\` is ${deleted ? "not " : ""}empty`;
  if (status?.phase !== phase) yield invalid("status.Phase", status?.phase ?? "", text);
}

function keepFinalizers(namespace: Namespace, old: Namespace): void {
  if (old.spec?.finalizers) namespace.spec.finalizers = old.spec.finalizers;
  else delete namespace.spec.finalizers;
}
