import type { Namespace } from "../../api/generated/core-v1.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";

/** True while somebody still has to clean up before the object may go. A Namespace has a list of its own in its spec. */
export function hasFinalizers(object: KubernetesObject): boolean {
  if ((object.metadata.finalizers?.length ?? 0) > 0) return true;
  return isNamespace(object) && (object.spec?.finalizers?.length ?? 0) > 0;
}

export function isNamespace(object: KubernetesObject): object is Namespace {
  return object.kind === "Namespace" && object.apiVersion === "v1";
}

/** How dependents go: the garbage collector reads it from these two finalizers. */
export function withPropagation(finalizers: readonly string[], policy: string | undefined): string[] {
  const others = finalizers.filter((name) => name !== orphan && name !== foreground);
  if (policy === "Orphan") return [...others, orphan];
  if (policy === "Foreground") return [...others, foreground];
  if (policy === "Background") return others;
  return [...finalizers];
}

const orphan = "orphan";
const foreground = "foregroundDeletion";
