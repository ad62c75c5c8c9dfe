import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Clock, sleep } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";
import type { HistoryEvent } from "../../etcd-raft/server/history.ts";
import type { HistoryLine, MemberHash, Operation } from "../checkers/history.ts";
import { judge } from "../checkers/judge.ts";
import { CommittedLog } from "../clients/commits.ts";
import { Load } from "../clients/load.ts";
import { memberHashes } from "../clients/members.ts";
import { StoreWatcher } from "../clients/watcher.ts";
import { Recorder } from "../sim/recorder.ts";
import { SoakCluster } from "./cluster.ts";
import { type DeedName, deeds } from "./faults.ts";

/**
 * Real members under load, hurt in one way a round, healed, and judged by the checkers of `lab/checkers` over everything
 * since the cluster began: an epoch, some rounds on fresh data, so that a verdict stays cheap and the log whole.
 */
export interface SoakOptions {
  rounds: number;
  roundsPerEpoch: number;
  members: number;
  clients: number;
  /** No round begins after so long. */
  maxMs: number;
  /** Each epoch has a folder in it. It is removed when all was well. */
  dir: string;
  only?: readonly DeedName[];
  /** For tests of the soak itself: changes what the checkers are shown. */
  planted?(history: HistoryLine[]): HistoryLine[];
  rand: Rand;
  clock: Clock;
  signal: AbortSignal;
  say(line: string): void;
}

export interface SoakRound {
  round: number;
  deed: DeedName;
  /** The longest time without an acknowledged write from the deed until all were healthy again. */
  gapMs: number;
  /** From the heal until every member answered a linearizable read. */
  healthyMs: number;
}

export interface SoakResult {
  rounds: SoakRound[];
  operations: Operation[];
  /** Why members lost their leader, as they told it. */
  losses: Map<string, number>;
  snapshotsInstalled: number;
  violations: string[];
}

export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { rounds, roundsPerEpoch, clock, signal, maxMs } = options;
  const result: SoakResult = { rounds: [], operations: [], losses: new Map(), snapshotsInstalled: 0, violations: [] };
  const end = clock.monotonic() + maxMs;
  const order = shuffledDeeds(options);
  for (let first = 1; first <= rounds; first += roundsPerEpoch) {
    const last = Math.min(rounds, first + roundsPerEpoch - 1);
    const epoch = await Epoch.start(options, join(options.dir, `epoch-${first}`));
    try {
      for (let round = first; round <= last && !signal.aborted && clock.monotonic() < end; round++) {
        const violations = await epoch.round(round, order[round - 1]!, result);
        if (violations.length === 0) continue;
        await epoch.keep(violations);
        result.violations = violations;
        break;
      }
    } finally {
      result.operations.push(...epoch.operations());
      await epoch.close();
    }
    if (result.violations.length > 0 || signal.aborted || clock.monotonic() >= end) break;
    epoch.remove();
  }
  return result;
}

/** Every deed comes up about as often as every other. */
function shuffledDeeds({ rounds, rand, only }: SoakOptions): DeedName[] {
  const names = only ?? (Object.keys(deeds) as DeedName[]);
  const order: DeedName[] = [];
  while (order.length < rounds) {
    const left = [...names];
    while (left.length > 0) order.push(...left.splice(rand.below(left.length), 1));
  }
  return order;
}

class Epoch {
  readonly #options: SoakOptions;
  readonly #dir: string;
  readonly #cluster: SoakCluster;
  readonly #recorder: Recorder;
  readonly #load: Load;
  readonly #watchers: StoreWatcher[];
  readonly #log: CommittedLog;
  readonly #hashes: MemberHash[] = [];
  readonly #told = new Map<string, number>(); // by life of a member: the last event that was read

  static async start(options: SoakOptions, dir: string): Promise<Epoch> {
    mkdirSync(dir, { recursive: true });
    const cluster = await SoakCluster.start(options.members, dir, memberFlags, options.clock);
    return new Epoch(options, dir, cluster);
  }

  private constructor(options: SoakOptions, dir: string, cluster: SoakCluster) {
    const { rand, clock, clients } = options;
    this.#options = options;
    this.#dir = dir;
    this.#cluster = cluster;
    this.#recorder = new Recorder(clock);
    this.#log = new CommittedLog(clock);
    const tools = { recorder: this.#recorder, rand, clock };
    this.#load = new Load(
      cluster.members,
      tools,
      Array.from({ length: clients }, (_, i) => ({ name: `c${i}` })),
    );
    this.#watchers = [
      new StoreWatcher("all", { key: "\0", end: "\0" }, cluster.members, tools),
      new StoreWatcher("all with what was before", { key: "\0", end: "\0", prevKv: true }, cluster.members, tools),
      new StoreWatcher("registers", { key: "r", end: "s" }, cluster.members, tools),
      new StoreWatcher("deletions", { key: "t", end: "u", noPut: true, prevKv: true }, cluster.members, tools),
    ];
  }

  /** Returns what is wrong, of this round or found late. */
  async round(round: number, deed: DeedName, result: SoakResult): Promise<string[]> {
    const { clock, rand, say } = this.#options;
    const cluster = this.#cluster;
    const sick = await cluster.healthy(healthyWithinMs);
    if (sick) return [`not healthy before round ${round}: ${sick}`];
    this.#load.start(round);
    await sleep(clock, 300);
    const begin = clock.monotonic();
    if (rand.below(2) === 0) this.#watchers[rand.below(this.#watchers.length)]!.move();
    const undone = await deeds[deed]({ cluster, rand, clock }).catch((error: Error) => error.message);
    await cluster.heal();
    const healed = clock.monotonic();
    const still = await cluster.healthy(healthyWithinMs);
    const healthyMs = clock.monotonic() - healed;
    await sleep(clock, 200);
    const gapMs = this.#gap(begin);
    await this.#load.stop();
    if (typeof undone === "string") return [`${deed} could not be done: ${undone}`];
    if (still) return [`not healthy ${healthyWithinMs / 1000} s after ${deed} was undone: ${still}`];
    for (const member of cluster.members) member.mayEnd = false;
    const violations = await this.#verdict();
    result.rounds.push({ round, deed, gapMs, healthyMs });
    await this.#listen(result);
    say(
      `round ${round}: ${deed}: gap ${gapMs.toFixed()} ms, healthy after ${healthyMs.toFixed()} ms, ` +
        `${this.#log.commits.length} entries, ${violations.length === 0 ? "ok" : "VIOLATION"}`,
    );
    return violations;
  }

  async #verdict(): Promise<string[]> {
    const cluster = this.#cluster;
    const problems = [...cluster.unexpected];
    let seen = 0; // lines: what a watcher hears later (a lease ends) may be in nobody's log yet
    try {
      const hashes = await memberHashes(cluster.members, 10_000);
      this.#hashes.push(...hashes);
      const revision = Number(/^revision (\d+)/.exec(hashes[0]!.point)![1]);
      for (const watcher of this.#watchers) {
        if (await watcher.comesTo(revision, 10_000)) continue;
        problems.push(`watch ${watcher.name}: is at ${watcher.next} and does not come to revision ${revision}`);
      }
      seen = this.#recorder.lines.length;
      await memberHashes(cluster.members, 10_000); // every member has come as far as any watcher has heard
      await this.#log.read(cluster.members, (at) => this.#watchers[0]!.heard.get(at));
    } catch (error) {
      return [...problems, `no verdict: ${(error as Error).message}`];
    }
    return [...problems, ...judge(this.#history(seen))];
  }

  #history(lines = this.#recorder.lines.length): HistoryLine[] {
    const history = [...this.#recorder.lines.slice(0, lines), ...this.#log.commits, ...this.#hashes];
    return this.#options.planted?.(history) ?? history;
  }

  #gap(since: number): number {
    let last = since;
    let longest = 0;
    for (const line of this.#recorder.lines) {
      if (line.type !== "operation" || line.response === undefined || line.returned! < since) continue;
      if (!["put", "delete"].includes(line.request.op)) continue;
      longest = Math.max(longest, line.returned! - last);
      last = Math.max(last, line.returned!);
    }
    return Math.max(longest, this.#options.clock.monotonic() - last);
  }

  /** What the members tell of this round. Who was killed took it along. */
  async #listen(result: SoakResult): Promise<void> {
    for (const { url } of this.#cluster.members) {
      const answer = await fetch(`${url}/debug/raft/events`);
      const { life, last, events } = (await answer.json()) as { life: string; last: number; events: HistoryEvent[] };
      for (const { seq, kind, details } of events) {
        if (seq <= (this.#told.get(life) ?? 0)) continue;
        if (kind === "SnapshotInstalled") result.snapshotsInstalled++;
        if (kind !== "LeaderLost") continue;
        const because = String(details["because"]);
        result.losses.set(because, (result.losses.get(because) ?? 0) + 1);
      }
      this.#told.set(life, last);
    }
  }

  operations(): Operation[] {
    return this.#recorder.lines.filter((line) => line.type === "operation");
  }

  /** For whoever looks into it: the history that was judged, beside the members' logs and data. */
  async keep(violations: string[]): Promise<void> {
    writeFileSync(join(this.#dir, "violations.txt"), `${violations.join("\n")}\n`);
    writeFileSync(
      join(this.#dir, "history.jsonl"),
      this.#history()
        .map((line) => `${JSON.stringify(line)}\n`)
        .join(""),
    );
    for (const { url, name } of this.#cluster.members) {
      const events = await fetch(`${url}/debug/raft/events`).then(
        (answer) => answer.text(),
        (error: Error) => error.message,
      );
      writeFileSync(join(this.#dir, `${name}-events.json`), events);
    }
  }

  async close(): Promise<void> {
    await this.#load.stop();
    await Promise.all(this.#watchers.map((watcher) => watcher.close()));
    await this.#cluster.close();
  }

  remove(): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

/** The timers of the preset `lan`; snapshots often, and short logs, so that followers that were away are sent the state. */
const memberFlags = [
  "--heartbeat-interval=50",
  "--election-timeout=500",
  "--snapshot-count=100",
  "--snapshot-catchup-entries=20",
];
const healthyWithinMs = 30_000;
