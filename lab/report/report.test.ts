import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { writeRun } from "../experiments/folder.ts";
import { type Sent, summarize } from "../experiments/requests.ts";
import type { RunEvent } from "../experiments/run.ts";
import { binned } from "./drawings.ts";
import { readRun } from "./folder.ts";
import { groupsOf, percentiles, seriesOf, timeText } from "./measures.ts";
import { faultsOf, lanesOf } from "./picture.ts";
import { renderReport } from "./report.ts";
import { sampleRun } from "./testing.ts";

const event = (atMs: number, type: string, subject: string, details: Record<string, unknown> = {}): RunEvent => ({
  ...{ atMs, machine: "m", bootId: "b", type, subject, message: "" },
  details,
});
const role = (atMs: number, to: string, term: number) =>
  event(atMs, "Raft", "etcd-1", { kind: "RoleChanged", to, term });
const spans = (events: RunEvent[], members = ["etcd-1"]) =>
  lanesOf(events, members, faultsOf(events, 100), [0, 100]).map(({ name, spans }) => ({
    name,
    spans: spans.map(({ fromMs, toMs, state, term }) => `${fromMs}-${toMs} ${state}${term ? ` ${term}` : ""}`),
  }));

describe("lanes", () => {
  test.each<[string, RunEvent[], string[]]>([
    ["what a member was before the run is what it begins with", [role(-50, "leader", 2)], ["0-100 leader 2"]],
    [
      "a role lasts until the next",
      [role(-1, "follower", 1), role(40, "leader", 2)],
      ["0-40 follower 1", "40-100 leader 2"],
    ],
    ["a pre-candidate still follows", [role(-1, "follower", 1), role(40, "preCandidate", 1)], ["0-100 follower 1"]],
    [
      "a new term is told by any event of raft",
      [role(-1, "follower", 1), event(30, "Raft", "etcd-1", { kind: "LeaderFound", term: 2 })],
      ["0-30 follower 1", "30-100 follower 2"],
    ],
    [
      "a dead member is down until it has started",
      [
        role(-1, "leader", 2),
        event(20, "Exited", "etcd-1"),
        event(50, "Spawned", "etcd-1"),
        event(60, "Raft", "etcd-1", { kind: "Started", term: 2 }),
      ],
      ["0-20 leader 2", "20-50 down", "50-60 starting", "60-100 follower 2"],
    ],
    [
      "what came after the picture is not in it",
      [role(-1, "leader", 2), event(200, "Exited", "etcd-1")],
      ["0-100 leader 2"],
    ],
  ])("%s", (_, events, expected) => {
    expect(spans(events)).toEqual([{ name: "etcd-1", spans: expected }]);
  });

  test("others have a lane only when something happened to them", () => {
    const events = [
      event(-5, "Spawned", "scheduler"),
      event(-5, "Spawned", "apiserver-1"),
      event(10, "Exited", "apiserver-1"),
      event(30, "NodeNotReady", "node-1"),
    ];
    expect(spans(events, []).map(({ name }) => name)).toEqual(["apiserver-1", "node-1"]);
  });

  test("a campaign counts once: when it was won, or when it began", () => {
    const events = [role(10, "candidate", 2), role(20, "candidate", 3), role(25, "leader", 3)];
    const [lane] = lanesOf(events, ["etcd-1"], [], [0, 100]);
    expect(lane!.elections).toEqual([
      { atMs: 10, term: 2, won: false },
      { atMs: 25, term: 3, won: true },
    ]);
  });
});

test("a fault lasts until it is healed, or to the end; what cannot be undone is a moment", () => {
  const fault = (atMs: number, id: string, undo: string | null) =>
    event(atMs, "Fault", "x", { id, kind: "kill", targets: [id], undo });
  const faults = faultsOf(
    [fault(1, "f1", "it"), fault(2, "f2", null), fault(3, "f3", "it"), event(9, "Healed", "x", { id: "f1" })],
    50,
  );
  expect(faults.map(({ fromMs, toMs }) => [fromMs, toMs])).toEqual([
    [1, 9],
    [2, 2],
    [3, 50],
  ]);
});

test("a kill ends when what it ended runs again; of a node, all that is on it is hit", () => {
  const [kill] = faultsOf(
    [
      event(1, "Fault", "node-1", { id: "f1", kind: "kill", targets: ["node-1"], undo: "starts it" }),
      event(8, "Spawned", "node-2/agent"),
      event(9, "Spawned", "node-1/agent"),
    ],
    50,
  );
  expect(kill).toMatchObject({ fromMs: 1, toMs: 9 });
});

test("a phase has what was due in it, whenever it was answered", () => {
  const put = { group: "store writes", endsGap: true } as const;
  const sent: Sent[] = [
    { ...put, due: 1, returned: 3, outcome: "ok" },
    { ...put, due: 5, returned: 205, outcome: "ok" },
    { ...put, due: 9, returned: undefined, outcome: "unknown" },
    { ...put, due: 10, returned: 11, outcome: "ok" },
  ];
  expect(summarize(sent, { fromMs: 0, toMs: 10 })).toMatchObject({
    requests: 3,
    unanswered: 1,
    p50: 101,
    max: 200,
    perSecond: 200,
  });
  expect(summarize([], { fromMs: 0, toMs: 10 })).toMatchObject({ requests: 0, p50: Number.NaN });
});

test("every request is in the throughput, once", () => {
  const run = sampleRun();
  const groups = groupsOf(run);
  const { layers } = binned(groups, { fromMs: 0, toMs: 20_000 });
  expect(layers.at(-1)!.reduce((sum, count) => sum + count)).toBe(run.history.length);
});

test("of a counter its growth a second is drawn, but not across a restart, in units of people", () => {
  const sample = (atMs: number, value: number, name = "x_total") => ({ atMs, subject: "etcd-1", name, value });
  const counted = [sample(0, 5), sample(1000, 6), sample(3000, 7), sample(4000, 0), sample(5000, 2)];
  expect(seriesOf(counted, "x_total", 10)).toEqual([
    {
      name: "etcd-1",
      points: [
        { atMs: 1000, value: 10 },
        { atMs: 3000, value: 5 },
        { atMs: 5000, value: 20 },
      ],
    },
  ]);
  expect(seriesOf([sample(0, 2e6, "bytes")], "bytes", 1e-6)[0]!.points).toEqual([{ atMs: 0, value: 2 }]);
  expect(seriesOf(counted, "bytes", 1)).toEqual([]);
});

test("a line of what a process used breaks while it does not answer", () => {
  const drawn = [...renderReport(sampleRun()).matchAll(/class="metric[^"]*" d="([^"]*)"/g)].map(([, d]) => d!);
  expect(drawn.map((d) => d.split("M").length - 1)).toEqual([2, 1, 1, 2, 1, 1]);
});

test.each([
  [Number.NaN, "-"],
  [0, "0"],
  [0.1234, "0.12 ms"],
  [12.345, "12.3 ms"],
  [421.4, "421 ms"],
  [1500, "1.50 s"],
  [61_234, "61.2 s"],
])("%d ms reads %s", (ms, text) => expect(timeText(ms)).toBe(text));

describe("the page", () => {
  test("is the same for the same run, read from its folder", () => {
    const dir = mkdtempSync(join(tmpdir(), "kubelab-report-"));
    try {
      writeRun(dir, sampleRun());
      expect(renderReport(readRun(dir))).toBe(renderReport(sampleRun()));
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  test("has the steps of all failovers with their percentiles, and by what each was caused", () => {
    const html = renderReport(sampleRun());
    for (const step of ["without an answer", "until death noticed", "until election", "until first ack"])
      expect(html).toMatch(new RegExp(`<tr><td>${step}</td><td>2</td>(<td>[\\d.]+ m?s</td>){4}</tr>`));
    expect(html).toContain("<td>kill etcd-1</td><td>signal</td>");
    expect(percentiles([4, 1, 2, 3, 5])).toEqual([3, 4.6, 4.96]);
  });

  test("of 100,000 operations stays below 2 MB", () => {
    const html = renderReport(sampleRun({ scale: 25 }));
    expect(html).toContain("<dd>100,000</dd>");
    expect(Buffer.byteLength(html)).toBeLessThan(2_000_000);
  });

  test("asks nobody for anything, and takes no markup from what it shows", () => {
    const run = sampleRun();
    run.file.description = '<img src="x">';
    run.file.violations = [
      { checker: "linearizability", message: "<script>alert(1)</script>", operations: run.history.slice(0, 2) },
    ];
    run.file.verdict = "failed";
    const mean = '"><img alt>';
    run.file.seed = mean as never;
    run.events = [...run.events, { ...run.events[0]!, atMs: 1, details: { kind: "RoleChanged", to: mean, term: 2 } }];
    const html = renderReport(run);
    expect(html).not.toMatch(/<img|<script>alert|<link|@import|<[^>]*\b(src|href)=|url\(/);
    expect(html).toContain("&lt;script&gt;alert(1)");
    expect(html).toContain("<td>writer-1</td><td>etcd-2</td>"); // the offending operation
  });

  test("of a run without load, faults and events says so", () => {
    const run = sampleRun();
    const file = { ...run.file, failovers: [], phases: [], expectations: [], clocks: [] };
    const html = renderReport({ ...run, file, history: [], events: [] });
    for (const text of ["No client sent anything.", "No fault was caused.", "Nothing beyond what the checkers ask."])
      expect(html).toContain(text);
    expect(html).not.toMatch(/NaN|Infinity|undefined/);
  });
});
