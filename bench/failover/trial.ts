import { type Cancel, sleep, systemClock } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";
import {
  KVService,
  MaintenanceService,
  WatchRequest,
  WatchResponse,
  WatchService,
} from "../../proto/generated/etcdserverpb.ts";
import { ClientConnection } from "../load/connection.ts";
import { MessageSplitter } from "../load/messages.ts";
import { unary } from "../load/unary.ts";
import type { Cluster } from "../members.ts";

/**
 * One failure of a leader as clients of the two survivors see it. A writer sends a put of a new key every 5 ms, whether
 * the ones before were answered or not, by turns to the two survivors; a watcher at one of them sees all keys.
 */
export const faults = ["kill -9", "SIGSTOP", "SIGTERM", "partition"] as const;
export type Fault = (typeof faults)[number];

export interface TrialResult {
  /** The longest time without an acknowledged write, from the last before the fault on. */
  gapMs: number;
  /** From the fault until a survivor names another leader. */
  leaderMs: number;
  /** The longest time without an event, likewise. */
  watchMs: number;
  acknowledged: number;
  /** Answered with an error: the caller does not know whether they happened. */
  refused: number;
}

interface Ack {
  key: string;
  revision: number;
  sentAt: number;
  at: number;
}

interface Event {
  revision: number;
  at: number;
}

const everyMs = 5;
const pollMs = 5;
const steadyWrites = 40;
const settledWrites = 40;
const limitMs = 20_000;

export async function runTrial(cluster: Cluster, fault: Fault, name: string, rand: Rand, signal: AbortSignal) {
  const leader = await cluster.leader();
  const survivors = [0, 1, 2].filter((i) => i !== leader);
  const prefix = `failover/${name}/`;
  const client = await SurvivorClient.connect(
    survivors.map((i) => cluster.targets[i]!),
    prefix,
  );
  const limit = systemClock.monotonic() + limitMs;
  const until = async (what: string, test: () => boolean) => {
    while (!test()) {
      signal.throwIfAborted();
      if (systemClock.monotonic() > limit) throw new Error(`${what} did not happen within ${limitMs} ms`);
      await sleep(systemClock, pollMs, signal);
    }
  };
  let faulty = false;
  try {
    client.startWriting();
    await until("steady writing", () => client.acks.length >= steadyWrites);
    await sleep(systemClock, rand.next() * 2 * cluster.store.timers.heartbeatMs, signal); // any phase of the heartbeat
    const before = client.leaderId;
    const at = systemClock.monotonic();
    faulty = true;
    const exited = inject(cluster, leader, fault);
    await until("another leader", () => client.leaderId !== 0n && client.leaderId !== before);
    const leaderMs = client.leaderSince - at;
    const resumed = () => client.acks.filter(({ sentAt }) => sentAt > client.leaderSince).length >= settledWrites;
    await until("writing under the new leader", resumed);
    await exited;
    client.stopWriting();
    await until("an event after them", () => client.events.at(-1)!.at > client.leaderSince);
    const result: TrialResult = {
      gapMs: longestGap(
        client.acks.map((ack) => ack.at),
        at,
      ),
      leaderMs,
      watchMs: longestGap(
        client.events.map((event) => event.at),
        at,
      ),
      acknowledged: client.acks.length,
      refused: client.refused,
    };
    heal(cluster, leader, fault);
    faulty = false;
    await cluster.leader();
    // Those that waited on the old leader may be acknowledged only now; they count as well.
    const acks = [...client.acks];
    const newest = Math.max(...acks.map(({ revision }) => revision));
    await until("every event", () => (client.events.at(-1)?.revision ?? 0) >= newest);
    await verify(cluster, prefix, acks, client.events);
    return result;
  } finally {
    client.close();
    if (faulty) heal(cluster, leader, fault);
  }
}

/** Between neighbours of which the later one is after `from`. */
export function longestGap(times: readonly number[], from: number): number {
  let longest = 0;
  for (const [i, time] of times.entries()) if (i > 0 && time >= from) longest = Math.max(longest, time - times[i - 1]!);
  return longest;
}

function inject(cluster: Cluster, leader: number, fault: Fault): Promise<void> {
  if (fault === "kill -9") return cluster.end(leader, "SIGKILL");
  if (fault === "SIGTERM") return cluster.end(leader, "SIGTERM");
  if (fault === "SIGSTOP") cluster.signal(leader, "SIGSTOP");
  else cluster.relays!.cutOff(leader);
  return Promise.resolve();
}

function heal(cluster: Cluster, leader: number, fault: Fault): void {
  if (fault === "SIGSTOP") cluster.signal(leader, "SIGCONT");
  else if (fault === "partition") cluster.relays!.heal();
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

/** The writer, the watcher and who asks for the leader, over connections to the two survivors. */
class SurvivorClient {
  readonly acks: Ack[] = [];
  readonly events: Event[] = [];
  refused = 0;
  leaderId = 0n;
  leaderSince = 0;
  readonly #connections: ClientConnection[];
  readonly #prefix: string;
  #timers: Cancel[] = [];
  #closed = false;

  static async connect(targets: string[], prefix: string): Promise<SurvivorClient> {
    const connections = await Promise.all(
      targets.map((target) => {
        const [host, port] = target.split(":");
        return ClientConnection.connect(host!, Number(port));
      }),
    );
    const client = new SurvivorClient(connections, prefix);
    await client.#watch();
    for (const connection of connections)
      client.#timers.push(systemClock.every(pollMs, () => client.#poll(connection)));
    return client;
  }

  private constructor(connections: ClientConnection[], prefix: string) {
    this.#connections = connections;
    this.#prefix = prefix;
  }

  startWriting(): void {
    let n = 0;
    const stop = systemClock.every(everyMs, () => this.#put(n++));
    this.#timers.push(stop);
    this.stopWriting = stop;
  }

  stopWriting: Cancel = () => {};

  close(): void {
    this.#closed = true;
    for (const cancel of this.#timers.splice(0)) cancel();
    for (const connection of this.#connections) connection.close();
  }

  #put(n: number): void {
    const key = `${this.#prefix}${n}`;
    const sentAt = systemClock.monotonic();
    const connection = this.#connections[n % this.#connections.length]!;
    unary(connection, KVService.Put, { key: Buffer.from(key), value: Buffer.from(key) }).then(
      ({ header }) => this.acks.push({ key, revision: header!.revision, sentAt, at: systemClock.monotonic() }),
      () => this.refused++,
    );
  }

  #poll(connection: ClientConnection): void {
    unary(connection, MaintenanceService.Status, {}).then(
      ({ leader }) => {
        if (leader === 0n || leader === this.leaderId || this.#left.has(leader)) return;
        this.#left.add(this.leaderId);
        this.leaderId = leader;
        this.leaderSince = systemClock.monotonic();
      },
      () => {},
    );
  }

  /** Leaders that were: the other survivor may name one a little longer. */
  readonly #left = new Set<bigint>();

  async #watch(): Promise<void> {
    const connection = this.#connections[0]!;
    await new Promise<void>((resolve, reject) => {
      const splitter = new MessageSplitter();
      const stream = connection.open(WatchService.Watch.path, {
        onData: (payload) =>
          splitter.push(payload, (message) => {
            const response = WatchResponse.decode(message);
            if (response.created) resolve();
            const at = systemClock.monotonic();
            for (const { kv } of response.events) this.events.push({ revision: kv!.modRevision, at });
          }),
        onEnd: (status, message) => {
          if (!this.#closed) reject(new Error(`the watch ended: ${status} ${message}`));
        },
      });
      const range = { key: Buffer.from(this.#prefix), rangeEnd: Buffer.from(`${this.#prefix.slice(0, -1)}0`) };
      connection.message(stream, WatchRequest.encode({ createRequest: range }));
      connection.flush();
    });
  }
}
