import type { Container, Namespace, Pod } from "../../api/generated/core-v1.ts";
import { Namespaces, Pods } from "../../api/generated/resources.ts";
import * as field from "../../apimachinery/field-error.ts";
import { dns1123Label, dns1123Subdomain } from "../../apimachinery/names.ts";
import { forbidden, invalid } from "../../apimachinery/status.ts";
import type { Attributes, Plugin } from "./chain.ts";
import type { Cluster } from "./cluster.ts";
import { configurationOf } from "./configuration.ts";
import { type Level, violations } from "./pod-security-checks.ts";

/**
 * PodSecurity: a Namespace's labels say which level its Pods must keep (enforce), and which violations are warned of or
 * noted in the audit log; templates of Pods are only warned of. A file has the defaults, and who is exempt. Source:
 * KEP-2579, k8s.io/pod-security-admission.
 */
export function podSecurity({ defaults, exemptions }: PodSecurityConfiguration = noConfiguration): Plugin {
  const { usernames, namespaces, runtimeClasses } = exemptions;
  return {
    name: "PodSecurity",
    validate(attributes, cluster) {
      const { resource, subresource, operation, namespace, user } = attributes;
      if (operation !== "CREATE" && operation !== "UPDATE") return;
      const id = `${resource.resource}.${resource.group}`;
      const policyBy = (labels: Record<string, string> = {}) => policyOf({ ...defaults, ...labels });
      if (id === "namespaces." && subresource === "")
        return checkNamespace(attributes, cluster, policyBy, namespaces.includes(attributes.name));
      const isPod = id === "pods.";
      if (isPod ? ignored.has(subresource) : subresource !== "" || !templates.has(id)) return;
      const exempt = (why: string) => void attributes.auditAnnotations.set(`${label}exempt`, why);
      if (namespaces.includes(namespace)) return exempt("namespace");
      if (usernames.includes(user.name)) return exempt("user");
      const { policy } = policyBy(cluster.get(Namespaces, { name: namespace })?.metadata.labels);
      const pod = isPod ? (attributes.object as Pod) : templateOf(attributes.object);
      if (!pod?.spec || (isPod && operation === "UPDATE" && !isSignificant(pod, attributes.oldObject as Pod))) return;
      if (runtimeClasses.includes(pod.spec.runtimeClassName ?? "")) return exempt("runtimeClass");
      evaluate(attributes, policy, pod, isPod);
    },
  };
}

export interface PodSecurityConfiguration {
  /** As the labels that a Namespace would say it with. */
  defaults: Record<string, string>;
  exemptions: Record<(typeof exemptionKeys)[number], string[]>;
}

const exemptionKeys = ["namespaces", "runtimeClasses", "usernames"] as const;
const noConfiguration = { defaults: {}, exemptions: { namespaces: [], runtimeClasses: [], usernames: [] } };

/**
 * Out of the file of --admission-control-config-file (pod-security.admission.config.k8s.io, PodSecurityConfiguration).
 * Throws RangeError for what cannot be; an unknown field is, too.
 */
export function podSecurityOf(file: string): PodSecurityConfiguration | undefined {
  const found = configurationOf<{ apiVersion?: string; kind?: string } & Partial<PodSecurityConfiguration>>(
    file,
    "PodSecurity",
  );
  if (found === undefined) return undefined;
  const { apiVersion = "", kind = "", defaults: byMode, exemptions: exempt, ...unknown } = found.configuration;
  const given = byMode ?? {}; // YAML's nothing is null
  const free: Partial<PodSecurityConfiguration["exemptions"]> = exempt ?? {};
  const refuse = (text: string) => new RangeError(`${found.path}: ${text}`);
  if (
    !/^pod-security\.admission\.config\.k8s\.io\/v1(alpha1|beta1)?$/.test(apiVersion) ||
    kind !== "PodSecurityConfiguration"
  )
    throw refuse(`no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}`);
  const knownModes = modes.flatMap((mode) => [mode, `${mode}-version`]);
  const strange = [
    ...Object.keys(unknown),
    ...Object.keys(given).flatMap((key) => (knownModes.includes(key) ? [] : [`defaults.${key}`])),
    ...Object.keys(free).flatMap((key) => (exemptionKeys.includes(key as never) ? [] : [`exemptions.${key}`])),
  ];
  if (strange.length > 0)
    throw refuse(`strict decoding error: ${strange.map((key) => `unknown field "${key}"`).join(", ")}`);
  const defaults = Object.fromEntries(Object.entries(given).map(([key, value]) => [label + key, value]));
  const { namespaces, runtimeClasses, usernames } = free;
  const exemptions = { namespaces: namespaces ?? [], runtimeClasses: runtimeClasses ?? [], usernames: usernames ?? [] };
  const errors = policyOf(defaults).errors.map((one) => ({
    ...one,
    field: one.field.replace(/.*\/(.*)]/, "defaults.$1"),
  }));
  for (const [key, shape] of [
    ["namespaces", dns1123Label],
    ["runtimeClasses", dns1123Subdomain],
  ] as const)
    for (const [i, name] of exemptions[key].entries())
      errors.push(...field.shaped(`exemptions.${key}[${i}]`, name, shape));
  for (const key of exemptionKeys)
    for (const [i, name] of exemptions[key].entries()) {
      if (exemptions[key].indexOf(name) < i) errors.push(field.duplicate(`exemptions.${key}[${i}]`, name));
      else if (name === "") errors.push(field.required(`exemptions.${key}[${i}]`));
    }
  if (errors.length > 0) throw refuse(field.aggregate(errors.map(field.errorText)));
  return { defaults, exemptions };
}

interface Versioned {
  level: Level;
  minor: number;
}

type Mode = "enforce" | "audit" | "warn";

const modes = ["enforce", "audit", "warn"] as const;
const label = "pod-security.kubernetes.io/";
const text = ({ level, minor }: Versioned) =>
  `${level}:${minor === Number.POSITIVE_INFINITY ? "latest" : `v1.${minor}`}`;
const detail = (found: [string, string][]) => found.map(([reason, what]) => `${reason} (${what})`).join(", ");

function policyOf(labels: Record<string, string> = {}): {
  policy: Record<Mode, Versioned>;
  errors: field.FieldError[];
} {
  const errors: field.FieldError[] = [];
  const read = (mode: Mode): Versioned => {
    const [level, version = "latest"] = [labels[`${label}${mode}`], labels[`${label}${mode}-version`]];
    const bad = (key: string, value: string, what: string) =>
      errors.push(field.invalid(`metadata.labels[${label}${key}]`, value, what));
    const minor =
      version === "latest" ? Number.POSITIVE_INFINITY : Number(/^v1\.(0|[1-9]\d*)$/.exec(version)?.[1] ?? Number.NaN);
    if (level !== undefined && !levels.includes(level as Level))
      bad(mode, level, `must be one of ${levels.join(", ")}`);
    if (Number.isNaN(minor)) bad(`${mode}-version`, version, 'must be "latest" or "v1.x"');
    // What cannot be read fails closed for enforce, and open for the others.
    const fallback = mode === "enforce" && level !== undefined ? "restricted" : "privileged";
    return {
      level: levels.find((known) => known === level) ?? fallback,
      minor: Number.isNaN(minor) ? Number.POSITIVE_INFINITY : minor,
    };
  };
  const policy = Object.fromEntries(modes.map((mode) => [mode, read(mode)])) as Record<Mode, Versioned>;
  return { policy, errors };
}

const levels: readonly Level[] = ["privileged", "baseline", "restricted"];

function evaluate(attributes: Attributes, policy: Record<Mode, Versioned>, pod: Pod, enforce: boolean): void {
  const found = (mode: Mode) => violations(pod, policy[mode].level, policy[mode].minor);
  const audited = found("audit");
  const note = (key: string, value: string) => attributes.auditAnnotations.set(`${label}${key}`, value);
  if (enforce) note("enforce-policy", text(policy.enforce));
  if (audited.length > 0)
    note("audit-violations", `would violate PodSecurity ${JSON.stringify(text(policy.audit))}: ${detail(audited)}`);
  const enforced = enforce ? found("enforce") : [];
  if (enforced.length > 0)
    throw forbidden(
      attributes.resource,
      attributes.name,
      `violates PodSecurity ${JSON.stringify(text(policy.enforce))}: ${detail(enforced)}`,
    );
  const warned = found("warn");
  const warning = `would violate PodSecurity ${JSON.stringify(text(policy.warn))}: ${detail(warned)}`;
  if (warned.length > 0 && !attributes.warnings.includes(warning)) attributes.warnings.push(warning);
}

/** Labels have to be right; a stricter level warns of the Pods that are there and would violate it. */
function checkNamespace(
  { operation, object, oldObject, kind, name, warnings }: Attributes,
  cluster: Cluster,
  policyBy: typeof policyOf,
  isExempt: boolean,
): void {
  const { policy, errors } = policyBy(object!.metadata.labels);
  const old = operation === "UPDATE" ? policyBy((oldObject as Namespace).metadata.labels) : undefined;
  const known = new Set(old?.errors.map(({ field, badValue }) => `${field}=${String(badValue)}`));
  if (errors.some(({ field, badValue }) => !known.has(`${field}=${String(badValue)}`)))
    throw invalid(kind, name, errors);
  const { enforce } = policy;
  if (old === undefined || text(enforce) === text(old.policy.enforce)) return;
  const before = old.policy.enforce;
  if (enforce.minor === before.minor && levels.indexOf(enforce.level) <= levels.indexOf(before.level)) return;
  if (isExempt) return;
  const byReason = new Map<string, string[]>();
  const pods = enforce.level === "privileged" ? [] : cluster.list(Pods, name);
  for (const pod of pods.slice(0, maxPods)) {
    const reasons = violations(pod, enforce.level, enforce.minor)
      .map(([reason]) => reason)
      .join(", ");
    if (reasons) byReason.set(reasons, [...(byReason.get(reasons) ?? []), pod.metadata.name]);
  }
  if (pods.length > maxPods)
    warnings.push(
      `new PodSecurity enforce level only checked against the first ${maxPods} of ${pods.length} existing pods`,
    );
  if (byReason.size === 0) return;
  const level = JSON.stringify(text(enforce));
  warnings.push(
    `existing pods in namespace ${JSON.stringify(name)} violate the new PodSecurity enforce level ${level}`,
  );
  const lines = [...byReason].map(([reasons, names]) => {
    const [first, ...others] = names.sort();
    const more = others.length === 0 ? "" : ` (and ${others.length} other pod${others.length === 1 ? "" : "s"})`;
    return `${first}${more}: ${reasons}`;
  });
  warnings.push(...lines.sort());
}

const maxPods = 3000;
const ignored = new Set(["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"]);
const templates = new Set(
  "replicationcontrollers. podtemplates. replicasets.apps deployments.apps statefulsets.apps daemonsets.apps jobs.batch cronjobs.batch".split(
    " ",
  ),
);

function templateOf(object: unknown): Pod | undefined {
  const { template, spec } = object as {
    template?: Pod;
    spec?: { template?: Pod; jobTemplate?: { spec?: { template?: Pod } } };
  };
  const found = template ?? spec?.template ?? spec?.jobTemplate?.spec?.template;
  return found && { ...found, metadata: found.metadata ?? { name: "" } };
}

/** Only images may change what a running Pod may do. */
function isSignificant({ spec }: Pod, { spec: old }: Pod): boolean {
  const images = (list: readonly Pick<Container, "name" | "image">[] = []) =>
    list.map(({ name, image }) => `${name}=${image}`).join();
  return (["containers", "initContainers", "ephemeralContainers"] as const).some(
    (field) => images(spec[field]) !== images(old[field]),
  );
}
