import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { askFaults, Faults } from "../../base/faults.ts";
import { VirtualClock } from "../../client/testing/virtual-clock.ts";
import type { Message } from "../raft/types.ts";
import { nodeDisk } from "../wal/disk.ts";
import { faultyDisk } from "../wal/faulty-disk.ts";
import { faultyTransport } from "./faulty-transport.ts";
import { startTestCluster } from "./testing.ts";
import type { PeerTransport, PeerTransportOptions } from "./transport.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "faults-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

test("a full disk refuses to grow a file and takes what fits into it; a failing one fails syncs; both mend", async () => {
  const faults = new Faults();
  const disk = faultyDisk(nodeDisk, faults, new VirtualClock());
  const file = await disk.open(join(dir, "f"), "create");
  await file.write(0, Buffer.from("12345678"));
  faults.set("full", { type: "full-disk" });
  await file.writeThrough(0, Buffer.from("abcd"));
  await assert.rejects(file.write(6, Buffer.from("xyz")), { code: "ENOSPC" });
  await assert.rejects(file.writeThrough(8, Buffer.from("x")), { code: "ENOSPC" });
  await assert.rejects(file.truncate(9), { code: "ENOSPC" });
  faults.clear("full");
  await file.write(8, Buffer.from("9"));
  faults.set("eio", { type: "fail-sync" });
  await assert.rejects(file.sync(), { code: "EIO" });
  await assert.rejects(file.writeThrough(0, Buffer.from("x")), { code: "EIO" });
  await assert.rejects(disk.syncDir(dir), { code: "EIO" });
  faults.clear("*");
  await file.sync();
  assert.equal(Buffer.from(await file.read(0, 20)).toString(), "abcd56789");
  await file.close();
});

test("a slow disk keeps a sync waiting, not a write", async () => {
  const [faults, clock] = [new Faults(), new VirtualClock()];
  const disk = faultyDisk(nodeDisk, faults, clock);
  const file = await disk.open(join(dir, "f"), "create");
  faults.set("slow", { type: "slow-sync", ms: 500 });
  await file.write(0, Buffer.from("x"));
  let done = false;
  const synced = file.sync().then(() => {
    done = true;
  });
  await clock.advance(499);
  assert.equal(done, false);
  await clock.advance(1);
  await synced;
  await file.close();
});

const message = (to: bigint, index: number): Message => ({
  type: "App",
  from: 1n,
  to,
  term: 1,
  index,
  logTerm: 1,
  entries: [],
  commit: 0,
  reject: false,
  rejectHint: 0,
  conf: undefined,
  context: new Uint8Array(0),
});

test("messages: a block loses them, a delay keeps their order also when it becomes less, without faults nothing is touched", async () => {
  const [faults, clock] = [new Faults(), new VirtualClock()];
  const sent: number[] = [];
  const received: number[] = [];
  let arrive: PeerTransportOptions["handlers"] | undefined;
  const options = {
    clock,
    handlers: { onMessage: ({ index }: Message) => received.push(index) },
  } as unknown as PeerTransportOptions;
  const transport = faultyTransport(
    options,
    faults,
    (id) => [`m${id}`],
    ({ handlers }) => {
      arrive = handlers;
      return {
        send: (messages: Message[]) => {
          sent.push(...messages.map(({ index }) => index));
          return messages.filter(({ index }) => index === 99);
        },
      } as unknown as PeerTransport;
    },
  );
  const stuck = transport.send([message(2n, 1), message(2n, 99)]);
  expect(stuck.map(({ index }) => index)).toEqual([99]);
  faults.set("cut", { type: "block", peer: "m2", direction: "out" });
  transport.send([message(2n, 2), message(3n, 3)]);
  arrive!.onMessage({ ...message(1n, 4), from: 2n });
  expect(sent).toEqual([1, 99, 3]);
  expect(received).toEqual([4]);
  faults.set("cut", { type: "delay", peer: "m2", direction: "both", ms: 100 });
  transport.send([message(2n, 5)]);
  arrive!.onMessage({ ...message(1n, 6), from: 2n });
  await clock.advance(50);
  faults.set("cut", { type: "delay", peer: "m2", direction: "both", ms: 10 });
  transport.send([message(2n, 7)]);
  faults.clear("*");
  transport.send([message(2n, 8), message(3n, 9)]);
  expect(sent).toEqual([1, 99, 3, 9]);
  expect(received).toEqual([4]);
  await clock.advance(50);
  expect(sent).toEqual([1, 99, 3, 9, 5, 7, 8]);
  expect(received).toEqual([4, 6]);
});

test("a leader cut off by its fault socket is replaced, and finds its place when that is cleared", async () => {
  const sockets = [0, 1, 2].map((i) => join(dir, `${i}.sock`));
  const cluster = await startTestCluster(3, { flags: (i) => [`--fault-socket=${sockets[i]}`] });
  try {
    const old = await cluster.leader();
    const others = [0, 1, 2].filter((i) => i !== old);
    await askFaults(sockets[old]!, { set: "cut", fault: { type: "block", peer: "*", direction: "both" } });
    // A read is asked again of the next leader; a write that was with the lost one would be refused as unknown.
    await cluster.clientOf(others[0]!).range({ key: "a" }, { timeoutMs: 20_000 });
    const put = await cluster.clientOf(others[0]!).put({ key: "a", value: "1" }, { timeoutMs: 20_000 });
    const told = cluster.members[old]!.member.history.since(0).map(({ message: text }) => text);
    assert.ok(told.includes("faults: block * both"));
    await askFaults(sockets[old]!, { clear: "*" });
    const { kvs, header } = await cluster.clientOf(old).range({ key: "a" }, { timeoutMs: 20_000 });
    assert.equal(kvs[0]!.modRevision, put.header!.revision);
    assert.equal(header!.raftTerm, put.header!.raftTerm);
    // By itself, or since it heard of the next term: whatever came first.
    const lost = cluster.members[old]!.member.history.since(0).filter(({ kind }) => kind === "LeaderLost");
    assert.ok(["quorumLost", "higherTerm"].includes(String(lost.at(-1)!.details["because"])));
  } finally {
    await cluster.close();
  }
});
