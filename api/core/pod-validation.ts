import { isIP } from "node:net";
import * as field from "../../apimachinery/field-error.ts";
import { ipText } from "../../apimachinery/ip.ts";
import { dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from "../../apimachinery/names.ts";
import { validateLabels } from "../../apimachinery/selectors.ts";
import type { PodResourceClaim, PodSpec, PodTemplateSpec, Toleration, Volume } from "../generated/core-v1.ts";
import { validateMetaParts } from "../metadata.ts";
import { validateContainers, validateResources } from "./container-validation.ts";
import { validateProfiles } from "./pod-annotations.ts";
import { validateAffinity, validateDns, validateSpread } from "./pod-rules.ts";
import { validateSecurity } from "./pod-security.ts";
import { validateHostProcess, validateOs } from "./pod-windows.ts";
import { validateSources } from "./volume-sources.ts";

/** The rules of Pod specs, for Pods and templates, in upstream's order (ValidatePodSpec). */
const dnsPolicies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

export function* validatePodSpec(spec: PodSpec, path: string): field.Problems {
  const at = (name: keyof PodSpec) => `${path}.${name}`;
  function* named(shape: (name: string) => string[], ...keys: (keyof PodSpec)[]): field.Problems {
    for (const key of keys) if (spec[key]) yield* field.shaped(at(key), spec[key] as string, shape);
  }
  yield* validateVolumes(spec.volumes ?? [], at("volumes"));
  yield* validateClaims(spec.resourceClaims, at("resourceClaims"));
  yield* validateContainers(spec, path);
  yield* field.oneOf(at("restartPolicy"), spec.restartPolicy, ["Always", "OnFailure", "Never"], true);
  yield* field.oneOf(at("dnsPolicy"), spec.dnsPolicy, dnsPolicies, true);
  yield* validateLabels(spec.nodeSelector, at("nodeSelector"));
  yield* validateSecurity(spec, at("securityContext"));
  yield* validateAffinity(spec, at("affinity"));
  yield* validateDns(spec, at("dnsConfig"));
  for (const [i, { conditionType }] of (spec.readinessGates ?? []).entries())
    yield* field.shaped(`${at("readinessGates")}[${i}].conditionType`, conditionType ?? "", qualifiedName);
  const gate = ({ name }: { name: string }, p: string) => field.shaped(p, name, qualifiedName);
  yield* field.each(spec.schedulingGates, at("schedulingGates"), gate, { key: ({ name }) => name });
  yield* validateSpread(spec.topologySpreadConstraints, at("topologySpreadConstraints"));
  yield* validateHostProcess(spec, path);
  for (const key of spec.hostUsers === false ? (["hostNetwork", "hostPID", "hostIPC"] as const) : [])
    if (spec[key]) yield field.forbidden(at(key).replace(/h(?=ost[PI])/, "H"), "when `pod.Spec.HostUsers` is false");
  yield* named(dns1123Subdomain, "serviceAccountName", "nodeName");
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined && (deadline < 1 || deadline > 2 ** 31 - 1))
    yield field.invalid(at("activeDeadlineSeconds"), deadline, "must be between 1 and 2147483647, inclusive");
  yield* named(dns1123Label, "hostname", "subdomain");
  yield* validateTolerations(spec.tolerations ?? [], at("tolerations"));
  yield* field.each(spec.hostAliases, at("hostAliases"), function* ({ ip, hostnames }, p) {
    if (isIP(ip) === 0) yield field.invalid(`${p}.ip`, ip, ipText);
    yield* field.each(hostnames, `${p}.hostnames`, (host, own) => field.shaped(own, host, dns1123Subdomain));
  });
  yield* named(dns1123Subdomain, "priorityClassName", "runtimeClassName");
  const { preemptionPolicy: preemption, overhead: limits } = spec;
  if (preemption) yield* field.oneOf(at("preemptionPolicy"), preemption, ["PreemptLowerPriority", "Never"], true);
  if (limits) yield* validateResources({ limits }, at("overhead"));
  yield* validateOs(spec, path);
}

function* validateClaims(claims: PodResourceClaim[] | undefined, path: string): field.Problems {
  const names = new Set<string>();
  yield* field.each(claims, path, function* (claim, at) {
    yield* field.uniqueName(`${at}.name`, claim.name, dns1123Label, names);
    const given = claimSources.filter((key) => claim[key] !== undefined);
    if (given.length === 2) yield field.invalid(at, claim, twoSources);
    if (given.length === 0) yield field.invalid(at, claim, noSource);
    for (const key of given) yield* field.shaped(`${at}.${key}`, claim[key], dns1123Subdomain);
  });
}

const claimSources = ["resourceClaimName", "resourceClaimTemplateName"] as const;
const twoSources = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
const noSource = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";

/** A template: what its owner asks besides, as that its Pods run on, the owner says. */
export function* validateTemplate(template: PodTemplateSpec | undefined, path: string): field.Problems {
  if (!template?.spec) return yield field.required(path);
  yield* validateMetaParts(template.metadata ?? {}, `${path}.metadata`);
  yield* validateProfiles(template.metadata?.annotations, template.spec, `${path}.annotations`);
  yield* validatePodSpec(template.spec, `${path}.spec`);
  if (template.spec.ephemeralContainers?.length)
    yield field.forbidden(`${path}.spec.ephemeralContainers`, "ephemeral containers not allowed in pod template");
}

function* validateVolumes(volumes: Volume[], path: string): field.Problems {
  const seen = new Set<string>();
  for (const [i, volume] of volumes.entries()) {
    const at = `${path}[${i}]`;
    yield* field.uniqueName(`${at}.name`, volume.name, dns1123Label, seen);
    const sources = Object.keys(volume).filter((key) => key !== "name");
    if (sources.length === 0) yield field.required(at, "must specify a volume type");
    for (const extra of sources.slice(1))
      yield field.forbidden(`${at}.${extra}`, "may not specify more than 1 volume type");
    const { name: _, ...source } = volume;
    yield* validateSources(source, at, false);
  }
}

const onlyExists = 'operator must be Exists when `key` is empty, which means "match all values and all keys"';
const noValue = "value must be empty when `operator` is 'Exists'";
const onlyNoExecute = "effect must be 'NoExecute' when `tolerationSeconds` is set";

export function* validateTolerations(tolerations: Toleration[], path: string): field.Problems {
  yield* field.each(tolerations, path, function* (toleration, at) {
    const { key, operator = "", value = "", effect, tolerationSeconds } = toleration;
    if (key) yield* field.shaped(`${at}.key`, key, qualifiedName);
    else if (operator !== "Exists") yield field.invalid(`${at}.operator`, operator, onlyExists);
    if (tolerationSeconds !== undefined && effect !== "NoExecute")
      yield field.invalid(`${at}.effect`, effect ?? "", onlyNoExecute);
    const problems = labelValue(value).join(";"); // upstream blames the operator
    if (operator === "Exists" && value) yield field.invalid(`${at}.operator`, toleration, noValue);
    else if (!["Equal", "", "Exists"].includes(operator))
      yield field.notSupported(`${at}.operator`, operator, ["Equal", "Exists"]);
    else if (problems) yield field.invalid(`${at}.operator`, value, problems);
    if (effect && !effects.includes(effect)) yield field.notSupported(`${at}.effect`, effect, effects);
  });
}

const effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
