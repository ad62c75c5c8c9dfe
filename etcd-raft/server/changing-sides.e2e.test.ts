import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterEach, describe, test } from "vitest";
import { peer } from "../../tools/peers.ts";
import { freePorts } from "./testing.ts";

const etcd = peer("etcd");
const etcdctl = peer("etcdctl");
const ours = "dist/etcd-raft.mjs";

/** Members of ours and Debian's etcd 3.4 take turns on the same three data directories. */
describe.skipIf(!etcd || !etcdctl)("changing sides", () => {
  const dir = mkdtempSync(join(tmpdir(), "sides-"));
  let running: ChildProcess[] = [];
  const processes = new Map<number, ChildProcess>();
  afterEach(async () => {
    await stop("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  });

  let ports: number[] = [];
  const clientURL = (i: number) => `http://127.0.0.1:${ports[2 * i]}`;
  const peerURL = (i: number) => `http://127.0.0.1:${ports[2 * i + 1]}`;
  let members = [0, 1, 2];

  /** `initial`: as the cluster's beginning, or as it is for one that joins it. */
  async function start(binary: string, who = members, initial = [0, 1, 2], state = "new"): Promise<void> {
    await Promise.all(
      who.map(async (i) => {
        const flags = [
          `--name=m${i}`,
          `--data-dir=${dir}/m${i}`,
          `--listen-client-urls=${clientURL(i)}`,
          `--advertise-client-urls=${clientURL(i)}`,
          `--listen-peer-urls=${peerURL(i)}`,
          `--initial-advertise-peer-urls=${peerURL(i)}`,
          `--initial-cluster=${initial.map((k) => `m${k}=${peerURL(k)}`).join(",")}`,
          `--initial-cluster-state=${state}`,
          "--snapshot-count=100",
        ];
        const child = binary === ours ? spawn(process.execPath, [ours, ...flags]) : spawn(binary, flags);
        running.push(child);
        processes.set(i, child);
        const lines: string[] = [];
        await new Promise<void>((resolve, reject) => {
          createInterface({ input: child.stderr }).on("line", (line) => {
            lines.push(line);
            if (line.includes("ready to serve")) resolve();
          });
          child.once("exit", (code) =>
            reject(new Error(`${binary} ended with ${code}: ${lines.slice(-8).join("\n")}`)),
          );
        });
      }),
    );
  }

  async function stop(signal: NodeJS.Signals): Promise<void> {
    const children = running;
    running = [];
    await Promise.all(
      children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const gone = once(child, "exit");
        child.kill(signal);
        await gone;
      }),
    );
  }

  const ctl = async (...args: string[]) => {
    const env = { ...process.env, ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: members.map(clientURL).join(",") };
    return (await promisify(execFile)(etcdctl!, args, { env, timeout: 60_000, maxBuffer: 1 << 26 })).stdout;
  };

  /** One line of puts each as a transaction: fast, and the same through both. */
  async function write(name: string): Promise<void> {
    for (let i = 0; i < 150; i++) {
      const script = `\n${Array.from({ length: 5 }, (_, k) => `put key-${(i * 5 + k) % 90} ${name}-${i}-${k}`).join("\n")}\n\n\n`;
      const child = execFile(etcdctl!, ["txn"], {
        env: { ...process.env, ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: clientURL(members[i % members.length]!) },
      });
      const gone = once(child, "exit");
      child.stdin!.end(script);
      assert.deepEqual(await gone, [0, null]);
    }
    await ctl("del", `key-${name.length}`);
  }

  /** What every member must say alike before and after: all keys with their revisions, the hash, the leases, the names. */
  async function state(): Promise<unknown> {
    const hashes = JSON.parse(await ctl("endpoint", "hashkv", "-w", "json")) as {
      HashKV: { hash: number; compact_revision: number };
    }[];
    assert.equal(new Set(hashes.map(({ HashKV }) => HashKV.hash)).size, 1, "the members agree");
    const { kvs } = JSON.parse(await ctl("get", "", "--from-key", "-w", "json")) as { kvs: unknown[] };
    const { HashKV } = hashes[0]!;
    const ids = (await ctl("member", "list")).trim().split("\n").sort();
    return { kvs, hash: HashKV.hash, compacted: HashKV.compact_revision, ids, leases: await ctl("lease", "list") };
  }

  test("ours, etcd's, ours again: keys, history, HashKV, leases, membership and users stay", async () => {
    ports = await freePorts(6);
    await start(ours);
    await write("first");
    const lease = /lease (\w+) granted/.exec(await ctl("lease", "grant", "5000"))![1]!;
    await ctl("put", "leased", "1", `--lease=${lease}`);
    await ctl("compact", "100");
    await ctl("user", "add", "somebody:secret");
    const before = await state();
    await stop("SIGTERM");

    await start(etcd!);
    assert.deepEqual(await state(), before);
    assert.match(await ctl("lease", "timetolive", lease, "--keys"), /attached keys\(\[leased\]\)/);
    assert.equal(await ctl("user", "list"), "somebody\n");
    await write("second");
    await ctl("compact", "250");
    const between = await state();
    await stop("SIGTERM");

    await start(ours);
    assert.deepEqual(await state(), between);
    assert.match(await ctl("lease", "timetolive", lease, "--keys"), /attached keys\(\[leased\]\)/);
    assert.equal(await ctl("user", "list"), "somebody\n");
    await write("third");
    await state();
    await stop("SIGKILL");

    await start(etcd!);
    await state();
  });

  /** Changes are refused until the members have been connected for five seconds. */
  async function changed(...args: string[]): Promise<string> {
    const deadline = performance.now() + 40_000;
    for (;;) {
      try {
        return await ctl(...args);
      } catch (error) {
        const { stderr = "" } = error as { stderr?: string };
        if (!/unhealthy cluster|in sync with leader/.test(stderr) || performance.now() > deadline) throw error;
      }
    }
  }

  async function add(binary: string, i: number, ...more: string[]): Promise<void> {
    await changed("member", "add", `m${i}`, `--peer-urls=${peerURL(i)}`, ...more);
    await start(binary, [i], [...members, i], "existing");
    if (more.length > 0) await changed("member", "promote", await idOf(i));
    members = [...members, i];
  }

  async function remove(i: number): Promise<void> {
    members = members.filter((other) => other !== i);
    const child = processes.get(i)!;
    const gone = child.exitCode === null ? once(child, "exit") : Promise.resolve();
    await changed("member", "remove", await idOf(i));
    await gone;
    running = running.filter((other) => other !== child);
  }

  async function idOf(i: number): Promise<string> {
    const line = (await ctl("member", "list")).split("\n").find((other) => other.includes(peerURL(i)));
    return line!.split(",")[0]!;
  }

  test("a log without any snapshot is enough for etcd: it says who is in the cluster", async () => {
    ports = await freePorts(6);
    await start(ours);
    for (let i = 0; i < 5; i++) await ctl("put", `key-${i}`, "x");
    const before = await state();
    await stop("SIGKILL");
    await start(etcd!);
    assert.deepEqual(await state(), before);
  });

  test("a cluster whose members were added, promoted, moved and removed by one goes on with the other", async () => {
    ports = await freePorts(12);
    members = [0, 1, 2];
    await start(ours);
    await write("first");
    await add(ours, 3, "--learner");
    await remove(0);
    const before = await state();
    await stop("SIGTERM");

    await start(etcd!);
    assert.deepEqual(await state(), before);
    await write("second");
    await add(etcd!, 4);
    await remove(2);
    const between = await state();
    await stop("SIGTERM");

    await start(ours);
    assert.deepEqual(await state(), between);
    await write("third");
    await add(ours, 5);
    await remove(1);
    await ctl("member", "update", await idOf(4), `--peer-urls=${peerURL(4)},http://127.0.0.1:1`);
    await ctl("member", "update", await idOf(4), `--peer-urls=${peerURL(4)}`);
    const after = await state();
    // No snapshot in order: all of it comes from the log.
    await stop("SIGKILL");

    await start(etcd!);
    assert.deepEqual(await state(), after);
    await write("fourth");
  });
});
