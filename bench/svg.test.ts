import assert from "node:assert/strict";
import { test } from "vitest";
import { drawCharts, logAxis } from "./svg.ts";

const chart = {
  title: "Reads & writes",
  subtitle: 'of <a> and "b"',
  unit: "ms",
  series: ["a", "b"],
  rows: [
    { label: "put", values: [[1, 2, 3], [30]], note: "x 0.07" },
    { label: "range", values: [[], [10, 20]] },
  ],
  limits: [25],
};

test("the axis runs over the least 1, 2, 5 steps that hold all values, evenly by ratio", () => {
  const { at, ticks } = logAxis([3, 80]);
  assert.deepEqual(ticks, [2, 5, 10, 20, 50, 100]);
  assert.equal(at(2), 0);
  assert.equal(at(100), 1);
  assert.ok(Math.abs(at(20) - at(10) - (at(10) - at(5))) < 1e-9);
  assert.deepEqual(logAxis([0.001, 90_000]).ticks, [0.001, 0.01, 0.1, 1, 10, 100, 1000, 10_000, 100_000]);
  assert.deepEqual(logAxis([5]).ticks, [5, 10]);
  assert.deepEqual(logAxis([]).ticks, []);
});

test("each value is a dot, each series of a row has a bar at its median, limits are lines", () => {
  const svg = drawCharts([chart]);
  assert.equal(svg.match(/r="3"/g)!.length, 6);
  assert.equal(svg.match(/<path /g)!.length, 3);
  assert.equal(svg.match(/class="limit"/g)!.length, 1);
  assert.ok(svg.includes("<title>2.00 ms</title>"));
});

test("it is well-formed: text is escaped, elements are closed, all is inside the picture", () => {
  const points = [10, 1000].map((x) => ({ x, values: [x, 2 * x] }));
  const curve = { ...chart, over: "nodes & more", lines: ["a", "b"].map((label) => ({ label, points })) };
  const svg = drawCharts([chart, { ...chart, rows: [] }, curve]);
  assert.ok(svg.includes("Reads &amp; writes") && svg.includes("of &lt;a&gt; and &quot;b&quot;"));
  const open: string[] = [];
  for (const [, close, name, self] of svg.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)) {
    if (close) assert.equal(open.pop(), name);
    else if (!self) open.push(name!);
  }
  assert.deepEqual(open, []);
  const height = Number(/height="(\d+)"/.exec(svg)?.[1]);
  for (const [, x, y] of svg.matchAll(/<text x="([\d.]+)" y="([\d.]+)"/g)) {
    assert.ok(Number(x) >= 0 && Number(x) <= 960 && Number(y) >= 0 && Number(y) <= height, `${x} ${y}`);
  }
});

test("dark and light readers have colours of their own", () => {
  assert.match(drawCharts([chart]), /prefers-color-scheme: dark/);
});
