import assert from "node:assert/strict";
import { afterAll, beforeAll, test } from "vitest";
import { startTestCluster, type TestCluster } from "../etcd-raft/server/testing.ts";
import { call, configMap, TestWatch } from "./http.testing.ts";
import { startTestApiserver, type TestApiserver } from "./testing.ts";

/** Three members below one apiserver, and one of them leaves. */
let store: TestCluster;
let server: TestApiserver;
beforeAll(async () => {
  store = await startTestCluster(3);
  await store.leader();
  server = await startTestApiserver({ etcdEndpoints: store.endpoints });
});
afterAll(async () => {
  await server?.close();
  await store?.close();
});

const maps = "/api/v1/namespaces/default/configmaps";

test("while the leader stops and comes back, every write is answered once and seen once, by reads and by a watch", async () => {
  const { resourceVersion } = (await call(server, maps)).json.metadata;
  const watch = new TestWatch(server, `${maps}?watch=true&resourceVersion=${resourceVersion}`);
  const total = 60;
  const refused: string[] = [];
  let next = 0;
  const writer = async () => {
    while (next < total) {
      const name = `w${next++}`;
      const answer = await call(server, maps, { method: "POST", body: configMap(name) });
      if (answer.code !== 201) refused.push(`${name}: ${answer.text}`);
      if (name === `w${total / 3}`) {
        const leader = await store.leader();
        await store.stop(leader);
        await store.start(leader);
      }
    }
  };
  try {
    await Promise.all([writer(), writer(), writer(), writer()]);
    assert.deepEqual(refused, []);
    const { items } = (await call(server, maps)).json;
    assert.equal(items.length, total);
    await watch.until(() => watch.events.length >= total || watch.ended);
    assert.equal(watch.ended, false);
    assert.deepEqual([...watch.lines].sort(), Array.from({ length: total }, (_, i) => `ADDED w${i}`).sort());
    const revisions = watch.events.map(({ object }) => Number(object.metadata.resourceVersion));
    assert.deepEqual(
      revisions,
      [...revisions].sort((a, b) => a - b),
    );
  } finally {
    watch.close();
  }
});

test("without a majority writes and consistent reads fail with a Status, and what the cache has can still be read", async () => {
  const leader = await store.leader();
  const other = (leader + 1) % 3;
  await store.stop(leader);
  await store.stop(other);
  const [write, read, cached] = await Promise.all([
    call(server, maps, { method: "POST", body: configMap("lost") }),
    call(server, maps),
    call(server, `${maps}?resourceVersion=0`),
  ]);
  assert.deepEqual([write.code, write.json.reason], [504, "Timeout"]);
  assert.deepEqual([read.code, read.json.reason], [504, "Timeout"]);
  assert.equal(cached.code, 200);
  assert.match((await call(server, "/readyz")).text, /\[-\]etcd failed/);
  assert.equal((await call(server, "/livez")).text, "ok");
  await store.start(leader);
  await store.start(other);
  await store.leader();
  const again = await call(server, maps, { method: "POST", body: configMap("after") });
  assert.equal(again.code, 201, again.text);
  assert.equal((await call(server, "/readyz")).text, "ok");
});
