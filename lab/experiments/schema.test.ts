import { describe, expect, test } from "vitest";
import { deedsOf } from "./schedule.ts";
import { type ExperimentError, parseExperiment } from "./schema.ts";

const whole = `description: Kill the leader
cluster: { members: 3, nodes: 0, preset: lan }
workload:
  store: { writers: 2, rate: 100 }
schedule:
  - { at: 1s, fault: kill, target: leader, for: 500ms }
duration: 3s
expect: { lostWrites: 0, failoverMaxMs: 2000 }
`;

const knows = (fault: { fault: string }) => (fault.fault === "kill" ? [] : [`fault is not known; allowed: kill`]);
const problems = (source: string): readonly string[] => {
  try {
    parseExperiment(source, "x.yaml", knows);
    return [];
  } catch (error) {
    return (error as ExperimentError).problems;
  }
};

test("a whole experiment is read with its durations in milliseconds and defaults", () => {
  expect(parseExperiment(whole, "x.yaml", knows)).toEqual({
    description: "Kill the leader",
    cluster: { members: 3, nodes: 0, preset: "lan" },
    workload: { store: { writers: 2, rate: 100 } },
    schedule: [{ kind: "fault", at: 1000, fault: "kill", target: "leader", for: 500 }],
    duration: 3000,
    repetitions: 1,
    expect: { lostWrites: 0, failoverMaxMs: 2000 },
  });
});

describe("what is wrong is said with file, line and what is allowed", () => {
  const edits: [name: string, from: string, to: string, expected: string[]][] = [
    ["YAML that is none", "workload:", "workload: [", [expect.stringMatching(/^x\.yaml:\d+: /) as unknown as string]],
    [
      "an unknown field",
      "writers",
      "writer",
      [
        "x.yaml:4: workload.store.writer is not known; allowed: writers, readers, transactions, leases, mixed, watchers, rate",
      ],
    ],
    ["a field that is missing", "duration: 3s\n", "", ["x.yaml:1: duration is required"]],
    [
      "a number as a duration",
      "duration: 3s",
      "duration: 3",
      ["x.yaml:7: duration must be a duration such as 500ms or 4s, not 3"],
    ],
    [
      "a number that is too large",
      "writers: 2",
      "writers: 2000",
      ["x.yaml:4: workload.store.writers must be a whole number from 0 to 1000, not 2000"],
    ],
    [
      "a fraction of a client",
      "writers: 2",
      "writers: 1.5",
      ["x.yaml:4: workload.store.writers must be a whole number from 0 to 1000, not 1.5"],
    ],
    [
      "a word that is none of the allowed",
      "preset: lan",
      "preset: fast",
      ['x.yaml:2: cluster.preset must be one of lan, etcd-defaults, wan, not "fast"'],
    ],
    [
      "a store that is nowhere",
      "preset: lan",
      "store: etcd",
      [
        'x.yaml:2: cluster.store must be ours, the path of a program with etcd\'s flags (/..., ./...), or etcd://HOST:PORT,... (etcds:// for TLS), not "etcd"',
      ],
    ],
    ...(
      [
        ["a store over TLS whose authority is not known", "store: etcds://h:1"],
        ["an authority of a store without TLS", "store: etcd://h:1, storeCafile: ca.crt"],
        ["a certificate without its key", "store: etcds://h:1, storeCafile: ca.crt, storeCertfile: c.crt"],
        ["a certificate for our own members", "storeCertfile: c.crt, storeKeyfile: c.key"],
      ] as const
    ).map(([name, to]): [string, string, string, string[]] => [
      name,
      "preset: lan",
      to,
      [
        "x.yaml:2: cluster must have storeCafile, and may have storeCertfile with storeKeyfile, where store is etcds://..., and only there",
      ],
    ]),
    [
      "too many apiservers",
      "preset: lan",
      "apiservers: 9",
      ["x.yaml:2: cluster.apiservers must be a whole number from 1 to 5, not 9"],
    ],
    [
      "a step that is nothing",
      "fault: kill",
      "foult: kill",
      ["x.yaml:6: schedule[0] must have one of fault, random, patch, replace, maintain, and only one"],
    ],
    [
      "a step that is two things",
      "fault: kill",
      "fault: kill, replace: etcd-1",
      ["x.yaml:6: schedule[0] must have one of fault, random, patch, replace, maintain, and only one"],
    ],
    [
      "a fault that nobody knows",
      "fault: kill",
      "fault: bite",
      ["x.yaml:6: schedule[0] fault is not known; allowed: kill"],
    ],
    [
      "a step after the end",
      "at: 1s",
      "at: 1m",
      ["x.yaml:6: schedule[0].at is not before the end of the experiment (`duration`)"],
    ],
    [
      "an expectation that nobody knows",
      "lostWrites: 0",
      "lostWrite: 0",
      [
        expect.stringMatching(
          /^x\.yaml:8: expect\.lostWrite is not known; allowed: lostWrites, failoverMaxMs, /,
        ) as unknown as string,
      ],
    ],
    [
      "a schedule that is no list would be none at all",
      "- { at: 1s, fault: kill, target: leader, for: 500ms }",
      "{ at: 1s, fault: kill, target: leader }",
      ["x.yaml:6: schedule must be a list of steps"],
    ],
    [
      "a rate of requests that nobody sends",
      "writers: 2",
      "watchers: 2",
      ["x.yaml:4: workload.store has a rate, and nobody who asks: writers, readers, transactions, leases, mixed"],
    ],
    [
      "a random step without times",
      "{ at: 1s, fault: kill, target: leader, for: 500ms }",
      "{ random: { from: 1s }, choices: [{ fault: bite }] }",
      ["x.yaml:6: schedule[0].random.until is required", "x.yaml:6: schedule[0].random.every is required"],
    ],
    [
      "all at once",
      "store: { writers: 2, rate: 100 }",
      "stores: {}\nexpected: 1",
      [
        "x.yaml:4: workload.stores is not known; allowed: store, apply, api, http",
        expect.stringMatching(/^x\.yaml:5: expected is not known; allowed: description, /) as unknown as string,
      ],
    ],
  ];
  for (const [name, from, to, expected] of edits)
    test(name, () => expect(problems(whole.replace(from, to))).toEqual(expected));
});

test("random steps are drawn from the seed by weight, within their times", () => {
  const source = whole.replace(
    "{ at: 1s, fault: kill, target: leader, for: 500ms }",
    "{ random: { from: 1s, until: 21s, every: 100ms }, choices: [{ fault: kill, target: a, weight: 3 }, { fault: kill, target: b }] }",
  );
  const experiment = parseExperiment(source.replace("duration: 3s", "duration: 20s"), "x.yaml", knows);
  const deeds = deedsOf(experiment, 7);
  expect(deedsOf(experiment, 7)).toEqual(deeds);
  expect(deedsOf(experiment, 8)).not.toEqual(deeds);
  expect(deeds.every(({ at }) => at >= 1000 && at < 20_000)).toBe(true);
  const ofA = deeds.filter((deed) => deed.kind === "fault" && deed["target"] === "a").length;
  expect(deeds.length).toBe(190);
  expect(ofA / deeds.length).toBeGreaterThan(0.6);
  expect(ofA / deeds.length).toBeLessThan(0.9);
});
