import { isIP } from "node:net";
import { duplicate, forbidden, invalid, type Problems, shaped } from "../../apimachinery/field-error.ts";
import { ipText } from "../../apimachinery/ip.ts";
import { dns1123Subdomain, qualifiedName } from "../../apimachinery/names.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import type { ContainerStatus, NodeSelectorTerm, Pod, PodSpec } from "../generated/core-v1.ts";
import { immutableField, validateObjectMetaUpdate } from "../metadata.ts";
import { validateImages } from "./container-validation.ts";
import { appArmor, validateProfiles } from "./pod-annotations.ts";
import { mirror } from "./pod-parts.ts";
import { isSidecar } from "./pod-status.ts";
import { validatePodSpec } from "./pod-validation.ts";

/** What may change of a Pod: of the spec what does not touch what runs, of the status what can happen. */
export function* validatePodUpdate(pod: Pod, old: Pod): Problems {
  yield* validateObjectMetaUpdate(pod.metadata, old.metadata);
  yield* validateAnnotations(pod, old);
  if (sameJson(pod.spec, old.spec)) return; // it was judged when it came
  yield* validatePodSpec(pod.spec, "spec");
  yield* validateImages(pod.spec);
  yield* validateSpecUpdate(pod.spec, old.spec);
}

const updateText =
  "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/** Who mirrors a static Pod says so from the beginning, and so does AppArmor. */
function* validateAnnotations({ metadata, spec }: Pod, { metadata: old }: Pod): Problems {
  const [now = {}, then = {}] = [metadata.annotations, old.annotations];
  for (const key of Object.keys({ ...then, ...now })) {
    const what = key === mirror ? "mirror pod annotation" : key.startsWith(appArmor) ? "AppArmor annotations" : "";
    if (what && now[key] !== then[key])
      yield forbidden(`metadata.annotations[${key}]`, `may not ${key in then ? "remove or update" : "add"} ${what}`);
  }
  yield* validateProfiles(metadata.annotations, spec, "metadata.annotations");
}

function* validateSpecUpdate(spec: PodSpec, old: PodSpec): Problems {
  for (const key of ["containers", "initContainers"] as const)
    if ((spec[key]?.length ?? 0) !== (old[key]?.length ?? 0))
      return yield forbidden(`spec.${key}`, "pod updates may not add or remove containers");
  const [seconds, before] = [spec.activeDeadlineSeconds, old.activeDeadlineSeconds];
  const deadline = (text: string) => invalid("spec.activeDeadlineSeconds", seconds ?? null, text);
  if (seconds !== undefined && before !== undefined && seconds > before)
    return yield deadline("must be less than or equal to previous value");
  if (seconds === undefined && before !== undefined)
    yield deadline("must not update from a positive integer to nil value");
  const untimed = (t: object) => ({ ...t, tolerationSeconds: null });
  const kept = old.tolerations?.every((t) => spec.tolerations?.some((n) => sameJson(untimed(n), untimed(t)))) ?? true;
  if (!kept)
    yield forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds");
  for (const [i, { name }] of (spec.schedulingGates ?? []).entries())
    if (!old.schedulingGates?.some((gate) => gate.name === name)) {
      const text = `only deletion is allowed, but found new scheduling gate '${name}'`;
      yield forbidden(`spec.schedulingGates[${i}].name`, text);
    }
  const gated = Boolean(old.schedulingGates?.length);
  if (gated) yield* validateSteering(spec, old);
  // Differs: upstream adds Go's diff of the two specs.
  if (!sameJson(fixed(spec, old, gated), fixed(old, old, gated))) yield forbidden("spec", updateText);
}

/** Of a gated Pod it may still be said more narrowly where it may run (KEP-3838). */
function* validateSteering(spec: PodSpec, old: PodSpec): Problems {
  const labels = spec.nodeSelector ?? {};
  if (Object.entries(old.nodeSelector ?? {}).some(([key, value]) => labels[key] !== value)) {
    const text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
    yield invalid("spec.nodeSelector", labels, text);
  }
  const termsOf = ({ affinity }: PodSpec): NodeSelectorTerm[] =>
    affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const [terms, before] = [termsOf(spec), termsOf(old)];
  const at = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
  if (before.length > 0 && terms.length !== before.length)
    return yield invalid(at, terms, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
  for (const [i, term] of before.entries()) {
    const keys = ["matchExpressions", "matchFields"] as const;
    const count = (given: NodeSelectorTerm) => keys.reduce((sum, key) => sum + (given[key]?.length ?? 0), 0);
    const narrower = keys.every((key) => term[key]?.every((one, j) => sameJson(one, terms[i]?.[key]?.[j])) ?? true);
    // A term that says nothing selects nothing: anything added to it would select more.
    if (!narrower || (count(term) === 0 && count(terms[i]!) > 0))
      yield invalid(`${at}[${i}]`, terms[i], "only additions are allowed (no mutations or deletions)");
  }
}

/** The spec with all that may change taken from `old`. */
function fixed(spec: PodSpec, old: PodSpec, gated: boolean): unknown {
  const images = (key: "containers" | "initContainers") =>
    spec[key]?.map((c, i) => ({ ...c, image: old[key]?.[i]?.image }));
  const { activeDeadlineSeconds: _, tolerations: __, schedulingGates: ___, nodeSelector, affinity, ...rest } = spec;
  const grace = (old.terminationGracePeriodSeconds ?? 0) < 0 && spec.terminationGracePeriodSeconds === 1;
  return {
    ...rest,
    containers: images("containers"),
    initContainers: images("initContainers"),
    terminationGracePeriodSeconds: grace ? old.terminationGracePeriodSeconds : spec.terminationGracePeriodSeconds,
    ...(gated ? { affinity: { ...affinity, nodeAffinity: null } } : { nodeSelector, affinity }),
  };
}

const systemConditions = ["PodScheduled", "Ready", "Initialized"];

export function* validatePodStatusUpdate(pod: Pod, old: Pod): Problems {
  const { spec, status = {} } = pod;
  yield* validateObjectMetaUpdate(pod.metadata, old.metadata);
  yield* validateAnnotations(pod, old);
  for (const [i, { type }] of (status.conditions ?? []).entries())
    if (!systemConditions.includes(type)) yield* shaped(`status.conditions[${i}].Type`, type, qualifiedName);
  if (status.nominatedNodeName && status.nominatedNodeName !== old.status?.nominatedNodeName)
    yield* shaped("status.nominatedNodeName", status.nominatedNodeName, dns1123Subdomain);
  yield* immutableField("status.qosClass", status.qosClass, old.status?.qosClass);
  const sidecars = new Set(spec.initContainers?.filter(isSidecar).map(({ name }) => name));
  for (const key of ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] as const) {
    const policy = key === "ephemeralContainerStatuses" ? "Never" : old.spec.restartPolicy;
    yield* validateTransitions(status[key], old.status?.[key], `status.${key}`, policy, sidecars);
  }
  const claims = new Set<string>();
  for (const [i, { name, resourceClaimName }] of (status.resourceClaimStatuses ?? []).entries()) {
    const at = `status.resourceClaimStatuses[${i}].name`;
    if (!spec.resourceClaims?.some((claim) => claim.name === name))
      yield invalid(at, name, "must match the name of an entry in `spec.resourceClaims`");
    if (claims.size === claims.add(name).size) yield duplicate(at, name);
    if (resourceClaimName !== undefined) yield* shaped(at, resourceClaimName, dns1123Subdomain);
  }
  yield* validateIps(status.podIPs ?? [], "status.podIPs");
  const [first] = status.hostIPs ?? [];
  if (first && first.ip !== status.hostIP) yield invalid("status.hostIPs[0].ip", first.ip, "must be equal to `hostIP`");
  yield* validateIps(status.hostIPs ?? [], "status.hostIPs");
}

type Statuses = ContainerStatus[];

/** What has ended stays so where nobody starts it again. */
function* validateTransitions(now: Statuses = [], then: Statuses = [], at: string, policy = "", sidecars: Set<string>) {
  if (policy === "Always") return;
  for (const [i, { name, state }] of then.entries()) {
    if (!state?.terminated || (state.terminated.exitCode !== 0 && policy === "OnFailure")) continue;
    if (at === "status.initContainerStatuses" && sidecars.has(name)) continue;
    if (now.some((status) => status.name === name && !status.state?.terminated))
      yield forbidden(`${at}[${i}].state`, "may not be transitioned to non-terminated state");
  }
}

function* validateIps(ips: { ip: string }[], at: string): Problems {
  const families = ips.map(({ ip }) => isIP(ip));
  for (const [i, { ip }] of ips.entries()) if (families[i] === 0) yield invalid(`${at}[${i}]`, ip, ipText);
  if (ips.length > 1 && new Set(families).size !== ips.length)
    yield invalid(at, ips, "may specify no more than one IP for each IP family");
}
