import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, afterEach, expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { peer } from "../../tools/peers.ts";
import { Lessor } from "../lease/lessor.ts";
import { hashKV } from "../mvcc/hash.ts";
import { Store } from "../mvcc/store.ts";
import { keyText, valueBytes } from "../mvcc/version.ts";
import { freePorts } from "../server/testing.ts";
import { nodeDisk } from "../wal/disk.ts";
import { withDb, writeDb } from "./db-file.ts";
import { readKeys } from "./key-rows.ts";
import { decodeSnap } from "./snap-file.ts";
import { noAuth, readState, type State } from "./state.ts";

const etcd = peer("etcd");
const etcdctl = peer("etcdctl");
const root = mkdtempSync(join(tmpdir(), "snap-etcd-"));
let running: ChildProcess | undefined;
let client = "";

afterEach(() => stop("SIGKILL"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function start(dir: string, ...flags: string[]): Promise<void> {
  const [clientPort, peerPort] = await freePorts(2);
  client = `http://127.0.0.1:${clientPort}`;
  const peerUrl = `http://127.0.0.1:${peerPort}`;
  const child = spawn(etcd!, [
    "--name=m",
    `--data-dir=${dir}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peerUrl}`,
    ...(flags.length > 0 ? flags : [`--initial-advertise-peer-urls=${peerUrl}`, `--initial-cluster=m=${peerUrl}`]),
  ]);
  running = child;
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stderr })) {
    lines.push(line);
    if (line.includes("ready to serve")) {
      child.stderr.resume();
      return;
    }
  }
  throw new Error(`etcd ended: ${lines.slice(-10).join("\n")}`);
}

async function stop(signal: NodeJS.Signals): Promise<void> {
  const child = running;
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill(signal);
  await gone;
}

function ctl(...args: string[]): string {
  const env = { ...process.env, ETCDCTL_API: "3" };
  return execFileSync(etcdctl!, [`--endpoints=${client}`, ...args], { env, encoding: "utf8" });
}

const hashOfEtcd = () =>
  (JSON.parse(ctl("endpoint", "hashkv", "-w", "json")) as [{ HashKV: { hash: number; compact_revision: number } }])[0]
    .HashKV;

async function load(path: string): Promise<{ state: State; store: Store; lessor: Lessor }> {
  return withDb(path, nodeDisk, async (db) => {
    const state = await readState(db);
    const lessor = new Lessor(1);
    for (const { id, ttl } of state.leases) lessor.grant(id, ttl, 0);
    const store = new Store(lessor);
    await readKeys(db, store, state);
    return { state, store, lessor };
  });
}

/** Puts, a transaction, deletions, a lease with a key, and a compaction with history on both sides of it. */
function write(): string {
  for (let i = 0; i < 60; i++) ctl("put", `key-${i % 20}`, `value-${i}-${"x".repeat(i * 20)}`);
  const lease = /lease ([0-9a-f]+) granted/.exec(ctl("lease", "grant", "3000"))![1]!;
  ctl("put", "leased", "1", `--lease=${lease}`);
  ctl("del", "key-3");
  const { Status } = (JSON.parse(ctl("endpoint", "status", "-w", "json")) as [{ Status: Revision }])[0];
  ctl("compact", String(Status.header.revision - 5), "--physical");
  ctl("del", "key-4");
  ctl("put", "key-4", "again");
  ctl("del", "key-1", "key-19");
  return lease;
}
interface Revision {
  header: { revision: number };
}

const keysOf = (store: Store) => {
  const found: string[] = [];
  store.forEach({ key: "", end: null }, store.revision, (v) =>
    found.push(v.key, Buffer.from(valueBytes(v)).toString()),
  );
  return found;
};

test.skipIf(!etcd || !etcdctl)(
  "what a real etcd left behind is read: keys, revisions, HashKV, leases, membership",
  async () => {
    await start(`${root}/real`, "--snapshot-count=10");
    const lease = write();
    const hash = hashOfEtcd();
    const listed = ctl("get", "", "--from-key").split("\n").slice(0, -1);
    await stop("SIGTERM");

    const { state, store, lessor } = await load(`${root}/real/member/snap/db`);
    assert.deepEqual(keysOf(store), listed);
    assert.equal(store.compactRevision, hash.compact_revision);
    assert.equal(hashKV(store, 0), hash.hash);
    assert.deepEqual(lessor.ids(), [BigInt(`0x${lease}`)]);
    assert.deepEqual(lessor.timeToLive(BigInt(`0x${lease}`), 0)?.keys, ["leased"]);
    assert.ok(state.consistentIndex > 60);
    const names = (await nodeDisk.list(`${root}/real/member/snap`))!.filter((name) => name.endsWith(".snap"));
    const snap = decodeSnap(readFileSync(`${root}/real/member/snap/${names.at(-1)}`));
    expect(snap.members.map(({ name, clientURLs }) => ({ name, clientURLs }))).toEqual([
      { name: "m", clientURLs: [client] },
    ]);
    expect(snap.confState.voters).toEqual(snap.members.map(({ id }) => id));
    expect(state.members).toEqual(snap.members);
  },
);

const small: State = {
  consistentIndex: 0,
  term: 0,
  confState: undefined,
  members: [],
  removedMembers: [],
  clusterVersion: "3.6.0",
  downgradeTarget: "",
  leases: [{ id: 77n, ttl: 3000, remainingTTL: 0 }],
  alarms: [],
  auth: noAuth(),
};

function filledStore(rows: number): Store {
  const lessor = new Lessor(1);
  for (const { id, ttl } of small.leases) lessor.grant(id, ttl, 0);
  const store = new Store(lessor);
  for (let i = 0; i < rows; i++) {
    const txn = store.begin();
    txn.put(
      `key-${(i * 7919) % Math.ceil(rows / 3)}`,
      Buffer.from(`value ${i} ${"y".repeat(i % 997)}`),
      i % 50 ? 0n : 77n,
    );
    if (i % 11 === 0) txn.deleteRange({ key: `key-${i % 100}`, end: undefined });
    txn.end();
  }
  store.compact(Math.floor(rows / 2));
  while (store.compactStep(1000));
  return store;
}

test.skipIf(!etcdctl)("etcdctl reads the file that we write: revision, keys and size", async () => {
  const store = filledStore(20_000);
  const path = `${root}/ours.db`;
  const size = await writeDb(path, small, store.view(), nodeDisk, systemClock);
  const status = JSON.parse(ctl("snapshot", "status", path, "-w", "json")) as Record<string, number>;
  expect(status["revision"]).toBe(store.revision);
  expect(status["totalSize"]).toBe(size);
  expect(statSync(path).size).toBe(size);
  const meta = 5; // consistent_index, term, storageVersion, two compact revisions
  expect(status["totalKey"]).toBe(store.view().count + meta + small.leases.length + 1);
});

test.skipIf(!etcd || !etcdctl)(
  "a real etcd that is restored from our file has our keys, history, leases and HashKV",
  async () => {
    const store = filledStore(5000);
    await writeDb(`${root}/ours.db`, small, store.view(), nodeDisk, systemClock);
    ctl(
      "snapshot",
      "restore",
      `${root}/ours.db`,
      "--skip-hash-check",
      "--name=m",
      "--initial-cluster=m=http://localhost:2380",
      `--data-dir=${root}/restored`,
    );
    await start(`${root}/restored`, "--initial-advertise-peer-urls=http://localhost:2380");
    expect(hashOfEtcd().hash).toBe(hashKV(store, 0));
    expect(ctl("get", "", "--from-key").split("\n").slice(0, -1)).toEqual(keysOf(store));
    const ttl = JSON.parse(ctl("lease", "timetolive", "4d", "--keys", "-w", "json")) as { keys: string[] };
    const leased: string[] = [];
    store.forEach({ key: "", end: null }, store.revision, (v) => {
      if (v.lease === 77n) leased.push(v.key);
    });
    expect(ttl.keys.map((key) => keyText(Buffer.from(key, "base64"))).sort()).toEqual(leased);
    ctl("put", "key-after", "1");
    ctl("compact", String(store.revision), "--physical"); // etcd deletes in the pages that we packed
    await stop("SIGTERM");

    const { store: again } = await load(`${root}/restored/member/snap/db`);
    store.compact(store.revision);
    while (store.compactStep(1000));
    const txn = store.begin();
    txn.put("key-after", Buffer.from("1"), 0n);
    txn.end();
    expect(hashKV(again, 0)).toBe(hashKV(store, 0));
    expect(keysOf(again)).toEqual(keysOf(store));
  },
);
