import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, test } from "vitest";
import { peer } from "../../tools/peers.ts";
import { startTestCluster, type TestCluster } from "./testing.ts";

const etcdctl = peer("etcdctl");

/** A full store, with Debian's etcdctl. */
describe.skipIf(!etcdctl)("a store that is full", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startTestCluster(3, { flags: ["--quota-backend-bytes=100000"] });
    await cluster.leader();
  });
  afterAll(() => cluster?.close());

  const run = async (...args: string[]) => {
    const env = { ...process.env, ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: cluster.endpoints.join(",") };
    return (await promisify(execFile)(etcdctl!, args, { env, timeout: 30_000 })).stdout;
  };
  const fails = (...args: string[]) =>
    run(...args).then(
      () => assert.fail(`etcdctl ${args.join(" ")} did not fail`),
      (error: { stderr: string }) => error.stderr,
    );
  const health = async (query = "") => {
    const response = await fetch(`${cluster.endpoints[0]}/health${query}`);
    return [response.status, await response.json()];
  };

  test("refuses writes, raises NOSPACE on all members, and goes on reading and deleting", async () => {
    const value = "x".repeat(10_000);
    let written = 0;
    await assert.rejects(
      async () => {
        for (; written < 20; written++) await cluster.client.put({ key: `k${written}`, value });
      },
      { message: "etcdserver: mvcc: database space exceeded", code: 8 },
    );
    assert.equal(written, 9);
    const keys = await cluster.client.range({ key: "k", rangeEnd: "l", countOnly: true });
    assert.equal(keys.count, written, "what was acknowledged is there, what was refused is not");
    assert.match(await run("alarm", "list"), /^memberID:\d+ alarm:NOSPACE \n$/);
    assert.match(await fails("put", "small", "1"), /database space exceeded/);
    assert.match(await fails("lease", "grant", "60"), /database space exceeded/);
    assert.deepEqual(await health(), [503, { health: "false", reason: "ALARM NOSPACE" }]);
    assert.deepEqual(await health("?exclude=NOSPACE"), [200, { health: "true", reason: "" }]);
    assert.match(await run("endpoint", "status"), /alarm:NOSPACE/);
    assert.equal(await run("del", "k", "--prefix"), "9\n");
  });

  test("compaction makes room; disarmed it takes writes again, without defragmentation", async () => {
    const { header } = await cluster.client.range({ key: "k" });
    await run("compact", "--physical", `${header!.revision}`);
    assert.match(await fails("put", "a", "1"), /database space exceeded/, "the alarm stays until it is disarmed");
    assert.match(await run("alarm", "disarm"), /alarm:NOSPACE/);
    assert.equal(await run("alarm", "list"), "");
    assert.equal(await run("put", "a", "1"), "OK\n");
    assert.deepEqual(await health(), [200, { health: "true", reason: "" }]);
  });
});
