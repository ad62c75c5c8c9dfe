import { Registry } from "../../base/metrics.ts";
import { seededRand } from "../../base/rand.ts";
import { entriesOf } from "../../etcd-raft/raft/log.ts";
import type { Entry } from "../../etcd-raft/raft/types.ts";
import { createMetrics } from "../../etcd-raft/server/metrics.ts";
import { InternalRaftRequest } from "../../proto/generated/etcdserverpb.ts";
import { entryReader } from "../checkers/etcd-messages.ts";
import { judge } from "../checkers/judge.ts";
import { RaftSafety } from "../checkers/raft-safety.ts";
import { Clients } from "./clients.ts";
import { Nemesis } from "./nemesis.ts";
import { Recorder } from "./recorder.ts";
import { SimCluster } from "./sim-cluster.ts";
import { SimDisk } from "./sim-disk.ts";
import { electionMs, SimMember, type SimMemberOptions } from "./sim-member.ts";
import { SimNetwork } from "./sim-network.ts";
import { VirtualClock } from "./virtual-clock.ts";
import type { Watched } from "./watcher.ts";
import { SimWatcher } from "./watchers.ts";

export interface SimulationOptions {
  seed: number;
  members?: number;
  durationMs?: number; // how long, in virtual milliseconds, things break
  preVote?: boolean; // PreVote and CheckQuorum; without them there are many more elections
  plant?: SimMemberOptions["plant"];
  crashesOnly?: boolean; // only crashes with quick restarts, close together
  reconfigure?: boolean; // members are added, promoted, removed and replaced meanwhile
  trace?: (line: string) => void; // called with each noteworthy event, in order
}

/** What `npm run sim` varies with the seed. */
export function variety(seed: number): SimulationOptions {
  return {
    seed,
    members: seed % 4 === 0 ? 5 : 3,
    preVote: seed % 3 !== 1,
    crashesOnly: seed % 7 === 3,
    reconfigure: seed % 5 < 2,
  };
}

/**
 * One run: members, clients, watchers and a nemesis in virtual time; everything random comes from the seed. At the end all
 * is mended, the cluster must take a write and come to rest, and every watcher must hear of it; then the checkers judge.
 */
export async function simulate(options: SimulationOptions) {
  const { seed, members: count = 3, durationMs = 15_000, preVote = true, plant } = options;
  const { crashesOnly = false, reconfigure = false } = options;
  const rand = seededRand(seed);
  const part = () => seededRand(Number(rand.uint64() & 0xffffffffn));
  const clock = new VirtualClock();
  const note = (line: string) => options.trace?.(`${clock.monotonic().toFixed(1).padStart(9)} ms  ${line}`);
  const safety = new RaftSafety();
  const recorder = new Recorder(clock);
  const network = new SimNetwork(clock, part());
  const metrics = createMetrics(new Registry());
  const firstApplied: number[] = []; // when, by index
  /** `installed`: snapshots that took the place of a follower's state. */
  const counts = { elections: 0, tornTails: 0, installed: 0 };
  const hash = (who: SimMember, index: number) =>
    index > 0 && recorder.add({ type: "hash", member: who.name, point: `index ${index}`, hash: who.hash() });

  const watch: SimMemberOptions["watch"] = {
    logs(who, message, fields) {
      if (message.startsWith("Repaired the WAL")) counts.tornTails++;
      if (options.trace) note(`${who}: ${message} ${JSON.stringify(fields, printable)}`);
    },
    restarts(who, index) {
      safety.restarts(who.id, index);
      hash(who, index);
    },
    installs(who, index) {
      counts.installed++;
      safety.restarts(who.id, index);
      hash(who, index);
    },
    leads(who, term) {
      counts.elections++;
      const { log } = who.member!.runner.raft;
      safety.leads(who.id, term, entriesOf(log), log.start.index);
    },
    applies(who, entry) {
      firstApplied[entry.index] ??= recorder.now();
      safety.applies(who.id, entry, who.member!.term);
    },
    applied(who, entry) {
      if (entry.index % 8 === 0) hash(who, entry.index);
    },
    removed: (who) => cluster.stop(who.id),
    dies(who, error) {
      note(`${who.name} dies: ${error.stack}`);
      if (error.message.includes("permanently removed")) return cluster.stop(who.id);
      if (!/EIO|ENOSPC/.test(error.message)) safety.violations.push(`${who.name} died: ${error.message}`);
      clock.after(500, () => cluster.members.includes(who) && who.start());
    },
  };
  const world = { clock, recorder, network, note, members: () => cluster.members };
  const cluster: SimCluster = new SimCluster(count, world, part(), (members, joins) => {
    return new SimMember({
      cluster: members,
      joins,
      clock,
      rand: part(),
      disk: new SimDisk(clock, part()),
      network,
      metrics,
      // Without PreVote a member that lags behind in terms gets ahead only where the random part of its timeout can be shorter
      // than that of the others (seed 46).
      clockRate: preVote ? slowest + (fastest - slowest) * rand.next() : 0.85 + 0.35 * rand.next(),
      preVote,
      plant,
      watch,
    });
  });
  const clients = new Clients(world, part());
  const watchers = watchedRanges.map((watched, i) => new SimWatcher(`w${i}`, watched, world, part()));
  const nemesis = new Nemesis(world, part(), crashesOnly, reconfigure ? cluster : undefined);
  const whims = part();
  clock.every(200, () => cluster.reconcile());
  clock.every(500, () => cluster.disarm());

  for (const member of cluster.members) member.start();
  clients.start(4);
  for (const watcher of watchers) watcher.open();
  nemesis.start();
  const failed = () => safety.violations.length > 0;
  const compareLogs = () => {
    const logs = cluster.members.map(
      ({ id, member }) => member && { member: id, log: entriesOf(member.runner.raft.log) },
    );
    safety.logs(logs.filter((log) => log !== undefined));
  };
  for (let end = 500; end <= durationMs && !failed(); end += 500) {
    await clock.run(end, failed);
    compareLogs();
    const watcher = watchers[whims.below(watchers.length)]!;
    const whim = whims.below(9);
    if (whim < 3) watcher.open();
    else if (whim < 5) watcher.askProgress();
  }

  nemesis.stop();
  clients.stop();
  note("all is mended");
  if (!failed()) {
    const missing = await settle();
    if (!failed() && missing) safety.violations.push(`liveness: ${missing} in time`);
  }
  for (const member of cluster.members) member.crash();

  const violations = [...safety.violations];
  if (violations.length === 0) {
    const requestOf = entryReader();
    for (const { index, term, type, data } of safety.applied as Entry[]) {
      const request = type === 0 && data.length > 0 ? requestOf(InternalRaftRequest.decode(data)) : undefined;
      recorder.add({ type: "commit", index, term, at: firstApplied[index]!, ...(request && { request }) });
    }
    // With CheckQuorum a leader that is cut off steps down within two election timeouts; without, never.
    const overlapMs = preVote ? 2 * electionMs * fastest : Number.POSITIVE_INFINITY;
    violations.push(...judge(recorder.lines, { settled: true, fastestClock: 1 / slowest, overlapMs }));
  }
  for (const violation of violations) note(violation);
  return {
    violations,
    acknowledged: clients.acknowledged,
    ...counts,
    changes: cluster.changes, // of members, that were asked for
    events: watchers.reduce((sum, { events }) => sum + events, 0),
    history: recorder.lines,
  };

  /** Until a last write is applied everywhere, no lease is left, and everybody has heard of it. Returns what does not come. */
  async function settle(): Promise<string | undefined> {
    const deadline = clock.monotonic() + 60_000;
    let last: number | undefined;
    const attempt = async (n: number): Promise<void> => {
      if (clock.monotonic() >= deadline) return;
      const member = cluster.members[n % cluster.members.length]!;
      if (member.services) {
        const response = await clients.ask("last", member, { op: "put", key: "z", value: `last${n}` });
        last = response?.revision;
      }
      if (last === undefined) clock.after(200, () => void attempt(n + 1));
    };
    void attempt(0);
    const cancel = clock.every(100, () => {
      for (const watcher of watchers) watcher.askProgress();
    });
    const level = () =>
      cluster.members.every(({ member }) => {
        if (member?.appliedIndex !== safety.applied.length) return false;
        return member.runner.raft.log.persisted >= member.appliedIndex;
      });
    const leaseless = () => cluster.members.every(({ member }) => member?.applier.lessor.ids().length === 0);
    const heard = () => watchers.every(({ next }) => next > cluster.members[0]!.member!.applier.store.revision);
    await clock.run(deadline, () => failed() || (last !== undefined && level() && leaseless() && heard()));
    cancel();
    compareLogs();
    if (last === undefined) return "no write is taken";
    if (!level()) return "the logs do not come to a common end";
    for (const member of cluster.members) hash(member, member.member!.appliedIndex);
    if (!leaseless()) return "leases do not expire";
    return heard() ? undefined : "a watcher does not hear all";
  }
}

const watchedRanges: Watched[] = [
  { key: "\0", end: "\0" },
  { key: "r", end: "s", prevKv: true },
  { key: "t", end: "u", prevKv: true, noPut: true },
  { key: "t0", noDelete: true },
];

/** Rates of the members' clocks. */
const [slowest, fastest] = [0.7, 1.5];

const printable = (_: string, value: unknown) =>
  value instanceof Error ? value.message : typeof value === "bigint" ? value.toString(16) : value;
