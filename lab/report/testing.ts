import { seededRand } from "../../base/rand.ts";
import type { Operation } from "../checkers/history.ts";
import { type DoneFault, failoversOf } from "../experiments/failovers.ts";
import type { Run } from "../experiments/folder.ts";
import type { MetricSample, RunEvent } from "../experiments/run.ts";

/** A run as the runner would leave it: the leader killed twice under writes and reads. `scale` has its requests for one. */
export function sampleRun({ seed = 1, scale = 1, slower = 1, repetition = 1 } = {}): Run {
  const rand = seededRand(seed * 100 + repetition);
  const events: RunEvent[] = [];
  const tell = (atMs: number, type: string, subject: string, message: string, details: object = {}) =>
    void events.push({ atMs, machine: "lab", bootId: "b", type, subject, message, details: { ...details } });
  const raft = (atMs: number, member: string, kind: string, term: number, more: object = {}) =>
    tell(atMs, "Raft", member, `${kind} in term ${term}`, { kind, term, index: 1, ...more });
  const role = (atMs: number, member: string, to: string, term: number) =>
    raft(atMs, member, "RoleChanged", term, { to });
  role(-900, "etcd-1", "leader", 2);
  for (const member of ["etcd-2", "etcd-3"]) role(-890, member, "follower", 2);
  const faults: DoneFault[] = [];
  const gaps: [number, number][] = [];
  const kills = [
    { at: 3000, dead: "etcd-1", next: "etcd-2", other: "etcd-3", term: 3 },
    { at: 9000, dead: "etcd-2", next: "etcd-3", other: "etcd-1", term: 4 },
  ];
  for (const { at, dead, next, other, term } of kills) {
    const noticed = at + (60 + 500 * rand.next()) * slower;
    const elected = noticed + 8 + 20 * rand.next();
    const id = `f${term}`;
    tell(at, "Fault", dead, `${id} kill: SIGKILL sent to ${dead}`, {
      id,
      kind: "kill",
      targets: [dead],
      undo: "started",
    });
    tell(at + 3, "Exited", dead, "SIGKILL");
    raft(noticed, next, "LeaderLost", term - 1);
    role(noticed + 1, next, "preCandidate", term - 1);
    role(noticed + 4, next, "candidate", term);
    role(elected, next, "leader", term);
    raft(elected + 2, other, "LeaderFound", term);
    tell(at + 3000, "Healed", dead, `${dead} started`, { id });
    tell(at + 3001, "Spawned", dead, "etcd-raft");
    raft(at + 3300, dead, "Started", term);
    faults.push({ name: `kill ${dead}`, targets: [dead], mechanism: "signal", atMs: at, untilMs: at + 3000 });
    gaps.push([at + 2, elected + 6]);
  }
  events.sort((a, b) => a.atMs - b.atMs);
  const history: Operation[] = [];
  const endMs = 15_000;
  const count = 4000 * scale;
  for (let i = 0; i < count; i++) {
    const called = (i * endMs) / count;
    const gap = gaps.find(([from, to]) => called >= from && called < to);
    const took = (1.2 + 2 * rand.next() + (rand.next() < 0.02 ? 20 * rand.next() : 0)) * slower;
    const write = i % 3 !== 0;
    const key = `r${i % 50}`;
    const line: Operation = {
      type: "operation",
      client: write ? `writer-${i % 4}` : "reader-1",
      member: `etcd-${1 + (i % 3)}`,
      called: called + (gap ? 1 : 0),
      intended: called,
      request: write ? { op: "put", key, value: `v${i}` } : { op: "range", key },
    };
    if (gap && i % 40 === 0) line.error = { code: 14, message: "connection lost" };
    else line.response = write ? { op: "put", revision: i } : { op: "range", revision: i, kvs: [], count: 0 };
    line.returned = (gap ? gap[1] : called) + took;
    history.push(line);
  }
  const store = history
    .filter(({ request, response }) => request.op === "put" && response)
    .map(({ returned }) => returned!);
  const acks = { store: store.sort((a, b) => a - b), api: [], http: [] };
  const failovers = failoversOf({ faults, acks, events, objects: [], answers: [], endMs });
  const worst = Math.max(...failovers.map(({ gapMs }) => gapMs));
  return {
    file: {
      formatVersion: 1,
      experiment: "kill-leader",
      description: "Kill the leader of the store, twice, under writes, reads and transactions",
      source:
        "description: Kill the leader\ncluster: { members: 3, nodes: 0 }\nschedule:\n  - { at: 3s, fault: kill, target: leader, for: 3s }\n",
      seed,
      repetition,
      startedAt: "2026-01-02T03:04:05.000Z",
      durationMs: endMs,
      versions: { kubelab: "0.1.0", node: "v20.19.0", store: "3.5.0" },
      machine: "lab: 2 x a processor, 8 GB, Linux 6.1",
      lab: { mode: "netns", preset: "lan", members: ["etcd-1", "etcd-2", "etcd-3"], nodes: [] },
      clocks: [{ machine: "lab", bootId: "b", when: "before", atMs: 0, offsetMs: 0, errorMs: 0.02 }],
      phases: [
        { name: "before", fromMs: 0, toMs: 3000 },
        { name: "kill etcd-1", fromMs: 3000, toMs: 6000 },
        { name: "kill etcd-2", fromMs: 9000, toMs: 12_000 },
        { name: "after", fromMs: 12_000, toMs: endMs },
      ],
      failovers,
      expectations: [
        { name: "lostWrites", limit: 0, value: 0, met: true },
        { name: "failoverMaxMs", limit: 3000, value: Math.round(worst), met: true },
      ],
      violations: [],
      verdict: "passed",
    },
    history,
    calls: [],
    events,
    objects: [],
    metrics: Array.from({ length: endMs / 1000 }, (_, i) => i * 1000).flatMap((atMs) =>
      ["etcd-1", "etcd-2", "etcd-3"].flatMap((subject): MetricSample[] => {
        if (subject === "etcd-1" && atMs > 3000 && atMs < 6000) return []; // it is down
        return [
          { atMs, subject, name: "process_cpu_seconds_total", value: atMs / 10_000 },
          { atMs, subject, name: "process_resident_memory_bytes", value: 1e8 + atMs },
        ];
      }),
    ),
  };
}
