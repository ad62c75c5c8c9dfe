import type { CustomResourceDefinition } from "../api/generated/apiextensions-v1.ts";
import { resources } from "../api/resources.ts";
import type { KubernetesObject, ResourceType } from "../apimachinery/object.ts";

const deletable = resources().filter(({ verbs }) =>
  (["list", "watch", "delete"] as const).every((v) => verbs.includes(v)),
);

/** What garbage collection follows. Events are not: they are many, own nothing, and their time ends anyway. */
export const collectable = deletable.filter(({ resource }) => resource !== "events");

/** What goes with a namespace. */
export const namespacedContents = deletable.filter(({ namespaced }) => namespaced);

/** What a definition defines, in a version that is served; undefined while nothing is. */
export function customType({ spec, status }: CustomResourceDefinition): ResourceType<KubernetesObject> | undefined {
  const version = spec.versions.find(({ served }) => served)?.name;
  const { plural = "", kind = "" } = status?.acceptedNames ?? {};
  if (!version || !plural || !kind) return undefined;
  return { group: spec.group, version, resource: plural, kind, namespaced: spec.scope === "Namespaced" };
}
