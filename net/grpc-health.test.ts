import assert from "node:assert/strict";
import { test } from "vitest";
import type { Clock } from "../base/clock.ts";
import { VirtualClock } from "../client/testing/virtual-clock.ts";
import { HealthService, healthHandlers } from "./grpc-health.ts";
import type { CallContext, Send, StreamHandler, UnaryHandler } from "./grpc-server.ts";

test("Check: serving with a leader, not without; other services are unknown", () => {
  let leader = true;
  const { Check } = healthHandlers(() => leader, {} as Clock);
  const check = (service: string) => (Check as UnaryHandler<object, object>)({ service }, {} as CallContext);
  assert.deepEqual(check(""), { status: 1 });
  leader = false;
  assert.deepEqual(check(""), { status: 2 });
  assert.throws(() => check("etcdserverpb.KV"), { code: 5, message: "unknown service" });
});

test("Watch tells what it is and each change, until the caller goes", async () => {
  let leader = true;
  const clock = new VirtualClock();
  const { Watch } = healthHandlers(() => leader, clock);
  const controller = new AbortController();
  const sent: unknown[] = [];
  const done = (Watch as StreamHandler<object, object>)(
    { service: "" },
    { metadata: {}, peer: undefined, signal: controller.signal },
    ((response: object) => sent.push(response) > 0) as Send<object>,
  );
  await clock.advance(100);
  leader = false;
  await clock.advance(200);
  leader = true;
  await clock.advance(100);
  controller.abort();
  await done;
  assert.deepEqual(sent, [{ status: 1 }, { status: 2 }, { status: 1 }]);
});

test("messages are those of grpc.health.v1", () => {
  const { request, response } = HealthService.Watch;
  assert.deepEqual(request.decode(request.encode({ service: "a" })), { service: "a" });
  assert.deepEqual([...response.encode({ status: 1 })], [8, 1]);
});
