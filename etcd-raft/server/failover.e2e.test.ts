import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, test } from "vitest";
import { askFaults } from "../../base/faults.ts";
import { GrpcClient } from "../../net/grpc-client.ts";
import { MaintenanceService } from "../../proto/generated/etcdserverpb.ts";
import { Code, GrpcError } from "../client/client.ts";
import type { HistoryEvent } from "./history.ts";
import { type ProcessCluster, startProcessCluster } from "./testing.ts";

let cluster: ProcessCluster;
const sockets = mkdtempSync(join(tmpdir(), "failover-"));
const faultSocket = (i: number) => join(sockets, `${i}`);
beforeEach(async () => {
  cluster = await startProcessCluster(3, { flags: (i) => [`--fault-socket=${faultSocket(i)}`] });
});
afterEach(() => cluster?.close());
afterAll(() => rmSync(sockets, { recursive: true, force: true }));

/** Writes from several callers at once until told to stop; remembers what was acknowledged. */
function startWriters(count: number, timeoutMs = 8000, client = cluster.client) {
  const acknowledged: { key: string; revision: number }[] = [];
  const unknown: GrpcError[] = [];
  let running = true;
  let waiters: (() => void)[] = [];
  const writer = async (n: number) => {
    for (let i = 0; running; i++) {
      const key = `w/${n}/${i}`;
      try {
        const { header } = await client.put({ key, value: key }, { timeoutMs });
        acknowledged.push({ key, revision: header!.revision });
      } catch (error) {
        unknown.push(error as GrpcError);
      }
      for (const wake of waiters.splice(0)) wake();
    }
  };
  const all = Promise.all(Array.from({ length: count }, (_, n) => writer(n)));
  return {
    acknowledged,
    unknown,
    async more(n: number) {
      const target = acknowledged.length + n;
      while (acknowledged.length < target) await new Promise<void>((resolve) => waiters.push(resolve));
    },
    async stop() {
      running = false;
      await all;
      waiters = [];
    },
  };
}

async function allThere(acknowledged: { key: string; revision: number }[]): Promise<void> {
  const revision = (await cluster.client.range({ key: "x" })).header!.revision;
  const hashes = new Set<number>();
  for (const [i] of cluster.endpoints.entries()) {
    const client = cluster.clientOf(i);
    const { kvs } = await client.range({ key: "w/", rangeEnd: "w0" }, { timeoutMs: 30_000 });
    const found = new Map(kvs.map(({ key, modRevision }) => [Buffer.from(key).toString(), modRevision]));
    const lost = acknowledged.filter(({ key, revision: at }) => found.get(key) !== at);
    assert.deepEqual(lost, [], `member ${i} has not what was acknowledged`);
    hashes.add((await client.hashKV(revision)).hash);
  }
  assert.equal(hashes.size, 1, "HashKV differs");
}

describe("three members as processes", () => {
  test("kill -9 of the leader under writes: nothing acknowledged is lost, writes go on, the killed one catches up", async () => {
    const writers = startWriters(20);
    await writers.more(500);
    for (let round = 0; round < 2; round++) {
      const leader = await cluster.leader();
      await cluster.kill(leader, "SIGKILL");
      await writers.more(500);
      assert.notEqual(await cluster.leader(), leader);
      await cluster.start(leader);
      await writers.more(100);
    }
    await writers.stop();
    await allThere(writers.acknowledged);
    for (const error of writers.unknown) {
      assert.ok(
        error instanceof GrpcError && (error.code === Code.Unavailable || error.code === Code.DeadlineExceeded),
        `${error}`,
      );
    }
  });

  test("all three killed at once and restarted: nothing acknowledged is lost", async () => {
    const writers = startWriters(20);
    await writers.more(1000);
    await Promise.all([0, 1, 2].map((i) => cluster.kill(i, "SIGKILL")));
    await Promise.all([0, 1, 2].map((i) => cluster.start(i)));
    await writers.more(100);
    await writers.stop();
    await allThere(writers.acknowledged);
  });

  test("a watch goes on over a killed member: every event once, in order", async () => {
    const seen: number[] = [];
    let wake = () => {};
    const first = await cluster.client.put({ key: "start", value: "" });
    cluster.client.watch(
      { key: "w/", rangeEnd: "w0", startRevision: first.header!.revision },
      {
        onEvents(events) {
          for (const { kv } of events) seen.push(kv!.modRevision);
          wake();
        },
        onClosed: (error) => assert.fail(error),
      },
    );
    const writers = startWriters(5);
    await writers.more(200);
    for (const member of [0, 1]) {
      await cluster.kill(member, "SIGKILL"); // the watch is at one of the two
      await writers.more(200);
      await cluster.start(member);
    }
    await writers.stop();
    const { kvs } = await cluster.client.range({ key: "w/", rangeEnd: "w0", sortTarget: 3, sortOrder: 1 });
    const wanted = kvs.map(({ modRevision }) => modRevision);
    while (seen.length < wanted.length) await new Promise<void>((resolve) => (wake = resolve));
    assert.deepEqual(seen, wanted);
  });

  test("a leader that is stopped for a while and comes back finds its place; nothing acknowledged is lost", async () => {
    const { ID } = await cluster.client.leaseGrant({ TTL: 3 });
    await cluster.client.put({ key: "leased", value: "1", lease: ID });
    const leader = await cluster.leader();
    const writers = startWriters(5, 1000);
    await writers.more(100);
    cluster.signal(leader, "SIGSTOP");
    try {
      await writers.more(200);
      // Longer than the lease lives: only what reaches the new leader keeps it.
      for (const end = performance.now() + 4000; performance.now() < end; ) {
        assert.ok((await cluster.client.leaseKeepAlive(ID)).TTL > 0);
        await writers.more(50);
      }
    } finally {
      cluster.signal(leader, "SIGCONT");
    }
    await writers.more(200);
    assert.ok((await cluster.client.leaseKeepAlive(ID)).TTL > 0, "the old leader revoked a lease that lives");
    await writers.stop();
    await allThere(writers.acknowledged);
  });

  test("SIGTERM: the leader hands over and exits 0; writes hardly notice", async () => {
    const leader = await cluster.leader();
    const writers = startWriters(5);
    await writers.more(100);
    assert.equal(await cluster.kill(leader, "SIGTERM"), 0);
    const asked = ({ details }: HistoryEvent) => details["campaign"] === "transfer"; // nobody's timeout ran out
    await cluster.event(await cluster.leader(), "CampaignStarted", asked);
    await writers.more(100);
    await writers.stop();
    await cluster.start(leader);
    await allThere(writers.acknowledged);
  });

  test("what a follower had sent to a leader that is lost is answered as soon as that is known", async () => {
    const leader = await cluster.leader();
    const follower = (leader + 1) % 3;
    const writers = startWriters(5, 20_000, cluster.clientOf(follower));
    await writers.more(50);
    cluster.signal(leader, "SIGSTOP"); // takes what is sent to it, and does not answer
    try {
      const { details } = await cluster.event(follower, "ProposalsFailed");
      await writers.more(10);
      await writers.stop();
      assert.equal(writers.unknown.length, details["count"]);
      for (const { code, message } of writers.unknown) {
        const text = "etcdserver: request timed out, possibly due to previous leader failure";
        assert.deepEqual([code, message], [Code.Unavailable, text]);
      }
    } finally {
      cluster.signal(leader, "SIGCONT");
    }
    await allThere(writers.acknowledged);
  });

  test("a failed fdatasync ends the member at once; started again it has everything that was acknowledged", async () => {
    const writers = startWriters(10);
    await writers.more(100);
    const leader = await cluster.leader();
    const ended = cluster.ended(leader);
    await askFaults(faultSocket(leader), { set: "disk", fault: { type: "fail-sync" } });
    assert.equal(await ended, 1);
    assert.match(await cluster.logged(leader, "Cannot write to the WAL, exiting"), /EIO/);
    await writers.more(100);
    await cluster.start(leader);
    await writers.stop();
    await allThere(writers.acknowledged);
  });

  test("a full disk raises NOSPACE for all members and loses nothing; with room and disarmed they write again", async () => {
    const writers = startWriters(10);
    await writers.more(100);
    const full = ((await cluster.leader()) + 1) % 3;
    await askFaults(faultSocket(full), { set: "disk", fault: { type: "full-disk" } });
    await cluster.logged(full, "The disk is nearly full, writes are refused (alarm NOSPACE)");
    const client = new GrpcClient(new URL(cluster.endpoints[full]!).host);
    try {
      const { header } = await client.unary(MaintenanceService.Status, {});
      const alarms = async () => (await client.unary(MaintenanceService.Alarm, {})).alarms;
      const raised = { memberID: header!.memberId, alarm: 1 };
      assert.deepEqual(await alarms(), [raised]);
      await writers.stop();
      const refused = { code: Code.ResourceExhausted, message: "etcdserver: mvcc: database space exceeded" };
      for (const [i] of cluster.endpoints.entries())
        await assert.rejects(cluster.clientOf(i).put({ key: "a" }), refused);
      await allThere(writers.acknowledged);
      await askFaults(faultSocket(full), { clear: "*" });
      await client.unary(MaintenanceService.Alarm, { action: 2, ...raised });
      await cluster.client.put({ key: "a" });
    } finally {
      client.close();
    }
  });
});
