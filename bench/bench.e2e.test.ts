import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, test } from "vitest";
import { peer } from "../tools/peers.ts";
import type { Results } from "./results.ts";

/** That the benches run and count right, with both stores; how fast they are is asserted nowhere. */
const out = mkdtempSync(join(tmpdir(), "bench-"));
afterAll(() => rmSync(out, { recursive: true }));
const both = peer("etcd") !== undefined;
const stores = both ? ["ours", "etcd"] : ["ours"];

async function bench(name: string, ...flags: string[]): Promise<Results> {
  await promisify(execFile)(process.execPath, [`dist/bench/${name}.mjs`, `--out=${out}`, ...flags]);
  return JSON.parse(readFileSync(join(out, `${name}.json`), "utf8")) as Results;
}

test("bench store measures every workload on each store, and what it writes can be compared", async () => {
  const results = await bench("store", "--seconds=0.1", "--rounds=1", "--startup-mb=4", "--startup-trials=1");
  assert.deepEqual(results.failures, []);
  const h2load = peer("h2load") !== undefined;
  for (const store of stores) {
    const ids = new Set(results.series.filter((one) => one.store === store).map(({ id }) => id));
    for (const id of ["put/1", "put/1000", "range/10", "serializable/100", "txn/1000", "scan/1000", "watch/fan-out"])
      assert.ok(ids.has(id), `${store} ${id}`);
    for (const id of ["watch/latency", "lease/keepalive", "open-put/50", "open-range/75", "startup/all", "member/pss"])
      assert.ok(ids.has(id), `${store} ${id}`);
    assert.equal(ids.has("h2load-put/100"), h2load);
  }
  for (const { id, metric, values } of results.series) {
    assert.ok(
      values.every((value) => Number.isFinite(value)),
      `${id} ${metric}: ${values}`,
    );
  }
  assert.match(readFileSync(join(out, "store.md"), "utf8"), /\| put, 100 in flight \| requests\/s \|/);
  assert.match(readFileSync(join(out, "store.svg"), "utf8"), /^<svg /);
  const file = join(out, "store.json");
  const { stdout } = await promisify(execFile)(process.execPath, ["dist/bench/compare.mjs", file, file]);
  assert.match(stdout, /^0 worse, 0 better, /m);
});

test("bench failover finds no acknowledged write lost, whatever happens to the leader", async () => {
  const results = await bench("failover", "--trials=1", "--defaults=false");
  assert.deepEqual(results.failures, []);
  for (const store of stores) {
    const gaps = results.series.filter((one) => one.store === store && one.metric === "gap");
    assert.deepEqual(gaps.map(({ id }) => id).sort(), ["SIGSTOP", "SIGTERM", "kill -9", "partition"]);
  }
});
