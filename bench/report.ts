import type { Results, Series } from "./results.ts";
import { percentile, spread } from "./stats.ts";
import { type Chart, type Curve, drawCharts } from "./svg.ts";

/** How a bench shows its results: the same tables and charts for all. */
export interface Layout {
  sections: Section[];
  /** By `id metric`: what is asked of ours. */
  limits?: Record<string, Limit>;
}

/** One table, and a chart for each unit in it. */
export interface Section {
  title: string;
  keep(series: Series): boolean;
  /** What the number in `NAME/NUMBER` counts: charts are curves over it. */
  over?: string;
}

/** At most for what is better when lower, else at least. */
export interface Limit {
  median?: number;
  worst?: number;
}

/** From this many values on a cell has their 95th percentile, too. */
const many = 10;
/** Metrics that say no more than their unit. */
const plain = ["rate", "time", "value"];

export function tables(results: Results, { sections, limits = {} }: Layout): string[] {
  const line = (cells: string[]) => `| ${cells.join(" | ")} |`;
  const lines = [`A cell is the median (least to most); from ${many} values on with the 95th percentile (p95).`, ""];
  for (const { title, keep } of sections) {
    const { names, rows } = rowsOf(results, keep);
    if (rows.length === 0) continue;
    const asked = rows.some(({ key }) => limits[key] !== undefined);
    const extra = (ratio: string, limit: string) => [...(names.length === 2 ? [ratio] : []), ...(asked ? [limit] : [])];
    const head = [title, "", ...names, ...extra(names.join(" / "), "asked of ours")];
    lines.push(line(head), `|${head.map(() => "---|").join("")}`);
    for (const { key, any, found } of rows) {
      const unit = plain.includes(any.metric) ? any.unit : `${any.metric}, ${any.unit}`;
      const told = extra(ratio(found) ?? "-", verdictOn(limits[key], found[0]));
      lines.push(line([any.title, unit, ...found.map(cell), ...told]));
    }
    lines.push("");
  }
  return lines;
}

export function charts(results: Results, { sections, limits = {} }: Layout): string {
  const versions = new Set(results.stores.map(({ version }) => version));
  const subtitle = [...versions, `${results.machine.cores} cores`, results.stores[0]?.tls].join(" | ");
  const drawn = sections.flatMap(({ title, keep, over }): (Chart | Curve)[] =>
    unique(results.series.filter(keep).map(({ unit }) => unit)).map((unit) => {
      const { names, rows } = rowsOf(results, (one) => keep(one) && one.unit === unit);
      const better = rows[0]!.any.better === "higher" ? "more" : "less";
      const head = { title: `${title}, ${unit} (${better} is better)`, subtitle, unit };
      if (over !== undefined) return { ...head, over, lines: linesOf(rows, names) };
      const sole = unique(rows.map(({ any }) => any.metric)).length === 1;
      const wanted = rows.flatMap(({ key }) => Object.values(limits[key] ?? {}) as number[]);
      return {
        ...head,
        series: names,
        rows: rows.map(({ key, any, found }) => {
          const note = names.length === 2 ? ratio(found) : undefined;
          const values = found.map((one) => one?.values ?? []);
          return { label: sole ? any.id : key, values, ...(note && { note: `x ${note}` }) };
        }),
        limits: unique(wanted),
      };
    }),
  );
  return drawCharts(drawn);
}

/** For each metric and store a line through the medians. */
function linesOf(rows: Row[], names: string[]): Curve["lines"] {
  return unique(rows.map(({ any }) => any.metric)).flatMap((metric) =>
    names.flatMap((name, i) => {
      const points = rows
        .filter(({ any, found }) => any.metric === metric && found[i] !== undefined)
        .map(({ any, found }) => ({ x: Number(any.id.split("/").pop()), values: found[i]!.values }));
      return points.length === 0 ? [] : [{ label: `${metric}, ${name}`, points }];
    }),
  );
}

interface Row {
  /** `id metric` */
  key: string;
  any: Series;
  /** By store, in their order. */
  found: (Series | undefined)[];
}

/** And the stores that have any of them. */
function rowsOf({ series, stores }: Results, keep: (series: Series) => boolean): { names: string[]; rows: Row[] } {
  const kept = series.filter(keep);
  const names = stores.map(({ name }) => name).filter((name) => kept.some(({ store }) => store === name));
  const keyOf = ({ id, metric }: Series) => `${id} ${metric}`;
  const ids = unique(kept.map(({ id }) => id));
  const keys = ids.flatMap((id) => unique(kept.filter((one) => one.id === id).map(keyOf)));
  const rows = keys.map((key) => {
    const same = kept.filter((one) => keyOf(one) === key);
    return { key, any: same[0]!, found: names.map((name) => same.find(({ store }) => store === name)) };
  });
  return { names, rows };
}

/** `met`, or which limit is missed. */
export function verdictOn(limit: Limit | undefined, series: Pick<Series, "values" | "better"> | undefined): string {
  if (limit === undefined || series === undefined) return "";
  const { median, min, max } = spread(series.values);
  const higher = series.better === "higher";
  const found = { median, worst: higher ? min : max };
  const told = (["median", "worst"] as const).flatMap((name) => {
    const wanted = limit[name];
    if (wanted === undefined) return [];
    const met = higher ? found[name] >= wanted : found[name] <= wanted;
    return [`${name} ${numberText(wanted)}: ${met ? "met" : "**not met**"}`];
  });
  return told.join(", ");
}

export function cell(series: Series | undefined): string {
  const values = series?.values ?? [];
  if (values.length === 0) return "-";
  const { median, min, max } = spread(values);
  if (values.length === 1) return numberText(median);
  const sorted = [...values].sort((a, b) => a - b);
  const p95 = values.length < many ? "" : `, p95 ${numberText(percentile(sorted, 0.95))}`;
  return `${numberText(median)}${p95} (${numberText(min)} to ${numberText(max)})`;
}

function ratio([a, b]: (Series | undefined)[]): string | undefined {
  if (a === undefined || b === undefined) return undefined;
  return (spread(a.values).median / spread(b.values).median).toFixed(2);
}

/** `12,345`, `123`, `1.23`. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return "-";
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
  return Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);
}

const unique = <T>(values: T[]): T[] => [...new Set(values)];
