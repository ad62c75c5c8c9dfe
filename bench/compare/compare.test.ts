import assert from "node:assert/strict";
import { test } from "vitest";
import type { Results, Series } from "../results.ts";
import { compareResults, verdict } from "./compare.ts";

const series = (values: number[], better: Series["better"] = "higher"): Series => ({
  id: "put/100",
  title: "put",
  store: "ours",
  metric: "rate",
  unit: "requests/s",
  better,
  values,
});
const slow = [100, 102, 98, 101, 99];
const fast = [120, 122, 118, 121, 119];

const rows: [string, number[], number[], Series["better"], string][] = [
  ["all rounds faster is better", slow, fast, "higher", "better"],
  ["all rounds slower is worse", fast, slow, "higher", "worse"],
  ["for latencies more is worse", slow, fast, "lower", "worse"],
  ["rounds that overlap are noise", slow, [101, 103, 97, 100, 105], "higher", "noise"],
  [
    "certain but tiny counts as noise",
    [1000, 1001, 1002, 1003, 1004],
    [1010, 1011, 1012, 1013, 1014],
    "higher",
    "noise",
  ],
  ["two rounds cannot tell", [1, 2], [100, 200], "higher", "too few"],
];

test.each(rows)("%s", (_, before, after, better, expected) => {
  assert.equal(verdict(series(before, better), series(after, better)).verdict, expected);
});

test("the report names machines that differ and what is worse first", () => {
  const results = (values: number[], cores: number): Results => ({
    bench: "store",
    when: "2026-01-01",
    machine: {
      cores,
      cpu: "c",
      memoryGb: 1,
      kernel: "k",
      node: "v",
      filesystem: "f",
      load: cores,
      fdatasyncP50: cores,
      fdatasyncP99: 1,
    },
    conditions: [],
    stores: [{ name: "ours", version: `v${cores}`, heartbeatMs: 100, electionMs: 1000, tls: "no TLS" }],
    series: [series(values), { ...series([1, 2, 3]), id: "other" }],
    failures: [],
  });
  const text = compareResults(results(fast, 2), results(slow, 4));
  assert.match(text, /Not the same machine: cores is 2 and 4/);
  assert.doesNotMatch(text, /fdatasync/);
  assert.match(text, /\| worse \| ours \| put\/100 rate \| 120 \| 100 requests\/s \| -16.7 % \| 0.008 \|/);
  assert.match(text, /1 worse, 0 better, 0 within noise, 1 with too few rounds to tell/);
});
