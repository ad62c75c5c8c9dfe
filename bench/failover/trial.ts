import { type Cancel, sleep, systemClock } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";
import { GrpcClient } from "../../net/grpc-client.ts";
import { KVService, MaintenanceService, WatchService } from "../../proto/generated/etcdserverpb.ts";
import type { Cluster } from "../members.ts";
import { until } from "../process.ts";

/**
 * One failure of a leader as clients of the two survivors see it. A writer sends a put of a new key every 5 ms, whether
 * the ones before were answered or not, by turns to the two survivors; a watcher at one of them sees all keys.
 */
export const faults = ["kill -9", "SIGSTOP", "SIGTERM", "partition"] as const;
export type Fault = (typeof faults)[number];

interface Event {
  revision: number;
  at: number;
}
type Ack = Event & { key: string; sentAt: number };

const everyMs = 5;
const pollMs = 5;
const steadyWrites = 40;
const limitMs = 20_000;
const callOptions = { timeoutMs: limitMs };

/** `gapMs`, `watchMs`: the longest time without an acknowledged write or an event; `leaderMs`: until another is named. */
export async function runTrial(cluster: Cluster, fault: Fault, name: string, rand: Rand, signal: AbortSignal) {
  const leader = await cluster.leader();
  const survivors = [0, 1, 2].filter((i) => i !== leader);
  const prefix = `failover/${name}/`;
  const targets = survivors.map((i) => cluster.targets[i]!);
  const client = await SurvivorClient.connect(targets, prefix);
  const holds = (what: string, test: () => boolean) => until(what, { limitMs, everyMs: pollMs, signal }, test);
  let faulty = false;
  try {
    client.startWriting();
    await holds("steady writing", () => client.acks.length >= steadyWrites);
    await sleep(systemClock, rand.next() * 2 * cluster.store.timers.heartbeatMs, signal); // any phase of the heartbeat
    const before = client.leaderId;
    const at = systemClock.monotonic();
    faulty = true;
    const exited = inject(cluster, leader, fault);
    await holds("another leader", () => client.leaderId !== 0n && client.leaderId !== before);
    const leaderMs = client.leaderSince - at;
    const resumed = () => client.acks.filter(({ sentAt }) => sentAt > client.leaderSince).length >= steadyWrites;
    await holds("writing under the new leader", resumed);
    await exited;
    client.stopWriting();
    await holds("an event after them", () => client.events.at(-1)!.at > client.leaderSince);
    const gaps = { gapMs: longestGap(client.acks, at), leaderMs, watchMs: longestGap(client.events, at) };
    const counts = { acknowledged: client.acks.length, refused: client.refused };
    heal(cluster, leader, fault);
    faulty = false;
    await cluster.leader();
    // Those that waited on the old leader may be acknowledged only now; they count as well.
    const acks = [...client.acks];
    const newest = Math.max(...acks.map(({ revision }) => revision));
    await holds("every event", () => (client.events.at(-1)?.revision ?? 0) >= newest);
    await verify(cluster, prefix, acks, client.events);
    return { ...gaps, ...counts };
  } finally {
    client.close();
    if (faulty) heal(cluster, leader, fault);
  }
}

/** Between neighbours of which the later one is after `from`. */
export function longestGap(all: readonly { at: number }[], from: number): number {
  const gaps = all.slice(1).map(({ at }, i) => (at >= from ? at - all[i]!.at : 0));
  return Math.max(0, ...gaps);
}

function inject(cluster: Cluster, leader: number, fault: Fault): Promise<void> {
  if (fault === "kill -9") return cluster.end(leader, "SIGKILL");
  if (fault === "SIGTERM") return cluster.end(leader, "SIGTERM");
  if (fault === "SIGSTOP") cluster.signal(leader, "SIGSTOP");
  else cluster.cutOff(leader);
  return Promise.resolve();
}

function heal(cluster: Cluster, leader: number, fault: Fault): void {
  if (fault === "SIGSTOP") cluster.signal(leader, "SIGCONT");
  else if (fault === "partition") cluster.cutOff();
  else if (!cluster.runs(leader)) cluster.startMember(leader);
}

/** Each member, the failed one too, has every acknowledged write at its revision, and the watcher saw each once, in order. */
async function verify(cluster: Cluster, prefix: string, acks: readonly Ack[], events: readonly Event[]): Promise<void> {
  const rangeEnd = Buffer.from(`${prefix.slice(0, -1)}0`);
  for (const i of cluster.targets.keys()) {
    const range = { key: Buffer.from(prefix), rangeEnd };
    const { kvs } = await cluster.client(i).unary(KVService.Range, range, { timeoutMs: 30_000 });
    const found = new Map(kvs.map(({ key, modRevision }) => [Buffer.from(key).toString(), modRevision]));
    const lost = acks.filter(({ key, revision }) => found.get(key) !== revision);
    if (lost.length > 0) throw new Error(`LOST: member ${i} does not have ${lost.length} acknowledged writes`);
  }
  const revisions = events.map(({ revision }) => revision);
  if (revisions.some((revision, n) => n > 0 && revision <= revisions[n - 1]!)) throw new Error("events out of order");
  const seen = new Set(revisions);
  const missed = acks.filter(({ revision }) => !seen.has(revision));
  if (missed.length > 0) throw new Error(`MISSED: the watcher did not see ${missed.length} acknowledged writes`);
}

/** The writer, the watcher and who asks for the leader, over channels of their own to the two survivors. */
class SurvivorClient {
  readonly acks: Ack[] = [];
  readonly events: Event[] = [];
  refused = 0;
  leaderId = 0n;
  leaderSince = 0;
  readonly #clients: GrpcClient[];
  readonly #prefix: string;
  #timers: Cancel[] = [];
  /** Leaders that were: the other survivor may name one a little longer. */
  readonly #left = new Set<bigint>();

  static async connect(targets: string[], prefix: string): Promise<SurvivorClient> {
    const client = new SurvivorClient(targets, prefix);
    await Promise.all(client.#clients.map((one) => one.ready(5000)));
    await client.#watch();
    for (const one of client.#clients) client.#timers.push(systemClock.every(pollMs, () => client.#poll(one)));
    return client;
  }

  private constructor(targets: string[], prefix: string) {
    this.#clients = targets.map((target) => new GrpcClient(target));
    this.#prefix = prefix;
  }

  startWriting(): void {
    let n = 0;
    this.stopWriting = systemClock.every(everyMs, () => this.#put(n++));
    this.#timers.push(this.stopWriting);
  }

  stopWriting: Cancel = () => {};

  close(): void {
    for (const cancel of this.#timers.splice(0)) cancel();
    for (const client of this.#clients) client.close();
  }

  #put(n: number): void {
    const key = `${this.#prefix}${n}`;
    const sentAt = systemClock.monotonic();
    const put = { key: Buffer.from(key), value: Buffer.from(key) };
    this.#clients[n % this.#clients.length]!.unary(KVService.Put, put, callOptions).then(
      ({ header }) => this.acks.push({ key, revision: header!.revision, sentAt, at: systemClock.monotonic() }),
      () => this.refused++,
    );
  }

  #poll(client: GrpcClient): void {
    client.unary(MaintenanceService.Status, {}, callOptions).then(
      ({ leader }) => {
        if (leader === 0n || leader === this.leaderId || this.#left.has(leader)) return;
        this.#left.add(this.leaderId);
        this.leaderId = leader;
        this.leaderSince = systemClock.monotonic();
      },
      () => {},
    );
  }

  /** Resolves when the watch is there; that it ends later is seen as events that do not come. */
  async #watch(): Promise<void> {
    const stream = this.#clients[0]!.bidi(WatchService.Watch);
    const range = { key: Buffer.from(this.#prefix), rangeEnd: Buffer.from(`${this.#prefix.slice(0, -1)}0`) };
    stream.send({ createRequest: range });
    const responses = stream[Symbol.asyncIterator]();
    await responses.next();
    const follow = async () => {
      for (let next = await responses.next(); !next.done; next = await responses.next()) {
        const at = systemClock.monotonic();
        for (const { kv } of next.value.events) this.events.push({ revision: kv!.modRevision, at });
      }
    };
    follow().catch(() => {});
  }
}
