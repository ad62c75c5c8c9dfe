import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { silentLogger } from "../../base/logger.ts";
import { EtcdClient, WatchClosed, type WatchHandlers } from "../../etcd-raft/client/client.ts";
import { startTestMember } from "../../etcd-raft/server/testing.ts";
import { Storage } from "../storage/storage.ts";
import { encodeValue, type StoredObject } from "../storage/stored-object.ts";
import type { Frame } from "./resource-cache.ts";
import { WatchCache } from "./watch-cache.ts";
import type { WatchSink } from "./watcher.ts";

const prefix = "/registry/configmaps/";
const key = (name: string) => `${prefix}default/${name}`;
const value = (name: string, labels: Record<string, string> = {}) =>
  encodeValue({ kind: "ConfigMap", apiVersion: "v1", metadata: { name, namespace: "default", labels } });
const labelled = (object: StoredObject) => object.attributes(() => ({})).labels["app"] === "web";

class Reader implements WatchSink {
  readonly frames: string[] = [];
  ended = false;
  room = true;
  onDrain?: () => void;
  onClose?: () => void;
  #waiting: (() => void) | undefined;

  send(frames: readonly Frame[]): boolean {
    for (const { type, object } of frames) {
      const { metadata, code } = JSON.parse(object.bytes.toString());
      this.frames.push(type === "ERROR" ? `ERROR ${code}` : `${type} ${metadata.name} ${metadata.resourceVersion}`);
    }
    this.#waiting?.();
    return this.room;
  }

  end(): void {
    this.ended = true;
    this.#waiting?.();
  }

  async until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise<void>((resolve) => (this.#waiting = resolve));
  }
}

describe("the watch cache over a real store", () => {
  let store: Awaited<ReturnType<typeof startTestMember>>;
  let etcd: EtcdClient;
  let storage: Storage;
  let cache: WatchCache;

  beforeAll(async () => {
    store = await startTestMember();
    etcd = new EtcdClient({ endpoints: [store.endpoint] });
    storage = new Storage(etcd);
    await storage.commit([{ key: key("before"), revision: 0, value: value("before") }]);
    cache = new WatchCache({ etcd, storage, prefixes: [prefix, "/registry/services/specs/"], log: silentLogger });
    assert.throws(() => cache.resource(prefix), /storage is \(re\)initializing/);
    await cache.start();
  });

  afterAll(async () => {
    cache?.stop();
    etcd?.close();
    await store?.close();
  });

  const put = async (name: string, revision: number, labels?: Record<string, string>) => {
    const outcome = await storage.commit([{ key: key(name), revision, value: value(name, labels) }]);
    assert.ok(outcome.committed);
    return outcome.revision;
  };
  const names = () =>
    [...cache.resource(prefix).under(`${prefix}default/`)].map((object) => object.parse().metadata.name);

  test("a consistent read sees every write that was acknowledged before it", async () => {
    for (const name of ["c", "a", "b"]) {
      const revision = await put(name, 0);
      await cache.consistent();
      assert.ok(cache.revision >= revision);
      assert.ok(cache.resource(prefix).objects.has(key(name)));
    }
    assert.deepEqual(names(), ["a", "b", "before", "c"]);
  });

  test("writes outside the registry raise the store's revision, and readers get there by a progress request", async () => {
    const { header } = await etcd.put({ key: "elsewhere", value: "x" });
    await cache.consistent();
    assert.ok(cache.revision >= header!.revision);
  });

  test("an object carries its revision in its bytes, and its store value does not", async () => {
    const revision = await put("spliced", 0);
    await cache.consistent();
    const { bytes } = cache.resource(prefix).objects.get(key("spliced"))!;
    assert.ok(
      bytes
        .toString()
        .startsWith(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"${revision}","name"`),
    );
    const { kvs } = await etcd.range({ key: key("spliced") });
    assert.deepEqual(Buffer.from(kvs[0]!.value), value("spliced"));
  });

  test("a watch from a revision tells everything after it, in order, with the deletion's revision at the end", async () => {
    const from = cache.revision;
    const reader = new Reader();
    const created = await put("watched", 0);
    const changed = await put("watched", created, { app: "db" });
    await cache.consistent();
    cache.watch(prefix, { scope: { prefix, exact: false }, selects: undefined, from, sink: reader });
    const outcome = await storage.commit([{ key: key("watched"), revision: changed }]);
    assert.ok(outcome.committed);
    await reader.until(() => reader.frames.length === 3);
    assert.deepEqual(reader.frames, [
      `ADDED watched ${created}`,
      `MODIFIED watched ${changed}`,
      `DELETED watched ${outcome.revision}`,
    ]);
  });

  test("an object that enters a selection is ADDED, one that leaves it DELETED", async () => {
    const reader = new Reader();
    const scope = { prefix, exact: false };
    cache.watch(prefix, { scope, selects: labelled, from: cache.revision, sink: reader });
    const first = await put("moves", 0);
    const enters = await put("moves", first, { app: "web" });
    const stays = await put("moves", enters, { app: "web", x: "y" });
    const leaves = await put("moves", stays);
    await reader.until(() => reader.frames.length === 3);
    assert.deepEqual(reader.frames, [`ADDED moves ${enters}`, `MODIFIED moves ${stays}`, `DELETED moves ${leaves}`]);
  });

  test("a watch from now begins with what is there, in its scope only", async () => {
    const reader = new Reader();
    const scope = { prefix: key("before"), exact: true };
    cache.watch(prefix, { scope, selects: undefined, from: "now", sink: reader });
    await put("before2", 0);
    await cache.consistent();
    assert.deepEqual(
      reader.frames.map((frame) => frame.slice(0, 12)),
      ["ADDED before"],
    );
  });

  test("a reader without room gets the rest when it has some, and one that goes away is forgotten", async () => {
    const reader = new Reader();
    reader.room = false;
    cache.watch(prefix, { scope: { prefix, exact: false }, selects: undefined, from: cache.revision, sink: reader });
    await put("full-1", 0);
    await reader.until(() => reader.frames.length === 1);
    await put("full-2", 0);
    await cache.consistent();
    assert.equal(reader.frames.length, 1);
    reader.room = true;
    reader.onDrain!();
    assert.equal(reader.frames.length, 2);
    const count = cache.watcherCount;
    reader.onClose!();
    assert.equal(cache.watcherCount, count - 1);
  });

  test("a change under a stale revision is refused and tells what is there", async () => {
    const revision = await put("contended", 0);
    const stale = await storage.commit([{ key: key("contended"), revision: revision - 1, value: value("contended") }]);
    assert.ok(!stale.committed);
    assert.equal(stale.current[0]?.revision, revision);
    const exists = await storage.commit([{ key: key("contended"), revision: 0, value: value("contended") }]);
    assert.ok(!exists.committed);
  });

  test("two writes in one Txn happen both or not at all", async () => {
    const refused = await storage.commit([
      { key: key("pair-1"), revision: 0, value: value("pair-1") },
      { key: key("contended"), revision: 1, value: value("contended") },
    ]);
    assert.ok(!refused.committed);
    assert.equal(await storage.get(key("pair-1")), undefined);
  });

  test("a list at an old revision sees the old state, and 410 Expired after compaction", async () => {
    const before = await storage.currentRevision();
    await put("later", 0);
    const page = await storage.list(prefix, { revision: before, limit: 2 });
    assert.equal(page.objects.length, 2);
    assert.ok(page.remaining > 0);
    const rest = await storage.list(prefix, { revision: before, startAfter: page.objects[1]!.key });
    assert.ok(!rest.objects.some((object) => object.key === key("later")));
    await etcd.compact({ revision: await storage.currentRevision() });
    await assert.rejects(storage.list(prefix, { revision: before }), (e: { code?: number }) => e.code === 410);
  });

  test("when the watch at the store is lost for good, watchers hear 410 and the cache is made anew", async () => {
    let handlers: WatchHandlers | undefined;
    const second = new WatchCache({
      etcd: {
        watch: (request, given) => {
          handlers = given;
          return etcd.watch(request, given);
        },
        requestProgress: () => etcd.requestProgress(),
      },
      storage,
      prefixes: [prefix],
      log: silentLogger,
    });
    await second.start();
    const reader = new Reader();
    second.watch(prefix, { scope: { prefix, exact: false }, selects: undefined, from: second.revision, sink: reader });
    const from = second.revision;
    handlers!.onClosed(new WatchClosed("compacted", from + 1));
    await reader.until(() => reader.ended);
    assert.deepEqual(reader.frames, ["ERROR 410"]);
    await put("meanwhile", 0);
    await second.consistent();
    assert.ok(second.resource(prefix).objects.has(key("meanwhile")));
    assert.throws(
      () => second.watch(prefix, { scope: { prefix, exact: false }, selects: undefined, from: from - 1, sink: reader }),
      /too old resource version/,
    );
    second.stop();
  });

  test("rubbish under a key of ours is left out, and what follows is not lost", async () => {
    await etcd.put({ key: key("rubbish"), value: "not an object" });
    await put("after-rubbish", 0);
    await cache.consistent();
    assert.ok(cache.resource(prefix).objects.has(key("after-rubbish")));
    const third = new WatchCache({ etcd, storage, prefixes: [prefix], log: silentLogger });
    await third.start();
    assert.equal(third.resource(prefix).objects.has(key("rubbish")), false);
    assert.ok(third.resource(prefix).objects.has(key("after-rubbish")));
    third.stop();
    await etcd.deleteRange({ key: key("rubbish") });
  });
});
