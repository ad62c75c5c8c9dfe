import { forbidden, invalid } from "../../apimachinery/field-error.ts";
import type { Pod } from "../generated/core-v1.ts";
import { Pods } from "../generated/resources.ts";
import { defineResource, proxySubresource, type Subresource, selection, validateObjectMeta } from "../kind.ts";
import { countGeneration, keepAllButStatus, keepStatus, startGeneration } from "../strategy.ts";
import { validateImages } from "./container-validation.ts";
import { syncAppArmor, validateProfiles, validateProfilesMatch } from "./pod-annotations.ts";
import { podColumns, podRowConditions } from "./pod-columns.ts";
import { defaultPod } from "./pod-defaults.ts";
import { ephemeralContainers, mirror, resize } from "./pod-parts.ts";
import { qosClass } from "./pod-status.ts";
import { validatePodStatusUpdate, validatePodUpdate } from "./pod-update.ts";
import { validatePodSpec } from "./pod-validation.ts";
import { podWarnings } from "./pod-warnings.ts";

/** Which of a ReplicaSet's Pods goes first. */
const deletionCost = "controller.kubernetes.io/pod-deletion-cost";

const chosen = selection(
  {
    ...{ "spec.nodeName": "", "spec.host": "", "spec.restartPolicy": "", "spec.schedulerName": "" },
    ...{ "spec.serviceAccountName": "", "spec.hostNetwork": "false", "status.phase": "" },
    // Upstream takes status.podIPs, and finds nothing by it.
    ...{ "status.podIP": "", "status.podIPs": "", "status.nominatedNodeName": "" },
  },
  true,
);

export const pods = defineResource(Pods, {
  warnings: podWarnings,
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
  ...chosen,
  fields: (pod) => ({
    ...chosen.fields(pod),
    "spec.host": pod.spec.nodeName ?? "", // its name before v1
    "status.podIP": pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? "",
  }),
  gracePeriodSeconds,
  defaults: defaultPod,
  prepareForCreate(pod) {
    startGeneration(pod);
    syncAppArmor(pod);
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
    if (pod.status && old.status?.qosClass) pod.status.qosClass ??= old.status.qosClass; // older kubelets leave it out
  },
  *validate(pod) {
    const { metadata, spec } = pod;
    yield* validateObjectMeta(metadata, { namespaced: true });
    const { [mirror]: mirrored, [deletionCost]: cost } = metadata.annotations ?? {};
    if (mirrored !== undefined && !spec.nodeName) {
      const text = "must set spec.nodeName if mirror pod annotation exists";
      yield invalid(`metadata.annotations[${mirror}]`, mirrored, text);
    }
    if (cost !== undefined && !(/^(0|-?[1-9]\d*)$/.test(cost) && Number(cost) === (Number(cost) | 0)))
      yield invalid(`metadata.annotations[${deletionCost}]`, cost, "must be a 32bit integer");
    yield* validateProfiles(metadata.annotations, spec, "metadata.annotations");
    yield* validatePodSpec(spec, "spec");
    yield* validateImages(spec);
    if (spec.ephemeralContainers?.length) yield forbidden("spec.ephemeralContainers", "cannot be set on create");
    if (spec.nodeName && spec.schedulingGates?.length)
      yield forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared");
    yield* validateProfilesMatch(pod);
  },
  validateUpdate: validatePodUpdate,
  validateStatusUpdate: validatePodStatusUpdate,
  columns: podColumns,
  rowConditions: podRowConditions,
});

/** What was asked, else the Pod's own; at once when nothing runs or it has ended. Negative means one second. */
function gracePeriodSeconds(pod: Pod, requested: number | undefined): number {
  let period = requested ?? pod.spec.terminationGracePeriodSeconds ?? 30;
  if (!pod.spec.nodeName || /^(Succeeded|Failed)$/.test(pod.status?.phase ?? "")) period = 0;
  return period < 0 ? 1 : period;
}

/** GET and POST, since SPDY begins with the one and WebSocket with the other. */
function connecting(name: string, kind: string): Subresource {
  return { name, kind: { group: "", version: "v1", kind }, verbs: ["create", "get"] };
}
