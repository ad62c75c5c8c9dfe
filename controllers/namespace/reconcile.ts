import type { Namespace, NamespaceCondition } from "../../api/generated/core-v1.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { formatTime } from "../../apimachinery/time.ts";
import type { RequeueAfter } from "../runner.ts";

/** What the last deletion of contents has left. */
export interface Remaining {
  /** `pods.`, `deployments.apps` -> objects. */
  resources: ReadonlyMap<string, number>;
  finalizers: ReadonlyMap<string, number>;
  /** Resources that could not be listed or deleted. */
  errors: readonly string[];
  /** `wardle.example.com/v1alpha1`: what the group has could not be asked. */
  undiscovered: readonly string[];
}

export interface State {
  namespace: Namespace;
  /** Undefined before the first deletion of contents. */
  remaining: Remaining | undefined;
  /** Set when `remaining` is of this pass: look again later rather than at once. */
  isFresh: boolean;
  nowMs: number;
}

export type Action =
  | { type: "DeleteContents" }
  | { type: "UpdateConditions"; conditions: NamespaceCondition[] }
  | { type: "Finalize"; finalizers: string[] };

export const namespaceFinalizer = "kubernetes";

/** How soon to look again when what remains gives no event that we would see. */
const againMs = 1000;

/** Empties a namespace that is being deleted, then lets it go (pkg/controller/namespace). */
export function reconcile({ namespace, remaining, isFresh, nowMs }: State): (Action | RequeueAfter)[] {
  const { metadata, spec } = namespace;
  const finalizers = spec?.finalizers ?? [];
  if (metadata.deletionTimestamp === undefined || !finalizers.includes(namespaceFinalizer)) return [];
  if (remaining === undefined) return [{ type: "DeleteContents" }];
  if (remaining.resources.size + remaining.errors.length + remaining.undiscovered.length === 0)
    return [{ type: "Finalize", finalizers: finalizers.filter((finalizer) => finalizer !== namespaceFinalizer) }];
  const conditions = conditionsOf(namespace.status?.conditions ?? [], remaining, nowMs);
  const actions: (Action | RequeueAfter)[] = [];
  if (!sameJson(conditions, namespace.status?.conditions ?? [])) actions.push({ type: "UpdateConditions", conditions });
  actions.push(isFresh ? { type: "RequeueAfter", ms: againMs } : { type: "DeleteContents" });
  return actions;
}

function conditionsOf(old: readonly NamespaceCondition[], remaining: Remaining, nowMs: number): NamespaceCondition[] {
  const { resources, finalizers, errors, undiscovered } = remaining;
  const stale = undiscovered.map((version) => `${version}: stale GroupVersion discovery: ${version}`).join(", ");
  const list = (map: ReadonlyMap<string, number>, what: (name: string, count: number) => string) =>
    [...map]
      .sort()
      .map(([name, count]) => what(name, count))
      .join(", ");
  const content = list(resources, (name, count) => `${name} has ${count} resource instances`);
  const held = list(finalizers, (name, count) => `${name} in ${count} resource instances`);
  const failed = `Discovery failed for some groups, ${undiscovered.length} failing: unable to retrieve the complete list of server APIs: ${stale}`;
  const kept = `Failed to delete all resource types, ${errors.length} remaining: ${errors.join(", ")}`;
  const waits = `Some content in the namespace has finalizers remaining: ${held}`;
  type Told = readonly [reason: string, message: string];
  const wanted: Record<string, readonly [isTrue: boolean, told: Told, otherwise: Told]> = {
    NamespaceDeletionDiscoveryFailure: [
      undiscovered.length > 0,
      ["DiscoveryFailed", failed],
      ["ResourcesDiscovered", "All resources successfully discovered"],
    ],
    NamespaceDeletionGroupVersionParsingFailure: [
      false,
      ["", ""],
      ["ParsedGroupVersions", "All legacy kube types successfully parsed"],
    ],
    NamespaceDeletionContentFailure: [
      errors.length > 0,
      ["ContentDeletionFailed", kept],
      ["ContentDeleted", "All content successfully deleted, may be waiting on finalization"],
    ],
    NamespaceContentRemaining: [
      resources.size > 0,
      ["SomeResourcesRemain", `Some resources are remaining: ${content}`],
      ["ContentRemoved", "All content successfully removed"],
    ],
    NamespaceFinalizersRemaining: [
      finalizers.size > 0,
      ["SomeFinalizersRemain", waits],
      ["ContentHasNoFinalizers", "All content-preserving finalizers finished"],
    ],
  };
  return Object.entries(wanted).map(([type, [isTrue, told, otherwise]]): NamespaceCondition => {
    const status = isTrue ? "True" : "False";
    const [reason, message] = isTrue ? told : otherwise;
    const before = old.find((condition) => condition.type === type);
    const lastTransitionTime = before?.status === status ? before.lastTransitionTime! : formatTime(nowMs);
    return { type, status, lastTransitionTime, reason, message };
  });
}
