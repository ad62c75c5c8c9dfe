import { percentile } from "../../bench/stats.ts";
import { escapeXml, logAxis, text } from "../../bench/svg.ts";
import { latency } from "../experiments/requests.ts";
import type { Failover } from "../experiments/run.ts";
import { type Group, type Series, timeText } from "./measures.ts";
import { type FaultSpan, hits, type Lane, type Span } from "./picture.ts";

/**
 * The pictures of a report as SVG. All that have time as their horizontal axis share it (`Frame`), so that what stands
 * below one another happened at the same time. Colours come as classes: the page's style knows light and dark.
 */
export interface Frame {
  fromMs: number;
  toMs: number;
}

export interface Scene {
  frame: Frame;
  groups: readonly Group[];
  lanes: readonly Lane[];
  faults: readonly FaultSpan[];
  gaps: readonly Frame[];
  /** When something was acknowledged, ascending; what it was. */
  acks: readonly number[];
  acksName: string;
}

type X = (ms: number) => number;

const width = 1080;
const left = 136;
const right = 24;
const laneHeight = 30;
const most = 24;

const round = (value: number) => Math.round(value * 10) / 10;

function scaleOf({ fromMs, toMs }: Frame, begin = left): X {
  const perMs = (width - begin - right) / Math.max(1e-6, toMs - fromMs);
  return (ms) => round(begin + (Math.min(toMs, Math.max(fromMs, ms)) - fromMs) * perMs);
}

export function timeline(scene: Scene, title: string, frame = scene.frame): string {
  const x = scaleOf(frame);
  const lanes = scene.lanes.slice(0, most);
  const faults = within(scene.faults, frame);
  const labels = placed(faults.map(({ name, fromMs }) => ({ x: x(fromMs), text: name })));
  const top = 8 + labels.rows * 17;
  const strip = top + lanes.length * laneHeight + 4;
  const bottom = strip + (scene.acks.length > 0 ? laneHeight : 0) + 2;
  const out = [...axis(frame, x, top - 2, bottom), ...shades(faults, x, top - 2, bottom)];
  for (const { x: at, text: name, row } of labels.all) {
    const y = 14 + row * 17;
    out.push(`<path class="edge" d="M${at} ${y - 9}V${top}"/>`, text(at + 5, y, name, "fault"));
  }
  for (const [i, lane] of lanes.entries()) out.push(...drawLane(lane, faults, frame, x, top + i * laneHeight));
  if (scene.lanes.length > most) out.push(text(left, bottom + 14, `and ${scene.lanes.length - most} more`, "quiet"));
  if (scene.acks.length > 0) out.push(...drawAcks(scene, frame, x, strip));
  const names = (all: readonly { name: string }[]) => all.map(({ name }) => name).join(", ") || "none";
  const told = scene.gaps.map(({ fromMs, toMs }) => ({ name: timeText(toMs - fromMs) }));
  const desc = `${names(lanes)}; faults: ${names(faults)}; gaps in acknowledgements: ${names(told)}`;
  return figure(title, desc, bottom + 26, out, frame);
}

/** Texts one below another where they would overlap. */
function placed(labels: { x: number; text: string }[]) {
  const ends: number[] = [];
  const all = labels.map((label) => {
    let row = ends.findIndex((end) => end < label.x);
    if (row < 0) row = ends.length < 4 ? ends.push(0) - 1 : ends.indexOf(Math.min(...ends));
    ends[row] = label.x + label.text.length * 7 + 12;
    return { ...label, row };
  });
  return { all, rows: ends.length };
}

function drawLane({ name, spans, elections }: Lane, faults: readonly FaultSpan[], frame: Frame, x: X, y: number) {
  const out = [text(left - 12, y + 19, name, "end name")];
  for (const span of within(spans, frame)) {
    const [from, to] = [x(span.fromMs), x(span.toMs)];
    out.push(bar(span.state.replace(" ", "-"), from, to, y + 5, 20, inWords(name, span)));
    const [shift, look] = span.state === "leader" ? [13, "on"] : [7, "term"];
    out.push(text(from + shift, y + 19, labelOf(span, to - from), look));
  }
  for (const fault of faults)
    if (hits(fault, name)) out.push(bar("hit", x(fault.fromMs), x(fault.toMs), y + 2, 26, fault.name));
  for (const { atMs, term, won } of elections.filter(({ atMs }) => atMs >= frame.fromMs && atMs <= frame.toMs)) {
    const title = escapeXml(`${name} ${won ? "is elected" : "asks for votes"} in term ${term}, ${timeText(atMs)}`);
    const path = `M${x(atMs)} ${y + 8}l7 7l-7 7l-7 -7z`;
    out.push(`<path class="election${won ? " won" : ""}" d="${path}"><title>${title}</title></path>`);
  }
  return out;
}

function bar(name: string, from: number, to: number, y: number, height: number, title: string): string {
  const size = `x="${from}" y="${y}" width="${round(Math.max(1.5, to - from))}" height="${height}" rx="2"`;
  return `<rect class="${escapeXml(name)}" ${size}><title>${escapeXml(title)}</title></rect>`;
}

function labelOf({ state, term }: Span, room: number): string {
  if (state === "down" || state === "not ready") return room > 70 ? state : "";
  if (state !== "leader" || term === undefined) return "";
  const long = `leads, term ${term}`;
  return room > long.length * 7 ? long : room > 40 + 7 * `${term}`.length ? `term ${term}` : "";
}

const inWords = (name: string, { state, term, fromMs, toMs }: Span) =>
  `${name}: ${state}${term === undefined ? "" : ` in term ${term}`}, ${timeText(fromMs)} to ${timeText(toMs)}`;

/** A stroke for each pixel in which something was acknowledged, darker the more; the gaps stand out, with their length. */
function drawAcks({ acks, acksName, gaps }: Scene, frame: Frame, x: X, y: number): string[] {
  const counts = new Map<string, number>();
  for (const atMs of acks)
    if (atMs >= frame.fromMs && atMs <= frame.toMs) countIn(counts, `M${Math.round(x(atMs))} ${y + 5}v20`);
  const out = [text(left - 12, y + 19, acksName, "end quiet"), ...density("ack", counts)];
  for (const { fromMs, toMs } of within(gaps, frame)) {
    const [from, to] = [x(fromMs), x(toMs)];
    const label = timeText(toMs - fromMs);
    out.push(bar("gap", from, to, y + 2, 26, `nothing acknowledged for ${label}`));
    if (to - from > 62) out.push(text((from + to) / 2, y + 19, label, "gap-text middle"));
    else {
      const at = Math.min(to + 6, width - right - label.length * 8);
      out.push(bar("paper", at - 4, at + 4 + label.length * 8, y + 6, 18, ""), text(at, y + 19, label, "gap-text"));
    }
  }
  return out;
}

/** One stroke for each path, in four classes: the more fell on it, the stronger. */
function density(name: string, counts: ReadonlyMap<string, number>): string[] {
  const classes = ["", "", "", ""];
  for (const [path, count] of counts) classes[count < 2 ? 0 : count < 4 ? 1 : count < 10 ? 2 : 3] += path;
  const path = (d: string, i: number) =>
    d && `<path class="${name}" d="${d}" stroke-opacity="${[0.4, 0.6, 0.8, 1][i]}"/>`;
  return classes.map(path);
}

const countIn = (counts: Map<string, number>, path: string) => void counts.set(path, (counts.get(path) ?? 0) + 1);

/** A dot for every request; where many are, one for all that fall on it, darker. Lines: the middle and the 99th of 100. */
export function latencyChart({ groups, faults, frame }: Scene, range: Range): string {
  const x = scaleOf(frame);
  const [top, bottom] = [30, 240];
  const up = logAxis([range.least, range.most]);
  const y = (ms: number) => bottom - up.at(Math.min(range.most, Math.max(range.least, ms))) * (bottom - top - 22);
  const out = [...axis(frame, x, top, bottom), ...shades(within(faults, frame), x, top, bottom)];
  for (const tick of up.ticks) if (tick >= range.least && tick <= range.most) out.push(level(y(tick), timeTick(tick)));
  const columns = Array.from({ length: 90 }, (): number[] => []);
  const lost = new Set<number>();
  for (const [i, { sent }] of groups.entries()) {
    const cells = new Map<string, number>();
    for (const one of sent) {
      if (one.due < frame.fromMs || one.due > frame.toMs) continue;
      if (one.outcome !== "ok") {
        lost.add(Math.round(x(one.due) / 3) * 3);
        continue;
      }
      countIn(cells, `M${Math.round(x(one.due) / 3) * 3} ${Math.round(y(latency(one)) / 3) * 3}h0`);
      const share = (one.due - frame.fromMs) / (frame.toMs - frame.fromMs);
      columns[Math.min(columns.length - 1, Math.floor(share * columns.length))]!.push(latency(one));
    }
    out.push(...density(`dot group-${i}`, cells));
  }
  for (const values of columns) values.sort((a, b) => a - b);
  for (const [p, name] of Object.entries({ 0.5: "p50", 0.99: "p99" })) {
    const line = columns.map((values, i) => {
      const at = left + ((i + 0.5) / columns.length) * (width - left - right);
      return values.length < 10 ? undefined : `${round(at)} ${round(y(percentile(values, Number(p))))}`;
    });
    const path = line.map((point, i) => point && `${line[i - 1] ? "L" : "M"}${point}`).join("");
    if (path) out.push(`<path class="line halo" d="${path}"/><path class="line ${name}" d="${path}"/>`);
  }
  if (lost.size > 0) {
    out.push(`<path class="lost" d="${[...lost].map((at) => `M${at} ${top + 2}v8`).join("")}"/>`);
    out.push(text(left - 10, top + 10, "not answered", "end bad"));
  }
  out.push(...legend([...keysOf(groups), ["p50", "median"], ["p99", "p99"]]));
  return figure("Latency of every request, from when it was due", describe(groups, frame), bottom + 26, out, frame);
}

export type Range = Record<"least" | "most", number>;

export function latencyRange(groups: readonly Group[]): Range {
  const range = { least: 1, most: 10 };
  for (const ms of groups.flatMap(({ sent }) => sent.filter(({ outcome }) => outcome === "ok").map(latency))) {
    range.least = Math.min(range.least, Math.max(0.05, ms));
    range.most = Math.max(range.most, ms);
  }
  return range;
}

/** Answers a second, one kind upon the other; in red what was sent then and never answered. */
export function throughputChart({ groups, faults, frame }: Scene, peak = peakOf({ groups, frame })): string {
  const x = scaleOf(frame);
  const [top, bottom] = [30, 150];
  const { layers, binMs } = binned(groups, frame);
  const y = (value: number) => round(bottom - (value / peak) * (bottom - top));
  const out = [...axis(frame, x, top, bottom), ...shades(within(faults, frame), x, top, bottom)];
  for (const value of [peak / 2, peak])
    out.push(level(y(value), `${Math.round((value * 1000) / binMs).toLocaleString("en-US")}/s`));
  const at = (bin: number) => x(frame.fromMs + bin * binMs);
  for (const [i, layer] of layers.entries()) {
    const upper = layer.map((value, k) => `L${at(k)} ${y(value)}H${at(k + 1)}`).join("");
    const below = layer.map((_, k) => `L${at(k + 1)} ${y(layers[i - 1]?.[k] ?? 0)}H${at(k)}`);
    const name = i < groups.length ? `group-${i}` : "errors";
    out.push(`<path class="area ${name}" d="M${left} ${bottom}${upper}${below.reverse().join("")}z"/>`);
  }
  out.push(...legend([...keysOf(groups), ["errors", "not answered"]]));
  return figure("Answers a second", describe(groups, frame), bottom + 26, out, frame);
}

/** A line for each process; where it did not answer, none. */
export function metricChart({ faults, frame }: Scene, title: string, unit: string, series: readonly Series[]): string {
  const x = scaleOf(frame);
  const [top, bottom] = [30, 120];
  const values = series.flatMap(({ points }) => points.map(({ value }) => value));
  const peak = values.reduce((a, b) => Math.max(a, b), 1e-9);
  const out = [...axis(frame, x, top, bottom), ...shades(within(faults, frame), x, top, bottom)];
  for (const value of [peak / 2, peak])
    out.push(level(bottom - (value / peak) * (bottom - top), `${Number(value.toPrecision(2))} ${unit}`));
  for (const [i, { points }] of series.entries()) {
    const path = points.map(({ atMs, value }, k) => {
      const goesOn = k > 0 && atMs - points[k - 1]!.atMs < longestSilenceMs;
      return `${goesOn ? "L" : "M"}${x(atMs)} ${round(bottom - (value / peak) * (bottom - top))}`;
    });
    if (path.length > 0) out.push(`<path class="metric group-${i % 4}" d="${path.join("")}"/>`);
  }
  out.push(...legend(series.map(({ name }, i) => [`group-${i % 4}`, name] as const)));
  return figure(title, `of ${series.map(({ name }) => name).join(", ")}`, bottom + 26, out, frame);
}

const longestSilenceMs = 2500;

export const peakOf = ({ groups, frame }: Pick<Scene, "groups" | "frame">): number =>
  Math.max(1, ...binned(groups, frame).layers.at(-1)!);

const keysOf = (groups: readonly Group[]) => groups.map(({ name }, i) => [`group-${i}`, name] as const);

/** A line across, with its value. */
const level = (y: number, label: string): string =>
  `<path class="grid" d="M${left} ${round(y)}H${width - right}"/>${text(left - 10, round(y) + 4, label, "quiet end")}`;

/** Stacked counts; the last layer is what was not answered. */
export function binned(groups: readonly Group[], { fromMs, toMs }: Frame): { layers: number[][]; binMs: number } {
  const binMs =
    [50, 100, 200, 250, 500, 1000, 2000, 5000, 10_000, 60_000].find((ms) => (toMs - fromMs) / ms <= 160) ?? 300_000;
  const count = Math.max(1, Math.ceil((toMs - fromMs) / binMs));
  const layers = [...groups, undefined].map(() => Array.from({ length: count }, () => 0));
  for (const [i, { sent }] of groups.entries())
    for (const { due, returned, outcome } of sent) {
      const bin = Math.floor(((outcome === "ok" ? returned! : due) - fromMs) / binMs);
      if (bin >= 0 && bin < count) layers[outcome === "ok" ? i : groups.length]![bin]!++;
    }
  for (let i = 1; i < layers.length; i++) layers[i] = layers[i]!.map((value, k) => value + layers[i - 1]![k]!);
  return { layers, binMs };
}

/** Each failover from its first step on, all on one axis: which part took how long. */
export function waterfall(failovers: readonly Failover[]): string {
  const shown = failovers.filter(({ steps }) => steps.length > 1).slice(0, 60);
  const lengths = shown.map(({ steps }) => steps.at(-1)!.atMs - steps[0]!.atMs);
  const frame = { fromMs: 0, toMs: Math.max(1, ...lengths) * 1.12 };
  const x = scaleOf(frame, 220);
  const bottom = 30 + shown.length * 28;
  const out = axis(frame, x, 30, bottom);
  const names = [...new Set(shown.flatMap(({ steps }) => steps.slice(1).map((step) => step.name)))];
  for (const [i, { fault, atMs, steps }] of shown.entries()) {
    const y = 34 + i * 28;
    const start = steps[0]!.atMs;
    out.push(text(208, y + 14, `${fault}, ${timeText(atMs)}`, "end name"));
    for (const [k, step] of steps.slice(1).entries()) {
      const [from, to] = [x(steps[k]!.atMs - start), x(step.atMs - start)];
      const took = timeText(step.atMs - steps[k]!.atMs);
      const name = `step-${names.indexOf(step.name) % 5}`;
      out.push(bar(name, from, to, y, 20, `${steps[k]!.name} to ${step.name}: ${took}`));
      if (to - from > took.length * 7 + 8) out.push(text(round((from + to) / 2), y + 14, took, "on middle"));
    }
    if (atMs > start) out.push(`<path class="moment" d="M${x(atMs - start)} ${y - 3}v26"/>`);
    out.push(text(x(lengths[i]!) + 8, y + 14, timeText(lengths[i]!), "name"));
  }
  const colours = names.map((step, i) => [`step-${i % 5}`, `until ${step}`] as const);
  out.push(...legend([...colours, ["moment", "the fault"]], 220));
  const desc = shown.map(({ fault }, i) => `${fault}: ${timeText(lengths[i]!)}`).join("; ");
  return figure("The steps of each failover", desc, bottom + 24, out);
}

function axis(frame: Frame, x: X, top: number, bottom: number): string[] {
  return ticksOf(frame).flatMap((tick) => [
    `<path class="grid" d="M${x(tick)} ${top}V${bottom}"/>`,
    text(x(tick), bottom + 17, timeTick(tick), "quiet middle"),
  ]);
}

const shades = (faults: readonly FaultSpan[], x: X, top: number, bottom: number): string[] =>
  faults.flatMap(({ fromMs, toMs, name }) => [
    bar("shade", x(fromMs), x(toMs), top, bottom - top, name),
    `<path class="edge" d="M${x(fromMs)} ${top}V${bottom}"/>`,
  ]);

const within = <T extends Frame>(all: readonly T[], { fromMs, toMs }: Frame): T[] =>
  all.filter((one) => one.toMs >= fromMs && one.fromMs <= toMs);

/** 1, 2 or 5 times a power of ten apart, at most eleven. */
function ticksOf({ fromMs, toMs }: Frame): number[] {
  const rough = 10 ** Math.floor(Math.log10((toMs - fromMs) / 10));
  const step = [1, 2, 5, 10].map((factor) => factor * rough).find((each) => (toMs - fromMs) / each <= 11)!;
  const first = Math.ceil(fromMs / step - 1e-9);
  const count = Math.floor((toMs - first * step) / step + 1e-9) + 1;
  return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

const timeTick = (ms: number) =>
  Math.abs(ms) >= 1000 || ms === 0 ? `${Number((ms / 1000).toFixed(3))} s` : `${Number(ms.toPrecision(4))} ms`;

function legend(entries: readonly (readonly [className: string, name: string])[], from = left): string[] {
  let at = from;
  return entries.flatMap(([className, name]) => {
    const x = at;
    at += name.length * 7 + 40;
    const line = className === "p50" || className === "p99" || className === "moment";
    const mark = line
      ? `<path class="line ${className}" d="M${x} 12h16"/>`
      : `<rect class="area ${className}" x="${x + 2}" y="6" width="12" height="12" rx="2"/>`;
    return [mark, text(x + 22, 16, name, "quiet")];
  });
}

const describe = (groups: readonly Group[], { fromMs, toMs }: Frame) =>
  `${groups.map(({ name, sent }) => `${sent.length} ${name}`).join(", ") || "no requests"} in ${timeText(toMs - fromMs)}`;

function figure(title: string, desc: string, height: number, body: readonly string[], frame?: Frame): string {
  const time = frame ? ` class="timed" data-from="${frame.fromMs}" data-to="${frame.toMs}"` : "";
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img"${time}><title>${escapeXml(title)}</title><desc>${escapeXml(desc)}</desc>
${body.filter(Boolean).join("\n")}
${frame ? `<path class="cursor" data-left="${left}" data-right="${width - right}" data-height="${height - 20}"/>` : ""}</svg>`;
}
