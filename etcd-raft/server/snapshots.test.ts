import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { silentLogger } from "../../base/logger.ts";
import { confOf } from "../raft/conf.ts";
import { writeDb } from "../snap/db-file.ts";
import { nodeDisk } from "../wal/disk.ts";
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
