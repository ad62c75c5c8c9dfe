import { afterEach, describe, expect, test } from "vitest";
import type { KubernetesObject, ResourceType } from "../apimachinery/object.ts";
import { silentLogger } from "../base/logger.ts";
import { seededRand } from "../base/rand.ts";
import { Informer } from "./informer.ts";
import { OwnWrites } from "./own-writes.ts";
import { MemoryApi } from "./testing/memory-api.ts";
import { settle, VirtualClock } from "./testing/virtual-clock.ts";

interface Thing extends KubernetesObject {
  spec?: { color: string };
}

const Things: ResourceType<Thing> = { group: "", version: "v1", resource: "things", kind: "Thing", namespaced: true };

const stop = new Set<AbortController>();
afterEach(() => {
  for (const controller of stop) controller.abort();
});

async function setUp(options: { labelSelector?: string } = {}) {
  const clock = new VirtualClock();
  const api = new MemoryApi(clock);
  const informer = new Informer(api, Things, { clock, log: silentLogger, rand: seededRand(1), ...options });
  const seen: string[] = [];
  informer.on({
    onAdd: (thing) => seen.push(`add ${thing.metadata.name} ${thing.spec?.color}`),
    onUpdate: (old, thing) => seen.push(`update ${thing.metadata.name} ${old.spec?.color}->${thing.spec?.color}`),
    onDelete: (thing) => seen.push(`delete ${thing.metadata.name}`),
  });
  const controller = new AbortController();
  stop.add(controller);
  const start = async () => {
    void informer.run(controller.signal);
    await settle();
  };
  const create = (name: string, color: string, labels: Record<string, string> = {}) =>
    api.create(Things, { metadata: { namespace: "ns", name, labels }, spec: { color } });
  const paint = (name: string, color: string) =>
    api.patch(Things, { namespace: "ns", name }, { type: "merge", body: { spec: { color } } });
  const remove = (name: string) => api.delete(Things, { namespace: "ns", name });
  return { clock, api, informer, seen, start, create, paint, remove, controller };
}

describe("Informer", () => {
  test("lists, then follows every change", async () => {
    const { informer, seen, start, create, paint, remove } = await setUp();
    await create("a", "red");
    await start();
    await informer.synced;
    await create("b", "blue");
    await paint("a", "green");
    await remove("b");
    await settle();
    expect(seen).toEqual(["add a red", "add b blue", "update a red->green", "delete b"]);
    expect(informer.store.list().map((thing) => thing.metadata.name)).toEqual(["a"]);
  });

  test("a broken watch resumes where it was: nothing is missed, nothing is told twice", async () => {
    const { api, clock, seen, start, create, paint } = await setUp();
    await create("a", "red");
    await start();
    api.goDown(true);
    await clock.advance(10_000);
    api.goDown(false);
    await paint("a", "green");
    await paint("a", "blue");
    await clock.advance(10_000);
    expect(seen).toEqual(["add a red", "update a red->green", "update a green->blue"]);
  });

  test("after 410 the differences between the new list and the store are told", async () => {
    const { api, clock, seen, start, create, paint, remove } = await setUp();
    for (const name of ["kept", "changed", "deleted", "replaced"]) await create(name, "red");
    await start();
    seen.length = 0;
    api.goDown(true);
    await settle();
    api.goDown(false);
    await paint("changed", "blue");
    await remove("deleted");
    await remove("replaced");
    await create("replaced", "new");
    await create("added", "red");
    api.compact();
    await clock.advance(10_000);
    expect(seen.sort()).toEqual([
      "add added red",
      "add replaced new",
      "delete deleted",
      "delete replaced",
      "update changed red->blue",
    ]);
  });

  test("a server that is down at the start is waited for", async () => {
    const { api, clock, informer, start, create } = await setUp();
    await create("a", "red");
    api.goDown(true);
    await start();
    await clock.advance(5000);
    expect(informer.hasSynced).toBe(false);
    api.goDown(false);
    await clock.advance(5000);
    expect(informer.hasSynced).toBe(true);
    expect(informer.store.get("ns/a")?.spec?.color).toBe("red");
  });

  test("a late handler is told of what is already there", async () => {
    const { informer, start, create } = await setUp();
    await create("a", "red");
    await start();
    const late: string[] = [];
    informer.on({ onAdd: (thing) => late.push(thing.metadata.name) });
    expect(late).toEqual(["a"]);
  });

  test("an event older than what is known changes nothing", async () => {
    const { informer, start, create, api } = await setUp();
    const first = await create("a", "red");
    await start();
    await api.patch(Things, { namespace: "ns", name: "a" }, { type: "merge", body: { spec: { color: "blue" } } });
    await settle();
    // A server behind the others replays: the watch is asked for anew, and answers with history.
    api.watch = async function* <T extends KubernetesObject>() {
      yield [{ type: "MODIFIED" as const, object: first as unknown as T }];
      await new Promise(() => {});
    };
    api.disconnect();
    await settle();
    expect(informer.store.get("ns/a")?.spec?.color).toBe("blue");
  });

  test("indexes follow changes and deletions", async () => {
    const { informer, start, create, paint, remove } = await setUp();
    const byColor = informer.store.index((thing) => [thing.spec!.color]);
    await create("a", "red");
    await create("b", "red");
    await start();
    await paint("a", "blue");
    await remove("b");
    await settle();
    expect([byColor("red").length, byColor("blue").map((thing) => thing.metadata.name)]).toEqual([0, ["a"]]);
  });

  test("only what the selector selects is seen", async () => {
    const { informer, start, create } = await setUp({ labelSelector: "app=web" });
    await create("a", "red", { app: "web" });
    await create("b", "red", { app: "db" });
    await start();
    expect(informer.store.list().map((thing) => thing.metadata.name)).toEqual(["a"]);
  });
});

describe("OwnWrites", () => {
  test("a write is pending until the informer has reached its revision", async () => {
    const { informer, start, create } = await setUp();
    await start();
    const writes = new OwnWrites();
    writes.wrote("key", informer, await create("a", "red"));
    expect(writes.allVisible("key")).toBe(false);
    expect(writes.allVisible("other")).toBe(true);
    await settle();
    expect(writes.allVisible("key")).toBe(true);
  });

  test("a delete is pending until the object is gone from the store", async () => {
    const { informer, start, create, remove } = await setUp();
    const thing = await create("a", "red");
    await start();
    const writes = new OwnWrites();
    await remove("a");
    writes.deleted("key", informer, thing);
    expect(writes.allVisible("key")).toBe(false);
    await settle();
    expect(writes.allVisible("key")).toBe(true);
  });
});
