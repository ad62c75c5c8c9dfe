import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Entry } from "../raft/types.ts";
import { nodeDisk } from "./disk.ts";
import { createWal, openWal } from "./wal.ts";

let root: string;
let dir: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "wal-"));
  dir = join(root, "wal");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const metadata = { nodeId: 1n, clusterId: 7n };
const segmentBytes = 4096;
const entries = (from: number, to: number, term = 1): Entry[] =>
  Array.from({ length: to - from + 1 }, (_, i) => ({ index: from + i, term, type: 0, data: Buffer.alloc(200, i) }));
const segments = () => readdirSync(dir).filter((name) => name.endsWith(".wal"));

async function reopen() {
  const opened = await openWal(dir, nodeDisk, segmentBytes);
  await opened.wal.close();
  const { snapshots } = opened;
  const indexes: number[] = [];
  const note = (run: Entry[]) => void indexes.push(...run.map(({ index }) => index));
  note(await opened.replay(0, note));
  for (let index = 1; index <= indexes.at(-1)! + 1; index++) {
    const later: number[] = [];
    const add = (run: Entry[]) => void later.push(...run.map((entry) => entry.index));
    add(await opened.replay(index, add));
    const after = (all: number[]) => all.filter((i) => i > index);
    expect(after(later), `after ${index}, which may begin in a later segment`).toEqual(after(indexes));
  }
  return { indexes, snapshots, hardState: opened.hardState };
}

test("a note of an own snapshot leaves the entries", async () => {
  const wal = await createWal(dir, metadata, nodeDisk, segmentBytes);
  await wal.save({ term: 1, vote: 1n, commit: 3 }, entries(1, 4));
  await wal.saveSnapshot({ index: 3, term: 1 });
  await wal.close();
  expect(await reopen()).toMatchObject({
    indexes: [1, 2, 3, 4],
    snapshots: [
      { index: 0, term: 0 },
      { index: 3, term: 1 },
    ],
  });
});

test.each([
  ["beyond the log", { index: 50, term: 1 }],
  ["of another term than the log", { index: 3, term: 2 }],
])("a snapshot %s takes the place of all entries, and the log goes on after it", async (_, at) => {
  const wal = await createWal(dir, metadata, nodeDisk, segmentBytes);
  await wal.save(undefined, entries(1, 4));
  await wal.saveSnapshot(at);
  await wal.save({ term: 2, vote: 1n, commit: at.index }, entries(at.index + 1, at.index + 2, 2));
  await wal.close();
  expect((await reopen()).indexes).toEqual([at.index + 1, at.index + 2]);
});

test("release removes the segments before the one that goes on after the snapshot, and no other", async () => {
  let wal = await createWal(dir, metadata, nodeDisk, segmentBytes);
  for (let i = 1; i <= 100; i += 5) await wal.save({ term: 1, vote: 1n, commit: i }, entries(i, i + 4));
  await wal.saveSnapshot({ index: 60, term: 1 });
  const before = segments();
  await wal.release(60);
  const after = segments();
  expect(after.length).toBeLessThan(before.length);
  expect(before.slice(-after.length)).toEqual(after);
  await wal.close();
  const { indexes, hardState } = await reopen();
  expect(indexes[0]).toBeLessThanOrEqual(61);
  expect(indexes[0]).toBeGreaterThan(20);
  expect(indexes.at(-1)).toBe(100);
  expect(hardState?.commit).toBe(96);

  wal = (await openWal(dir, nodeDisk, segmentBytes)).wal;
  await wal.save(undefined, entries(101, 130));
  await wal.saveSnapshot({ index: 130, term: 1 });
  await wal.release(130);
  await wal.close();
  expect((await reopen()).indexes.at(-1)).toBe(130);
  expect(segments().length).toBeLessThanOrEqual(2); // one may have been cut meanwhile
});

test("entries that replace some from before the first segment left are the log", async () => {
  const wal = await createWal(dir, metadata, nodeDisk, segmentBytes);
  let last = 0;
  while (segments().length < 3) await wal.save({ term: 1, vote: 1n, commit: 0 }, entries(++last, last));
  await wal.save({ term: 2, vote: 1n, commit: 0 }, entries(last - 2, last + 1, 2)); // a new leader's, from within segment 1
  await wal.saveSnapshot({ index: last, term: 2 });
  await wal.release(last);
  await wal.close();
  expect(segments()).toHaveLength(1);
  expect((await reopen()).indexes).toEqual([last - 2, last - 1, last, last + 1]);
});

test("entries that a snapshot from the leader takes the place of are gone, wherever the reading begins", async () => {
  const wal = await createWal(dir, metadata, nodeDisk, segmentBytes);
  let last = 0;
  while (segments().length < 2) await wal.save({ term: 1, vote: 1n, commit: 0 }, entries(++last, last));
  await wal.save(undefined, entries(last + 1, last + 3));
  await wal.saveSnapshot({ index: last, term: 2 }); // it is of another term than the last entry of segment 0
  await wal.close();
  const opened = await openWal(dir, nodeDisk, segmentBytes);
  await opened.wal.close();
  expect(opened.lastIndex).toBe(last);
  for (const index of [0, last]) expect(await opened.replay(index, () => {})).toEqual([]);
});

test("a segment that is begun after a snapshot from the leader is named after it", async () => {
  const wal = await createWal(dir, metadata, nodeDisk, segmentBytes);
  await wal.saveSnapshot({ index: 1000, term: 3 });
  for (let i = 1001; i <= 1030; i++) await wal.save(undefined, entries(i, i, 3));
  await wal.release(1030);
  await wal.close();
  expect(Number.parseInt(segments()[0]!.slice(17, 33), 16)).toBeGreaterThan(1000);
  expect((await reopen()).indexes.at(-1)).toBe(1030);
});
