import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
} from "../../apimachinery/field-error.ts";
import { dns1123Label, dns1123Subdomain, qualifiedName } from "../../apimachinery/names.ts";
import { validateLabelSelector, validateLabels } from "../../apimachinery/selectors.ts";
import type { PodSpec, PodTemplateSpec, Toleration, Volume } from "../generated/core-v1.ts";
import { validateMetaParts } from "../metadata.ts";
import { oneOf, validateContainers } from "./container-validation.ts";
import { relativePath, validateAffinity, validateDns, validateParts, validateSecurity } from "./pod-rules.ts";

/** The rules of Pod specs, for Pods and templates (k8s.io/kubernetes/pkg/apis/core/validation). */
export function validatePodSpec(spec: PodSpec, path: string): FieldError[] {
  const at = (name: string) => `${path}.${name}`;
  const volumes = new Set((spec.volumes ?? []).map((v) => v.name));
  const errors = validateVolumes(spec.volumes ?? [], at("volumes"));
  errors.push(...validateContainers(spec, volumes, path));
  errors.push(...oneOf(at("restartPolicy"), spec.restartPolicy, ["Always", "OnFailure", "Never"], true));
  errors.push(
    ...oneOf(at("dnsPolicy"), spec.dnsPolicy, ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], true),
  );
  errors.push(...validateLabels(spec.nodeSelector, at("nodeSelector")));
  for (const name of ["serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"] as const)
    if (spec[name]) for (const p of dns1123Subdomain(spec[name])) errors.push(invalidValue(at(name), spec[name], p));
  for (const name of ["hostname", "subdomain"] as const)
    if (spec[name]) for (const p of dns1123Label(spec[name])) errors.push(invalidValue(at(name), spec[name], p));
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0)
    errors.push(
      invalidValue(
        at("terminationGracePeriodSeconds"),
        spec.terminationGracePeriodSeconds,
        "must be greater than or equal to 0",
      ),
    );
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined && (deadline < 1 || deadline > 2 ** 31 - 1))
    errors.push(invalidValue(at("activeDeadlineSeconds"), deadline, "must be between 1 and 2147483647, inclusive"));
  for (const [i, { name }] of (spec.imagePullSecrets ?? []).entries())
    if (!name) errors.push(required(`${at("imagePullSecrets")}[${i}].name`));
  errors.push(...validateTolerations(spec.tolerations ?? [], at("tolerations")));
  for (const [i, alias] of (spec.hostAliases ?? []).entries()) {
    const p = `${at("hostAliases")}[${i}]`;
    if (!/^[0-9a-fA-F.:]+$/.test(alias.ip))
      errors.push(invalidValue(`${p}.ip`, alias.ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"));
    for (const [j, host] of (alias.hostnames ?? []).entries())
      for (const problem of dns1123Subdomain(host)) errors.push(invalidValue(`${p}.hostnames[${j}]`, host, problem));
  }
  errors.push(
    ...validateAffinity(spec, at("affinity")),
    ...validateSecurity(spec, at("securityContext")),
    ...validateDns(spec, at("dnsConfig")),
    ...validateSpread(spec, at("topologySpreadConstraints")),
  );
  for (const [i, { name }] of (spec.schedulingGates ?? []).entries())
    for (const p of qualifiedName(name)) errors.push(invalidValue(`${at("schedulingGates")}[${i}]`, name, p));
  if (spec.dnsPolicy === "None" && !spec.dnsConfig?.nameservers?.length)
    errors.push(
      required(at("dnsConfig.nameservers"), "must provide at least one DNS nameserver when `dnsPolicy` is None"),
    );
  return errors;
}

/** A template: only long-lived Pods where `restartPolicies` says so. */
export function validateTemplate(template: PodTemplateSpec | undefined, path: string): FieldError[] {
  if (!template?.spec) return [required(path)];
  return [
    ...validateMetaParts(template.metadata ?? {}, `${path}.metadata`),
    ...validatePodSpec(template.spec, `${path}.spec`),
    ...(template.spec.ephemeralContainers?.length
      ? [forbiddenField(`${path}.spec.ephemeralContainers`, "ephemeral containers not allowed in pod template")]
      : []),
  ];
}

function validateVolumes(volumes: Volume[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [i, volume] of volumes.entries()) {
    const at = `${path}[${i}]`;
    if (!volume.name) errors.push(required(`${at}.name`));
    else {
      for (const p of dns1123Label(volume.name)) errors.push(invalidValue(`${at}.name`, volume.name, p));
      if (seen.has(volume.name)) errors.push(duplicate(`${at}.name`, volume.name));
      seen.add(volume.name);
    }
    const sources = Object.keys(volume).filter((key) => key !== "name");
    if (sources.length === 0) errors.push(required(at, "must specify a volume type"));
    for (const extra of sources.slice(1))
      errors.push(forbiddenField(`${at}.${extra}`, "may not specify more than 1 volume type"));
    errors.push(...validateSource(volume, at));
  }
  return errors;
}

function validateSource(volume: Volume, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const need = (path: string, value: string | undefined) => {
    if (!value) errors.push(required(`${at}.${path}`));
  };
  if (volume.hostPath) {
    need("hostPath.path", volume.hostPath.path);
    if (volume.hostPath.path?.split("/").includes(".."))
      errors.push(invalidValue(`${at}.hostPath.path`, volume.hostPath.path, "must not contain '..'"));
  }
  if (volume.secret) need("secret.secretName", volume.secret.secretName);
  if (volume.configMap) need("configMap.name", volume.configMap.name);
  if (volume.persistentVolumeClaim) need("persistentVolumeClaim.claimName", volume.persistentVolumeClaim.claimName);
  for (const [name, source] of [
    ["secret", volume.secret],
    ["configMap", volume.configMap],
    ["downwardAPI", volume.downwardAPI],
    ["projected", volume.projected],
  ] as const) {
    const mode = source?.defaultMode;
    if (mode !== undefined && (mode < 0 || mode > 0o777))
      errors.push(
        invalidValue(`${at}.${name}.defaultMode`, mode, "must be a number between 0 and 0777 (octal), both inclusive"),
      );
  }
  for (const [name, items] of [
    ["secret", volume.secret?.items],
    ["configMap", volume.configMap?.items],
  ] as const)
    for (const [i, { key, path }] of (items ?? []).entries()) {
      need(`${name}.items[${i}].key`, key);
      need(`${name}.items[${i}].path`, path);
      errors.push(...relativePath(path, `${at}.${name}.items[${i}].path`));
    }
  return [...errors, ...validateParts(volume, at)];
}

export function validateTolerations(tolerations: Toleration[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, { key, operator = "Equal", value, effect, tolerationSeconds }] of tolerations.entries()) {
    const at = `${path}[${i}]`;
    if (key) for (const p of qualifiedName(key)) errors.push(invalidValue(`${at}.key`, key, p));
    else if (operator !== "Exists")
      errors.push(
        invalidValue(
          `${at}.operator`,
          operator,
          'operator must be Exists when `key` is empty, which means "match all values and all keys"',
        ),
      );
    if (tolerationSeconds !== undefined && effect !== "NoExecute")
      errors.push(
        invalidValue(`${at}.effect`, effect ?? "", "effect must be 'NoExecute' when `tolerationSeconds` is set"),
      );
    if (operator === "Exists") {
      if (value) errors.push(invalidValue(`${at}.operator`, value, "value must be empty when `operator` is 'Exists'"));
    } else if (operator !== "Equal") errors.push(notSupported(`${at}.operator`, operator, ["Equal", "Exists"]));
    if (effect && !effects.includes(effect)) errors.push(notSupported(`${at}.effect`, effect, effects));
  }
  return errors;
}

const effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

function validateSpread(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [i, constraint] of (spec.topologySpreadConstraints ?? []).entries()) {
    const { maxSkew, topologyKey, whenUnsatisfiable, minDomains, labelSelector } = constraint;
    const at = `${path}[${i}]`;
    const pair = `{${topologyKey}, ${whenUnsatisfiable}}`;
    if (seen.has(pair)) errors.push(duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, pair));
    seen.add(pair);
    errors.push(...validateLabelSelector(labelSelector, `${at}.labelSelector`));
    if (minDomains !== undefined && minDomains <= 0)
      errors.push(invalidValue(`${at}.minDomains`, minDomains, "must be greater than zero"));
    if (!(maxSkew > 0)) errors.push(invalidValue(`${at}.maxSkew`, maxSkew ?? 0, "must be greater than zero"));
    if (!topologyKey) errors.push(required(`${at}.topologyKey`, "can not be empty"));
    errors.push(...oneOf(`${at}.whenUnsatisfiable`, whenUnsatisfiable, ["DoNotSchedule", "ScheduleAnyway"], false));
  }
  return errors;
}
