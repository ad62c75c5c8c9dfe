import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { seededRand } from "../../base/rand.ts";
import { hashKV } from "./hash.ts";
import type { KeyRange } from "./key-index.ts";
import { KeyTable } from "./key-table.ts";
import { isCanonical } from "./key-value.ts";
import { Slabs } from "./slabs.ts";
import { headOf, SortedKeys } from "./sorted-keys.ts";
import { Store, type StoreView } from "./store.ts";
import { isTombstone, recordBytes, valueBytes, versionAt } from "./version.ts";

/** So many that chunks, leaves, branches and slabs fill, split and empty, which a few keys never do. */
const all: KeyRange = { key: "", end: null };

function random(seed: number): (below: number) => number {
  const rand = seededRand(seed);
  return (below) => Math.floor(rand.next() * below);
}

const rowsOf = (view: StoreView) =>
  Array.from({ length: view.count }, (_, i) => {
    const version = view.at(i);
    return `${version.main}/${version.sub} ${version.key}=${isTombstone(version) ? "" : Buffer.from(valueBytes(version)).toString("latin1")}`;
  });

function restored(view: StoreView): Store {
  const store = new Store();
  const restore = store.restore(view.finishedCompact);
  for (let i = 0; i < view.count; i++) {
    const version = view.at(i);
    const { main, sub } = version;
    restore.add({ main, sub, isTombstone: isTombstone(version), record: recordBytes(version) });
  }
  restore.end(view.scheduledCompact);
  return store;
}

describe.each([1, 2, 3])("seed %i", (seed) => {
  test("thousands of keys: reads, counts, views held meanwhile and what is restored from them agree with a map", () => {
    const next = random(seed);
    const store = new Store();
    const model = new Map<string, string>();
    const views: { view: StoreView; rows: string[] }[] = [];
    /** Of the compact revision, which stays readable. */
    let compacted: { revision: number; state: Map<string, string> } | undefined;
    const key = () => `/registry/${next(20)}/${next(1500)}`;
    for (let step = 0; step < 3000; step++) {
      const write = store.begin();
      const written = new Set<string>();
      for (let i = next(12); i >= 0; i--) {
        const k = key();
        if (written.has(k)) continue;
        written.add(k);
        const value = `${step}-${i}`.padEnd(next(50) === 0 ? next(60_000) : next(300), ".");
        write.put(k, Buffer.from(value), 0n);
        model.set(k, value);
      }
      write.end();
      if (next(12) === 0) {
        const from = key();
        const range: KeyRange = { key: from, end: next(2) ? `${from}~` : `${from.slice(0, -2)}~` };
        const erase = store.begin();
        for (const { key: gone } of erase.deleteRange(range)) model.delete(gone);
        erase.end();
      }
      if (next(100) === 0) {
        const revision = store.revision;
        store.compact(revision);
        compacted = { revision, state: new Map(model) };
      }
      if (next(3) === 0) store.compactStep(next(2000));
      if (next(300) === 0) {
        const view = store.view();
        views.push({ view, rows: rowsOf(view) });
      }
      if (next(150) > 0) continue;
      agree(store, Number.MAX_SAFE_INTEGER, model);
      if (compacted) agree(store, compacted.revision, compacted.state);
      const [from, end] = [key(), key()].sort() as [string, string];
      const inRange = [...model.keys()].filter((k) => k >= from && k < end).length;
      for (const limit of [0, 3, Number.POSITIVE_INFINITY]) {
        const { rows: versions, count } = store.select({ key: from, end }, Number.MAX_SAFE_INTEGER, limit, versionAt);
        assert.deepEqual([versions.length, count], [Math.min(limit, inRange), inRange]);
      }
    }
    while (store.compactStep(500));
    for (const { view, rows } of views) {
      assert.deepEqual(rowsOf(view), rows);
      const again = restored(view);
      while (again.compactStep(500));
      assert.equal(again.revision, view.revision);
    }
    const copy = restored(store.view());
    agree(copy, Number.MAX_SAFE_INTEGER, model);
    assert.equal(hashKV(copy, 0), hashKV(store, 0));
    // And all of it can be given back.
    const erase = store.begin();
    erase.deleteRange(all);
    erase.end();
    const last = store.begin();
    last.put("last", Buffer.from("one"), 0n);
    last.end();
    store.compact(store.revision);
    while (store.compactStep(100));
    assert.equal(store.index.size, 1);
    assert.equal(store.view().count, 1);
    assert.ok(store.slabs.capacityBytes <= 600_000, `${store.slabs.capacityBytes} bytes are held for one key`);
    assert.equal(Buffer.from(store.at("last")!.value).toString(), "one");
  });
});

function agree(store: Store, revision: number, model: Map<string, string>): void {
  const found: [string, string][] = [];
  store.forEach(all, revision, (version) => found.push([version.key, version.value.toString("latin1")]));
  const wanted = [...model].sort(([a], [b]) => (a < b ? -1 : 1));
  assert.deepEqual(found, wanted);
  assert.equal(store.select(all, revision, 0, versionAt).count, wanted.length);
  for (const [key, value] of wanted.slice(0, 50))
    assert.equal(store.at(key, revision)?.value.toString("latin1"), value);
}

test("ids in key order: hundreds of thousands added in any order, counted, and taken out again", () => {
  const next = random(7);
  const count = 200_000;
  const key = (id: number) => String((id * 7919) % 1_000_003).padStart(7, "0");
  const dead = new Set<number>();
  const order = {
    compare: (id: number, to: string) => (key(id) < to ? -1 : key(id) > to ? 1 : 0),
    keyOf: key,
    headOf: (id: number, at: number) => headOf(key(id), at),
    isAlive: (id: number) => !dead.has(id),
  };
  const sorted = new SortedKeys(order);
  const there = new Set<number>();
  const check = () => {
    const ids: number[] = [];
    const start = sorted.place("");
    sorted.forEach(start, sorted.end(), (id) => ids.push(id) > 0);
    const wanted = [...there].sort((a, b) => order.compare(a, key(b)));
    assert.ok(ids.length === wanted.length && ids.every((id, i) => id === wanted[i]), "all of them in order");
    for (let i = 0; i < 20; i++) {
      const [from, to] = [key(next(count)), key(next(count))].sort() as [string, string];
      const alive = wanted.filter((id) => key(id) >= from && key(id) < to && !dead.has(id)).length;
      assert.equal(sorted.countAlive(sorted.place(from), sorted.place(to)), alive);
    }
  };
  for (let id = 1; id <= count; id++) {
    sorted.add(key(id), id);
    there.add(id);
  }
  check();
  for (let id = 1; id <= count; id++) {
    if (id % 100 === 0) continue;
    dead.add(id);
    sorted.addAlive(key(id), -1);
  }
  check();
  for (const id of dead) {
    sorted.remove(key(id));
    there.delete(id);
  }
  dead.clear();
  check();
  for (let id = count + 1; id <= count + 2000; id++) {
    sorted.add(key(id), id);
    there.add(id);
  }
  check();
});

test("the table of keys finds what is there and nothing else, whatever was added and taken out before", () => {
  const next = random(3);
  const keys = new Map<number, string>();
  const table = new KeyTable((id, key) => keys.get(id) === key, 42);
  const byKey = new Map<string, number>();
  for (let id = 1; id <= 60_000; id++) {
    const key = `k${next(20_000)}`;
    const known = byKey.get(key) ?? 0;
    assert.equal(table.find(key), known);
    if (known === 0) {
      keys.set(id, key);
      byKey.set(key, id);
      table.add(key, id);
    } else {
      table.remove(key, known);
      byKey.delete(key);
      keys.delete(known);
    }
  }
  for (let i = 0; i < 20_000; i++) assert.equal(table.find(`k${i}`), byKey.get(`k${i}`) ?? 0);
});

test("a KeyValue in another order, with zeros, of another revision or cut short is not taken as it is", () => {
  const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
  const good = "0a0161 1002 1803 2001 2a0131";
  assert.equal(isCanonical(hex(good), 3, false), true);
  assert.equal(isCanonical(hex(`${good} 30ac02`), 3, false), true);
  assert.equal(isCanonical(hex("0a0161"), 3, true), true);
  const rows: [string, string, number, boolean][] = [
    ["another revision", good, 4, false],
    ["fields in another order", "1002 0a0161 1803 2001", 3, false],
    ["no version", "0a0161 1002 1803", 3, false],
    ["a zero", "0a0161 1002 1803 2000", 3, false],
    ["a number longer than it need be", "0a0161 108200 1803 2001", 3, false],
    ["a value cut short", "0a0161 1002 1803 2001 2a0531", 3, false],
    ["a lease cut short", `${good} 30ac`, 3, false],
    ["bytes behind it", `${good} 30ac02 00`, 3, false],
    ["an unknown field", `${good} 3801`, 3, false],
    ["a tombstone with more than its key", good, 3, true],
    ["nothing", "", 3, false],
  ];
  for (const [name, bytes, mod, tombstone] of rows) assert.equal(isCanonical(hex(bytes), mod, tombstone), false, name);
});

test("a slab beyond the last address is an error, and no address of another one", () => {
  const slabs = new Slabs();
  slabs.allocate(100);
  (slabs.table as unknown[]).length = 2 ** 17;
  assert.throws(() => slabs.allocate(100_000), /another slab/);
});
