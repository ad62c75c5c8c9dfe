import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, test } from "vitest";
import { peer } from "../../tools/peers.ts";
import { freePorts, startTestCluster, type TestCluster } from "./testing.ts";

const etcd = peer("etcd");
const etcdctl = peer("etcdctl");

/** Debian's etcdctl 3.4 saves a running cluster of ours; Debian's etcd goes on from what it saved. */
describe.skipIf(!etcdctl || !etcd)("backup", () => {
  const dir = mkdtempSync(join(tmpdir(), "backup-"));
  let cluster: TestCluster;
  let running: ChildProcess | undefined;
  beforeAll(async () => {
    cluster = await startTestCluster(3);
  });
  afterEach(async () => {
    if (running && running.exitCode === null && running.signalCode === null) {
      const gone = once(running, "exit");
      running.kill("SIGKILL");
      await gone;
    }
  });
  afterAll(async () => {
    await cluster?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const ctl = async (endpoint: string, ...args: string[]) => {
    const env = { ...process.env, ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: endpoint };
    return (await promisify(execFile)(etcdctl!, args, { env, timeout: 60_000, maxBuffer: 1 << 28 })).stdout;
  };
  const hashOf = async (endpoint: string, revision: number) => {
    const [{ HashKV }] = JSON.parse(await ctl(endpoint, "endpoint", "hashkv", `--rev=${revision}`, "-w", "json")) as [
      { HashKV: { hash: number; compact_revision: number } },
    ];
    return [HashKV.hash, HashKV.compact_revision];
  };

  async function startEtcd(data: string): Promise<string> {
    const [clientPort, peerPort] = await freePorts(2);
    const client = `http://127.0.0.1:${clientPort}`;
    const child = spawn(etcd!, [
      "--name=r",
      `--data-dir=${data}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
    ]);
    running = child;
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stderr })) {
      lines.push(line);
      if (line.includes("ready to serve")) {
        child.stderr.resume();
        return client;
      }
    }
    throw new Error(`etcd ended: ${lines.slice(-10).join("\n")}`);
  }

  test("snapshot save, status and restore; a real etcd starts from it with the keys, leases and HashKV of one moment", async () => {
    const { client, endpoints } = cluster;
    await client.leaseGrant({ ID: 99n, TTL: 5000 });
    for (let i = 0; i < 3000; i += 100) {
      await Promise.all(
        Array.from({ length: 100 }, (_, k) =>
          client.put({ key: `key-${(i + k) % 700}`, value: "v".repeat((i + k) % 900), lease: k === 0 ? 99n : 0n }),
        ),
      );
    }
    await client.compact({ revision: 1500, physical: true });
    // Writes go on while it is saved: the file is of one revision all the same.
    let saving = true;
    const writing = (async () => {
      for (let i = 0; saving; i++) await client.put({ key: `during-${i % 50}`, value: `${i}` });
    })();
    const file = join(dir, "saved.db");
    await ctl(endpoints[1]!, "snapshot", "save", file);
    saving = false;
    await writing;

    assert.equal(statSync(file).size % 512, 32);
    const status = JSON.parse(await ctl("", "snapshot", "status", file, "-w", "json")) as Record<string, number>;
    assert.ok(status["revision"]! > 3000);
    assert.equal(status["totalSize"]! + 32, statSync(file).size);
    await ctl(
      "",
      ...["snapshot", "restore", file, "--name=r", `--data-dir=${dir}/restored`],
      "--initial-cluster=r=http://localhost:2380",
    );
    const real = await startEtcd(`${dir}/restored`);
    assert.deepEqual(await hashOf(real, 0), await hashOf(endpoints[1]!, status["revision"]!));
    const at = (endpoint: string) => ctl(endpoint, "get", "", "--from-key", `--rev=${status["revision"]}`);
    assert.equal(await at(real), await at(endpoints[0]!));
    const lease = await ctl(real, "lease", "timetolive", "--keys", "63");
    assert.match(lease, /granted with TTL\(5000s\)/);
    const attached = /attached keys\(\[(.*)\]\)/.exec(lease)?.[1]?.split(" "); // etcd keeps them in no order
    assert.deepEqual(
      attached?.sort(),
      ["0", "100", "200", "300", "400", "500", "600"].map((n) => `key-${n}`),
    );
  });

  test("a caller that goes away in the middle leaves nothing running, and the next one is served", async () => {
    const { client, endpoints } = cluster;
    await Promise.all(
      Array.from({ length: 20 }, (_, i) => client.put({ key: `big-${i}`, value: "x".repeat(1_000_000) })),
    );
    const child = spawn(etcdctl!, ["snapshot", "save", join(dir, "cut.db")], {
      env: { ...process.env, ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: endpoints[0] },
    });
    const gone = once(child, "exit");
    await once(child.stderr, "data"); // "fetching snapshot"
    child.kill("SIGKILL");
    await gone;
    await ctl(endpoints[0]!, "snapshot", "save", join(dir, "whole.db"));
    assert.ok(statSync(join(dir, "whole.db")).size > 20_000_000);
  });
});
