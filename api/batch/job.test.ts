import { describe, expect, test } from "vitest";
import { errorText } from "../../apimachinery/field-error.ts";
import type { Job, JobSpec } from "../generated/batch-v1.ts";
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
        "spec.parallelism: Invalid value: 20000: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index",
      ],
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
