import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, test } from "vitest";
import { peer } from "../../tools/peers.ts";
import { startProcessCluster } from "./testing.ts";

const etcdctl = peer("etcdctl");

describe.skipIf(!etcdctl)("data that rots on one member's disk", () => {
  test("etcdctl alarm list names the member, all of KV is refused, and goes on once that is mended and the alarm taken back", async () => {
    const dir = mkdtempSync(join(tmpdir(), "etcd-raft-"));
    const flags: string[] = ["--corrupt-check-time=200ms"];
    const cluster = await startProcessCluster(3, { flags: (i) => [`--data-dir=${dir}/${i}`, ...flags] });
    const run = async (...args: string[]) => {
      const env = { ...process.env, ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: cluster.endpoints[0] };
      return (await promisify(execFile)(etcdctl!, args, { env, timeout: 30_000 })).stdout;
    };
    try {
      for (let i = 0; i < 20; i++) await cluster.client.put({ key: `k${i}`, value: `good${i}` });
      assert.equal(await run("alarm", "list"), "");
      const other = (await cluster.leader()) === 1 ? 2 : 1;
      const { header } = await cluster.clientOf(other).status();
      await cluster.kill(other, "SIGTERM");
      const db = join(dir, `${other}/member/snap/db`);
      const bytes = readFileSync(db);
      bytes.write("evil", bytes.indexOf("good7"));
      writeFileSync(db, bytes);
      flags.push("--experimental-initial-corrupt-check=true");
      await assert.rejects(cluster.start(other), /exited with 1: .*found data inconsistency with peers/s);
      flags.pop();
      await cluster.start(other);
      const event = await cluster.event(await cluster.leader(), "DataDiffers");
      assert.equal(event.details["peer"], header!.memberId.toString(16));
      let alarms = "";
      for (const end = performance.now() + 20_000; alarms === "" && performance.now() < end; )
        alarms = await run("alarm", "list");
      assert.equal(alarms, `memberID:${header!.memberId} alarm:CORRUPT \n`);
      await assert.rejects(run("put", "a", "b"), /etcdserver: corrupt cluster/);
      await cluster.kill(other, "SIGTERM");
      const before = readFileSync(db);
      before.write("good", before.indexOf("evil7"));
      writeFileSync(db, before);
      await cluster.start(other);
      await run("alarm", "disarm");
      assert.equal(await run("put", "a", "b"), "OK\n");
    } finally {
      await cluster.close();
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
