import {
  invalidValue,
  notSupported,
  type Problems,
  required,
  shaped,
  tooLong,
  tooMany,
} from "../../apimachinery/field-error.ts";
import { dns1123Subdomain } from "../../apimachinery/names.ts";
import { labelSelector, matches, validateLabelSelector } from "../../apimachinery/selectors.ts";
import { oneOf } from "../core/container-validation.ts";
import { validateTemplate } from "../core/pod-validation.ts";
import type { JobSpec, PodFailurePolicyRule } from "../generated/batch-v1.ts";
import { notNegative } from "../int-or-percent.ts";

const maxIndexedParallelism = 100_000;
const counts = [
  "parallelism",
  "completions",
  "activeDeadlineSeconds",
  "backoffLimit",
  "ttlSecondsAfterFinished",
  "backoffLimitPerIndex",
  "maxFailedIndexes",
] as const;

/** A Job's own rules (upstream: ValidateJobSpec). */
export function* validateJobSpec(spec: JobSpec, at: string): Problems {
  yield* validateUnselected(spec, at);
  const { selector, template } = spec;
  if (!selector) return yield required(`${at}.selector`);
  const wrong = [...validateLabelSelector(selector, `${at}.selector`)];
  yield* wrong;
  const labels = template?.metadata?.labels ?? {};
  if (wrong.length === 0 && !matches(labelSelector(selector), labels))
    yield invalidValue(`${at}.template.metadata.labels`, labels, "`selector` does not match template `labels`");
}

/** What holds without a selector, as in a CronJob's template. */
export function* validateUnselected(spec: JobSpec, at: string): Problems {
  for (const key of counts) yield* notNegative(spec[key], `${at}.${key}`);
  yield* validateMode(spec, at);
  const { managedBy, podReplacementPolicy: replacement, podFailurePolicy } = spec;
  if (managedBy !== undefined) {
    const [domain = "", path] = managedBy.split(/\/(.*)/s);
    if (!path) yield invalidValue(`${at}.managedBy`, managedBy, domainPathText);
    else yield* shaped(`${at}.managedBy`, domain, dns1123Subdomain);
    if (managedBy.length > 63) yield tooLong(`${at}.managedBy`, 63);
  }
  if (podFailurePolicy) yield* validateFailurePolicy(podFailurePolicy.rules ?? [], `${at}.podFailurePolicy`);
  if (replacement !== undefined) {
    const allowed = podFailurePolicy ? ["Failed"] : ["Failed", "TerminatingOrFailed"];
    yield* oneOf(`${at}.podReplacementPolicy`, replacement, allowed, false);
  }
  yield* validateTemplate(spec.template, `${at}.template`);
  const policy = spec.template?.spec?.restartPolicy;
  const path = `${at}.template.spec.restartPolicy`;
  if (!policy || policy === "Always") yield required(path, 'valid values: "OnFailure", "Never"');
  else if (policy !== "OnFailure" && policy !== "Never") yield notSupported(path, policy, ["OnFailure", "Never"]);
  else if (podFailurePolicy && policy !== "Never")
    yield invalidValue(path, policy, 'only "Never" is supported when podFailurePolicy is specified');
}

const domainPathText = 'must be a domain-prefixed path (such as "acme.io/foo")';

function* validateMode(spec: JobSpec, at: string): Problems {
  const { completionMode: mode, completions, parallelism = 0, backoffLimitPerIndex, maxFailedIndexes } = spec;
  if (mode !== undefined && mode !== "NonIndexed" && mode !== "Indexed")
    yield notSupported(`${at}.completionMode`, mode, ["Indexed", "NonIndexed"]);
  if (mode !== "Indexed") {
    if (backoffLimitPerIndex !== undefined)
      yield invalidValue(`${at}.backoffLimitPerIndex`, backoffLimitPerIndex, "requires indexed completion mode");
    if (spec.successPolicy)
      yield invalidValue(`${at}.successPolicy`, spec.successPolicy, "requires indexed completion mode");
  } else {
    if (completions === undefined) yield required(`${at}.completions`, "when completion mode is Indexed");
    if (parallelism > maxIndexedParallelism)
      yield invalidValue(
        `${at}.parallelism`,
        parallelism,
        `must be less than or equal to ${maxIndexedParallelism} when completion mode is Indexed`,
      );
  }
  if (maxFailedIndexes === undefined) return;
  if (backoffLimitPerIndex === undefined)
    yield required(`${at}.backoffLimitPerIndex`, "when maxFailedIndexes is specified");
  if (completions !== undefined && maxFailedIndexes > completions)
    yield invalidValue(`${at}.maxFailedIndexes`, maxFailedIndexes, "must be less than or equal to completions");
}

const maxRules = 20;

function* validateFailurePolicy(list: PodFailurePolicyRule[], at: string): Problems {
  if (list.length > maxRules) return yield tooMany(`${at}.rules`, list.length, maxRules);
  for (const [i, rule] of list.entries()) {
    const path = `${at}.rules[${i}]`;
    yield* oneOf(`${path}.action`, rule.action, ["Count", "FailIndex", "FailJob", "Ignore"], true);
    const { onExitCodes, onPodConditions = [] } = rule;
    if (!onExitCodes && onPodConditions.length === 0)
      yield invalidValue(path, rule, "specifying one of OnExitCodes and OnPodConditions is required");
    if (onExitCodes && onPodConditions.length > 0)
      yield invalidValue(path, rule, "specifying both OnExitCodes and OnPodConditions is not supported");
    if (onExitCodes) {
      const { operator, values = [] } = onExitCodes;
      const codes = `${path}.onExitCodes`;
      yield* oneOf(`${codes}.operator`, operator, ["In", "NotIn"], true);
      if (values.length === 0) yield invalidValue(`${codes}.values`, values, "at least one value is required");
      if (operator === "In" && values.includes(0))
        yield invalidValue(`${codes}.values[${values.indexOf(0)}]`, 0, "must not be 0 for the In operator");
    }
    for (const [j, { status }] of onPodConditions.entries())
      yield* oneOf(`${path}.onPodConditions[${j}].status`, status, ["False", "True", "Unknown"], true);
  }
}

export function* noSelector({ selector, manualSelector }: JobSpec, at: string): Problems {
  if (selector) yield invalidValue(`${at}.selector`, selector, "`selector` will be auto-generated");
  if (manualSelector) yield notSupported(`${at}.manualSelector`, manualSelector, ["nil", "false"]);
}
