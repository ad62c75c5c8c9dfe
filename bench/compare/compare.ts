import { numberText } from "../report.ts";
import type { Results, Series } from "../results.ts";
import { mannWhitney, spread } from "../stats.ts";

const chance = 0.01;
const leastChange = 0.02;

export type Verdict = "better" | "worse" | "noise" | "too few";

/** With so few rounds that even the clearest difference could be chance, there is no verdict. */
type Values = Pick<Series, "values" | "better">;

export function verdict(a: Values, b: Values): { change: number; p: number; verdict: Verdict } {
  const change = spread(b.values).median / spread(a.values).median - 1;
  const p = mannWhitney(a.values, b.values);
  if (leastP(a.values.length, b.values.length) >= chance) return { change, p, verdict: "too few" };
  if (p >= chance || Math.abs(change) < leastChange) return { change, p, verdict: "noise" };
  return { change, p, verdict: change > 0 === (b.better === "higher") ? "better" : "worse" };
}

/** Of values that do not overlap: two of all ways to divide them are as clear. */
function leastP(a: number, b: number): number {
  let ways = 1;
  for (let i = 1; i <= a; i++) ways *= (b + i) / i;
  return 2 / ways;
}

export const percentText = (change: number): string =>
  Number.isFinite(change) ? `${change >= 0 ? "+" : ""}${(change * 100).toFixed(1)} %` : "-";

export function compareResults(a: Results, b: Results): string {
  const lines = [`# ${a.bench}, ${a.when} and ${b.bench}, ${b.when}`, ""];
  for (const key of Object.keys(a.machine) as (keyof Results["machine"])[]) {
    if (/^(fdatasync|load)/.test(key) || a.machine[key] === b.machine[key]) continue;
    lines.push(`Not the same machine: ${key} is ${a.machine[key]} and ${b.machine[key]}.`, "");
  }
  for (const store of b.stores) {
    const before = a.stores.find(({ name }) => name === store.name);
    if (before) lines.push(`- ${store.name}: ${before.version}, then ${store.version}`);
  }
  const rows: Record<Verdict, string[]> = { worse: [], better: [], noise: [], "too few": [] };
  for (const after of b.series) {
    const before = a.series.find((s) => s.id === after.id && s.metric === after.metric && s.store === after.store);
    if (before === undefined) continue;
    const { change, p, verdict: word } = verdict(before, after);
    const [from, to] = [before, after].map(({ values }) => numberText(spread(values).median));
    rows[word].push(
      `| ${word} | ${after.store} | ${after.id} ${after.metric} | ${from} | ${to} ${after.unit} | ${percentText(change)} | ${p.toFixed(3)} |`,
    );
  }
  lines.push("", "| | store | what | before | after | change | p |", "|---|---|---|---|---|---|---|");
  lines.push(...rows.worse, ...rows.better, ...rows["too few"], ...rows.noise, "");
  lines.push(
    `${rows.worse.length} worse, ${rows.better.length} better, ${rows.noise.length} within noise, ${rows["too few"].length} with too few rounds to tell.`,
  );
  return lines.join("\n");
}
