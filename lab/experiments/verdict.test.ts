import { describe, expect, test } from "vitest";
import type { Operation } from "../checkers/history.ts";
import { expectationsOf, type Outcome } from "./expectations.ts";
import { junit } from "./folder.ts";
import { requestsOf } from "./requests.ts";
import { crashesOf } from "./result.ts";
import type { Call, ObjectEvent, RunEvent, RunFile } from "./run.ts";
import { summed } from "./running-lab.ts";

const put = (at: number, took: number | undefined, error?: number): Operation => ({
  ...{
    type: "operation",
    client: "c",
    member: "m",
    called: at + 5,
    intended: at,
    request: { op: "put", key: "r", value: `${at}` },
  },
  ...(took !== undefined && { returned: at + took }),
  ...(took !== undefined && error === undefined && { response: { op: "put", revision: 1 } }),
  ...(error !== undefined && { error: { code: error, message: "" } }),
});
const ready = (uid: string, owner: string, is: boolean): ObjectEvent => ({
  ...{ atMs: 0, watch: "w", type: "MODIFIED", resourceVersion: 1 },
  object: { kind: "Pod", name: uid, uid, owner, ready: is },
});
const call: Call = { kind: "http web", intended: 0, called: 0, returned: 100, outcome: "failed" };
const history = [put(0, 10), put(10, 20), put(20, 30), put(30, undefined), put(40, 50, 14), put(50, 1, 5)];
const outcome: Outcome = {
  sent: requestsOf({ history, calls: [call] }),
  objects: [
    { ...ready("d", "", true), object: { kind: "ReplicaSet", name: "s", uid: "S", owner: "D" } },
    ...[ready("a", "S", true), ready("b", "S", true), ready("c", "R", true), ready("a", "S", false)],
  ],
  failovers: [
    { fault: "kill", target: "etcd-1", atMs: 0, gapMs: 300, steps: [] },
    {
      fault: "kill",
      target: "node-1",
      atMs: 10,
      gapMs: 20,
      steps: [
        { name: "node dead", atMs: 10 },
        { name: "first answer", atMs: 910 },
      ],
    },
  ],
  violations: [
    { checker: "lost write", message: "lost write: x", operations: [] },
    { checker: "stale answer", message: "stale answer: x", operations: [] },
  ],
  durationMs: 2000,
};

describe("expectations", () => {
  const rows: [name: string, limit: number, value: number | null, met: boolean][] = [
    ["lostWrites", 0, 1, false],
    ["failoverMaxMs", 300, 300, true],
    ["recoveryMaxMs", 800, 900, false],
    ["errorsMax", 2, 3, false],
    ["p50Ms", 15, 15, true],
    ["p99Ms", 29, 29.7, false],
    ["throughputMin", 2, 2, true],
    ["readyMax", 1, 2, false],
    ["readyMin", 1, 1, true],
  ];
  for (const [name, limit, value, met] of rows)
    test(`${name} is ${value}`, () =>
      expect(expectationsOf({ [name]: limit }, outcome)).toEqual([{ name, limit, value, met }]));

  test("what cannot be had is not met", () => {
    const nothing = { ...outcome, sent: [], objects: [] };
    for (const name of ["p99Ms", "failoverMaxMs", "readyMin"])
      expect(expectationsOf({ [name]: 1 }, nothing)).toEqual([{ name, limit: 1, value: null, met: false }]);
  });
});

test("JUnit has a case an expectation and one for the checkers", () => {
  const run = {
    ...{ experiment: "x<y", repetition: 1, startedAt: "2026-01-01T00:00:00Z", durationMs: 1500 },
    expectations: [{ name: "p99Ms", limit: 5, value: 7, met: false }],
    violations: [],
  } as unknown as RunFile;
  const broken = [{ checker: "x", message: "lost \0 write", operations: [] }];
  expect(junit([{ ...run, violations: broken }])).toContain('<failure message="lost \ufffd write">'); // XML has no NUL
  expect(junit([run])).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="2" failures="1">
  <testsuite name="x&lt;y" tests="2" failures="1" timestamp="2026-01-01T00:00:00Z">
    <testcase classname="x&lt;y" name="p99Ms 5" time="1.5">
      <failure message="is 7">is 7</failure>
    </testcase>
    <testcase classname="x&lt;y" name="checkers" time="1.5"/>
  </testsuite>
</testsuites>
`);
});

test("metrics are summed over their labels, buckets and what nobody asked for left out", () => {
  const text = `# HELP apiserver_request_total x
apiserver_request_total{verb="GET",code="200"} 3
apiserver_request_total{verb="PUT",code="200"} 4
apiserver_request_duration_seconds_bucket{le="1"} 9
process_resident_memory_bytes 1.5e6
nodejs_version_info{version="v20"} 1
`;
  expect([...summed(text)]).toEqual([
    ["apiserver_request_total", 7],
    ["process_resident_memory_bytes", 1_500_000],
  ]);
});

describe("a member that ends by itself is a violation", () => {
  const event = (atMs: number, type: string, subject: string, message: string, details = {}): RunEvent => {
    return { atMs, machine: "m", bootId: "b", type, subject, message, details };
  };
  const exit = (message: string, subject = "etcd-1", atMs = 100) => event(atMs, "Exited", subject, message);
  const fault = (kind: string, undo: string | null) =>
    event(50, "Fault", "etcd-1", "", { id: "f1", kind, targets: ["etcd-1"], undo });
  const healed = event(60, "Healed", "etcd-1", "", { id: "f1" });
  const told = ["etcd-1 ended by itself at 0.1 s: exit code 1: {}"];
  test.each<[string, RunEvent[], string[]]>([
    ["without a fault", [exit("exit code 1: {}")], told],
    ["killed or stopped, it did not", [exit("SIGKILL"), exit("exit code 0")], []],
    ["another process may: who loses its lease ends", [exit("exit code 1: {}", "scheduler")], []],
    ["with a full disk it may", [fault("fill-disk", "cleared"), exit("exit code 1: {}")], []],
    [
      "long after its disk is well, not",
      [fault("fill-disk", "x"), healed, exit("exit code 1", "etcd-1", 9000)],
      ["etcd-1 ended by itself at 9.0 s: exit code 1"],
    ],
    [
      "with a log that a fault has changed it may at any time",
      [fault("corrupt", null), exit("exit code 1", "etcd-1", 9000)],
      [],
    ],
    ["slow is no reason", [fault("slow-disk", "cleared"), exit("exit code 1: {}")], told],
  ])("%s", (_, events, expected) => expect(crashesOf(events)).toEqual(expected));
});
