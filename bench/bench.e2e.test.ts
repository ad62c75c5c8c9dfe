import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, test } from "vitest";
import { peer } from "../tools/peers.ts";
import { Cluster, defaultTimers, ourStore } from "./members.ts";
import type { Results } from "./results.ts";

/** That the benches run and count right, with both stores; how fast they are is asserted nowhere. */
const out = mkdtempSync(join(tmpdir(), "bench-"));
afterAll(() => rmSync(out, { recursive: true }));
const both = peer("etcd") !== undefined;
const stores = both ? ["ours", "etcd"] : ["ours"];

/** Runs it at a small size: nothing failed, every value is a number, and table and chart were drawn. */
async function bench(name: string, ...flags: string[]): Promise<Results> {
  await promisify(execFile)(process.execPath, [`dist/bench/${name}.mjs`, `--out=${out}`, ...flags]);
  const results = JSON.parse(readFileSync(join(out, `${name}.json`), "utf8")) as Results;
  assert.deepEqual(results.failures, []);
  for (const { id, metric, values } of results.series)
    assert.ok(values.length > 0 && values.every(Number.isFinite), `${id} ${metric}: ${values}`);
  assert.match(readFileSync(join(out, `${name}.svg`), "utf8"), /^<svg /);
  return results;
}

const idsOf = ({ series }: Results, store: string) =>
  new Set(series.filter((one) => one.store === store).map(({ id }) => id));

test("bench store measures every workload on each store, and what it writes can be compared", async () => {
  const results = await bench("store", "--seconds=0.1", "--rounds=1");
  for (const store of stores) {
    const ids = idsOf(results, store);
    for (const id of ["put/1", "put/1000", "range/10", "serializable/100", "txn/1000", "scan/1000", "watch/fan-out"])
      assert.ok(ids.has(id), `${store} ${id}`);
    for (const id of ["watch/latency", "lease/keepalive", "open-put/50", "open-range/75", "member/pss"])
      assert.ok(ids.has(id), `${store} ${id}`);
  }
  assert.match(readFileSync(join(out, "store.md"), "utf8"), /\| put, 100 in flight \| requests\/s \|/);
  const file = join(out, "store.json");
  const { stdout } = await promisify(execFile)(process.execPath, ["dist/bench/compare.mjs", file, file]);
  assert.match(stdout, /^0 worse, 0 better, /m);
});

test("bench failover finds no acknowledged write lost, whatever happens to the leader", async () => {
  const results = await bench("failover", "--trials=1", "--defaults=false");
  for (const store of stores) {
    const gaps = results.series.filter((one) => one.store === store && one.metric === "gap");
    assert.deepEqual(gaps.map(({ id }) => id).sort(), ["SIGSTOP", "SIGTERM", "kill -9", "partition"]);
  }
});

test("bench memory loads members, has one catch up, and restarts all", async () => {
  const results = await bench("memory", "--quick", "--megabytes=2", "--sizes=256", "--restarts=1", "--only=ours");
  const ids = idsOf(results, "ours");
  for (const stage of ["load", "a follower takes over the state", "restart after SIGKILL"])
    assert.ok(ids.has(`256/${stage}`), stage);
});

test("bench api measures what it is asked for", async () => {
  const results = await bench("api", "--quick", "--seconds=0.2", "--parts=get,watch");
  assert.ok(idsOf(results, "ours").has("watch/100"));
});

test("bench scale has a point of every curve", async () => {
  const results = await bench("scale", "--most=10", "--seconds=0.2", "--rounds=1", "--only=ours");
  const ids = idsOf(results, "ours");
  for (const axis of ["keys", "watchers", "objects", "nodes", "services"]) assert.ok(ids.has(`${axis}/10`), axis);
  for (const members of [1, 3, 5, 7]) assert.ok(ids.has(`members/${members}`), `${members} members`);
  assert.ok(results.series.some(({ id, metric }) => id === "nodes/10" && metric === "Pods to Ready"));
});

test("bench start has the times of a lab's first steps", async () => {
  const results = await bench("start", "--quick", "--members=1", "--nodes=1");
  assert.equal(idsOf(results, "ours").size, 5);
});

const etcdctl = peer("etcdctl");
test.skipIf(!etcdctl)(
  "etcdctl check perf runs against our members, and every write that it counts happened",
  async () => {
    const cluster = await Cluster.start(ourStore(defaultTimers), { signal: new AbortController().signal });
    try {
      const before = await cluster.revision(0);
      const args = [`--endpoints=${cluster.targets.join(",")}`, "check", "perf", "--load=s"];
      const env = { ...process.env, ETCDCTL_API: "3" };
      // Its exit code says whether the machine was fast enough, which is not asked here.
      const { stdout } = await promisify(execFile)(etcdctl!, args, { env }).catch(
        (error) => error as { stdout: string },
      );
      const perSecond = Number(/Throughput\D+(\d+) writes\/s/.exec(stdout)?.[1]);
      assert.match(stdout, /Slowest request took/);
      assert.doesNotMatch(stdout, /error/i);
      const written = (await cluster.revision(0)) - before - 1; // it deletes its keys in the end
      assert.ok(Math.abs(written / 60 / perSecond - 1) < 0.05, `${written} in a minute, ${perSecond} a second`);
    } finally {
      await cluster.stop();
    }
  },
);
