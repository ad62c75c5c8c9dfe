import { forbiddenField, type Problems } from "../../apimachinery/field-error.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import type { Pod, PodSpec, Toleration } from "../generated/core-v1.ts";
import { Pods } from "../generated/resources.ts";
import { validateObjectMeta, validateObjectMetaUpdate } from "../metadata.ts";
import { defineResource, proxySubresource, type Resource, type Subresource } from "../resource.ts";
import { countGeneration, keepAllButStatus, keepStatus, startGeneration } from "../strategy.ts";
import { podColumns } from "./pod-columns.ts";
import { defaultPod } from "./pod-defaults.ts";
import { ephemeralContainers, resize } from "./pod-parts.ts";
import { qosClass } from "./pod-status.ts";
import { validatePodSpec } from "./pod-validation.ts";

export const pods: Resource<Pod> = defineResource(Pods, {
  shortNames: ["po"],
  categories: ["all"],
  subresources: [
    connecting("attach", "PodAttachOptions"),
    { name: "binding", kind: { group: "", version: "v1", kind: "Binding" }, verbs: ["create"] },
    "ephemeralcontainers",
    { name: "eviction", kind: { group: "policy", version: "v1", kind: "Eviction" }, verbs: ["create"] },
    connecting("exec", "PodExecOptions"),
    { name: "log", kind: { group: "", version: "v1", kind: "Pod" }, verbs: ["get"] },
    connecting("portforward", "PodPortForwardOptions"),
    proxySubresource("PodProxyOptions"),
    "resize",
    "status",
  ],
  parts: { ephemeralcontainers: ephemeralContainers, resize },
  selectableFields: [
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
  ],
  fields: ({ spec, status }) => ({
    "spec.nodeName": spec.nodeName ?? "",
    "spec.restartPolicy": spec.restartPolicy ?? "",
    "spec.schedulerName": spec.schedulerName ?? "",
    "spec.serviceAccountName": spec.serviceAccountName ?? "",
    "spec.hostNetwork": String(spec.hostNetwork ?? false),
    "status.phase": status?.phase ?? "",
    "status.podIP": status?.podIPs?.[0]?.ip ?? status?.podIP ?? "",
    "status.nominatedNodeName": status?.nominatedNodeName ?? "",
  }),
  gracePeriodSeconds,
  defaults: defaultPod,
  prepareForCreate(pod) {
    startGeneration(pod);
    pod.status = { phase: "Pending", qosClass: qosClass(pod.spec) };
    if (pod.spec.schedulingGates?.length)
      pod.status.conditions = [
        {
          type: "PodScheduled",
          status: "False",
          reason: "SchedulingGated",
          message: "Scheduling is blocked due to non-empty scheduling gates",
        },
      ];
  },
  prepareForUpdate(pod, old) {
    keepStatus(pod, old);
    countGeneration(pod, old);
  },
  /** Old kubelets corrupt owner references: not theirs to write. */
  prepareForStatusUpdate(pod, old) {
    keepAllButStatus(pod, old);
    if (old.metadata.ownerReferences) pod.metadata.ownerReferences = old.metadata.ownerReferences;
    else delete pod.metadata.ownerReferences;
    if (pod.status && old.status?.qosClass) pod.status.qosClass = old.status.qosClass;
  },
  validate: (pod) => [
    ...validateObjectMeta(pod.metadata, { namespaced: true }),
    ...validatePodSpec(pod.spec, "spec"),
    ...(pod.spec.ephemeralContainers?.length
      ? [forbiddenField("spec.ephemeralContainers", "cannot be set on create")]
      : []),
  ],
  validateUpdate: (pod, old) => [
    ...validateObjectMetaUpdate(pod.metadata, old.metadata),
    ...validatePodSpec(pod.spec, "spec"),
    ...validateSpecUpdate(pod.spec, old.spec),
  ],
  *validateStatusUpdate(pod, old) {
    yield* validateObjectMetaUpdate(pod.metadata, old.metadata);
    for (const [i, status] of (pod.status?.containerStatuses ?? []).entries()) {
      const before = old.status?.containerStatuses?.find((s) => s.name === status.name);
      if (old.spec.restartPolicy === "Always" || !before?.state?.terminated || status.state?.terminated) continue;
      if (old.spec.restartPolicy === "OnFailure" && before.state.terminated.exitCode !== 0) continue;
      yield forbiddenField(`status.containerStatuses[${i}].state`, "may not be transitioned to non-terminated state");
    }
  },
  columns: podColumns,
});

/** What was asked, else the Pod's own; at once when nothing runs or it has ended. Negative means one second. */
function gracePeriodSeconds(pod: Pod, requested: number | undefined): number {
  let period = requested ?? pod.spec.terminationGracePeriodSeconds ?? 30;
  if (!pod.spec.nodeName || /^(Succeeded|Failed)$/.test(pod.status?.phase ?? "")) period = 0;
  return period < 0 ? 1 : period;
}

/** A Pod's spec is what runs: only these may change. */
const updateText =
  "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

function* validateSpecUpdate(spec: PodSpec, old: PodSpec): Problems {
  for (const key of ["containers", "initContainers"] as const)
    if ((spec[key]?.length ?? 0) !== (old[key]?.length ?? 0))
      return yield forbiddenField(`spec.${key}`, "pod updates may not add or remove containers");
  const before = old.tolerations ?? [];
  const kept = before.every((t) => spec.tolerations?.some((n) => sameToleration(n, t)));
  if (!kept)
    yield forbiddenField("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds");
  if (old.activeDeadlineSeconds !== undefined && (spec.activeDeadlineSeconds ?? Infinity) > old.activeDeadlineSeconds)
    yield spec.activeDeadlineSeconds === undefined
      ? {
          type: "FieldValueInvalid",
          field: "spec.activeDeadlineSeconds",
          badValue: null,
          detail: "must not update from a positive integer to nil value",
        }
      : {
          type: "FieldValueInvalid",
          field: "spec.activeDeadlineSeconds",
          badValue: spec.activeDeadlineSeconds,
          detail: "must be less than or equal to previous value",
        };
  const gates = (spec.schedulingGates ?? []).filter((g) => !old.schedulingGates?.some((o) => o.name === g.name));
  if (gates.length)
    yield forbiddenField(
      "spec.schedulingGates",
      `only deletion is allowed, but found new scheduling gate '${gates[0]!.name}'`,
    );
  // Differs: upstream adds Go's diff of the two specs.
  if (!sameJson(fixed(spec, old), fixed(old, old))) yield forbiddenField("spec", updateText);
}

const sameToleration = (a: Toleration, b: Toleration): boolean =>
  a.key === b.key && a.operator === b.operator && a.value === b.value && a.effect === b.effect;

/** The spec with all that may change taken from `old`. */
function fixed(spec: PodSpec, old: PodSpec): unknown {
  const images = (key: "containers" | "initContainers") =>
    spec[key]?.map((c, i) => ({ ...c, image: old[key]?.[i]?.image }));
  const { activeDeadlineSeconds: _, tolerations: __, schedulingGates: ___, ...rest } = spec;
  const grace = (old.terminationGracePeriodSeconds ?? 0) < 0 && spec.terminationGracePeriodSeconds === 1;
  return {
    ...rest,
    containers: images("containers"),
    initContainers: images("initContainers"),
    terminationGracePeriodSeconds: grace ? old.terminationGracePeriodSeconds : spec.terminationGracePeriodSeconds,
    // Gated Pods may still be steered.
    ...(old.schedulingGates?.length ? { nodeSelector: null, affinity: null } : {}),
  };
}

/** GET and POST, since SPDY begins with the one and WebSocket with the other. */
function connecting(name: string, kind: string): Subresource {
  return { name, kind: { group: "", version: "v1", kind }, verbs: ["create", "get"] };
}
