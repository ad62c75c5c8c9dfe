import assert from "node:assert/strict";
import { describe, test } from "vitest";
import type { Clock } from "../../base/clock.ts";
import { type Plan, planBolt } from "../bolt/plan.ts";
import { openBolt } from "../bolt/reader.ts";
import { writeBolt } from "../bolt/writer.ts";
import { hashKeys } from "../mvcc/hash.ts";
import { Store } from "../mvcc/store.ts";
import { hashBuckets } from "./hash.ts";
import { keyRows, readKeys } from "./key-rows.ts";
import { inSlices } from "./slices.ts";

const count = 20_000;
const valueBytes = 100;

function filled(): Store {
  const store = new Store();
  for (let i = 0; i < count; i++) {
    const write = store.begin();
    write.put(`key ${i}`, Buffer.alloc(valueBytes, i), 0n);
    write.end();
  }
  return store;
}

function end<R>(work: Generator<unknown, R>): { steps: number; result: R } {
  for (let steps = 0; ; steps++) {
    const step = work.next();
    if (step.done) return { steps, result: step.value };
  }
}

test("everything else gets its turn after 5 ms of one slice", async () => {
  let turns = 0;
  let next: NodeJS.Immediate;
  const count = () => {
    turns++;
    next = setImmediate(count);
  };
  count();
  const seen: number[] = [];
  const work = function* (): Generator<void, string> {
    for (let i = 0; i < 23; i++) {
      seen.push(turns);
      yield;
    }
    return "done";
  };
  let now = 0;
  const clock = { monotonic: () => now++ } as unknown as Clock; // each look takes a millisecond
  assert.equal(await inSlices(work(), clock), "done");
  clearImmediate(next!);
  const slices = [...new Set(seen)].map((turn) => seen.filter((other) => other === turn).length);
  assert.deepEqual(slices, [5, 5, 5, 5, 3]);
});

describe("work on a large state yields often, whatever its size", () => {
  const store = filled();
  const buckets = [{ name: "key", rows: () => keyRows(store.view()) }];
  const plan: Plan = end(planBolt(buckets)).result;
  const rowsAtMost = (steps: number, rows: number) =>
    assert.ok(count / (steps + 1) <= rows, `${steps} steps for ${count} rows`);

  test("planning the file: 128 rows a step", () => rowsAtMost(end(planBolt(buckets)).steps, 128));

  test("writing it: 64 KiB a step", () => {
    for (const chunk of writeBolt(plan)) assert.ok(chunk.length <= 64 * 1024);
  });

  test("HashKV: 256 versions a step", () => rowsAtMost(end(hashKeys(store, 0)).steps, 256));

  test("Hash: 256 rows a step", () => rowsAtMost(end(hashBuckets(buckets)).steps, 256));

  test("compaction: as many versions as its caller says", () => {
    const compacted = filled();
    for (let i = 0; i < count; i++) {
      const write = compacted.begin();
      write.put(`key ${i % 100}`, Buffer.alloc(valueBytes), 0n);
      write.end();
    }
    compacted.compact(compacted.revision);
    let steps = 0;
    while (compacted.compactStep(100)) steps++;
    rowsAtMost(steps, 100);
  });

  test("reading it, at a start or of what a leader sent: 256 KiB between two reads of the disk", async () => {
    const bytes = Buffer.concat([...writeBolt(plan)]);
    const restored = new Store();
    const restore = restored.restore.bind(restored);
    let [rows, most] = [0, 0];
    restored.restore = (finishedCompact) => {
      const into = restore(finishedCompact);
      return {
        ...into,
        add: (row) => {
          rows++;
          into.add(row);
        },
      };
    };
    const file = {
      size: async () => bytes.length,
      read: async (position: number, length: number) => {
        most = Math.max(most, rows);
        rows = 0;
        return bytes.subarray(position, position + length);
      },
    };
    await readKeys(await openBolt(file, "f"), restored, { finishedCompact: -1, scheduledCompact: -1 });
    assert.equal(restored.revision, store.revision);
    assert.ok(Math.max(most, rows) <= (256 * 1024) / valueBytes, `${most} rows at once`);
  });
});
