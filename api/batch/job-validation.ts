import * as field from "../../apimachinery/field-error.ts";
import { dns1123Subdomain, qualifiedName } from "../../apimachinery/names.ts";
import { labelSelector, matches, validateLabelSelector } from "../../apimachinery/selectors.ts";
import { mismatch } from "../apps/template-rules.ts";
import { validateTemplate } from "../core/pod-validation.ts";
import type { JobSpec, PodFailurePolicyRule } from "../generated/batch-v1.ts";
import { notNegative } from "../int-or-percent.ts";

/** How many Pods, completions with limits of their own, and failed indexes a Job with indexes may have. */
const maxIndexed = 100_000;
/** And of Pods and failed indexes, when it has more completions. */
const limitAbove = 10_000;
const counts = [
  ...(["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"] as const),
  ...(["backoffLimitPerIndex", "maxFailedIndexes"] as const),
];

/** A Job's own rules (upstream: ValidateJobSpec). */
export function* validateJobSpec(spec: JobSpec, at: string): field.Problems {
  yield* validateUnselected(spec, at);
  const { selector, template } = spec;
  if (!selector) yield field.required(`${at}.selector`);
  const wrong = [...validateLabelSelector(selector, `${at}.selector`)];
  yield* wrong;
  const labels = template?.metadata?.labels;
  if (wrong.length === 0 && !matches(labelSelector(selector), labels))
    yield field.invalid(`${at}.template.metadata.labels`, field.inOrder(labels), mismatch);
}

/** What holds without a selector, as in a CronJob's template. */
export function* validateUnselected(spec: JobSpec, at: string): field.Problems {
  const { managedBy, podReplacementPolicy: replacement, podFailurePolicy, successPolicy } = spec;
  const { completionMode: mode = "NonIndexed", backoffLimitPerIndex, maxFailedIndexes } = spec;
  for (const key of counts) yield* notNegative(spec[key], `${at}.${key}`);
  if (maxFailedIndexes !== undefined && backoffLimitPerIndex === undefined)
    yield field.required(`${at}.backoffLimitPerIndex`, "when maxFailedIndexes is specified");
  if (managedBy !== undefined) yield* validateManager(managedBy, `${at}.managedBy`);
  yield* field.oneOf(`${at}.completionMode`, mode, ["NonIndexed", "Indexed"], false);
  if (mode === "Indexed") yield* validateIndexed(spec, at);
  for (const [key, value] of Object.entries({ backoffLimitPerIndex, maxFailedIndexes }))
    if (mode === "NonIndexed" && value !== undefined) yield field.invalid(`${at}.${key}`, value, onlyIndexed);
  if (podFailurePolicy) yield* validateFailurePolicy(spec, `${at}.podFailurePolicy`);
  if (successPolicy && mode === "Indexed") yield* validateSuccessPolicy(spec, `${at}.successPolicy`);
  else if (successPolicy) yield field.invalid(`${at}.successPolicy`, successPolicy, onlyIndexed);
  if (replacement !== undefined) {
    const allowed = podFailurePolicy ? ["Failed"] : ["Failed", "TerminatingOrFailed"];
    yield* field.oneOf(`${at}.podReplacementPolicy`, replacement, allowed, false);
  }
  yield* validateTemplate(spec.template, `${at}.template`);
  const policy = spec.template?.spec?.restartPolicy;
  const path = `${at}.template.spec.restartPolicy`;
  if (!policy || policy === "Always") yield field.required(path, 'valid values: "OnFailure", "Never"');
  else if (policy !== "OnFailure" && policy !== "Never") yield field.notSupported(path, policy, ["OnFailure", "Never"]);
  else if (podFailurePolicy && policy !== "Never")
    yield field.invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified');
}

const onlyIndexed = "requires indexed completion mode";
const domainPathText = 'must be a domain-prefixed path (such as "acme.io/foo")';
const httpPath = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";
const maxManager = 63;

function* validateManager(manager: string, at: string): field.Problems {
  const [domain, path] = manager.split(/\/(.*)/s);
  if (!manager) yield field.required(at);
  else if (!domain || !path) yield field.invalid(at, manager, domainPathText);
  else {
    yield* field.shaped(at, domain, dns1123Subdomain);
    if (!new RegExp(`^${httpPath}$`).test(path))
      yield field.invalid(at, path, `Invalid path (regex used for validation is '${httpPath}')`);
  }
  if (manager.length > maxManager) yield field.tooLong(at, maxManager);
}

function* validateIndexed(spec: JobSpec, at: string): field.Problems {
  const { completions, parallelism = 0, backoffLimitPerIndex, maxFailedIndexes } = spec;
  if (completions === undefined) yield field.required(`${at}.completions`, "when completion mode is Indexed");
  const above = (key: string, value: number, max: number, when = "") =>
    value > max ? [field.invalid(`${at}.${key}`, value, `must be less than or equal to ${max}${when}`)] : [];
  yield* above("parallelism", parallelism, maxIndexed, " when completion mode is Indexed");
  if (completions !== undefined && maxFailedIndexes !== undefined && maxFailedIndexes > completions)
    yield field.invalid(`${at}.maxFailedIndexes`, maxFailedIndexes, "must be less than or equal to completions");
  yield* above("maxFailedIndexes", maxFailedIndexes ?? 0, maxIndexed);
  if (backoffLimitPerIndex === undefined || (completions ?? 0) <= maxIndexed) return;
  if (maxFailedIndexes === undefined)
    yield field.required(`${at}.maxFailedIndexes`, `must be specified when completions is above ${maxIndexed}`);
  const soft = ` when completions are above ${maxIndexed} and used with backoff limit per index`;
  for (const [key, value] of Object.entries({ parallelism, maxFailedIndexes: maxFailedIndexes ?? 0 }))
    yield* above(key, value, limitAbove, soft);
}

/** Of rules, and of conditions in one. */
const maxRules = 20;
const maxExitCodes = 255;
const maxIndexesBytes = 64 * 1024;

/** `oneOf`, which tells who says nothing what there is, as Go prints a list. */
function* choice(at: string, value: string | undefined, values: readonly string[]): field.Problems {
  if (value) yield* field.oneOf(at, value, values, true);
  else yield field.required(at, `valid values: [${values.map((v) => JSON.stringify(v)).join(" ")}]`);
}

function* validateFailurePolicy(spec: JobSpec, at: string): field.Problems {
  const { podFailurePolicy, backoffLimitPerIndex, template } = spec;
  const list = podFailurePolicy?.rules ?? [];
  if (list.length > maxRules) yield field.tooMany(`${at}.rules`, list.length, maxRules);
  const names = [...(template?.spec?.containers ?? []), ...(template?.spec?.initContainers ?? [])].map((c) => c.name);
  yield* field.each(list, `${at}.rules`, function* ({ action, onExitCodes, onPodConditions = [] }, path) {
    if (action === "FailIndex" && backoffLimitPerIndex === undefined)
      yield field.invalid(`${path}.action`, action, "requires the backoffLimitPerIndex to be set");
    yield* choice(`${path}.action`, action, ["Count", "FailIndex", "FailJob", "Ignore"]);
    if (onExitCodes) yield* validateExitCodes(onExitCodes, `${path}.onExitCodes`, names);
    if (onPodConditions.length > maxRules)
      yield field.tooMany(`${path}.onPodConditions`, onPodConditions.length, maxRules);
    for (const [j, { type = "", status }] of onPodConditions.entries()) {
      const condition = `${path}.onPodConditions[${j}]`;
      for (const p of qualifiedName(type)) yield field.invalid(`${condition}.type`, type, p);
      yield* choice(`${condition}.status`, status, ["False", "True", "Unknown"]);
    }
    if (onExitCodes && onPodConditions.length > 0)
      yield field.invalid(path, field.omitted, "specifying both OnExitCodes and OnPodConditions is not supported");
    if (!onExitCodes && onPodConditions.length === 0)
      yield field.invalid(path, field.omitted, "specifying one of OnExitCodes and OnPodConditions is required");
  });
}

type ExitCodes = NonNullable<PodFailurePolicyRule["onExitCodes"]>;
const ofTemplate = "must be one of the container or initContainer names in the pod template";

function* validateExitCodes(codes: ExitCodes, at: string, names: readonly string[]): field.Problems {
  const { operator, containerName, values = [] } = codes;
  yield* choice(`${at}.operator`, operator, ["In", "NotIn"]);
  if (containerName !== undefined && !names.includes(containerName))
    yield field.invalid(`${at}.containerName`, containerName, ofTemplate);
  if (values.length === 0)
    yield field.invalid(`${at}.values`, codes.values ?? field.nil, "at least one value is required");
  if (values.length > maxExitCodes) yield field.tooMany(`${at}.values`, values.length, maxExitCodes);
  const seen = new Set<number>();
  for (const [j, code] of values.entries()) {
    if (operator === "In" && code === 0)
      yield field.invalid(`${at}.values[${j}]`, 0, "must not be 0 for the In operator");
    if (seen.size === seen.add(code).size) yield field.duplicate(`${at}.values[${j}]`, code);
  }
  if (values.some((code, j) => j > 0 && values[j - 1]! > code))
    yield field.invalid(`${at}.values`, values, "must be ordered");
}

function* validateSuccessPolicy({ successPolicy, completions = 0 }: JobSpec, at: string): field.Problems {
  const list = successPolicy?.rules ?? [];
  if (list.length === 0)
    yield field.required(`${at}.rules`, "at least one rules must be specified when the successPolicy is specified");
  if (list.length > maxRules) yield field.tooMany(`${at}.rules`, list.length, maxRules);
  yield* field.each(list, `${at}.rules`, function* ({ succeededCount: count, succeededIndexes: indexes }, path) {
    let total: number | undefined;
    if (count === undefined && indexes === undefined)
      yield field.required(path, "at least one of succeededCount or succeededIndexes must be specified");
    if (indexes !== undefined) {
      if (indexes.length > maxIndexesBytes) yield field.tooLong(`${path}.succeededIndexes`, maxIndexesBytes);
      const parsed = indexIntervals(indexes, completions);
      total = typeof parsed === "string" ? 0 : parsed.reduce((sum, [from, to]) => sum + to - from + 1, 0);
      if (typeof parsed === "string")
        yield field.invalid(`${path}.succeededIndexes`, indexes, `error parsing succeededIndexes: ${parsed}`);
    }
    if (count === undefined) return;
    yield* notNegative(count, `${path}.succeededCount`);
    const limits: [number, string][] = [[completions, "the number of specified completions"]];
    if (total !== undefined) limits.push([total, "the number of indexes in the specified succeededIndexes field"]);
    for (const [limit, what] of limits)
      if (count > limit)
        yield field.invalid(`${path}.succeededCount`, count, `must be less than or equal to ${limit} (${what})`);
  });
}

/** The intervals that `1,3-5` names, or what is wrong with it. */
export function indexIntervals(text: string, completions: number): [from: number, to: number][] | string {
  const intervals: [number, number][] = [];
  for (const part of text === "" ? [] : text.split(",")) {
    const limits = part.split("-");
    if (limits.length > 2)
      return `the fragment ${JSON.stringify(part)} violates the requirement that an index interval can have at most two parts separated by '-'`;
    for (const limit of limits) {
      if (!/^[+-]?\d+$/.test(limit)) return `cannot convert string to integer for index: ${JSON.stringify(limit)}`;
      if (Number(limit) >= completions) return `too large index: ${JSON.stringify(limit)}`;
    }
    const [x = 0, y = x] = limits.map(Number);
    const last = intervals.at(-1)?.[1] ?? -1;
    if (x >= y && limits.length === 2) return `non-increasing order, previous: ${x}, current: ${y}`;
    if (last >= x) return `non-increasing order, previous: ${last}, current: ${x}`;
    intervals.push([x, y]);
  }
  return intervals;
}

export function* noSelector({ selector, manualSelector }: JobSpec, at: string): field.Problems {
  if (selector) yield field.invalid(`${at}.selector`, selector, "`selector` will be auto-generated");
  if (manualSelector) yield field.notSupported(`${at}.manualSelector`, manualSelector, ["nil", "false"]);
}
