import { duplicate, each, invalid, omitted, type Problems, required } from "../../apimachinery/field-error.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { parseTime } from "../../apimachinery/time.ts";
import type { Job, JobStatus } from "../generated/batch-v1.ts";
import { immutable, notNegative } from "../kind.ts";
import { indexIntervals } from "./job-validation.ts";

export const jobCondition = (status: JobStatus | undefined, type: string): boolean =>
  status?.conditions?.some((condition) => condition.type === type && condition.status === "True") ?? false;

/**
 * What a status may not say at once, and not take back: a Job may be another controller's (KEP-4368), and clients rely on
 * how it ends. Only what changes is looked at, so that a spec that was scaled down does not make a good status bad.
 * Source: ValidateJobStatusUpdate, and getStatusValidationOptions of the Job's strategy.
 */
export function* validateJobStatus(job: Job, { status: old = {} }: Job): Problems {
  const { spec, status = {} } = job;
  const is = (type: string) => jobCondition(status, type);
  const turned = (...types: string[]) => types.some((type) => is(type) !== jobCondition(old, type));
  const changed = (...keys: (keyof JobStatus)[]) => keys.some((key) => !sameJson(status[key], old[key]));
  const wrong = (text: string) => invalid("status.conditions", omitted, text);
  const value = (key: keyof JobStatus, text: string) => invalid(`status.${key}`, status[key], text);
  const { active = 0, startTime, completionTime, uncountedTerminatedPods: uncounted = {} } = status;

  for (const key of ["active", "succeeded", "failed", "ready", "terminating"] as const)
    yield* notNegative(status[key], `status.${key}`);
  const seen = new Set<string>();
  for (const key of ["succeeded", "failed"] as const)
    yield* each(uncounted[key], `status.uncountedTerminatedPods.${key}`, function* (uid, at) {
      if (uid === "") yield invalid(at, uid, "must not be empty");
      else if (seen.size === seen.add(uid).size) yield duplicate(at, uid);
    });

  if (turned("Complete", "Failed") && is("Complete") && is("Failed"))
    yield wrong("cannot set Complete=True and Failed=true conditions");
  if (turned("Complete", "FailureTarget") && is("Complete") && is("FailureTarget"))
    yield wrong("cannot set Complete=True and FailureTarget=true conditions");
  if (turned("Complete") || changed("completionTime")) {
    if (completionTime && !is("Complete"))
      yield value("completionTime", "cannot set completionTime when there is no Complete=True condition");
    if (!completionTime && is("Complete"))
      yield required("status.completionTime", "completionTime is required for Complete jobs");
  }
  if (changed("startTime", "completionTime") && parseTime(completionTime) < parseTime(startTime))
    yield value("completionTime", "must be equal to or after `startTime`");
  if ((turned("Failed") || changed("failedIndexes")) && is("Failed") && !is("FailureTarget"))
    yield wrong("cannot set Failed=True condition without the FailureTarget=true condition");
  if (turned("Complete", "SuccessCriteriaMet") && is("Complete") && !is("SuccessCriteriaMet"))
    yield wrong("cannot set Complete=True condition without the SuccessCriteriaMet=true condition");

  const finished = is("Complete") || is("Failed");
  const ended = finished !== (jobCondition(old, "Complete") || jobCondition(old, "Failed"));
  const endsWith = (key: keyof JobStatus) => finished && (ended || changed(key));
  if (endsWith("active") && active > 0) yield value("active", "active>0 is invalid for finished job");
  if (endsWith("startTime") && !startTime) yield required("status.startTime", "startTime is required for finished job");
  if (endsWith("uncountedTerminatedPods") && Object.values(uncounted).some((list) => list.length > 0))
    yield value("uncountedTerminatedPods", "must be empty for finished job");
  yield* validateIndexes(job, changed);
  if (endsWith("terminating") && (status.terminating ?? 0) > 0)
    yield value("terminating", "terminating>0 is invalid for finished job");
  if (changed("ready", "active") && status.ready !== undefined && status.ready > active)
    yield value("ready", "cannot set more ready pods than active");

  for (const type of ["Failed", "FailureTarget"])
    if (is("SuccessCriteriaMet") && is(type))
      yield wrong(`cannot set SuccessCriteriaMet=True and ${type}=true conditions`);
  if (spec.successPolicy && is("Complete") && !is("SuccessCriteriaMet"))
    yield wrong("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True");
  for (const type of ["Failed", "Complete", "FailureTarget"])
    if (jobCondition(old, type) && !is(type)) yield wrong(`cannot disable the terminal ${type}=True condition`);
  if ((status.failed ?? 0) < (old.failed ?? 0)) yield value("failed", "cannot decrease the failed counter");
  // Elastic Jobs shrink, and their Pods with them.
  const elastic = spec.completionMode === "Indexed" && spec.completions === spec.parallelism;
  if (!elastic && (status.succeeded ?? 0) < (old.succeeded ?? 0))
    yield invalid("status.succeeded", status.succeeded ?? 0, "cannot decrease the succeeded counter");
  if (completionTime && old.completionTime && changed("completionTime")) yield value("completionTime", immutable);
  if (old.startTime && changed("startTime") && !spec.suspend)
    yield required("status.startTime", "startTime cannot be removed for unsuspended job");
  const met = jobCondition(old, "SuccessCriteriaMet");
  if (met && !is("SuccessCriteriaMet")) yield wrong("cannot disable the SuccessCriteriaMet=True condition");
  if (jobCondition(old, "Complete") && !met && is("SuccessCriteriaMet"))
    yield wrong("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions");
}

const overlap = "failedIndexes and completedIndexes overlap at index";

/** `1,3-5`: indexes that ended, of a Job that has indexes. */
function* validateIndexes({ spec, status }: Job, changed: (...keys: (keyof JobStatus)[]) => boolean): Problems {
  const { completedIndexes = "", failedIndexes } = status ?? {};
  const { completions, backoffLimitPerIndex } = spec;
  const of = (text: string) => indexIntervals(text, completions ?? 0);
  const completed = of(completedIndexes);
  const failed = of(failedIndexes ?? "");
  const at = (name: string) => `status.${name}Indexes`;
  if (changed("completedIndexes") && completions !== undefined && typeof completed === "string")
    yield invalid(at("completed"), completedIndexes, `error parsing completedIndexes: ${completed}`);
  if (changed("failedIndexes") && completions !== undefined && backoffLimitPerIndex !== undefined)
    if (typeof failed === "string")
      yield invalid(at("failed"), failedIndexes, `error parsing failedIndexes: ${failed}`);
  if (changed("completedIndexes") && completedIndexes !== "" && spec.completionMode !== "Indexed") {
    const text = "cannot set non-empty completedIndexes when non-indexed completion mode";
    yield invalid(at("completed"), completedIndexes, text);
  }
  if (changed("failedIndexes") && failedIndexes !== undefined && backoffLimitPerIndex === undefined) {
    const text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
    yield invalid(at("failed"), failedIndexes, text);
  }
  if (!changed("failedIndexes", "completedIndexes") || typeof completed === "string" || typeof failed === "string")
    return;
  const both = completed.flatMap(([from, to]) =>
    failed.filter(([x, y]) => from <= y && x <= to).map(([x]) => Math.max(from, x)),
  );
  if (both.length > 0) yield invalid(at("failed"), failedIndexes, `${overlap}: ${Math.min(...both)}`);
}
