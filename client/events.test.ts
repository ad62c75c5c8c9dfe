import { describe, expect, test } from "vitest";
import type { Pod } from "../api/generated/core-v1.ts";
import { Events, Nodes, Pods } from "../api/generated/resources.ts";
import { silentLogger } from "../base/logger.ts";
import { EventRecorder } from "./events.ts";
import { MemoryApi } from "./testing/memory-api.ts";
import { VirtualClock } from "./testing/virtual-clock.ts";

function setUp() {
  const clock = new VirtualClock();
  const api = new MemoryApi(clock);
  const recorder = new EventRecorder({ client: api, component: "kubelet", host: "node-1", clock, log: silentLogger });
  const metadata = { namespace: "team", name: "web", uid: "u1", resourceVersion: "7" };
  const pod: [typeof Pods, Pod] = [Pods, { metadata, spec: { containers: [] } }];
  const all = async () => (await api.list(Events)).items;
  return { clock, api, recorder, pod, all };
}

describe("EventRecorder", () => {
  test("writes what happened to what, by whom and when", async () => {
    const { clock, recorder, pod, all } = setUp();
    recorder.event(...pod, "Normal", "Started", "Started container c", "spec.containers{c}");
    await clock.advance(1);
    const [event] = await all();
    expect(event).toMatchObject({
      metadata: { namespace: "team", name: expect.stringMatching(/^web\.[0-9a-f]{16}$/) },
      involvedObject: {
        apiVersion: "v1",
        kind: "Pod",
        namespace: "team",
        name: "web",
        uid: "u1",
        resourceVersion: "7",
        fieldPath: "spec.containers{c}",
      },
      type: "Normal",
      reason: "Started",
      message: "Started container c",
      source: { component: "kubelet", host: "node-1" },
      firstTimestamp: "2026-01-01T00:00:00Z",
      lastTimestamp: "2026-01-01T00:00:00Z",
      count: 1,
      reportingComponent: "kubelet",
      reportingInstance: "node-1",
    });
  });

  test("the same again is counted, not written anew", async () => {
    const { clock, recorder, pod, all } = setUp();
    for (let i = 0; i < 3; i++) {
      recorder.event(...pod, "Warning", "BackOff", "again");
      await clock.advance(1000);
    }
    expect(await all()).toMatchObject([
      { count: 3, firstTimestamp: "2026-01-01T00:00:00Z", lastTimestamp: "2026-01-01T00:00:02Z" },
    ]);
  });

  test("one that has expired on the server meanwhile is written anew", async () => {
    const { clock, api, recorder, pod, all } = setUp();
    recorder.event(...pod, "Warning", "BackOff", "again");
    await clock.advance(1);
    await api.delete(Events, (await all())[0]!.metadata);
    recorder.event(...pod, "Warning", "BackOff", "again");
    await clock.advance(1);
    expect(await all()).toMatchObject([{ count: 1 }]);
  });

  test("events of cluster-scoped objects go to the namespace default", async () => {
    const { clock, recorder, all } = setUp();
    recorder.event(Nodes, { metadata: { name: "node-1" }, spec: {} }, "Normal", "Starting", "Starting kubelet.");
    await clock.advance(1);
    expect((await all())[0]!.metadata.namespace).toBe("default");
  });

  test("waits for a server that is down, in order", async () => {
    const { clock, api, recorder, pod, all } = setUp();
    api.goDown(true);
    recorder.event(...pod, "Normal", "One", "1");
    recorder.event(...pod, "Normal", "Two", "2");
    await clock.advance(500);
    api.goDown(false);
    await clock.advance(5000);
    expect((await all()).map(({ reason }) => reason)).toEqual(["One", "Two"]);
  });
});
