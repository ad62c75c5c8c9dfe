import { invalid, oneOf, type Problems, required } from "../../apimachinery/field-error.ts";
import { age } from "../../apimachinery/time.ts";
import * as columns from "../columns.ts";
import type { CronJob } from "../generated/batch-v1.ts";
import { CronJobs } from "../generated/resources.ts";
import { defineResource, namespaced, notNegative, rules, specAndStatus } from "../kind.ts";
import { parseSchedule } from "./cron-schedule.ts";
import { defaultJobTemplate } from "./job-defaults.ts";
import { noSelector, validateUnselected } from "./job-validation.ts";

/** The Jobs' names get 11 characters more. */
const maxName = 52;

export const cronJobs = defineResource(CronJobs, {
  shortNames: ["cj"],
  categories: ["all"],
  subresources: ["status"],
  defaults({ spec }) {
    spec.concurrencyPolicy ||= "Allow";
    spec.suspend ??= false;
    spec.successfulJobsHistoryLimit ??= 3;
    spec.failedJobsHistoryLimit ??= 1;
    spec.jobTemplate ??= {};
    spec.jobTemplate.spec ??= { template: { spec: { containers: [] } } };
    defaultJobTemplate(spec.jobTemplate.spec);
  },
  ...specAndStatus,
  ...rules(namespaced, validateSpec),
  columns: [
    columns.nameColumn,
    columns.column("Schedule", ({ spec }) => spec.schedule ?? "", "When it runs."),
    columns.column("Timezone", ({ spec }) => columns.orNone(spec.timeZone), "Time zone of its schedule."),
    columns.column("Suspend", ({ spec }) => (spec.suspend ? "True" : "False"), "Whether it pauses.", columns.boolean),
    columns.column("Active", ({ status }) => status?.active?.length ?? 0, "Jobs that run now.", columns.integer),
    columns.column("Last Schedule", ({ status: s }, now) => since(s?.lastScheduleTime, now), "Its last."),
    columns.ageColumn,
    ...columns.containerColumns<CronJob>(({ spec }) => spec.jobTemplate?.spec?.template, columns.wide),
    columns.column("Selector", selector, "Labels of its Pods.", columns.wide),
  ],
});

function selector({ spec }: CronJob): string {
  return columns.selectorText(spec.jobTemplate?.spec?.selector);
}

function since(time: string | undefined, now: number): string {
  return columns.orNone(time && age(time, now));
}

function* validateSpec({ metadata, spec }: CronJob, old?: CronJob): Problems {
  if (!spec.schedule) yield required("spec.schedule");
  else yield* validateSchedule(spec, old?.spec.schedule.includes("TZ") ?? false);
  yield* notNegative(spec.startingDeadlineSeconds, "spec.startingDeadlineSeconds");
  if (spec.timeZone !== undefined && spec.timeZone !== old?.spec.timeZone) yield* validateTimeZone(spec.timeZone);
  yield* oneOf("spec.concurrencyPolicy", spec.concurrencyPolicy, ["Allow", "Forbid", "Replace"], true);
  const job = spec.jobTemplate?.spec ?? { template: { spec: { containers: [] } } };
  yield* validateUnselected(job, "spec.jobTemplate.spec");
  yield* noSelector(job, "spec.jobTemplate.spec");
  for (const key of ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] as const)
    yield* notNegative(spec[key], `spec.${key}`);
  if (!old && metadata.name?.length > maxName)
    yield invalid("metadata.name", metadata.name, `must be no more than ${maxName} characters`);
}

/** What was written with a zone in it, before there was a field for it, may stay so. */
function* validateSchedule({ schedule, timeZone }: CronJob["spec"], zoned: boolean): Problems {
  try {
    parseSchedule(schedule.replace(/^(CRON_)?TZ=\S* +/, ""));
  } catch (error) {
    yield invalid("spec.schedule", schedule, (error as Error).message);
  }
  if (!schedule.includes("TZ")) return;
  if (!zoned)
    yield invalid("spec.schedule", schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
  else if (timeZone !== undefined)
    yield invalid("spec.schedule", schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
}

function* validateTimeZone(timeZone: string): Problems {
  const wrong = (detail: string) => invalid("spec.timeZone", timeZone, detail);
  if (timeZone === "") return yield wrong("timeZone must be nil or non-empty string");
  if (timeZone.toLowerCase() === "local")
    yield wrong("timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
  if (timeZone === "Local") return;
  // Files have the names of zones, so that their case counts: all parts begin with a capital letter.
  const known = timeZone.split("/").every((part) => /^[A-Z][\w.+-]{0,13}$/.test(part));
  try {
    if (known) return void new Intl.DateTimeFormat("en", { timeZone });
  } catch {
    // told below
  }
  yield wrong(`unknown time zone ${timeZone}`);
}
