import assert from "node:assert/strict";
import { test } from "vitest";
import { cell, charts, tables, verdictOn } from "./report.ts";
import type { Results, Series } from "./results.ts";

const one = (store: string, id: string, metric: string, unit: string, values: number[]): Series => {
  return { id, title: `title of ${id}`, store, metric, unit, better: metric === "rate" ? "higher" : "lower", values };
};
const store = { version: "v", heartbeatMs: 1, electionMs: 2, tls: "no TLS" };
const results = {
  machine: { cores: 2 },
  stores: [
    { ...store, name: "ours" },
    { ...store, name: "etcd" },
  ],
  series: [
    one("ours", "keys/100", "rate", "1/s", [10, 30, 20]),
    one("ours", "keys/100", "p99", "ms", [4]),
    one("etcd", "keys/100", "rate", "1/s", [10]),
    one("ours", "keys/1000", "rate", "1/s", [5]),
  ],
} as unknown as Results;
const section = { title: "keys", keep: () => true };

test("a row for each metric of each thing done, ours beside etcd's, what is asked of ours at the end", () => {
  const limits = { "keys/100 rate": { median: 20, worst: 15 } };
  assert.deepEqual(tables(results, { sections: [section], limits }).slice(2), [
    "| keys |  | ours | etcd | ours / etcd | asked of ours |",
    "|---|---|---|---|---|---|",
    "| title of keys/100 | 1/s | 20.0 (10.0 to 30.0) | 10.0 | 2.00 | median 20.0: met, worst 15.0: **not met** |",
    "| title of keys/100 | p99, ms | 4.00 | - | - |  |",
    "| title of keys/1000 | 1/s | 5.00 | - | - |  |",
    "",
  ]);
});

test.each([
  ["at most for what is better when lower", [50, 90, 399], "lower", "median 100: met, worst 400: met"],
  ["each limit is told", [50, 101, 401], "lower", "median 100: **not met**, worst 400: **not met**"],
  ["at least for what is better when higher", [399, 500, 600], "higher", "median 100: met, worst 400: **not met**"],
] as const)("a verdict: %s", (_, values, better, text) => {
  assert.equal(verdictOn({ median: 100, worst: 400 }, { values: [...values], better }), text);
});

test("ten values and more show their 95th percentile", () => {
  const values = Array.from({ length: 21 }, (_, i) => i + 100);
  assert.equal(cell(one("ours", "a", "p50", "ms", values)), "110, p95 119 (100 to 120)");
  assert.equal(cell(undefined), "-");
});

test("a section is a strip chart for each unit, or curves over the number in the id", () => {
  const strip = charts(results, { sections: [section] });
  assert.equal(strip.match(/class="title"/g)!.length, 2);
  assert.ok(strip.includes("keys, 1/s (more is better)") && strip.includes("x 2.00"));
  const curve = charts(results, { sections: [{ ...section, over: "keys stored" }] });
  assert.ok(curve.includes("keys stored") && curve.includes("rate, ours") && curve.includes("rate, etcd"));
  assert.equal(curve.match(/r="3"/g)!.length, 6);
});
