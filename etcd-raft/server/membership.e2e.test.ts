import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterEach, describe, test } from "vitest";
import { GrpcClient } from "../../net/grpc-client.ts";
import type { GrpcError } from "../../net/grpc-error.ts";
import { HealthService } from "../../net/grpc-health.ts";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import type { Method } from "../../proto/wire.ts";
import { peer } from "../../tools/peers.ts";
import { freePorts } from "./testing.ts";

const etcdctl = peer("etcdctl");

/** Debian's etcdctl changes a cluster of real processes, with the rules that protect its majority. */
describe.skipIf(!etcdctl)("members of a running cluster", () => {
  let dir: string;
  let ports: number[];
  const processes = new Map<number, { child: ChildProcess; log: string[] }>();
  afterEach(async () => {
    for (const i of [...processes.keys()]) await end(i, "SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  });

  const clientURL = (i: number) => `http://127.0.0.1:${ports[2 * i]}`;
  const peerURL = (i: number) => `http://127.0.0.1:${ports[2 * i + 1]}`;

  async function start(i: number, initial: number[], state = "new"): Promise<void> {
    const child = spawn(process.execPath, [
      "dist/etcd-raft.mjs",
      `--name=m${i}`,
      `--data-dir=${dir}/m${i}`,
      `--listen-client-urls=${clientURL(i)}`,
      `--advertise-client-urls=${clientURL(i)}`,
      `--listen-peer-urls=${peerURL(i)}`,
      `--initial-advertise-peer-urls=${peerURL(i)}`,
      `--initial-cluster=${initial.map((k) => `m${k}=${peerURL(k)}`).join(",")}`,
      `--initial-cluster-state=${state}`,
      "--heartbeat-interval=50",
      "--election-timeout=500",
    ]);
    const log: string[] = [];
    processes.set(i, { child, log });
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stderr }).on("line", (line) => {
        log.push(line);
        if (line.includes("ready to serve client requests")) resolve();
      });
      child.once("exit", (code) => reject(new Error(`m${i} ended with ${code}: ${log.slice(-5).join("\n")}`)));
    });
  }

  async function end(i: number, signal?: NodeJS.Signals): Promise<number | null> {
    const { child } = processes.get(i)!;
    processes.delete(i);
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const gone = once(child, "exit");
    if (signal) child.kill(signal);
    return (await gone)[0] as number | null;
  }

  const ctl = async (at: number[], ...args: string[]) => {
    const env = { ...process.env, ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: at.map(clientURL).join(",") };
    return (await promisify(execFile)(etcdctl!, args, { env, timeout: 60_000 })).stdout;
  };

  /** The rules count a connection after five seconds. */
  async function once5s(refusals: RegExp, call: () => Promise<string>): Promise<string> {
    const deadline = performance.now() + 30_000;
    for (;;) {
      try {
        return await call();
      } catch (error) {
        const { stderr = "" } = error as { stderr?: string };
        if (!refusals.test(stderr) || performance.now() > deadline) throw error;
      }
    }
  }
  const unhealthy = /unhealthy cluster/;

  async function list(at: number[]): Promise<{ id: string; started: boolean; peerURL: string; learner: boolean }[]> {
    const lines = (await ctl(at, "member", "list")).trim().split("\n");
    return lines.map((line) => {
      const [id, status, , url, , learner] = line.split(", ");
      return { id: id!, started: status === "started", peerURL: url!, learner: learner === "true" };
    });
  }
  const idOf = async (at: number[], i: number) => (await list(at)).find((member) => member.peerURL === peerURL(i))!.id;

  const refused = (text: string) => (error: { stderr: string }) => error.stderr.includes(text);

  /** Only Status, Snapshot and serializable Range, as etcd's interceptors have it; health is refused as well. */
  async function atLearner(i: number): Promise<void> {
    const not = "rpc error: code = FailedPrecondition desc = etcdserver: rpc not supported for learner";
    await assert.rejects(ctl([i], "put", "a", "1"), refused("rpc not supported for learner"));
    await assert.rejects(ctl([i], "get", "a"), refused(not));
    assert.equal(await ctl([i], "get", "a", "--consistency=s"), "");
    assert.ok((await ctl([i], "endpoint", "status", "-w", "fields")).includes('"IsLearner" : true'));
    await ctl([i], "snapshot", "save", `${dir}/of-learner.db`);
    const client = new GrpcClient(new URL(clientURL(i)).host);
    const all = [pb.KVService, pb.LeaseService, pb.ClusterService, pb.MaintenanceService, pb.AuthService];
    try {
      const answers: Record<string, string> = {};
      for (const [name, method] of [...all, HealthService].flatMap((service) => Object.entries(service))) {
        if (method.kind !== "unary") continue;
        const answer = client.unary(method as Method<object, object>, {}, { timeoutMs: 10_000 });
        const told = await answer.then(
          () => "",
          ({ code, message }: GrpcError) => `${code} ${message}`,
        );
        if (told !== "9 etcdserver: rpc not supported for learner") answers[name] = told;
      }
      assert.deepEqual(answers, { Status: "" });
      for (const method of [pb.WatchService.Watch, pb.LeaseService.LeaseKeepAlive]) {
        const stream = client.bidi(method as Method<object, object>);
        const read = async () => {
          for await (const _ of stream);
        };
        await assert.rejects(read(), { code: 9, message: "etcdserver: rpc not supported for learner" });
      }
    } finally {
      client.close();
    }
  }

  test("etcdctl member add, promote, update, remove and list", async () => {
    dir = mkdtempSync(join(tmpdir(), "members-"));
    ports = await freePorts(10);
    await start(0, [0]);
    const printed = await ctl([0], "member", "add", "m1", `--peer-urls=${peerURL(1)}`);
    assert.match(printed, /Member +\w+ added to cluster +\w+/);
    assert.ok(printed.includes('ETCD_INITIAL_CLUSTER_STATE="existing"'));
    assert.deepEqual((await list([0])).map(({ started }) => started).sort(), [false, true]);
    await start(1, [0, 1], "existing");

    // The third, as a learner: Raft gives it everything, and it does not count yet.
    await once5s(unhealthy, () => ctl([0], "member", "add", "m2", "--learner", `--peer-urls=${peerURL(2)}`));
    await assert.rejects(
      ctl([0], "member", "add", "m3", "--learner", `--peer-urls=${peerURL(3)}`),
      refused("too many learner members in cluster"),
    );
    // It has nothing yet.
    const notYet =
      "rpc error: code = FailedPrecondition desc = etcdserver: can only promote a learner member which is in sync with leader";
    await assert.rejects(ctl([0], "member", "promote", await idOf([0], 2)), refused(notYet));
    await start(2, [0, 1, 2], "existing");
    await atLearner(2);
    await once5s(/in sync with leader/, async () => ctl([0], "member", "promote", await idOf([0], 2)));
    await ctl([2], "put", "a", "1");
    assert.deepEqual(
      (await list([0, 1, 2])).map(({ learner }) => learner),
      [false, false, false],
    );

    // It moves to another address: told first, then started there.
    const moved = await idOf([0], 2);
    await ctl([0], "member", "update", moved, `--peer-urls=${peerURL(4)}`);
    await end(2, "SIGTERM");
    [ports[5], ports[9]] = [ports[9]!, ports[5]!];
    await start(2, [0, 1, 2]);
    await ctl([2], "get", "a");
    assert.equal(await idOf([0], 2), moved);

    // Removed, it stops by itself and says why; its data is of no use any more.
    await once5s(unhealthy, () => ctl([0], "member", "remove", moved));
    const { log } = processes.get(2)!;
    assert.equal(await end(2), 0);
    assert.ok(log.some((line) => line.includes("the member has been permanently removed from the cluster")));
    await assert.rejects(start(2, [0, 1, 2]), /permanently removed from the cluster/);
    processes.delete(2);
    await assert.rejects(ctl([0], "member", "remove", moved), refused("member not found"));

    // A connection that is young is none: three of two that are just back would hang on one that was never there.
    await end(1, "SIGKILL");
    await start(1, [0, 1]);
    await assert.rejects(ctl([0], "member", "add", "m3", `--peer-urls=${peerURL(3)}`), refused("unhealthy cluster"));
  }, 120_000);

  test("a dead member of three is replaced under load, and no write that was acknowledged is lost", async () => {
    dir = mkdtempSync(join(tmpdir(), "members-"));
    ports = await freePorts(8);
    await Promise.all([0, 1, 2].map((i) => start(i, [0, 1, 2])));
    const acknowledged: string[] = [];
    let loaded = true;
    const writer = async (name: string) => {
      for (let n = 0; loaded; n++) {
        const lines = Array.from({ length: 20 }, (_, k) => `put ${name}-${n}-${k} x`).join("\n");
        const env = { ...process.env, ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: clientURL(n % 2) };
        const child = execFile(etcdctl!, ["txn"], { env, timeout: 30_000 });
        const gone = once(child, "exit");
        child.stdin!.end(`\n${lines}\n\n\n`);
        if ((await gone)[0] === 0) acknowledged.push(`${name}-${n}-7`);
      }
    };
    const writers = ["x", "y"].map(writer);
    await once5s(unhealthy, async () => {
      // Known to be dead: it may be removed at once.
      if (processes.has(2)) await end(2, "SIGKILL");
      return ctl([0, 1], "member", "remove", await idOf([0, 1], 2));
    });
    await once5s(unhealthy, () => ctl([0, 1], "member", "add", "m3", `--peer-urls=${peerURL(3)}`));
    await start(3, [0, 1, 3], "existing");
    await ctl([3], "get", "x");
    loaded = false;
    await Promise.all(writers);
    assert.ok(acknowledged.length > 0);
    const keys = new Set((await ctl([3], "get", "", "--prefix", "--keys-only")).split("\n"));
    assert.deepEqual(
      acknowledged.filter((key) => !keys.has(key)),
      [],
    );
    const hashes = JSON.parse(await ctl([0, 1, 3], "endpoint", "hashkv", "-w", "json")) as {
      HashKV: { hash: number };
    }[];
    assert.equal(new Set(hashes.map(({ HashKV }) => HashKV.hash)).size, 1);
    // The new one counts: without another, two of three go on.
    await end(0, "SIGKILL");
    await ctl([1, 3], "put", "after", "1");
  }, 120_000);

  test("without a majority MemberList answers from the member, and linearizably not", async () => {
    dir = mkdtempSync(join(tmpdir(), "members-"));
    ports = await freePorts(6);
    await Promise.all([0, 1, 2].map((i) => start(i, [0, 1, 2])));
    const client = new GrpcClient(new URL(clientURL(0)).host);
    const members = async (linearizable: boolean) =>
      (await client.unary(pb.ClusterService.MemberList, { linearizable }, { timeoutMs: 30_000 })).members.length;
    try {
      assert.equal(await members(true), 3);
      await Promise.all([1, 2].map((i) => end(i, "SIGKILL")));
      await assert.rejects(members(true), {
        code: 14,
        message: /^etcdserver: (request timed out(, possibly due to .*)?|leader changed|no leader)$/,
      });
      assert.equal(await members(false), 3);
      assert.equal((await list([0])).length, 3); // etcdctl 3.4 does not ask for more
      await start(1, [0, 1, 2]);
      assert.equal(await members(true), 3);
    } finally {
      client.close();
    }
  }, 60_000);
});
