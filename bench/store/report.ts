import { numberText, type Results, type Series } from "../results.ts";
import { spread } from "../stats.ts";
import { type Chart, drawCharts, type Row } from "../svg.ts";

/** The results of a store bench as tables and charts: a row for each thing done, ours beside etcd's. */
export function tables(results: Results): string[] {
  const names = results.stores.map(({ name }) => name);
  const ids = unique(results.series.filter(({ metric }) => !isAside(metric)).map(({ id }) => id));
  const rated = ids.filter((id) => results.series.some((one) => one.id === id && one.metric === "rate"));
  const paced = ids.filter((id) => !rated.includes(id) && !isUsage(id));
  return [
    "A cell is the median of the rounds (least to most).",
    "",
    ...table("closed loop", rated, ["rate", "p50", "p99"], results, names),
    ...table("due at fixed times", paced, ["p50", "p99", "p99.9", "time"], results, names),
    ...table("a member", ids.filter(isUsage), ["value"], results, names),
  ];
}

export function svg(results: Results): string {
  const series = results.stores.map(({ name }) => name);
  const subtitle = `${results.stores.map(({ version }) => version).join(" | ")} | ${results.machine.cores} cores, no TLS`;
  const chart = (title: string, unit: string, metrics: string[], keep: (one: Series) => boolean): Chart => {
    const wanted = results.series.filter((one) => metrics.includes(one.metric) && keep(one));
    const rows = unique(wanted.map(({ id, metric }) => `${id} ${metric}`)).map((name): Row => {
      const of = (store: string) => wanted.find((one) => `${one.id} ${one.metric}` === name && one.store === store);
      const [a, b] = series.map((store) => of(store)?.values ?? []);
      const note = a?.length && b?.length ? { note: `x ${ratio(a, b)}` } : {};
      return {
        label: metrics.length > 1 ? name : name.replace(/ \S+$/, ""),
        values: series.map((s) => of(s)?.values ?? []),
        ...note,
      };
    });
    return { title, subtitle, unit, series, rows };
  };
  return drawCharts([
    chart("Closed loop: requests or events a second (more is better)", "1/s", ["rate"], () => true),
    chart("Closed loop: 99th percentile (less is better)", "ms", ["p99"], ({ id }) => !isPaced(id)),
    chart("Due at fixed times: latency from then (less is better)", "ms", ["p50", "p99", "p99.9"], ({ id }) =>
      isPaced(id),
    ),
    chart("Start-up (less is better)", "ms", ["time"], () => true),
  ]);
}

function table(title: string, ids: string[], metrics: string[], results: Results, names: string[]): string[] {
  const find = (id: string, metric: string, store: string) =>
    results.series.find((one) => one.id === id && one.metric === metric && one.store === store);
  const rows = ids.flatMap((id) =>
    metrics.flatMap((metric) => {
      const found = names.map((name) => find(id, metric, name));
      const any = found.find((one) => one !== undefined);
      if (any === undefined) return [];
      const [a, b] = found.map((one) => one?.values);
      const compared = names.length === 2 ? ` ${a && b ? ratio(a, b) : "-"} |` : "";
      const label = metric === "rate" || metric === "time" || metric === "value" ? any.unit : `${metric}, ${any.unit}`;
      return [`| ${any.title} | ${label} | ${found.map((one) => cell(one?.values)).join(" | ")} |${compared}`];
    }),
  );
  if (rows.length === 0) return [];
  const both = names.length === 2;
  return [
    `| ${title} | | ${names.join(" | ")} |${both ? ` ${names.join(" / ")} |` : ""}`,
    `|---|---|${names.map(() => "---|").join("")}${both ? "---|" : ""}`,
    ...rows,
    "",
  ];
}

export function cell(values: number[] | undefined): string {
  if (values === undefined || values.length === 0) return "-";
  const { median, min, max } = spread(values);
  return values.length === 1 ? numberText(median) : `${numberText(median)} (${numberText(min)} to ${numberText(max)})`;
}

function ratio(a: number[], b: number[]): string {
  return (spread(a).median / spread(b).median).toFixed(2);
}

const isUsage = (id: string) => id.startsWith("member/");
const isPaced = (id: string) => id.startsWith("open-") || id === "watch/latency" || id === "watch/fan-out-paced";
/** About the load process itself: in the JSON only. */
const isAside = (metric: string) => metric.startsWith("late ") || metric === "load cores";

function unique(values: string[]): string[] {
  return [...new Set(values)];
}
