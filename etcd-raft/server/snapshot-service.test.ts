import assert from "node:assert/strict";
import { test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import type { CallContext, Send } from "../../net/grpc-server.ts";
import type { SnapshotResponse } from "../../proto/generated/etcdserverpb.ts";
import { Store } from "../mvcc/store.ts";
import { Applier } from "./applier.ts";
import type { Member } from "./member.ts";
import { snapshotHandler } from "./snapshot-service.ts";

/** `abortAt`: the caller goes with that blob. */
function run(abortAt?: number): { order: string[]; sent: Promise<number> } {
  const store = new Store();
  for (let i = 0; i < 100; i++) {
    const write = store.begin();
    write.put(`${i}`, Buffer.alloc(10_000), 0n);
    write.end();
  }
  const order: string[] = [];
  const real = new Applier({ minLeaseTTL: 1, clock: systemClock, tokenTtlMs: undefined });
  const applier = {
    state() {
      order.push("state");
      queueMicrotask(() => order.push("other work"));
      return real.state();
    },
    store: {
      view() {
        order.push("view");
        return store.view();
      },
    },
  };
  const member = { applier, config: { clock: systemClock } } as unknown as Member;
  const controller = new AbortController();
  const context = { metadata: {}, peer: undefined, signal: controller.signal } as CallContext;
  let count = 0;
  const send = Object.assign(
    () => {
      if (++count === abortAt) controller.abort();
      return true;
    },
    { drained: () => Promise.resolve() },
  ) as unknown as Send<Partial<SnapshotResponse>>;
  return { order, sent: Promise.resolve(snapshotHandler(member)({}, context, send)).then(() => count) };
}

test("keys and all else are of one moment", async () => {
  const { order, sent } = run();
  assert.ok((await sent) > 30);
  assert.deepEqual(order.slice(0, 3), ["state", "view", "other work"]);
});

test("who goes away in the middle is sent no more", async () => {
  const { sent } = run(3);
  assert.equal(await sent, 3);
});
