import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { DiskFile } from "../wal/disk.ts";
import { pageFlag, readMeta, readPageHeader, writeMeta } from "./format.ts";
import { arrayCursor, type Bucket, planBolt, sizeOf } from "./plan.ts";
import { type Bolt, openBolt } from "./reader.ts";
import { writeBolt } from "./writer.ts";

type Rows = [Buffer, Buffer][];

function inMemory(bytes: Buffer): Pick<DiskFile, "size" | "read"> & DiskFile {
  const readOnly = () => Promise.reject(new Error("read only"));
  return {
    size: async () => bytes.length,
    read: async (position, length, into) => {
      if (!into) return bytes.subarray(position, position + length);
      return into.subarray(0, bytes.copy(into, 0, position, position + length));
    },
    write: readOnly,
    writeThrough: readOnly,
    sync: readOnly,
    truncate: readOnly,
    close: async () => {},
  };
}

function write(buckets: Record<string, Rows>, pageSize?: number): Buffer {
  const sources = Object.entries(buckets).map(([name, rows]): Bucket => ({ name, rows: () => arrayCursor(rows) }));
  const planning = planBolt(sources, pageSize);
  let step = planning.next();
  while (!step.done) step = planning.next();
  const bytes = Buffer.concat([...writeBolt(step.value)]);
  assert.equal(bytes.length, sizeOf(step.value));
  return bytes;
}

async function rowsOf(bucket: Bolt | undefined): Promise<Rows> {
  const all: Rows = [];
  for await (const rows of bucket!.rows())
    for (const { key, value } of rows) all.push([Buffer.from(key), Buffer.from(value)]);
  return all;
}

const bytes = (maxLength: number) =>
  fc.oneof(
    { weight: 8, arbitrary: fc.uint8Array({ maxLength: 40 }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: maxLength }).map((n) => new Uint8Array(n).fill(n)) },
  );
const rows: fc.Arbitrary<Rows> = fc
  .array(fc.tuple(bytes(5000), bytes(20_000)), { maxLength: 300 })
  .map((pairs) =>
    [...new Map(pairs.map(([k, v]) => [Buffer.from(k).toString("latin1"), Buffer.from(v)]))]
      .map(([k, v]): [Buffer, Buffer] => [Buffer.from(k, "latin1"), v])
      .sort(([a], [b]) => Buffer.compare(a, b)),
  );

test("whatever is written is read back, in order, and every page belongs to exactly one thing", async () => {
  const name = fc.string({ minLength: 1, maxLength: 60 }).filter((s) => s !== "__proto__");
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(name, rows, { maxKeys: 12 }),
      fc.constantFrom(512, 1024, 4096),
      async (buckets, pageSize) => {
        const file = write(buckets, pageSize);
        const db = await openBolt(inMemory(file), "db");
        assert.equal(db.meta.pageSize, pageSize);
        const names = (await rowsOf(db)).map(([key]) => key.toString());
        assert.deepEqual(new Set(names), new Set(Object.keys(buckets)));
        for (const [n, expected] of Object.entries(buckets)) {
          assert.deepEqual(await rowsOf(await db.bucket(n)), expected);
        }
        let page = 0;
        while (page < db.meta.pageCount) {
          const header = readPageHeader(file.subarray(page * pageSize));
          assert.equal(header.id, page);
          page += 1 + header.overflow;
        }
        assert.equal(page * pageSize, file.length);
      },
    ),
    { numRuns: 100 },
  );
});

test("the smallest file, byte by byte", () => {
  const file = write({ b: [[Buffer.from("key"), Buffer.from("value")]] }, 512);
  const pages = Array.from({ length: file.length / 512 }, (_, i) => file.subarray(512 * i, 512 * i + 512));
  const hex = (page: number, from: number, to: number) => pages[page]!.toString("hex", from, to);
  expect(pages.length).toBe(5);
  // meta 1: page header; magic, version, page size, flags; root 4, sequence 0; freelist 2; 5 pages; txid 1
  expect(hex(1, 0, 16)).toBe("01000000000000000400000000000000");
  expect(hex(1, 16, 32)).toBe("edda0ced020000000002000000000000");
  expect(hex(1, 32, 72)).toBe("04000000000000000000000000000000020000000000000005000000000000000100000000000000");
  expect(hex(2, 0, 16)).toBe("02000000000000001000000000000000"); // an empty freelist
  expect(hex(3, 0, 40)).toBe(
    `03000000000000000200010000000000${"00000000100000000300000005000000"}${"6b657976616c7565"}`,
  );
  // the root: bucket "b" is page 3, sequence 0
  expect(hex(4, 0, 49)).toBe(
    `04000000000000000200010000000000${"01000000100000000100000010000000"}62${"0300000000000000"}${"0000000000000000"}`,
  );
  for (const page of pages) expect(page.subarray(90).every((byte) => byte === 0)).toBe(true);
});

test("an inline bucket lies in its parent's row", async () => {
  const inline = Buffer.alloc(16 + 16 + 16 + 2);
  inline[16 + 8] = pageFlag.leaf;
  inline[16 + 10] = 1;
  inline.writeUInt32LE(16, 32 + 4);
  inline.writeUInt32LE(1, 32 + 8);
  inline.writeUInt32LE(1, 32 + 12);
  inline.write("kv", 48);
  const file = write({ small: [] });
  const root = readMeta(file.subarray(0))!.root * 4096;
  // In the root's only leaf: the name, then the value, now longer.
  inline.copy(file, root + 16 + 16 + "small".length);
  file.writeUInt32LE(inline.length, root + 16 + 12);
  const db = await openBolt(inMemory(file), "db");
  assert.deepEqual(await rowsOf(await db.bucket("small")), [[Buffer.from("k"), Buffer.from("v")]]);
  assert.equal(await db.bucket("other"), undefined);
});

describe("metas", () => {
  const file = () => write({ a: [] });
  const open = (bytes: Buffer) => openBolt(inMemory(bytes), "db");

  test("the valid one with the higher txid counts", async () => {
    const bytes = file();
    writeMeta(bytes, 0, { ...readMeta(bytes)!, txid: 8 });
    assert.equal((await open(bytes)).meta.txid, 8);
  });

  test.each([
    ["first", 16 + 30],
    ["second", 4096 + 16 + 30],
  ])("one flipped bit in the %s leaves the other", async (_name, at) => {
    const bytes = file();
    bytes[at]! ^= 1;
    assert.equal((await open(bytes)).meta.txid, at < 4096 ? 1 : 0);
  });

  test("none valid: no database", async () => {
    await assert.rejects(open(Buffer.alloc(8192)), /db is not a bbolt database: neither meta page is valid/);
    await assert.rejects(open(Buffer.alloc(0)), /db is not a bbolt database/);
  });
});

describe("damage is named, with its page", () => {
  const many: Rows = Array.from({ length: 2000 }, (_, i) => [
    Buffer.from(`key-${String(i).padStart(6, "0")}`),
    Buffer.alloc(20, i),
  ]);
  const leaf = 3 * 4096;
  const branch = (file: Buffer) => readMeta(file)!.root * 4096 - 4096; // the bucket's root, just before the root's leaf

  test.each<[string, (file: Buffer) => Buffer | undefined, RegExp]>([
    ["the file is cut short", (f) => f.subarray(0, f.length - 4096), /db is cut short: \d+ bytes, but its meta says/],
    [
      "a page holds another's id",
      (f) => void f.writeUInt32LE(9, leaf),
      /db is damaged at page 3: it says it is page 9/,
    ],
    [
      "a page is of no kind",
      (f) => void f.writeUInt16LE(0x44, leaf + 8),
      /page 3: neither branch nor leaf, flags are 68/,
    ],
    [
      "a page claims more than there is",
      (f) => void f.writeUInt32LE(9999, leaf + 12),
      /page 3: 9999 more pages belong/,
    ],
    ["elements beyond the page", (f) => void f.writeUInt16LE(4000, leaf + 10), /page 3: 4000 elements do not fit/],
    ["a value beyond the page", (f) => void f.writeUInt32LE(5000, leaf + 16 + 12), /page 3: element 0 ends beyond it/],
    [
      "keys out of order",
      (f) => void f.write("zzz", leaf + 16 + f.readUInt32LE(leaf + 20)),
      /page 3: its keys are out/,
    ],
    ["a child that is not there", (f) => void f.writeUInt32LE(9999, branch(f) + 24), /page 9999: there are \d+ pages/],
    ["a meta for a child", (f) => void f.writeUInt32LE(1, branch(f) + 24), /page 1: there are/],
    ["a child used twice", (f) => void f.writeUInt32LE(3, branch(f) + 40), /page 3: it is used twice/],
    ["a loop", (f) => void f.writeUInt32LE(branch(f) / 4096, branch(f) + 24), /it is used twice/],
    ["a branch without children", (f) => void f.writeUInt16LE(0, branch(f) + 10), /a branch without children/],
  ])("%s", async (_name, damage, expected) => {
    const file = write({ b: many });
    const damaged = damage(file) ?? file;
    await assert.rejects(async () => rowsOf(await (await openBolt(inMemory(damaged), "db")).bucket("b")), expected);
  });

  test("arbitrary damage gives an error or rows, never anything else", async () => {
    const file = write({ b: many });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(file.length - 1), fc.nat(255)), { maxLength: 20 }), async (flips) => {
        const damaged = Buffer.from(file);
        for (const [at, byte] of flips) damaged[at] = byte;
        try {
          const bucket = await (await openBolt(inMemory(damaged), "db")).bucket("b");
          if (bucket !== undefined) await rowsOf(bucket); // a damaged name is another name
        } catch (error) {
          assert.equal((error as Error).name, "BoltError", String(error));
        }
      }),
      { numRuns: 200 },
    );
  });
});

test("a file that is larger than what is kept of it is read in order, also two buckets at once", async () => {
  const rows = Array.from({ length: 6000 }, (_, i): [Buffer, Buffer] => [
    Buffer.from(String(i).padStart(6, "0")),
    Buffer.alloc(i % 997 === 0 ? 300_000 : 1000, i),
  ]);
  const file = write({
    a: rows,
    b: rows,
    c: rows.slice(0, 2),
  });
  const db = await openBolt(inMemory(file), "f");
  const all = await Promise.all(["a", "b", "c"].map(async (name) => rowsOf(await db.bucket(name))));
  expect(all.map((read) => read.length)).toEqual([6000, 6000, 2]);
  for (const read of all)
    for (const [i, [key, value]] of read.entries())
      assert.ok(key.equals(rows[i]![0]) && value.equals(rows[i]![1]), `row ${i}`);
});
