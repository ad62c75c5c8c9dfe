import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { seededRand } from "../../base/rand.ts";
import { type BidiStream, GrpcClient } from "../../net/grpc-client.ts";
import { GrpcError } from "../../net/grpc-error.ts";
import {
  KVService,
  LeaseService,
  MaintenanceService,
  type WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
  WatchService,
} from "../../proto/generated/etcdserverpb.ts";
import type { Init } from "../../proto/wire.ts";
import { peer } from "../../tools/peers.ts";
import { startEtcd } from "./testing/etcd.ts";
import { type RandomRequest, randomRequest, randomWatch } from "./testing/random-requests.ts";
import { startTestMember, within } from "./testing.ts";

const etcd = peer("etcd");
/** More by hand: `BESIDE_SEEDS=1-200 npx vitest run etcd-raft/server/beside-etcd`. */
const [first, last] = (process.env["BESIDE_SEEDS"] ?? "1-3").split("-").map(Number);
const seeds = Array.from({ length: last! - first! + 1 }, (_, i) => first! + i);

/** The same requests to Debian's etcd 3.4 and to a member of ours: every answer, refusal, event and hash is the same. */
describe.skipIf(!etcd)("beside etcd", () => {
  const cleanups: (() => unknown)[] = [];
  const sides: GrpcClient[] = [];
  beforeAll(async () => {
    const real = await startEtcd(etcd!);
    cleanups.unshift(() => real.close());
    const store = await startTestMember();
    cleanups.unshift(() => store.close());
    for (const endpoint of [real.endpoint, store.endpoint]) {
      const client = new GrpcClient(endpoint.replace("http://", ""));
      sides.push(client);
      cleanups.unshift(() => client.close());
    }
  });
  afterAll(async () => {
    for (const cleanup of cleanups) await cleanup();
  });

  const outcome = async (client: GrpcClient, { name, method, request }: RandomRequest): Promise<unknown> => {
    try {
      return plain(name, await client.unary(method, request, { timeoutMs: 20_000 }));
    } catch (error) {
      assert.ok(error instanceof GrpcError, `${error}`);
      return { code: error.code, message: error.message };
    }
  };
  /** On both, which must say the same. */
  const both = async (number: number, request: RandomRequest): Promise<void> => {
    const [theirs, ours] = await Promise.all(sides.map((client) => outcome(client, request)));
    assert.deepEqual(ours, theirs, `request ${number}: ${request.name} ${text(request.request)}`);
  };
  const revisionNow = async () =>
    (await sides[1]!.unary(KVService.Range, { key: Buffer.from("x") }, { timeoutMs: 20_000 })).header!.revision;
  const equalHashes = async () => {
    const [a, b] = await Promise.all(sides.map((client) => client.unary(MaintenanceService.HashKV, {})));
    assert.equal(b!.hash, a!.hash, "HashKV");
  };

  test.each(seeds)("a random life of 400 requests, seed %i", async (seed) => {
    const rand = seededRand(seed);
    for (let i = 0; i < 400; i++) await both(i, randomRequest(rand, await revisionNow()));
    await equalHashes();
    for (const ID of [7n, 8n, 9n]) {
      await both(400, { name: "LeaseRevoke", method: LeaseService.LeaseRevoke, request: { ID } });
    }
  });

  test.each(seeds)("random watches over 300 requests, seed %i", async (seed) => {
    const rand = seededRand(seed);
    const streams = sides.map((client) => new Watched(client.bidi(WatchService.Watch)));
    const asked: string[] = [];
    /** Whoever was behind has all there is: etcd catches up everybody in one pass, and this one came last. */
    const barrier = async () => {
      const put = { key: Buffer.from("barrier") };
      await both(0, { name: "Put", method: KVService.Put, request: put });
      const request = { ...put, startRevision: await revisionNow() };
      await Promise.all(streams.map((stream) => stream.createAndHear(request)));
    };
    try {
      for (let i = 0; i < 300; i++) {
        const revision = await revisionNow();
        if (rand.below(8) === 0) {
          const request = randomWatch(rand, revision);
          asked.push(text(request));
          await Promise.all(streams.map((stream) => stream.create(request)));
        } else if (rand.below(30) === 0) {
          const id = rand.below(10);
          await barrier();
          await Promise.all(streams.map((stream) => stream.cancel(id)));
        } else {
          const request = randomRequest(rand, revision);
          // A watcher that is behind may or may not meet the compaction, or its end before its events.
          if (request.name === "Compact") await barrier();
          await both(i, request);
        }
      }
      await barrier();
      const [theirs, ours] = streams.map((stream) => stream.seen());
      for (const id of Object.keys(theirs!))
        assert.deepEqual(ours![id], theirs![id], `watcher ${id} of:\n${asked.join("\n")}`);
      assert.deepEqual(Object.keys(ours!), Object.keys(theirs!));
    } finally {
      for (const stream of streams) stream.end();
    }
    for (const ID of [7n, 8n, 9n]) {
      await both(300, { name: "LeaseRevoke", method: LeaseService.LeaseRevoke, request: { ID } });
    }
  });
});

/** A watch stream and what came of it. */
class Watched {
  readonly #stream: BidiStream<WatchRequest, WatchResponse>;
  readonly #responses: WatchResponse[] = [];
  readonly #open = new Set<number>();
  #wake: () => void = () => {};
  #ended: unknown;

  constructor(stream: BidiStream<WatchRequest, WatchResponse>) {
    this.#stream = stream;
    const read = async () => {
      for await (const response of stream) {
        this.#responses.push(response);
        const { watchId, created, canceled } = response;
        if (created && !canceled) this.#open.add(watchId);
        if (canceled) this.#open.delete(watchId);
        this.#wake();
      }
    };
    read().then(
      () => this.#end("the stream ended"),
      (error: unknown) => this.#end(error),
    );
  }

  /** Sends it and waits for the answer. */
  async create(request: Init<WatchCreateRequest>): Promise<void> {
    const before = this.#count(({ created }) => created);
    this.#stream.send({ createRequest: request });
    await this.#until(() => this.#count(({ created }) => created) > before);
  }

  /** Of one that is not there nothing comes back. */
  async cancel(watchId: number): Promise<void> {
    this.#stream.send({ cancelRequest: { watchId } });
    await this.#until(() => !this.#open.has(watchId));
  }

  /** Waits for its first event, too. */
  async createAndHear(request: Init<WatchCreateRequest>): Promise<void> {
    await this.create(request);
    const id = this.#responses.findLast(({ created }) => created)!.watchId;
    await this.#until(() => this.#count(({ watchId, events }) => watchId === id && events.length > 0) > 0);
  }

  /** By watcher, however the events came in pieces. Header revisions of caught-up events depend on the moment. */
  seen(): Record<string, unknown[]> {
    const watchers: Record<string, unknown[]> = {};
    for (const r of this.#responses) {
      watchers[r.watchId] ??= [];
      const list = watchers[r.watchId]!;
      const { created, canceled, compactRevision } = r;
      if (created || canceled) list.push({ created, canceled, compactRevision, reason: r.cancelReason });
      for (const event of r.events) list.push(plain("event", event));
    }
    return watchers;
  }

  end(): void {
    this.#stream.cancel();
  }

  #count(which: (response: WatchResponse) => boolean): number {
    return this.#responses.filter(which).length;
  }

  async #until(done: () => boolean): Promise<void> {
    await within<void>(20_000, "an answer on the watch stream", (found) => {
      this.#wake = () => (this.#ended || done()) && found();
      this.#wake();
    });
    if (!done()) throw this.#ended;
  }

  #end(reason: unknown): void {
    this.#ended = reason;
    this.#wake();
  }
}

/** What a caller sees, without what must differ: who answers, how much time has passed. */
function plain(name: string, answer: object): unknown {
  const volatile = ["clusterId", "memberId", "raftTerm"];
  if (name === "LeaseTimeToLive") volatile.push("TTL");
  const seen = JSON.parse(
    JSON.stringify(answer, (key, value) => {
      if (volatile.includes(key)) return undefined;
      return typeof value === "bigint" ? `${value}` : value;
    }),
  ) as { leases?: { ID: string }[]; keys?: unknown[] };
  seen.leases?.sort((a, b) => (a.ID < b.ID ? -1 : 1));
  seen.keys?.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)); // etcd's come from a map
  return seen;
}

const text = (request: object) =>
  JSON.stringify(request, (_, v) => {
    if (typeof v === "bigint") return `${v}`;
    return v?.type === "Buffer" ? Buffer.from(v.data as number[]).toString("latin1") : v;
  });
