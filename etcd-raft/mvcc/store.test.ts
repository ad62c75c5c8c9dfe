import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "vitest";
import { hashKV } from "./hash.ts";
import type { KeyRange } from "./key-index.ts";
import { Store, type StoreView } from "./store.ts";
import { isTombstone, recordBytes, type Version, valueBytes } from "./version.ts";

const bytes = (text: string) => Buffer.from(text);
const text = (version: Version) => Buffer.from(valueBytes(version)).toString();

function write(store: Store, changes: Change[]): void {
  const txn = store.begin();
  for (const change of changes) {
    if (change.type === "put") txn.put(change.key, bytes(change.value), 0n);
    else txn.deleteRange(change.range);
  }
  txn.end();
}

type Change = { type: "put"; key: string; value: string } | { type: "delete"; range: KeyRange };
type Step = { type: "write"; changes: Change[] } | { type: "compact"; back: number };

/** The plain version: a full copy of the state for every revision. */
class Model {
  states: Map<string, { value: string; create: number; mod: number; version: number }>[] = [new Map(), new Map()];
  events: { main: number; sub: number; key: string; value: string | undefined }[] = [];
  compacted = -1;

  get revision(): number {
    return this.states.length - 1;
  }

  write(changes: Change[]): void {
    const state = new Map(this.states[this.revision]);
    const main = this.revision + 1;
    let sub = 0;
    for (const change of changes) {
      if (change.type === "put") {
        const old = state.get(change.key);
        const version = (old?.version ?? 0) + 1;
        state.set(change.key, { value: change.value, create: old?.create ?? main, mod: main, version });
        this.events.push({ main, sub: sub++, key: change.key, value: change.value });
      } else {
        for (const key of [...state.keys()].filter((k) => inRange(k, change.range)).sort()) {
          state.delete(key);
          this.events.push({ main, sub: sub++, key, value: undefined });
        }
      }
    }
    if (sub > 0) this.states.push(state);
  }
}

const inRange = (key: string, { key: start, end }: KeyRange) =>
  end === undefined ? key === start : key >= start && (end === null || key < end);

const key = fc.constantFrom("a", "b", "ba", "c", "\xff");
const range: fc.Arbitrary<KeyRange> = fc.record({
  key,
  end: fc.oneof(key, fc.constant(null), fc.constant(undefined)),
});
/** No key twice in one write, as the checks before raft guarantee. */
const changes: fc.Arbitrary<Change[]> = fc.oneof(
  fc
    .uniqueArray(key, { maxLength: 4 })
    .chain((keys) =>
      fc.tuple(...keys.map((k) => fc.string().map((value) => ({ type: "put" as const, key: k, value })))),
    ),
  fc.array(
    range.map((r) => ({ type: "delete" as const, range: r })),
    { maxLength: 3 },
  ),
);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: changes.map((c) => ({ type: "write" as const, changes: c })) },
    { weight: 1, arbitrary: fc.nat(6).map((back) => ({ type: "compact" as const, back })) },
  ),
  { maxLength: 40 },
);

test("every readable revision, the log and the hash agree with a model that copies the whole state at each revision", () => {
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 5 }), (script, slice) => {
      const store = new Store();
      const lazy = new Store(); // compacts only when it must: reads and hash may not tell
      const model = new Model();
      for (const step of script) {
        if (step.type === "write") {
          model.write(step.changes);
          write(store, step.changes);
          write(lazy, step.changes);
        } else {
          const to = model.revision - step.back;
          if (to <= model.compacted) continue;
          model.compacted = to;
          store.compact(to);
          lazy.compact(to);
          while (store.compactStep(slice));
        }
        for (const s of [store, lazy]) agrees(s, model);
        assert.equal(hashKV(store, 0), hashKV(lazy, 0));
      }
      while (lazy.compactStep(slice));
      agrees(lazy, model);
      assert.equal(hashKV(store, 0), hashKV(lazy, 0));
    }),
    { numRuns: 300 },
  );
});

test("a view stays what it was, and a store restored from it goes on like the one it was taken of", () => {
  fc.assert(
    fc.property(steps, steps, fc.integer({ min: 1, max: 5 }), fc.nat(6), (before, after, slice, started) => {
      const store = new Store();
      const model = new Model();
      const run = (script: Step[], stores: Store[], finish: boolean) => {
        for (const step of script) {
          if (step.type === "write") {
            model.write(step.changes);
            for (const s of stores) write(s, step.changes);
          } else {
            const to = model.revision - step.back;
            if (to <= model.compacted) continue;
            model.compacted = to;
            for (const s of stores) {
              s.compact(to);
              for (let i = 0; (finish || i < started) && s.compactStep(slice); i++);
            }
          }
        }
      };
      run(before, [store], false);
      const view = store.view();
      const copy = restored(view);
      agrees(copy, model);
      assert.equal(hashKV(copy, 0), hashKV(store, 0));
      run(after, [store, copy], true);
      agrees(copy, model);
      agrees(store, model);
      assert.equal(hashKV(copy, 0), hashKV(store, 0));
      const again = restored(view); // of a view taken long ago
      assert.equal(again.revision, view.revision);
      assert.deepEqual(rowsOf(again.view()), rowsOf(view));
    }),
    { numRuns: 300 },
  );
});

function restored(view: StoreView): Store {
  const store = new Store();
  const restore = store.restore(view.finishedCompact);
  for (let i = 0; i < view.count; i++) {
    const version = view.at(i);
    restore.add({
      main: version.main,
      sub: version.sub,
      isTombstone: isTombstone(version),
      record: recordBytes(version),
    });
  }
  restore.end(view.scheduledCompact);
  return store;
}

const rowsOf = (view: StoreView) =>
  Array.from({ length: view.count }, (_, i) => [view.at(i).main, view.at(i).sub, view.at(i).key, text(view.at(i))]);

function agrees(store: Store, model: Model): void {
  assert.equal(store.revision, model.revision);
  for (let revision = Math.max(1, model.compacted); revision <= model.revision; revision++) {
    const found: [string, object][] = [];
    store.forEach({ key: "", end: null }, revision, (v) =>
      found.push([v.key, { value: text(v), create: v.create, mod: v.main, version: v.version }]),
    );
    assert.deepEqual(
      found,
      [...model.states[revision]!].sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  }
  const from = Math.max(2, model.compacted + 1);
  assert.deepEqual(
    store.changesFrom(from, 1000).map((v) => [v.main, v.sub, v.key, isTombstone(v) ? undefined : text(v)]),
    model.events.filter((e) => e.main >= from).map((e) => [e.main, e.sub, e.key, e.value]),
  );
}

describe("revisions", () => {
  test("an empty store is at revision 1, the first write makes 2", () => {
    const store = new Store();
    assert.equal(store.revision, 1);
    write(store, [{ type: "put", key: "a", value: "" }]);
    assert.equal(store.revision, 2);
  });

  test("a write without changes makes no revision, one with identical bytes does", () => {
    const store = new Store();
    write(store, [{ type: "delete", range: { key: "a", end: null } }]);
    assert.equal(store.revision, 1);
    for (const revision of [2, 3]) {
      write(store, [{ type: "put", key: "a", value: "same" }]);
      assert.equal(store.revision, revision);
    }
  });

  test("a slice of the log never ends within a revision", () => {
    const store = new Store();
    write(
      store,
      ["a", "b", "c"].map((k) => ({ type: "put", key: k, value: "" })),
    );
    write(store, [{ type: "put", key: "a", value: "" }]);
    assert.deepEqual(
      store.changesFrom(2, 1).map((v) => v.sub),
      [0, 1, 2],
    );
    assert.deepEqual(
      store.changesFrom(2, 4).map((v) => v.main),
      [2, 2, 2, 3],
    );
  });
});

describe("compaction", () => {
  test("a view after it holds what etcd's backend would: the newest of each key up to it, and its own tombstones", () => {
    const store = new Store();
    for (const [key, value] of [
      ["a", "1"],
      ["a", "2"],
      ["b", "1"],
      ["c", "1"],
    ] as const) {
      write(store, [{ type: "put", key, value }]);
    }
    write(store, [{ type: "delete", range: { key: "b", end: undefined } }]); // 6
    write(store, [{ type: "delete", range: { key: "c", end: undefined } }]); // 7
    write(store, [{ type: "put", key: "a", value: "3" }]); // 8
    store.compact(7);
    assert.deepEqual([store.view().finishedCompact, store.view().scheduledCompact], [-1, 7]);
    while (store.compactStep(1));
    assert.deepEqual([store.view().finishedCompact, store.view().scheduledCompact], [7, 7]);
    assert.deepEqual(
      rowsOf(store.view()).map(([main, , k]) => [main, k]),
      [
        [3, "a"],
        [7, "c"],
        [8, "a"],
      ],
    );
    store.compact(8);
    while (store.compactStep(1));
    assert.deepEqual(
      rowsOf(store.view()).map(([main, , k]) => [main, k]),
      [[8, "a"]],
    );
  });

  const two = () => {
    const store = new Store();
    write(store, [{ type: "put", key: "a", value: "1" }]);
    write(store, [{ type: "put", key: "a", value: "2" }]);
    return store;
  };

  test("the compact revision itself stays readable, one before it does not", () => {
    const store = two();
    store.compact(3);
    assert.equal(store.readable(3), 3);
    assert.throws(() => store.readable(2), /etcdserver: mvcc: required revision has been compacted/);
    assert.throws(() => store.readable(4), /etcdserver: mvcc: required revision is a future revision/);
  });

  test("compacting at or before the last compaction, or in the future, is refused", () => {
    const store = two();
    store.compact(2);
    assert.throws(() => store.compact(2), /required revision has been compacted/);
    assert.throws(() => store.compact(4), /required revision is a future revision/);
  });

  test("memory of dead values is given back even when one value in each slab lives on", () => {
    const store = new Store();
    const value = "x".repeat(1024);
    for (let i = 0; i < 4000; i++) {
      write(store, [{ type: "put", key: i % 100 === 0 ? `kept-${i}` : "churn", value }]);
    }
    assert.ok(store.slabs.capacityBytes > 4_000_000);
    store.compact(store.revision);
    while (store.compactStep(100));
    assert.ok(store.slabs.liveBytes > 41 * 1024 && store.slabs.liveBytes < 41 * 1100, "values, with key and head");
    assert.ok(store.slabs.capacityBytes < 600_000, `${store.slabs.capacityBytes} bytes held for 41 KiB`);
    assert.equal(text(store.at("kept-100")!), value);
  });
});
