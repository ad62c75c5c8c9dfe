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
  afterEach(async () => {
    await stop("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  });

  let ports: number[] = [];
  const clientURL = (i: number) => `http://127.0.0.1:${ports[2 * i]}`;
  const peerURL = (i: number) => `http://127.0.0.1:${ports[2 * i + 1]}`;
  const members = [0, 1, 2];

  async function start(binary: string): Promise<void> {
    await Promise.all(
      members.map(async (i) => {
        const flags = [
          `--name=m${i}`,
          `--data-dir=${dir}/m${i}`,
          `--listen-client-urls=${clientURL(i)}`,
          `--advertise-client-urls=${clientURL(i)}`,
          `--listen-peer-urls=${peerURL(i)}`,
          `--initial-advertise-peer-urls=${peerURL(i)}`,
          `--initial-cluster=${members.map((k) => `m${k}=${peerURL(k)}`).join(",")}`,
          "--snapshot-count=100",
        ];
        const child = binary === ours ? spawn(process.execPath, [ours, ...flags]) : spawn(binary, flags);
        running.push(child);
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
        env: { ...process.env, ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: clientURL(i % 3) },
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
});
