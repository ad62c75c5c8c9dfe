import { defaultTemplate } from "../core/pod-defaults.ts";
import type { JobSpec } from "../generated/batch-v1.ts";

/** What a Job gets when it does not say (k8s.io/kubernetes/pkg/apis/batch/v1/defaults.go). */
export function defaultJobSpec(spec: JobSpec): void {
  // Neither said: one Pod, once. Only parallelism said: a work queue.
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : 2 ** 31 - 1;
  spec.completionMode ??= "NonIndexed";
  spec.suspend ??= false;
  spec.podReplacementPolicy ??= spec.podFailurePolicy ? "Failed" : "TerminatingOrFailed";
  spec.manualSelector ??= false;
}

/** What CronJobs default in their template too: the rest is defaulted in the Jobs made of it. */
export function defaultJobTemplate(spec: JobSpec): void {
  defaultTemplate(spec);
  for (const { onPodConditions = [] } of spec.podFailurePolicy?.rules ?? [])
    for (const condition of onPodConditions) condition.status ||= "True";
}
