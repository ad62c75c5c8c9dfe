import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeRun } from "../experiments/folder.ts";
import { measuresOf } from "./compare.ts";
import { compareRuns, readRun, writeReports } from "./folder.ts";
import { sampleRun } from "./testing.ts";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "kubelab-compare-"));
  for (let repetition = 1; repetition <= 6; repetition++) {
    writeRun(join(dir, "fast", `${repetition}`), sampleRun({ repetition, scale: 0.2 }));
    writeRun(join(dir, "same", `${repetition}`), sampleRun({ repetition, seed: 2, scale: 0.2 }));
    writeRun(join(dir, "slow", `${repetition}`), sampleRun({ repetition, slower: 3, scale: 0.2 }));
  }
});
afterAll(() => rmSync(dir, { recursive: true }));

const rowOf = (html: string, name: string) => html.split("<tr>").find((row) => row.startsWith(`<td>${name}</td>`))!;

test("a failover has one value for each of its steps", () => {
  const measures = measuresOf(sampleRun());
  const steps = measures
    .filter(({ name }) => name.startsWith("failover: until"))
    .map(({ name, values }) => [name, values.length]);
  expect(steps).toEqual([
    ["failover: until death noticed", 2],
    ["failover: until election", 2],
    ["failover: until first ack", 2],
  ]);
});

test("a difference that many repetitions show is more than noise, and none is found between equals", () => {
  const slow = compareRuns(join(dir, "fast"), join(dir, "slow"));
  expect(rowOf(slow, "store writes: p50")).toMatch(/\+\d+\.\d %.*class="badge worse"/);
  expect(rowOf(compareRuns(join(dir, "fast"), join(dir, "same")), "store writes: p50")).toContain(
    'class="badge noise"',
  );
  expect(slow).not.toMatch(/NaN|undefined/);
});

test("one run against one is too few to tell", () => {
  const html = compareRuns(join(dir, "fast", "1"), join(dir, "slow", "1"));
  expect(rowOf(html, "store writes: p50")).toContain("too few to tell");
  expect(html.match(/data-to="15000"/g)).toHaveLength(6);
});

test("repetitions have an overview that leads to each, and to the worst", () => {
  expect(writeReports(join(dir, "slow"))).toBe(join(dir, "slow", "report.html"));
  const worst = [1, 2, 3, 4, 5, 6].map((repetition) => {
    const gaps = readRun(join(dir, "slow", `${repetition}`)).file.failovers.map(({ gapMs }) => gapMs);
    return { repetition, gap: Math.max(...gaps) };
  });
  worst.sort((a, b) => b.gap - a.gap);
  const html = overview();
  expect(html).toContain('<a href="3/report.html">repetition 3</a>');
  expect(rowOf(html, "failover: without an answer")).toContain(`href="${worst[0]!.repetition}/report.html"`);
});

test("a folder without a run is refused", () => {
  expect(() => writeReports(join(dir, "nowhere"))).toThrow(/there is no run in .*nowhere/);
});

function overview(): string {
  return readFileSync(join(dir, "slow", "report.html"), "utf8");
}
