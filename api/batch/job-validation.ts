import {
  type FieldError,
  invalidValue,
  notSupported,
  required,
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
export function validateJobSpec(spec: JobSpec, at: string): FieldError[] {
  const errors = validateUnselected(spec, at);
  const { selector, template } = spec;
  if (!selector) return [...errors, required(`${at}.selector`)];
  const wrong = validateLabelSelector(selector, `${at}.selector`);
  errors.push(...wrong);
  const labels = template?.metadata?.labels ?? {};
  if (wrong.length === 0 && !matches(labelSelector(selector), labels))
    errors.push(invalidValue(`${at}.template.metadata.labels`, labels, "`selector` does not match template `labels`"));
  return errors;
}

/** What holds without a selector, as in a CronJob's template. */
export function validateUnselected(spec: JobSpec, at: string): FieldError[] {
  const errors = counts.flatMap((key) => notNegative(spec[key], `${at}.${key}`));
  errors.push(...validateMode(spec, at));
  const { managedBy, podReplacementPolicy: replacement, podFailurePolicy } = spec;
  if (managedBy !== undefined) {
    const [domain = "", path] = managedBy.split(/\/(.*)/s);
    if (!path) errors.push(invalidValue(`${at}.managedBy`, managedBy, domainPathText));
    else for (const p of dns1123Subdomain(domain)) errors.push(invalidValue(`${at}.managedBy`, domain, p));
    if (managedBy.length > 63) errors.push(tooLong(`${at}.managedBy`, 63));
  }
  if (podFailurePolicy) errors.push(...validateFailurePolicy(podFailurePolicy.rules ?? [], `${at}.podFailurePolicy`));
  if (replacement !== undefined) {
    const allowed = podFailurePolicy ? ["Failed"] : ["Failed", "TerminatingOrFailed"];
    errors.push(...oneOf(`${at}.podReplacementPolicy`, replacement, allowed, false));
  }
  errors.push(...validateTemplate(spec.template, `${at}.template`));
  const policy = spec.template?.spec?.restartPolicy;
  const path = `${at}.template.spec.restartPolicy`;
  if (!policy || policy === "Always") errors.push(required(path, 'valid values: "OnFailure", "Never"'));
  else if (policy !== "OnFailure" && policy !== "Never")
    errors.push(notSupported(path, policy, ["OnFailure", "Never"]));
  else if (podFailurePolicy && policy !== "Never")
    errors.push(invalidValue(path, policy, 'only "Never" is supported when podFailurePolicy is specified'));
  return errors;
}

const domainPathText = 'must be a domain-prefixed path (such as "acme.io/foo")';

function validateMode(spec: JobSpec, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const { completionMode: mode, completions, parallelism = 0, backoffLimitPerIndex, maxFailedIndexes } = spec;
  if (mode !== undefined && mode !== "NonIndexed" && mode !== "Indexed")
    errors.push(notSupported(`${at}.completionMode`, mode, ["Indexed", "NonIndexed"]));
  if (mode !== "Indexed") {
    if (backoffLimitPerIndex !== undefined)
      errors.push(invalidValue(`${at}.backoffLimitPerIndex`, backoffLimitPerIndex, "requires indexed completion mode"));
    if (spec.successPolicy)
      errors.push(invalidValue(`${at}.successPolicy`, spec.successPolicy, "requires indexed completion mode"));
  } else {
    if (completions === undefined) errors.push(required(`${at}.completions`, "when completion mode is Indexed"));
    if (parallelism > maxIndexedParallelism)
      errors.push(
        invalidValue(
          `${at}.parallelism`,
          parallelism,
          `must be less than or equal to ${maxIndexedParallelism} when completion mode is Indexed`,
        ),
      );
  }
  if (maxFailedIndexes === undefined) return errors;
  if (backoffLimitPerIndex === undefined)
    errors.push(required(`${at}.backoffLimitPerIndex`, "when maxFailedIndexes is specified"));
  if (completions !== undefined && maxFailedIndexes > completions)
    errors.push(invalidValue(`${at}.maxFailedIndexes`, maxFailedIndexes, "must be less than or equal to completions"));
  return errors;
}

const maxRules = 20;

function validateFailurePolicy(list: PodFailurePolicyRule[], at: string): FieldError[] {
  if (list.length > maxRules) return [tooMany(`${at}.rules`, list.length, maxRules)];
  return list.flatMap((rule, i) => {
    const path = `${at}.rules[${i}]`;
    const errors = oneOf(`${path}.action`, rule.action, ["Count", "FailIndex", "FailJob", "Ignore"], true);
    const { onExitCodes, onPodConditions = [] } = rule;
    if (!onExitCodes && onPodConditions.length === 0)
      errors.push(invalidValue(path, rule, "specifying one of OnExitCodes and OnPodConditions is required"));
    if (onExitCodes && onPodConditions.length > 0)
      errors.push(invalidValue(path, rule, "specifying both OnExitCodes and OnPodConditions is not supported"));
    if (onExitCodes) {
      const { operator, values = [] } = onExitCodes;
      const codes = `${path}.onExitCodes`;
      errors.push(...oneOf(`${codes}.operator`, operator, ["In", "NotIn"], true));
      if (values.length === 0) errors.push(invalidValue(`${codes}.values`, values, "at least one value is required"));
      if (operator === "In" && values.includes(0))
        errors.push(invalidValue(`${codes}.values[${values.indexOf(0)}]`, 0, "must not be 0 for the In operator"));
    }
    for (const [j, { status }] of onPodConditions.entries())
      errors.push(...oneOf(`${path}.onPodConditions[${j}].status`, status, ["False", "True", "Unknown"], true));
    return errors;
  });
}

export const noSelector = ({ selector, manualSelector }: JobSpec, at: string): FieldError[] => [
  ...(selector ? [invalidValue(`${at}.selector`, selector, "`selector` will be auto-generated")] : []),
  ...(manualSelector ? [notSupported(`${at}.manualSelector`, manualSelector, ["nil", "false"])] : []),
];
