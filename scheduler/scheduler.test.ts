import { afterEach, describe, expect, test } from "vitest";
import type { Pod } from "../api/generated/core-v1.ts";
import { Events, Nodes, Pods } from "../api/generated/resources.ts";
import { serviceUnavailable } from "../apimachinery/status.ts";
import { silentLogger } from "../base/logger.ts";
import { seededRand } from "../base/rand.ts";
import { MemoryApi } from "../client/testing/memory-api.ts";
import { VirtualClock } from "../client/testing/virtual-clock.ts";
import { Scheduler } from "./scheduler.ts";

const controller = { current: new AbortController() };
afterEach(() => controller.current.abort());

async function setUp() {
  controller.current = new AbortController();
  const clock = new VirtualClock();
  const api = new MemoryApi(clock);
  const scheduler = new Scheduler({ client: api, clock, rand: seededRand(1), log: silentLogger });
  void scheduler.run(controller.current.signal);
  await clock.advance(10);
  const addNode = (name: string, cpu = "2") =>
    api.create(Nodes, { metadata: { name }, spec: {}, status: { allocatable: { cpu, memory: "4Gi", pods: "110" } } });
  const addPod = (name: string, cpu: string, spec: Partial<Pod["spec"]> = {}) => {
    const containers = [{ name: "c", image: "i", resources: { requests: { cpu } } }];
    return api.create(Pods, { metadata: { namespace: "default", name }, spec: { ...spec, containers } });
  };
  const nodeOf = async (name: string) => (await api.get(Pods, { namespace: "default", name })).spec.nodeName;
  const messages = async () => (await api.list(Events)).items.map(({ reason, message }) => `${reason}: ${message}`);
  return { clock, api, addNode, addPod, nodeOf, messages };
}

describe("Scheduler", () => {
  test("binds a Pod and says so", async () => {
    const { clock, addNode, addPod, nodeOf, messages } = await setUp();
    await addNode("a");
    await addPod("web", "1");
    await clock.advance(10);
    expect(await nodeOf("web")).toBe("a");
    expect(await messages()).toEqual(["Scheduled: Successfully assigned default/web to a"]);
  });

  test("does not give the same room twice, though bindings are not visible yet", async () => {
    const { clock, addNode, addPod, nodeOf } = await setUp();
    await addNode("a");
    await addNode("b");
    for (const name of ["1", "2", "3"]) await addPod(name, "2");
    await clock.advance(10);
    expect([await nodeOf("1"), await nodeOf("2")].sort()).toEqual(["a", "b"]);
    expect(await nodeOf("3")).toBe(undefined);
  });

  test("an unschedulable Pod says why, and is tried again when a node comes", async () => {
    const { clock, api, addNode, addPod, nodeOf, messages } = await setUp();
    await addPod("web", "1");
    await clock.advance(10);
    const { status } = await api.get(Pods, { namespace: "default", name: "web" });
    expect(status?.conditions).toMatchObject([
      {
        type: "PodScheduled",
        status: "False",
        reason: "Unschedulable",
        message: "no nodes available to schedule pods",
      },
    ]);
    expect(await messages()).toEqual(["FailedScheduling: no nodes available to schedule pods"]);
    await addNode("a");
    await clock.advance(1000);
    expect(await nodeOf("web")).toBe("a");
  });

  test("room that a deleted Pod leaves is used", async () => {
    const { clock, api, addNode, addPod, nodeOf } = await setUp();
    await addNode("a");
    await addPod("first", "2");
    await clock.advance(10);
    await addPod("second", "2");
    await clock.advance(2000);
    expect(await nodeOf("second")).toBe(undefined);
    await api.delete(Pods, { namespace: "default", name: "first" }, { gracePeriodSeconds: 0 });
    await clock.advance(10);
    expect(await nodeOf("second")).toBe("a");
  });

  test("a binding that fails is tried again, and its room is free meanwhile", async () => {
    const { clock, api, addNode, addPod, nodeOf } = await setUp();
    await addNode("a");
    const bind = api.createSubresource;
    api.createSubresource = async () => {
      throw serviceUnavailable("connection refused");
    };
    await addPod("web", "2");
    await clock.advance(10);
    api.createSubresource = bind;
    await addPod("other", "2");
    await clock.advance(10);
    expect(await nodeOf("other")).toBe("a");
    await clock.advance(5000);
    expect(await nodeOf("web")).toBe(undefined);
  });

  test("important Pods go first", async () => {
    const { clock, addNode, addPod, nodeOf } = await setUp();
    await addPod("low", "2", { priority: 0 });
    await addPod("high", "2", { priority: 10 });
    await clock.advance(1500);
    await addNode("a");
    await clock.advance(10);
    expect([await nodeOf("high"), await nodeOf("low")]).toEqual(["a", undefined]);
  });

  test("Pods of another scheduler, and gated ones, are left alone", async () => {
    const { clock, addNode, addPod, nodeOf } = await setUp();
    await addNode("a");
    await addPod("other", "1", { schedulerName: "mine" });
    await addPod("gated", "1", { schedulingGates: [{ name: "wait" }] });
    await clock.advance(10);
    expect([await nodeOf("other"), await nodeOf("gated")]).toEqual([undefined, undefined]);
  });
});
