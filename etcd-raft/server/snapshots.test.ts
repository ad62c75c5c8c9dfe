import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { silentLogger } from "../../base/logger.ts";
import { confOf } from "../raft/conf.ts";
import { writeDb } from "../snap/db-file.ts";
import { type Disk, nodeDisk } from "../wal/disk.ts";
import { Applier } from "./applier.ts";
import { LogMemory } from "./log-memory.ts";
import { Snapshots } from "./snapshots.ts";

test("the same state may come twice at once", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "snapshots-"));
  const dir = join(dataDir, "member/snap");
  mkdirSync(dir, { recursive: true });
  try {
    const applier = new Applier({ minLeaseTTL: 1, clock: systemClock, tokenTtlMs: undefined });
    applier.applied = { index: 5, term: 2 };
    const sent = join(dir, "sent");
    await writeDb(sent, applier.state(), applier.store.view(), nodeDisk, systemClock);
    const snapshots = new Snapshots(
      {
        dataDir,
        disk: nodeDisk,
        clock: systemClock,
        log: silentLogger,
        snapshotCount: 100,
        snapshotCatchupEntries: 10,
      },
      { applier, memory: new LogMemory(10), members: [] } as never,
      {
        compact: () => {},
        transport: undefined as never,
        onSent: assert.fail,
        onFull: assert.fail,
        onFatal: assert.fail,
        onEvent: () => {},
      },
    );
    const empty = { entries: [], commit: 0, reject: false, rejectHint: 0, context: new Uint8Array(0) };
    const at = { index: 5, logTerm: 2, conf: confOf([1n, 2n]) };
    const message = { type: "Snap" as const, from: 1n, to: 2n, term: 2, ...at, ...empty };
    const both = await Promise.all([snapshots.receive(message), snapshots.receive(message)]);
    for (const incoming of both) await incoming.write(readFileSync(sent));
    await Promise.all(both.map((incoming) => incoming.end()));
    assert.deepEqual(readdirSync(dir).sort(), [
      "0000000000000002-0000000000000005.snap",
      "0000000000000005.snap.db",
      "sent",
    ]);
  } finally {
    rmSync(dataDir, { recursive: true });
  }
});

test("a snapshot that had no room is not tried again while a received one is put in place", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "snapshots-"));
  const dir = join(dataDir, "member/snap");
  mkdirSync(dir, { recursive: true });
  try {
    const [applier, later] = [5, 9].map((index) => {
      const made = new Applier({ minLeaseTTL: 1, clock: systemClock, tokenTtlMs: undefined });
      made.applied = { index, term: 2 };
      return made;
    }) as [Applier, Applier];
    await writeDb(join(dir, "0000000000000009.snap.db"), later.state(), later.store.view(), nodeDisk, systemClock);
    let retry: (() => void) | undefined;
    const clock = {
      ...systemClock,
      after(_: number, fn: () => void) {
        retry = fn;
        return () => {};
      },
    };
    let room = 0;
    const opened: string[] = [];
    let rename = () => {};
    const renamed = new Promise<void>((resolve) => (rename = resolve));
    const disk: Disk = {
      ...nodeDisk,
      freeBytes: async () => room,
      async rename(from, to) {
        await renamed;
        await nodeDisk.rename(from, to);
      },
      open(path, mode) {
        opened.push(`${mode} ${path.slice(dir.length + 1)}`);
        return nodeDisk.open(path, mode);
      },
    };
    const memory = new LogMemory(10);
    const done = async () => {};
    let full = () => {};
    const isFull = new Promise<void>((resolve) => (full = resolve));
    const snapshots = new Snapshots(
      { dataDir, disk, clock, log: silentLogger, snapshotCount: 0, snapshotCatchupEntries: 10 },
      { applier, memory, members: [], wal: { save: done, saveSnapshot: done, release: done } } as never,
      {
        compact: () => {},
        transport: undefined as never,
        onSent: assert.fail,
        onFull: full,
        onFatal: assert.fail,
        onEvent: () => {},
      },
    );
    snapshots.applied();
    await isFull;
    while (retry === undefined) await new Promise((resolve) => setImmediate(resolve));
    room = Number.POSITIVE_INFINITY;
    const installed = snapshots.install({ index: 9 });
    await new Promise((resolve) => setImmediate(resolve));
    retry();
    rename();
    await installed;
    assert.deepEqual(opened, ["existing db"]);
    assert.equal(applier.applied.index, 9);
  } finally {
    rmSync(dataDir, { recursive: true });
  }
});
