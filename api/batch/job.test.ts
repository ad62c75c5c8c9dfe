import { describe, expect, test } from "vitest";
import { errorText } from "../../apimachinery/field-error.ts";
import type { CronJob, Job, JobSpec, JobStatus } from "../generated/batch-v1.ts";
import { cronJobs } from "./cron-job.ts";
import { jobs } from "./job.ts";

const make = (spec: Partial<JobSpec>): Job => {
  const template = { spec: { containers: [{ name: "c", image: "i" }], restartPolicy: "Never" as const } };
  const job: Job = { metadata: { name: "x", uid: "u", namespace: "default" }, spec: { template, ...spec } };
  jobs.defaults(job);
  jobs.prepareForCreate(job);
  return job;
};
const indexed = { completionMode: "Indexed", completions: 5 } as const;
const rules = (...list: object[]): Partial<JobSpec> => ({ podFailurePolicy: { rules: list } as never });
const succeeds = (...list: object[]): Partial<JobSpec> => ({ ...indexed, successPolicy: { rules: list } as never });
const at = (path: string) => (text: string) => `spec.${path}${text}`;
const rule = at("podFailurePolicy.rules[0]");
const success = at("successPolicy.rules[0].");

describe("a Job is refused with upstream's words", () => {
  test.each<[string, Partial<JobSpec>, string[]]>([
    [
      "what only Indexed Jobs have",
      { backoffLimitPerIndex: 1, maxFailedIndexes: 1, successPolicy: { rules: [] } },
      [
        "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
        "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode",
        'spec.successPolicy: Invalid value: {"rules":[]}: requires indexed completion mode',
      ],
    ],
    [
      "very many indexes, each with its own limit",
      { completionMode: "Indexed", completions: 200_000, parallelism: 20_000, backoffLimitPerIndex: 1 },
      [
        "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
        "spec.parallelism: Invalid value: 20000: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index",
      ],
    ],
    [
      "indexes of which more than all fail, without a limit",
      { ...indexed, maxFailedIndexes: 100_001 },
      [
        "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
        "spec.maxFailedIndexes: Invalid value: 100001: must be less than or equal to completions",
        "spec.maxFailedIndexes: Invalid value: 100001: must be less than or equal to 100000",
      ],
    ],
    [
      "a mode that is none, by a manager of no path",
      { completionMode: "Some" as never, backoffLimitPerIndex: 1, managedBy: "a.io/ " },
      [
        `spec.managedBy: Invalid value: " ": Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')`,
        'spec.completionMode: Unsupported value: "Some": supported values: "NonIndexed", "Indexed"',
      ],
    ],
    ["a manager of no name", { managedBy: "" }, ["spec.managedBy: Required value"]],
    [
      "no selector, where it is the client's to give",
      { manualSelector: true },
      [
        "spec.selector: Required value",
        "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`",
      ],
    ],
    [
      "exit codes that are none",
      rules({ action: "Ignore", onExitCodes: { operator: "In" } }),
      [rule(".onExitCodes.values: Invalid value: null: at least one value is required")],
    ],
    [
      "a rule that says nothing",
      rules({ onPodConditions: [] }),
      [
        rule('.action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]'),
        rule(": Invalid value: specifying one of OnExitCodes and OnPodConditions is required"),
      ],
    ],
    [
      "a rule of two kinds, for indexes that have no limit",
      rules({
        action: "FailIndex",
        onExitCodes: { operator: "In", values: [3, 0, 3], containerName: "d" },
        onPodConditions: [{ type: "DisruptionTarget", status: "Maybe" }],
      }),
      [
        rule('.action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set'),
        rule(
          '.onExitCodes.containerName: Invalid value: "d": must be one of the container or initContainer names in the pod template',
        ),
        rule(".onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator"),
        rule(".onExitCodes.values[2]: Duplicate value: 3"),
        rule(".onExitCodes.values: Invalid value: [3,0,3]: must be ordered"),
        rule('.onPodConditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"'),
        rule(": Invalid value: specifying both OnExitCodes and OnPodConditions is not supported"),
      ],
    ],
    ["a good success policy", succeeds({ succeededIndexes: "0,2-3", succeededCount: 2 }), []],
    [
      "no rule of success",
      succeeds(),
      [
        at("successPolicy.rules")(
          ": Required value: at least one rules must be specified when the successPolicy is specified",
        ),
      ],
    ],
    [
      "more successes than indexes",
      succeeds({ succeededIndexes: "0,2-3", succeededCount: 6 }),
      [
        success(
          "succeededCount: Invalid value: 6: must be less than or equal to 5 (the number of specified completions)",
        ),
        success(
          "succeededCount: Invalid value: 6: must be less than or equal to 3 (the number of indexes in the specified succeededIndexes field)",
        ),
      ],
    ],
    ...(
      [
        [
          "1-2-3",
          `the fragment "1-2-3" violates the requirement that an index interval can have at most two parts separated by '-'`,
        ],
        ["a", 'cannot convert string to integer for index: "a"'],
        ["1-5", 'too large index: "5"'],
        ["3-2", "non-increasing order, previous: 3, current: 2"],
        ["3,2", "non-increasing order, previous: 3, current: 2"],
      ] as const
    ).map(([text, detail]): [string, Partial<JobSpec>, string[]] => [
      `the indexes ${text}`,
      succeeds({ succeededIndexes: text }),
      [success(`succeededIndexes: Invalid value: "${text}": error parsing succeededIndexes: ${detail}`)],
    ]),
  ])("%s", (_, spec, problems) => expect(jobs.validate(make(spec)).map(errorText)).toEqual(problems));
});

test("the name of a Job with indexes leaves room for them in those of its Pods", () => {
  const job = make(indexed);
  job.metadata.name = "x".repeat(62);
  for (const key of ["batch.kubernetes.io/job-name", "job-name"])
    job.spec.template.metadata!.labels![key] = job.metadata.name;
  expect(jobs.validate(job).map(errorText)).toEqual([
    `metadata.name: Invalid value: "${job.metadata.name}": will not able to create pod with invalid DNS label: ${job.metadata.name}-4`,
  ]);
});

test("a Job without labels of its own has those of its template, with what the template was given", () => {
  const template = { metadata: { labels: { app: "a" } }, spec: { containers: [], restartPolicy: "Never" as const } };
  const job = make({ template });
  expect(job.metadata.labels).toMatchObject({ app: "a", "job-name": "x" });
  expect(job.metadata.labels).toEqual(job.spec.template.metadata!.labels);
});

const told = (spec: object, old?: object) => {
  const [next, before] = [spec, old].map((change) => {
    const object = {
      metadata: { name: "x", namespace: "default" },
      spec: { schedule: "@daily", jobTemplate, ...change },
    };
    cronJobs.defaults(object as CronJob);
    return object as CronJob;
  });
  return (old ? cronJobs.validateUpdate(next!, before!) : cronJobs.validate(next!)).map(errorText);
};
const jobTemplate = {
  spec: { template: { spec: { containers: [{ name: "c", image: "i" }], restartPolicy: "Never" } } },
};
const useField = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";

describe("a CronJob", () => {
  test.each<[string, object, object | undefined, string[]]>([
    [
      "says its zone in the field for it",
      { schedule: "TZ=UTC @daily", timeZone: "UTC" },
      undefined,
      [`spec.schedule: Invalid value: "TZ=UTC @daily": ${useField}`],
    ],
    ["that says it in its schedule may go on", { schedule: "TZ=UTC @hourly" }, { schedule: "TZ=UTC @daily" }, []],
    [
      "does not say it in both",
      { schedule: "TZ=UTC @daily", timeZone: "Europe/Berlin" },
      { schedule: "TZ=UTC @daily" },
      ['spec.schedule: Invalid value: "TZ=UTC @daily": cannot use both timeZone field and TZ or CRON_TZ in schedule'],
    ],
    ...["europe/berlin", "+01:00", "UTC/", "Nowhere/Land"].map((timeZone): [string, object, undefined, string[]] => [
      `knows no zone ${timeZone}`,
      { timeZone },
      undefined,
      [`spec.timeZone: Invalid value: "${timeZone}": unknown time zone ${timeZone}`],
    ]),
    ["may keep a zone that is no more", { timeZone: "Nowhere/Land" }, { timeZone: "Nowhere/Land" }, []],
    [
      "is told all in upstream's order",
      { failedJobsHistoryLimit: -1, concurrencyPolicy: "Some", timeZone: "Local", startingDeadlineSeconds: -1 },
      undefined,
      [
        "spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0",
        'spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones',
        'spec.concurrencyPolicy: Unsupported value: "Some": supported values: "Allow", "Forbid", "Replace"',
        "spec.failedJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
      ],
    ],
  ])("%s", (_, spec, old, problems) => expect(told(spec, old)).toEqual(problems));

  test("has a name that leaves room for its Jobs'", () => {
    const object = make({}) as unknown as CronJob;
    const name = "x".repeat(53);
    Object.assign(object, { metadata: { name, namespace: "default" }, spec: { schedule: "@daily", jobTemplate } });
    cronJobs.defaults(object);
    expect(cronJobs.validate(object).map(errorText)).toEqual([
      `metadata.name: Invalid value: "${name}": must be no more than 52 characters`,
    ]);
  });
});

const on = (...types: string[]): Partial<JobStatus> => ({
  conditions: types.map((type) => ({ type, status: "True" })) as never,
});
const [start, end] = ["2024-01-01T00:00:00Z", "2024-01-01T00:01:00Z"];
const succeeded = { ...on("SuccessCriteriaMet", "Complete"), startTime: start, completionTime: end };

describe("the status of a Job", () => {
  test.each<[string, JobStatus, JobStatus, string[], Partial<JobSpec>?]>([
    ["of one that succeeds", succeeded, { startTime: start }, []],
    ["of one that fails", { ...on("FailureTarget", "Failed"), startTime: start, failed: 1 }, {}, []],
    [
      "counts nothing below zero and no Pod twice",
      { active: -1, uncountedTerminatedPods: { succeeded: ["a", ""], failed: ["a"] } },
      {},
      [
        "active: Invalid value: -1: must be greater than or equal to 0",
        'uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty',
        'uncountedTerminatedPods.failed[0]: Duplicate value: "a"',
      ],
    ],
    [
      "says one end, in its order and with its times",
      { ...on("Complete", "Failed"), active: 1, terminating: 1 },
      {},
      [
        "conditions: Invalid value: cannot set Complete=True and Failed=true conditions",
        "completionTime: Required value: completionTime is required for Complete jobs",
        "conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
        "conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        "active: Invalid value: 1: active>0 is invalid for finished job",
        "startTime: Required value: startTime is required for finished job",
        "terminating: Invalid value: 1: terminating>0 is invalid for finished job",
      ],
    ],
    [
      "takes no end back",
      { succeeded: 1, failed: 1 },
      { ...succeeded, succeeded: 2, failed: 2 },
      [
        "conditions: Invalid value: cannot disable the terminal Complete=True condition",
        "failed: Invalid value: 1: cannot decrease the failed counter",
        "succeeded: Invalid value: 1: cannot decrease the succeeded counter",
        "startTime: Required value: startTime cannot be removed for unsuspended job",
        "conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
      ],
    ],
    [
      "does not end before it begins, nor twice",
      { ...succeeded, completionTime: "2023-01-01T00:00:00Z" },
      succeeded,
      [
        'completionTime: Invalid value: "2023-01-01T00:00:00Z": must be equal to or after `startTime`',
        'completionTime: Invalid value: "2023-01-01T00:00:00Z": field is immutable',
      ],
    ],
    [
      "names its indexes, each in one list",
      { completedIndexes: "0-2", failedIndexes: "2,4" },
      {},
      ['failedIndexes: Invalid value: "2,4": failedIndexes and completedIndexes overlap at index: 2'],
      { ...indexed, backoffLimitPerIndex: 1 },
    ],
    [
      "names no indexes that there are not",
      { completedIndexes: "0,9", failedIndexes: "1" },
      {},
      [
        'completedIndexes: Invalid value: "0,9": error parsing completedIndexes: too large index: "9"',
        'completedIndexes: Invalid value: "0,9": cannot set non-empty completedIndexes when non-indexed completion mode',
        'failedIndexes: Invalid value: "1": cannot set non-null failedIndexes when backoffLimitPerIndex is null',
      ],
    ],
    ["that was wrong may stay", { ...on("Failed") }, { ...on("Failed") }, []],
    [
      "has more ready Pods than active ones",
      { ready: 1 },
      {},
      ["ready: Invalid value: 1: cannot set more ready pods than active"],
    ],
  ])("%s", (_, status, old, problems, spec = {}) => {
    const job = make(spec);
    const texts = jobs.validateStatusUpdate({ ...job, status }, { ...job, status: old }).map(errorText);
    expect(texts).toEqual(problems.map((text) => `status.${text}`));
  });
});
