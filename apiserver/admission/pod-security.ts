import type { Container, Namespace, Pod } from "../../api/generated/core-v1.ts";
import { Namespaces, Pods } from "../../api/generated/resources.ts";
import * as field from "../../apimachinery/field-error.ts";
import { forbidden, invalid } from "../../apimachinery/status.ts";
import type { Attributes, Plugin } from "./chain.ts";
import type { Cluster } from "./cluster.ts";
import { type Level, violations } from "./pod-security-checks.ts";

/**
 * PodSecurity: a Namespace's labels say which level its Pods must keep (enforce), and which violations are warned of or
 * noted in the audit log; templates of Pods are only warned of. Source: KEP-2579, k8s.io/pod-security-admission.
 */
export const podSecurity: Plugin = {
  name: "PodSecurity",
  validate(attributes, cluster) {
    const { resource, subresource, operation } = attributes;
    if (operation !== "CREATE" && operation !== "UPDATE") return;
    const id = `${resource.resource}.${resource.group}`;
    if (id === "namespaces." && subresource === "") return checkNamespace(attributes, cluster);
    const isPod = id === "pods.";
    if (isPod ? ignored.has(subresource) : subresource !== "" || !templates.has(id)) return;
    const namespace = cluster.get(Namespaces, { name: attributes.namespace });
    const { policy } = policyOf(namespace?.metadata.labels);
    const pod = isPod ? (attributes.object as Pod) : templateOf(attributes.object);
    if (!pod?.spec || (isPod && operation === "UPDATE" && !isSignificant(pod, attributes.oldObject as Pod))) return;
    evaluate(attributes, policy, pod, isPod);
  },
};

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
function checkNamespace({ operation, object, oldObject, kind, name, warnings }: Attributes, cluster: Cluster): void {
  const { policy, errors } = policyOf(object!.metadata.labels);
  const old = operation === "UPDATE" ? policyOf((oldObject as Namespace).metadata.labels) : undefined;
  const known = new Set(old?.errors.map(({ field, badValue }) => `${field}=${String(badValue)}`));
  if (errors.some(({ field, badValue }) => !known.has(`${field}=${String(badValue)}`)))
    throw invalid(kind, name, errors);
  const { enforce } = policy;
  if (old === undefined || text(enforce) === text(old.policy.enforce)) return;
  const before = old.policy.enforce;
  if (enforce.minor === before.minor && levels.indexOf(enforce.level) <= levels.indexOf(before.level)) return;
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
