import { invalid, oneOf, type Problems, required } from "../../apimachinery/field-error.ts";
import { dns1123Subdomain } from "../../apimachinery/names.ts";
import { age } from "../../apimachinery/time.ts";
import * as columns from "../columns.ts";
import type { CronJob } from "../generated/batch-v1.ts";
import { CronJobs } from "../generated/resources.ts";
import { defineResource, notNegative, rules, specAndStatus } from "../kind.ts";
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
  ...rules({ namespaced: true, name: cronJobName }, validateSpec),
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

function cronJobName(name: string): string[] {
  return [...dns1123Subdomain(name), ...(name.length > maxName ? [`must be no more than ${maxName} bytes`] : [])];
}

function* validateSpec({ spec }: CronJob): Problems {
  if (!spec.schedule) yield required("spec.schedule");
  else yield* validateSchedule(spec.schedule, spec.timeZone);
  if (spec.timeZone !== undefined) yield* validateTimeZone(spec.timeZone);
  const keys = ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] as const;
  for (const key of keys) yield* notNegative(spec[key], `spec.${key}`);
  yield* oneOf("spec.concurrencyPolicy", spec.concurrencyPolicy, ["Allow", "Forbid", "Replace"], true);
  const job = spec.jobTemplate?.spec ?? { template: { spec: { containers: [] } } };
  yield* validateUnselected(job, "spec.jobTemplate.spec");
  yield* noSelector(job, "spec.jobTemplate.spec");
}

function* validateSchedule(schedule: string, timeZone: string | undefined): Problems {
  if (schedule.includes("TZ")) {
    const why =
      timeZone === undefined
        ? "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        : "cannot use both timeZone field and TZ or CRON_TZ in schedule";
    return yield invalid("spec.schedule", schedule, why);
  }
  try {
    parseSchedule(schedule);
  } catch (error) {
    yield invalid("spec.schedule", schedule, (error as Error).message);
  }
}

function* validateTimeZone(timeZone: string): Problems {
  const wrong = (detail: string) => invalid("spec.timeZone", timeZone, detail);
  if (timeZone === "") return yield wrong("timeZone must be nil or non-empty string");
  if (timeZone.toLowerCase() === "local")
    return yield wrong("timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
  try {
    new Intl.DateTimeFormat("en", { timeZone });
  } catch {
    yield wrong(`unknown time zone ${timeZone}`);
  }
}
