import { numberText } from "./report.ts";
import { spread } from "./stats.ts";

/**
 * A strip chart as SVG: a row for each thing measured, a lane in it for each series, a dot for each round, a bar at the
 * median, all on one logarithmic axis. Colours follow the reader's light or dark theme.
 */
export interface Chart {
  title: string;
  /** Under the title: what was measured on what. */
  subtitle: string;
  unit: string;
  series: string[];
  rows: Row[];
  /** Vertical lines: what must hold. */
  limits?: number[];
}

/** Lines through the medians, a dot for each value, both axes logarithmic. */
export interface Curve {
  title: string;
  subtitle: string;
  unit: string;
  /** What the horizontal axis counts. */
  over: string;
  lines: { label: string; points: { x: number; values: number[] }[] }[];
}

export interface Row {
  label: string;
  /** By series, in their order; empty where there is none. */
  values: number[][];
  /** At the right end. */
  note?: string;
}

const width = 960;
const left = 250;
const right = 110;
const laneHeight = 14;
const rowGap = 8;
const chartGap = 34;
/** Told apart with every kind of colour vision, and on white and black. */
const colours = ["#1f83d0", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const colourOf = (i: number) => colours[i % colours.length]!;
const curveHeight = 220;

const style = `<style>
text { font: 12px system-ui, sans-serif; fill: #1f2328; } .title { font-size: 15px; font-weight: 600; }
.quiet { fill: #59636e; } .end { text-anchor: end; } .middle { text-anchor: middle; } .back { fill: #ffffff; }
.grid { stroke: #d1d9e0; } .limit { stroke: #cf222e; stroke-dasharray: 4 3; }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3; } .quiet { fill: #9198a1; } .back { fill: #0d1117; }
.grid { stroke: #3d444d; } .limit { stroke: #ff7b72; } }
</style>`;

export function drawCharts(charts: readonly (Chart | Curve)[]): string {
  const parts: string[] = [];
  let y = 10;
  for (const chart of charts) {
    if (("lines" in chart ? chart.lines : chart.rows).length === 0) continue;
    const { svg, height } = "lines" in chart ? drawCurve(chart, y) : drawChart(chart, y);
    parts.push(svg);
    y += height + chartGap;
  }
  const size = `width="${width}" height="${y}" viewBox="0 0 ${width} ${y}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img">
<title>${escapeXml(charts.map(({ title }) => title).join("; "))}</title>
${style}
<rect class="back" width="${width}" height="${y}"/>
${parts.join("\n")}
</svg>
`;
}

function drawChart({ title, subtitle, unit, series, rows, limits = [] }: Chart, top: number) {
  const all = [...rows.flatMap(({ values }) => values.flat()), ...limits];
  const axis = logAxis(all.filter((value) => value > 0));
  const x = (value: number) => (left + axis.at(value) * (width - left - right)).toFixed(1);
  const first = top + 74;
  const rowHeight = series.length * laneHeight + rowGap;
  const bottom = first + rows.length * rowHeight;
  const out = [text(10, top + 14, title, "title"), text(10, top + 32, subtitle, "quiet")];
  let legendX = 10;
  for (const [i, name] of series.entries()) {
    out.push(`<circle cx="${legendX + 5}" cy="${top + 47}" r="5" fill="${colourOf(i)}"/>`);
    out.push(text(legendX + 15, top + 51, name));
    legendX += 40 + name.length * 7;
  }
  for (const tick of axis.ticks) {
    out.push(`<line class="grid" x1="${x(tick)}" x2="${x(tick)}" y1="${first - 4}" y2="${bottom}"/>`);
    out.push(text(x(tick), first - 8, tick.toLocaleString("en-US"), "quiet middle"));
  }
  out.push(text(width - 10, first - 8, unit, "quiet end"));
  for (const [n, row] of rows.entries()) {
    const y = first + n * rowHeight;
    out.push(text(left - 12, y + rowHeight / 2, row.label, "end"));
    if (row.note !== undefined) out.push(text(width - 10, y + rowHeight / 2, row.note, "end"));
    for (const [i, values] of row.values.entries()) {
      const shown = values.filter((value) => value > 0);
      if (shown.length === 0) continue;
      const cy = y + i * laneHeight + laneHeight / 2;
      const colour = colourOf(i);
      for (const value of shown) {
        out.push(`<circle cx="${x(value)}" cy="${cy}" r="3" fill="${colour}" fill-opacity="0.45"/>`);
      }
      const { median } = spread(shown);
      const bar = `d="M${x(median)} ${cy - 6}v12" stroke="${colour}" stroke-width="3"`;
      out.push(`<path ${bar}><title>${numberText(median)} ${unit}</title></path>`);
    }
  }
  for (const value of limits) {
    out.push(`<line class="limit" x1="${x(value)}" x2="${x(value)}" y1="${first - 4}" y2="${bottom + 4}"/>`);
    out.push(text(x(value), bottom + 16, `${value}`, "middle"));
  }
  return { svg: out.join("\n"), height: bottom - top + (limits.length > 0 ? 16 : 0) };
}

function drawCurve({ title, subtitle, unit, over, lines }: Curve, top: number) {
  const points = lines.flatMap((line) => line.points);
  const across = logAxis(points.map((point) => point.x));
  const up = logAxis(points.flatMap(({ values }) => values).filter((value) => value > 0));
  const [first, bottom, legend] = [top + 54, top + 54 + curveHeight, width - left];
  const x = (value: number) => (90 + across.at(value) * (legend - 130)).toFixed(1);
  const y = (value: number) => (bottom - up.at(value) * curveHeight).toFixed(1);
  const out = [text(10, top + 14, title, "title"), text(10, top + 32, subtitle, "quiet")];
  for (const tick of up.ticks) {
    out.push(`<line class="grid" x1="90" x2="${legend - 40}" y1="${y(tick)}" y2="${y(tick)}"/>`);
    out.push(text(82, Number(y(tick)) + 4, tick.toLocaleString("en-US"), "quiet end"));
  }
  for (const tick of across.ticks) out.push(text(x(tick), bottom + 18, tick.toLocaleString("en-US"), "quiet middle"));
  out.push(text(legend - 30, bottom + 18, over, "quiet"), text(82, first - 10, unit, "quiet end"));
  for (const [i, line] of lines.entries()) {
    const shown = line.points.filter(({ values }) => values.some((value) => value > 0)).sort((a, b) => a.x - b.x);
    const path = shown.map((point) => `${x(point.x)} ${y(spread(point.values).median)}`).join("L");
    out.push(`<path d="M${path}" fill="none" stroke="${colourOf(i)}" stroke-width="2"/>`);
    for (const { x: at, values } of shown)
      for (const value of values.filter((one) => one > 0))
        out.push(`<circle cx="${x(at)}" cy="${y(value)}" r="3" fill="${colourOf(i)}" fill-opacity="0.6"/>`);
    out.push(`<circle cx="${legend}" cy="${first + i * 18}" r="5" fill="${colourOf(i)}"/>`);
    out.push(text(legend + 12, first + 4 + i * 18, line.label));
  }
  return { svg: out.join("\n"), height: Math.max(bottom - top + 20, 54 + lines.length * 18) };
}

/** From the 1, 2 or 5 times a power of ten below the least value to the one above the greatest. */
export function logAxis(values: readonly number[]): { at(value: number): number; ticks: number[] } {
  const least = Math.min(...values, Number.MAX_VALUE);
  const greatest = Math.max(...values, 0);
  if (greatest === 0) return { at: () => 0, ticks: [] };
  const steps: number[] = [];
  for (let power = Math.floor(Math.log10(least)); power <= Math.ceil(Math.log10(greatest)); power++) {
    for (const step of [1, 2, 5]) steps.push(Number((step * 10 ** power).toPrecision(1)));
  }
  const from = steps.findLastIndex((step) => step <= least);
  const to = steps.findIndex((step) => step >= greatest);
  const inside = steps.slice(from, Math.max(from + 1, to) + 1);
  const [low, high] = [Math.log(inside[0]!), Math.log(inside.at(-1)!)];
  const sparse = inside.length > 10 ? inside.filter((step) => `${step}`.replaceAll(/[0.]/g, "") === "1") : inside;
  return { at: (value) => (Math.log(value) - low) / (high - low), ticks: sparse };
}

export function text(x: number | string, y: number, content: string, classes?: string): string {
  return `<text x="${x}" y="${y}"${classes ? ` class="${classes}"` : ""}>${escapeXml(content)}</text>`;
}

/** For text and for values of attributes. What XML has no place for at all is shown as lost. */
export function escapeXml(value: string): string {
  const known = value.replaceAll(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd");
  return known.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
