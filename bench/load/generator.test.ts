import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import { afterEach, describe, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { listenHere } from "../../base/outside.ts";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import { GrpcFront } from "../../net/grpc-front.ts";
import {
  KVService,
  LeaseKeepAliveRequest,
  LeaseService,
  PutRequest,
  WatchRequest,
  WatchService,
} from "../../proto/generated/etcdserverpb.ts";
import { generate } from "./generator.ts";
import { keyMark, type LoadJob, stampMark, stampsIn, Template } from "./job.ts";

const header = { revision: 1 };
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");

/** Answers after what `delay` says; keeps the keys of the puts and sends each to all watchers. */
class Store {
  readonly keys: string[] = [];
  readonly sizes = new Set<number>();
  delay: () => Promise<void> | undefined = () => undefined;
  #watchers: ((value: Uint8Array) => void)[] = [];

  async serve() {
    const server = new GrpcFront();
    server.addService(KVService, {
      Put: async ({ key, value }) => {
        await this.delay();
        this.keys.push(Buffer.from(key).toString());
        this.sizes.add(value.length);
        for (const watcher of this.#watchers) watcher(value);
        if (Buffer.from(key).toString() === "bad") throw new GrpcError(Code.NotFound, "no such thing");
        return { header };
      },
    });
    server.addService(LeaseService, {
      LeaseKeepAlive: (_context, { send, end }) => ({
        onMessage: ({ ID }) => void send({ header, ID, TTL: 1 }),
        onEnd: () => end(),
      }),
    });
    server.addService(WatchService, {
      Watch: (_context, { send, end }) => ({
        onMessage: () => {
          send({ header, created: true });
          this.#watchers.push((value) => send({ header, events: [{ kv: { key: Buffer.from("k"), value } }] }));
        },
        onEnd: () => end(),
      }),
    });
    const listener = await listenHere("127.0.0.1", 0);
    server.serve(listener);
    return { target: `127.0.0.1:${(listener.address() as AddressInfo).port}`, close: () => server.close(0) };
  }
}

function job(target: string, rest: Partial<LoadJob> = {}): LoadJob {
  const put = PutRequest.encode({ key: Buffer.from(`k/${keyMark}`), value: Buffer.alloc(200) });
  const fixed = {
    targets: [target],
    connections: 2,
    path: KVService.Put.path,
    bodies: [base64(put)],
    keys: 1000,
    seed: 1,
  };
  return { ...fixed, arrivals: { type: "closed", inFlight: 20 }, warmupMs: 50, measureMs: 200, ...rest };
}

describe("against our HTTP/2 front", () => {
  let served: { target: string; close(): Promise<void> } | undefined;
  afterEach(() => served?.close());

  test("a closed loop counts what the server did, over several connections and many keys", async () => {
    const store = new Store();
    served = await store.serve();
    const result = await generate(job(served.target), systemClock);
    assert.deepEqual([result.errors, result.unanswered], [{}, 0]);
    assert.equal(result.answered, store.keys.length);
    assert.ok(result.perSecond > 0 && result.latency.count > 0);
    assert.ok(store.keys.every((key) => /^k\/00000\d{3}$/.test(key)));
    assert.ok(new Set(store.keys).size > 10);
  });

  test("an open loop sends on while the server stalls, and every request that was due meanwhile is late", async () => {
    const store = new Store();
    served = await store.serve();
    let calls = 0;
    let stall: Promise<void> | undefined;
    store.delay = () => {
      if (++calls === 150) stall = new Promise((resolve) => systemClock.after(300, resolve));
      return stall;
    };
    const arrivals = { type: "open", perSecond: 500 } as const;
    const result = await generate(job(served.target, { arrivals, warmupMs: 0, measureMs: 1000 }), systemClock);
    const latency = result.latency;
    assert.equal(result.answered, store.keys.length);
    assert.equal(latency.count, result.answered);
    // About 150 of 500 were due in the 300 ms; a closed loop would have sent a few.
    assert.ok(latency.p99 > 200, `p99 ${latency.p99} ms`);
    assert.ok(latency.p50 < latency.p99);
  });

  test("answers on one long call are matched in order", async () => {
    served = await new Store().serve();
    const bodies = [1n, 2n].map((ID) => base64(LeaseKeepAliveRequest.encode({ ID })));
    const path = LeaseService.LeaseKeepAlive.path;
    const result = await generate(job(served.target, { path, bodies, streaming: true }), systemClock);
    assert.deepEqual([result.errors, result.unanswered], [{}, 0]);
    assert.ok(result.answered > 20);
  });

  test("every watcher's every event is waited for and timed from the put's intended time", async () => {
    served = await new Store().serve();
    const body = PutRequest.encode({ key: Buffer.from("k"), value: Buffer.from(stampMark) });
    const create = base64(WatchRequest.encode({ createRequest: { key: Buffer.from("k") } }));
    const watch = { targets: [served.target], streams: 2, watchersPerStream: 5, path: WatchService.Watch.path, create };
    const arrivals = { type: "open", perSecond: 200 } as const;
    const rest = { bodies: [base64(body)], arrivals, warmupMs: 0, watch };
    const { events, answered } = await generate(job(served.target, rest), systemClock);
    assert.equal(events!.missing, 0);
    assert.equal(events!.latency.count, answered * 10);
  });

  test("a body larger than every window arrives whole", async () => {
    const store = new Store();
    served = await store.serve();
    const body = PutRequest.encode({ key: Buffer.from("large"), value: Buffer.alloc(300_000, 1) });
    const rest = { bodies: [base64(body)], arrivals: { type: "closed", inFlight: 4 } as const };
    const result = await generate(job(served.target, rest), systemClock);
    assert.deepEqual([result.errors, result.unanswered], [{}, 0]);
    assert.deepEqual([...store.sizes], [300_000]);
  });

  test("refusals and answers that are too short are told as errors", async () => {
    served = await new Store().serve();
    const bad = base64(PutRequest.encode({ key: Buffer.from("bad") }));
    const refused = await generate(job(served.target, { bodies: [bad] }), systemClock);
    assert.deepEqual(Object.keys(refused.errors), ["gRPC 5: no such thing"]);
    assert.equal(refused.answered, 0);
    const short = await generate(job(served.target, { minReplyBytes: 1000 }), systemClock);
    assert.match(Object.keys(short.errors).join(), /^an answer of \d+ bytes$/);
  });
});

test("a template takes key numbers and stamps wherever they are marked", () => {
  const template = new Template(base64(Buffer.from(`a${keyMark}b${keyMark}c${stampMark}d`)));
  assert.equal(template.fill(42, 1_234_567.8).toString(), "a00000042b00000042cus=000001234567d");
  const found: number[] = [];
  stampsIn(template.fill(7, 99), (us) => found.push(us));
  assert.deepEqual(found, [99]);
});
