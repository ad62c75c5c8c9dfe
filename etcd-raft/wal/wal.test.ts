import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { crc32c } from "../crc32c.ts";
import type { Entry } from "../raft/types.ts";
import { type Disk, type DiskFile, nodeDisk } from "./disk.ts";
import { createWal, openWal, walExists } from "./wal.ts";

let root: string;
let dir: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "wal-"));
  dir = join(root, "wal");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const metadata = { nodeId: 0xf000000000000001n, clusterId: 7n };
const first = "0000000000000000-0000000000000000.wal";

function entry(index: number, term: number, data = `data ${index}`): Entry {
  return { index, term, type: 0, data: new TextEncoder().encode(data) };
}

function plain(entries: Entry[]): string[] {
  return entries.map((e) => `${e.index}/${e.term} ${new TextDecoder().decode(e.data)}`);
}

async function open(limit?: number, disk: Disk = nodeDisk) {
  const opened = await openWal(dir, disk, limit);
  const entries: Entry[] = [];
  const rest = await opened.replay(0, (run) => void entries.push(...run));
  return { ...opened, entries: [...entries, ...rest] };
}

async function reopen() {
  const opened = await open();
  await opened.wal.close();
  return opened;
}

describe("what was saved is there", () => {
  test("entries, hard state, metadata and the initial snapshot record", async () => {
    expect(await walExists(dir, nodeDisk)).toBe(false);
    const wal = await createWal(dir, metadata, nodeDisk);
    await wal.save({ term: 1, vote: 2n, commit: 0 }, [entry(1, 1), entry(2, 1)]);
    await wal.save({ term: 1, vote: 2n, commit: 2 }, []);
    await wal.close();
    expect(await walExists(dir, nodeDisk)).toBe(true);
    const opened = await reopen();
    expect(opened.metadata).toEqual(metadata);
    expect(opened.hardState).toEqual({ term: 1, vote: 2n, commit: 2 });
    expect(plain(opened.entries)).toEqual(["1/1 data 1", "2/1 data 2"]);
    expect(opened.snapshots).toEqual([{ index: 0, term: 0 }]);
    expect(opened.repaired).toBeUndefined();
  });

  test("an entry replaces the one of its index and all after it", async () => {
    const wal = await createWal(dir, metadata, nodeDisk);
    await wal.save(undefined, [entry(1, 1), entry(2, 1), entry(3, 1)]);
    await wal.save({ term: 2, vote: 0n, commit: 0 }, [entry(2, 2, "new")]);
    await wal.close();
    expect(plain((await reopen()).entries)).toEqual(["1/1 data 1", "2/2 new"]);
  });

  test("writing goes on after opening, through many cuts", async () => {
    let wal = await createWal(dir, metadata, nodeDisk, 4096);
    for (let i = 1; i <= 100; i++) {
      await wal.save({ term: i, vote: 1n, commit: i - 1 }, [entry(i, i, "x".repeat(300))]);
      if (i % 30 === 0) {
        await wal.close();
        const opened = await open(4096);
        expect(opened.entries.length).toBe(i);
        expect(opened.hardState).toEqual({ term: i, vote: 1n, commit: i - 1 });
        wal = opened.wal;
      }
    }
    await wal.close();
    const names = (await nodeDisk.list(dir))!.filter((name) => name.endsWith(".wal"));
    expect(names.length).toBeGreaterThan(5);
    expect(names[1]).toMatch(/^0000000000000001-00000000000000[0-9a-f]{2}\.wal$/);
    const { entries, hardState } = await reopen();
    expect(entries.map((e) => e.index)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    expect(hardState).toEqual({ term: 100, vote: 1n, commit: 99 });
  });

  test("a log is handed on while it is read: what is committed at once, the rest at the end", async () => {
    const wal = await createWal(dir, metadata, nodeDisk);
    for (let i = 1; i <= 40; i++)
      await wal.save({ term: 1, vote: 1n, commit: i - 1 }, [entry(i, 1, "x".repeat(200_000))]);
    await wal.close();
    let bytesRead = 0;
    const count = (file: DiskFile): DiskFile => ({
      ...file,
      async read(position, length) {
        const bytes = await file.read(position, length);
        bytesRead += bytes.length;
        return bytes;
      },
    });
    const disk: Disk = { ...nodeDisk, open: async (path, mode) => count(await nodeDisk.open(path, mode)) };
    const opened = await openWal(dir, disk);
    bytesRead = 0;
    let handed = 0;
    const rest = await opened.replay(0, (run) => {
      for (const { index, data } of run) {
        expect(index).toBe(++handed);
        expect(bytesRead - index * data.length).toBeLessThan(3_000_000); // never much more than is handed on
      }
    });
    expect([handed, plain(rest).length, rest[0]!.index]).toEqual([39, 1, 40]);
    await opened.wal.close();
  });

  test("a log in which an entry takes the place of a committed one is refused", async () => {
    const wal = await createWal(dir, metadata, nodeDisk);
    await wal.save({ term: 1, vote: 1n, commit: 2 }, [entry(1, 1), entry(2, 1)]);
    await wal.save({ term: 2, vote: 1n, commit: 2 }, [entry(2, 2)]);
    await wal.close();
    await expect(openWal(dir, nodeDisk)).rejects.toThrow(
      /is corrupt at offset \d+: entry 2 takes the place of one that is committed/,
    );
  });

  test("records longer than a reader's chunk", async () => {
    const wal = await createWal(dir, metadata, nodeDisk);
    const big = { index: 1, term: 1, type: 0, data: Buffer.alloc(3_000_001, "abc") };
    await wal.save(undefined, [big, entry(2, 1)]);
    await wal.close();
    const { entries } = await reopen();
    expect(Buffer.compare(entries[0]!.data, big.data)).toBe(0);
    expect(plain(entries.slice(1))).toEqual(["2/1 data 2"]);
  });
});

describe("the format", () => {
  test("bytes are laid out as etcd does", async () => {
    const wal = await createWal(dir, { nodeId: 1n, clusterId: 2n }, nodeDisk);
    await wal.save({ term: 5, vote: 3n, commit: 0 }, [entry(1, 5, "hi")]);
    await wal.close();
    const bytes = readFileSync(join(dir, first));
    expect(statSync(join(dir, first)).size).toBe(64_000_000);
    // Each record: its type, and the protobuf fields of its data, written out by hand.
    const expected = handmade([
      [4, []],
      [1, [0x08, 1, 0x10, 2]], // metadata: node id, cluster id
      [5, [0x08, 0, 0x10, 0]], // snapshot: index, term
      [2, [0x08, 0, 0x10, 5, 0x18, 1, 0x22, 2, 0x68, 0x69]], // entry: type, term, index, data
      [3, [0x08, 5, 0x10, 3, 0x18, 0]], // hard state: term, vote, commit
    ]);
    expect(bytes.subarray(0, expected.length).toString("hex")).toBe(expected.toString("hex"));
    expect(bytes.subarray(expected.length, expected.length + 4096).every((byte) => byte === 0)).toBe(true);
  });

  test("a file made by hand from the layout is read", async () => {
    await nodeDisk.makeDir(dir);
    const bytes = handmade([
      [4, []],
      [1, [0x08, 9, 0x10, 0x80, 0x01]],
      [5, [0x08, 0, 0x10, 0]],
      [2, [0x08, 1, 0x10, 1, 0x18, 1, 0x22, 1, 0x41]], // ConfChange
      [2, [0x08, 0, 0x10, 2, 0x18, 2]], // a leader's empty entry
      [3, [0x08, 2, 0x10, 9, 0x18, 1]],
    ]);
    writeFileSync(join(dir, first), Buffer.concat([bytes, Buffer.alloc(1000)]));
    const opened = await reopen();
    expect(opened.metadata).toEqual({ nodeId: 9n, clusterId: 128n });
    expect(opened.entries.map(({ type, term, index, data }) => [type, term, index, data.length])).toEqual([
      [1, 1, 1, 1],
      [0, 2, 2, 0],
    ]);
    expect(opened.hardState).toEqual({ term: 2, vote: 9n, commit: 1 });
  });
});

/** Frames from record types and data bytes, without the code under test (but for the checksum). */
function handmade(records: [type: number, data: number[]][]): Buffer {
  let crc = 0;
  const frames = records.map(([type, data]) => {
    crc = crc32c(crc, Uint8Array.from(data));
    const varint: number[] = [];
    for (let rest = crc; ; rest = Math.floor(rest / 128)) {
      varint.push(rest < 128 ? rest : (rest % 128) + 128);
      if (rest < 128) break;
    }
    const record = [0x08, type, 0x10, ...varint, ...(data.length > 0 ? [0x1a, data.length, ...data] : [])];
    const padding = (8 - (record.length % 8)) % 8;
    const length = [record.length, 0, 0, 0, 0, 0, 0, padding === 0 ? 0 : 0x80 + padding];
    return [...length, ...record, ...Array<number>(padding).fill(0)];
  });
  return Buffer.from(frames.flat());
}

describe("damage", () => {
  /** Two entries, the second longer than two sectors; returns where it lies. */
  async function twoEntries(): Promise<{ path: string; start: number; end: number }> {
    const wal = await createWal(dir, metadata, nodeDisk);
    await wal.save({ term: 1, vote: 1n, commit: 0 }, [entry(1, 1)]);
    const path = join(dir, first);
    const start = endOfRecords(path);
    await wal.save(undefined, [entry(2, 1, "y".repeat(2000))]);
    await wal.close();
    return { path, start, end: endOfRecords(path) };
  }

  function endOfRecords(path: string): number {
    const bytes = readFileSync(path);
    let end = bytes.length;
    while (bytes[end - 1] === 0) end--;
    return Math.ceil(end / 8) * 8;
  }

  function patch(path: string, at: number, bytes: Uint8Array): void {
    const all = readFileSync(path);
    all.set(bytes, at);
    writeFileSync(path, all);
  }

  test("a torn tail is cut off, the file kept beside, and the place is written again", async () => {
    const { path, start } = await twoEntries();
    patch(path, Math.ceil(start / 512) * 512, new Uint8Array(512)); // one sector did not get there
    const opened = await open();
    expect(opened.repaired).toEqual({ file: path, offset: start });
    expect(plain(opened.entries)).toEqual(["1/1 data 1"]);
    expect(statSync(`${path}.broken`).size).toBe(64_000_000);
    await opened.wal.save(undefined, [entry(2, 1, "again")]);
    await opened.wal.close();
    const again = await reopen();
    expect(again.repaired).toBeUndefined();
    expect(plain(again.entries)).toEqual(["1/1 data 1", "2/1 again"]);
  });

  test("a file that ends within a record is a torn tail", async () => {
    const { path, end } = await twoEntries();
    truncateSync(path, end - 40);
    expect(plain((await reopen()).entries)).toEqual(["1/1 data 1"]);
  });

  test("what lies past the end of the records does not come back to life", async () => {
    const { path, start, end } = await twoEntries();
    const bytes = readFileSync(path).subarray(start, end);
    patch(path, start, new Uint8Array(8)); // the length did not get there, the rest did
    const opened = await openWal(dir, nodeDisk);
    await opened.wal.save(undefined, []);
    await opened.wal.close();
    expect(readFileSync(path).includes(bytes.subarray(8))).toBe(false);
  });

  test.each([
    ["a flipped bit in the last record", (d: { end: number }) => d.end - 100],
    ["a flipped bit in an earlier record", (d: { start: number }) => d.start - 5],
    ["a last record whose length runs past the end of the file", (d: { start: number }) => d.start + 4],
    ["a last record whose length takes in the zeros after it", (d: { start: number }) => d.start + 2],
  ])("%s is refused with file, offset and the way out", async (_, where) => {
    const damage = await twoEntries();
    const at = where(damage);
    patch(damage.path, at, Uint8Array.of(readFileSync(damage.path)[at]! ^ 1));
    await expect(openWal(dir, nodeDisk)).rejects.toThrow(
      new RegExp(`^wal: ${damage.path} is corrupt at offset \\d+: .* restore it from a backup`),
    );
  });

  test("a torn record that is not in the last segment is refused", async () => {
    const wal = await createWal(dir, metadata, nodeDisk, 4096);
    for (let i = 1; i <= 5; i++) await wal.save(undefined, [entry(i, 1, "z".repeat(2000))]);
    await wal.close();
    patch(join(dir, first), 1024, new Uint8Array(512));
    await expect(openWal(dir, nodeDisk)).rejects.toThrow(/0000-0000000000000000\.wal is corrupt at offset/);
  });

  test("a missing segment is refused", async () => {
    const wal = await createWal(dir, metadata, nodeDisk, 4096);
    for (let i = 1; i <= 10; i++) await wal.save(undefined, [entry(i, 1, "z".repeat(2000))]);
    await wal.close();
    const names = (await nodeDisk.list(dir))!.filter((name) => name.endsWith(".wal"));
    rmSync(join(dir, names[1]!));
    await expect(openWal(dir, nodeDisk)).rejects.toThrow("a segment is missing between it and");
  });

  test("no WAL at all is said as etcd says it", async () => {
    await expect(openWal(dir, nodeDisk)).rejects.toThrow("wal: file not found");
  });
});

describe("durability", () => {
  /** The real disk with every synced write held back until the test lets it go. */
  function heldDisk() {
    const syncs: { go: () => void; fail: (error: Error) => void }[] = [];
    let waiting: (() => void) | undefined;
    const wrap = (file: DiskFile): DiskFile => ({
      ...file,
      async writeThrough(position, bytes) {
        await new Promise<void>((go, fail) => {
          syncs.push({ go, fail });
          waiting?.();
        });
        await file.writeThrough(position, bytes);
      },
    });
    const disk: Disk = { ...nodeDisk, open: async (path, mode) => wrap(await nodeDisk.open(path, mode)) };
    const nextSync = async () => {
      if (syncs.length === 0) await new Promise<void>((resolve) => (waiting = resolve));
      return syncs.shift()!;
    };
    return { disk, nextSync, syncs };
  }

  async function created() {
    const held = heldDisk();
    return { wal: await createWal(dir, metadata, held.disk), ...held };
  }

  test("nothing resolves before the sync, and saves that came during one share the next", async () => {
    const { wal, nextSync, syncs } = await created();
    const order: string[] = [];
    const saves = [1, 2, 3].map((i) => wal.save(undefined, [entry(i, 1)]).then(() => order.push(`${i} durable`)));
    const one = await nextSync();
    order.push("first sync");
    one.go();
    await saves[0];
    const two = await nextSync();
    order.push("second sync");
    two.go();
    await Promise.all(saves);
    expect(order).toEqual(["first sync", "1 durable", "second sync", "2 durable", "3 durable"]);
    expect(syncs).toEqual([]);
    await wal.close();
  });

  test("a change of commit alone needs no sync, but waits for the writes before it", async () => {
    const { wal, nextSync, syncs } = await created();
    await wal.save({ term: 0, vote: 0n, commit: 1 }, []);
    expect(syncs).toEqual([]);
    const order: string[] = [];
    const entries = wal.save(undefined, [entry(1, 1)]);
    const after = wal.save({ term: 0, vote: 0n, commit: 2 }, []).then(() => order.push("after"));
    const sync = await nextSync();
    order.push("sync");
    sync.go();
    await Promise.all([entries, after]);
    expect(order).toEqual(["sync", "after"]);
    await wal.close();
    expect((await reopen()).hardState?.commit).toBe(2);
  });

  test("after a failed sync everything is refused, what was waiting too", async () => {
    const { wal, nextSync } = await created();
    const results = [wal.save(undefined, [entry(1, 1)]), wal.save(undefined, [entry(2, 1)])];
    (await nextSync()).fail(new Error("EIO: i/o error, fdatasync"));
    for (const result of results) await expect(result).rejects.toThrow("wal: stopped after a failed write: EIO");
    await expect(wal.save(undefined, [entry(3, 1)])).rejects.toThrow("EIO");
    await wal.close();
  });

  test("a WAL whose making was interrupted is not there", async () => {
    const full = async () => {
      throw new Error("ENOSPC: no space left on device");
    };
    const open: Disk["open"] = async (path, mode) => ({ ...(await nodeDisk.open(path, mode)), sync: full });
    await expect(createWal(dir, metadata, { ...nodeDisk, open })).rejects.toThrow("ENOSPC");
    expect(await walExists(dir, nodeDisk)).toBe(false);
    await (await createWal(dir, metadata, nodeDisk)).close();
    expect(await walExists(dir, nodeDisk)).toBe(true);
  });
});
