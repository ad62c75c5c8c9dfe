import { expect, test } from "vitest";
import { silentLogger } from "../../base/logger.ts";
import { seededRand } from "../../base/rand.ts";
import { confOf } from "../../etcd-raft/raft/conf.ts";
import { Applier } from "../../etcd-raft/server/applier.ts";
import { LogMemory } from "../../etcd-raft/server/log-memory.ts";
import { Snapshots } from "../../etcd-raft/server/snapshots.ts";
import type { Disk } from "../../etcd-raft/wal/disk.ts";
import { createWal, openWal } from "../../etcd-raft/wal/wal.ts";
import { SimDisk } from "./sim-disk.ts";
import { VirtualClock } from "./virtual-clock.ts";

const rows: [string, Partial<Record<"before" | "at" | "free", string | number>>][] = [
  ["too little is left to begin", { free: 1 }],
  ["its file cannot be made", { before: "db.tmp" }],
  ["it is full with the first page", { at: "db.tmp" }],
  ["it is full with the .snap", { before: ".snap.tmp" }],
  ["it is full with the bytes of the .snap", { at: ".snap.tmp" }],
];

test.each(rows)(
  "a snapshot that meets a full disk is left, its half file too, and tried again: %s",
  async (_, when) => {
    const clock = new VirtualClock();
    clock.every(1, () => {}); // it goes on
    const sim = new SimDisk(clock, seededRand(1));
    const plain = sim.view({ alive: true, enter: (fn) => fn() });
    let room = false;
    const disk: Disk = {
      ...plain,
      ...(when.free && { freeBytes: async () => (room ? 2 ** 40 : 1) }),
      async open(path, mode) {
        const isIt = (what?: string | number) => !room && what !== undefined && path.endsWith(String(what));
        if (isIt(when.before))
          throw Object.assign(new Error("ENOSPC: no space left on device, open"), { code: "ENOSPC" });
        sim.full = isIt(when.at);
        return plain.open(path, mode);
      },
    };
    const run = async <R>(work: Promise<R>): Promise<R> => {
      let done = false;
      void work.finally(() => {
        done = true;
      });
      await clock.run(clock.monotonic() + 1000, () => done);
      expect(done).toBe(true);
      return work;
    };
    await run(plain.makeDir("/member/snap"));
    const entries = [1, 2, 3].map((index) => ({ index, term: 1, type: 0, data: new Uint8Array(0) }));
    const hardState = { term: 1, vote: 0n, commit: 3 };
    const metadata = { nodeId: 1n, clusterId: 2n };
    const wal = await run(createWal("/wal", metadata, disk, 100_000, { entries, hardState }));
    const applier = new Applier({ minLeaseTTL: 1, clock, tokenTtlMs: undefined });
    applier.applied = { index: 3, term: 1 };
    applier.membership.conf = confOf([1n]);
    const events: string[] = [];
    const snapshots = new Snapshots(
      { dataDir: "", disk, clock, log: silentLogger, snapshotCount: 3, snapshotCatchupEntries: 10 },
      { wal, applier, memory: new LogMemory(10), members: [] } as never,
      {
        compact: () => {},
        transport: undefined as never,
        onSent: () => expect.fail("nobody asked"),
        onFull: (error) => void events.push(error.message.split(",")[0]!),
        onFatal: (error) => expect.fail(error.message),
        onEvent: ({ kind }) => void events.push(kind),
      },
    );
    for (const entry of entries) snapshots.count(entry);
    snapshots.applied();
    await clock.run(4000);
    expect(events).toEqual(["SnapshotBegun", expect.stringMatching(/^ENOSPC: no space left/)]);
    const names = await run(plain.list("/member/snap"));
    expect(names!.filter((name) => name.endsWith(".tmp"))).toEqual([]);
    expect(names!.some((name) => name.endsWith(".snap"))).toBe(false);
    sim.full = false;
    room = true;
    await clock.run(10_000);
    expect(events.slice(2)).toEqual(["SnapshotBegun", "SnapshotSaved"]);
    expect(await run(plain.list("/member/snap"))).toEqual(["0000000000000001-0000000000000003.snap", "db"]);
    await run(snapshots.close());
    await run(wal.close());
    const opened = await run(openWal("/wal", plain, 100_000));
    expect(opened.snapshots.at(-1)).toMatchObject({ index: 3, term: 1 });
    expect(opened.lastIndex).toBe(3);
  },
);
