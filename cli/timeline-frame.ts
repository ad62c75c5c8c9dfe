import { systemClock } from "../base/clock.ts";
import type { LabEvent } from "../deploy/supervisor/events.ts";
import { faultsOf, type Happened, hits, lanesOf, type State } from "../lab/report/picture.ts";
import type { SupervisorClient } from "./supervisor-client.ts";
import { formatTimeline, timelineOf } from "./timeline.ts";

export interface FrameOptions {
  nowMs: number;
  spanMs: number;
  colour?: boolean;
}

/**
 * The picture of a lab for a terminal: `width` columns, the last `spanMs` before `nowMs`, and below what was last.
 *
 *          ▼ kill etcd-1
 *   etcd-1 █2██████     ░─────────
 *   etcd-2 ────────◆3█████████████
 *          -20 s               now
 */
export function frame(events: readonly LabEvent[], width: number, options: FrameOptions): string {
  const { nowMs, spanMs, colour = true } = options;
  const inOrder = events.toSorted((a, b) => a.atMs - b.atMs) as Happened[];
  const fromMs = Math.max(0, nowMs - spanMs);
  const faults = faultsOf(inOrder, nowMs).filter(({ toMs }) => toMs >= fromMs);
  const members = [...new Set(events.filter(({ type }) => type === "Raft").map(({ subject }) => subject))].sort();
  const lanes = lanesOf(inOrder, members, faults, [fromMs, nowMs]);
  const names = Math.max(6, ...lanes.map(({ name }) => name.length)) + 1;
  const columns = Math.max(10, width - names - 1);
  const at = (ms: number) =>
    Math.floor(Math.min(1, Math.max(0, (ms - fromMs) / (nowMs - fromMs || 1))) * (columns - 1));
  const paint = (text: string, code: number) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);
  const margin = " ".repeat(names);
  const labels = faults.slice(-4).map(({ name, fromMs: start }) => {
    const text = `▼ ${name}`.slice(0, columns);
    return margin + " ".repeat(Math.min(at(start), columns - text.length)) + paint(text, red);
  });
  const drawn = lanes.map(({ name, spans, elections }) => {
    const cells = Array.from({ length: columns }, (): [char: string, code: number] => [" ", 0]);
    for (const { fromMs: start, toMs, state, term } of spans) {
      cells.fill(looks[state], at(start), at(toMs) + 1);
      const digits = [...`${term}`].map((digit): [string, number] => [digit, 44]);
      if (state === "leader" && at(toMs) - at(start) > digits.length + 1)
        cells.splice(at(start) + 1, digits.length, ...digits);
    }
    for (const { atMs, won } of elections) cells[at(atMs)] = won ? ["◆", 34] : ["◇", 33];
    for (const fault of faults)
      for (let i = at(fault.fromMs); hits(fault, name) && i <= at(fault.toMs); i++)
        if (cells[i]![0] === " ") cells[i] = ["╳", red];
    return name.padEnd(names) + cells.map(([char, code]) => (char === " " ? char : paint(char, code))).join("");
  });
  const left = `-${Math.round((nowMs - fromMs) / 1000)} s`;
  const recent = formatTimeline(timelineOf(events.slice(-60), { raft: true }))
    .split("\n")
    .slice(-8);
  const axis = margin + left + "now".padStart(columns - left.length);
  return [...labels, ...drawn, axis, "", ...recent.map((line) => line.slice(0, width))].join("\n");
}

const red = 31;
const looks: Record<State, [char: string, code: number]> = {
  leader: ["█", 34],
  follower: ["─", 36],
  candidate: ["▒", 33],
  starting: ["░", 2],
  up: ["─", 32],
  ready: ["─", 32],
  down: [" ", 0],
  "not ready": ["·", red],
};

/** Draws four times a second what the last minute was; without `follow` all of it once; on a pipe one line for each thing. */
export async function timeline(supervisor: SupervisorClient, follow: boolean): Promise<void> {
  const { stdout } = process;
  const lines = (some: LabEvent[]) => formatTimeline(timelineOf(some, { raft: true }));
  const draw = (all: LabEvent[], spanMs: number) => {
    const last = all.at(-1);
    const nowMs = last ? systemClock.now() - Date.parse(last.time) + last.atMs : 0;
    return frame(all, stdout.columns || 80, { nowMs, spanMs });
  };
  if (!follow) {
    const all = await supervisor.eventsSoFar();
    return console.log(stdout.isTTY ? draw(all, Infinity) : lines(all));
  }
  const events: LabEvent[] = [];
  const show = () => stdout.write(`\x1b[H\x1b[J${draw(events, 60_000)}\n`);
  const stop = stdout.isTTY ? systemClock.every(250, show) : () => {};
  for await (const event of supervisor.events()) {
    events.push(event);
    if (!stdout.isTTY && lines([event]) !== "") console.log(lines([event]));
  }
  stop();
}
