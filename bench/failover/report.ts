import { numberText, type Results } from "../results.ts";
import { percentile } from "../stats.ts";
import { drawCharts } from "../svg.ts";
import { faults } from "./trial.ts";

/** What must hold for the gap between acknowledged writes of our store with the `lan` timers (issue, "Fast"), ms. */
export const limits: Record<string, { median?: number; worst?: number }> = {
  "kill -9": { median: 100, worst: 400 },
  SIGSTOP: { worst: 1500 },
  partition: { worst: 1500 },
};

const metrics = ["gap", "leader", "watch"];

export function table(results: Results): string[] {
  const rows = faults.flatMap((fault) =>
    metrics.flatMap((metric) =>
      results.stores.flatMap(({ name }) => {
        const series = results.series.find((one) => one.id === fault && one.metric === metric && one.store === name);
        if (series === undefined) return [];
        const sorted = [...series.values].sort((a, b) => a - b);
        const told = [percentile(sorted, 0.5), percentile(sorted, 0.95), sorted.at(-1)!].map(numberText);
        const verdict = name === "ours" && metric === "gap" ? verdictOn(fault, sorted) : "";
        return [`| ${fault} | ${series.title} | ${name} | ${sorted.length} | ${told.join(" | ")} | ${verdict} |`];
      }),
    ),
  );
  return [
    "| fault | longest time, ms | store | trials | median | p95 | most | limit |",
    "|---|---|---|---|---|---|---|---|",
    ...rows,
  ];
}

export function verdictOn(fault: string, sorted: readonly number[]): string {
  const { median, worst } = limits[fault] ?? {};
  const missed: string[] = [];
  if (median !== undefined && percentile(sorted, 0.5) > median) missed.push(`median over ${median}`);
  if (worst !== undefined && sorted.at(-1)! > worst) missed.push(`most over ${worst}`);
  if (median === undefined && worst === undefined) return "";
  const wanted = [median && `median ${median}`, worst && `most ${worst}`].filter(Boolean).join(", ");
  return missed.length === 0 ? `holds: ${wanted}` : `**missed: ${missed.join(", ")}**`;
}

export function svg(results: Results): string {
  const series = results.stores.map(({ name, heartbeatMs, electionMs }) => `${name} (${heartbeatMs}/${electionMs} ms)`);
  const subtitle = `${results.stores
    .map(({ version }) => version)
    .slice(0, 2)
    .join(" | ")} | ${results.machine.cores} cores, no TLS`;
  const charts = ["gap", "leader"].map((metric) => ({
    title: results.series.find((one) => one.metric === metric)?.title ?? metric,
    subtitle,
    unit: "ms",
    series,
    rows: faults.flatMap((fault) => {
      const values = results.stores.map(
        ({ name }) =>
          results.series.find((s) => s.id === fault && s.metric === metric && s.store === name)?.values ?? [],
      );
      return values.some(({ length }) => length > 0) ? [{ label: fault, values }] : [];
    }),
    limits: metric === "gap" ? [100, 400, 1500].map((value) => ({ value, text: `${value}` })) : [],
  }));
  return drawCharts(charts.map((chart) => ({ ...chart, title: `Longest time ${chart.title} (less is better)` })));
}
