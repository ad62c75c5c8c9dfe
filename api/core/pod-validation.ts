import * as field from "../../apimachinery/field-error.ts";
import { dns1123Label, dns1123Subdomain, qualifiedName } from "../../apimachinery/names.ts";
import { validateLabelSelector, validateLabels } from "../../apimachinery/selectors.ts";
import type { PodSpec, PodTemplateSpec, Toleration, Volume } from "../generated/core-v1.ts";
import { validateMetaParts } from "../metadata.ts";
import { validateContainers } from "./container-validation.ts";
import { validateAffinity, validateDns, validateSecurity } from "./pod-rules.ts";
import { validateSources } from "./volume-sources.ts";

const oneNameserver = "must provide at least one DNS nameserver when `dnsPolicy` is None";

/** The rules of Pod specs, for Pods and templates (k8s.io/kubernetes/pkg/apis/core/validation). */
const dnsPolicies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

export function* validatePodSpec(spec: PodSpec, path: string): field.Problems {
  const at = (name: string) => `${path}.${name}`;
  const volumes = new Set((spec.volumes ?? []).map((v) => v.name));
  yield* validateVolumes(spec.volumes ?? [], at("volumes"));
  yield* validateContainers(spec, volumes, path);
  yield* field.oneOf(at("restartPolicy"), spec.restartPolicy, ["Always", "OnFailure", "Never"], true);
  yield* field.oneOf(at("dnsPolicy"), spec.dnsPolicy, dnsPolicies, true);
  yield* validateLabels(spec.nodeSelector, at("nodeSelector"));
  for (const name of ["serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"] as const)
    if (spec[name]) yield* field.shaped(at(name), spec[name], dns1123Subdomain);
  for (const name of ["hostname", "subdomain"] as const)
    if (spec[name]) yield* field.shaped(at(name), spec[name], dns1123Label);
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0)
    yield field.invalid(
      at("terminationGracePeriodSeconds"),
      spec.terminationGracePeriodSeconds,
      "must be greater than or equal to 0",
    );
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined && (deadline < 1 || deadline > 2 ** 31 - 1))
    yield field.invalid(at("activeDeadlineSeconds"), deadline, "must be between 1 and 2147483647, inclusive");
  for (const [i, { name }] of (spec.imagePullSecrets ?? []).entries())
    if (!name) yield field.required(`${at("imagePullSecrets")}[${i}].name`);
  yield* validateTolerations(spec.tolerations ?? [], at("tolerations"));
  for (const [i, alias] of (spec.hostAliases ?? []).entries()) {
    const p = `${at("hostAliases")}[${i}]`;
    if (!/^[0-9a-fA-F.:]+$/.test(alias.ip))
      yield field.invalid(`${p}.ip`, alias.ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    for (const [j, host] of (alias.hostnames ?? []).entries())
      yield* field.shaped(`${p}.hostnames[${j}]`, host, dns1123Subdomain);
  }
  yield* validateAffinity(spec, at("affinity"));
  yield* validateSecurity(spec, at("securityContext"));
  yield* validateDns(spec, at("dnsConfig"));
  yield* validateSpread(spec, at("topologySpreadConstraints"));
  for (const [i, { name }] of (spec.schedulingGates ?? []).entries())
    yield* field.shaped(`${at("schedulingGates")}[${i}]`, name, qualifiedName);
  if (spec.dnsPolicy === "None" && !spec.dnsConfig?.nameservers?.length)
    yield field.required(at("dnsConfig.nameservers"), oneNameserver);
}

/** A template: only long-lived Pods where `restartPolicies` says so. */
export function* validateTemplate(template: PodTemplateSpec | undefined, path: string): field.Problems {
  if (!template?.spec) return yield field.required(path);
  yield* validateMetaParts(template.metadata ?? {}, `${path}.metadata`);
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
const onlyNoExecute = "effect must be 'NoExecute' when `tolerationSeconds` is set";

export function* validateTolerations(tolerations: Toleration[], path: string): field.Problems {
  for (const [i, { key, operator = "Equal", value, effect, tolerationSeconds }] of tolerations.entries()) {
    const at = `${path}[${i}]`;
    if (key) yield* field.shaped(`${at}.key`, key, qualifiedName);
    else if (operator !== "Exists") yield field.invalid(`${at}.operator`, operator, onlyExists);
    if (tolerationSeconds !== undefined && effect !== "NoExecute")
      yield field.invalid(`${at}.effect`, effect ?? "", onlyNoExecute);
    if (operator === "Exists") {
      if (value) yield field.invalid(`${at}.operator`, value, "value must be empty when `operator` is 'Exists'");
    } else if (operator !== "Equal") yield field.notSupported(`${at}.operator`, operator, ["Equal", "Exists"]);
    if (effect && !effects.includes(effect)) yield field.notSupported(`${at}.effect`, effect, effects);
  }
}

const effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

function* validateSpread(spec: PodSpec, path: string): field.Problems {
  const seen = new Set<string>();
  for (const [i, constraint] of (spec.topologySpreadConstraints ?? []).entries()) {
    const { maxSkew, topologyKey, whenUnsatisfiable, minDomains, labelSelector } = constraint;
    const at = `${path}[${i}]`;
    const pair = `{${topologyKey}, ${whenUnsatisfiable}}`;
    if (seen.has(pair)) yield field.duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, pair);
    seen.add(pair);
    yield* validateLabelSelector(labelSelector, `${at}.labelSelector`);
    if (minDomains !== undefined && minDomains <= 0)
      yield field.invalid(`${at}.minDomains`, minDomains, "must be greater than zero");
    if (!(maxSkew > 0)) yield field.invalid(`${at}.maxSkew`, maxSkew ?? 0, "must be greater than zero");
    if (!topologyKey) yield field.required(`${at}.topologyKey`, "can not be empty");
    yield* field.oneOf(`${at}.whenUnsatisfiable`, whenUnsatisfiable, ["DoNotSchedule", "ScheduleAnyway"], false);
  }
}
