import type { LabEvent } from "../deploy/supervisor/events.ts";

/** A line of the timeline: milliseconds since `up`, and what happened. */
export interface TimelineRow {
  atMs: number;
  text: string;
}

/** What `up` shows of the events: starts that follow one another as one row, then what became ready. */
export function timelineOf(events: LabEvent[]): TimelineRow[] {
  const rows: TimelineRow[] = [];
  let started: string[] = [];
  for (const { atMs, type, subject, message } of events) {
    if (type === "Spawned") {
      if (started.length === 0) rows.push({ atMs, text: "" });
      started.push(subject);
      rows.at(-1)!.text = `started ${started.join(", ")}`;
      continue;
    }
    if (type === "Listening") continue;
    started = [];
    rows.push({ atMs, text: subject === "lab" ? message : `${subject}: ${message}` });
  }
  return rows;
}

export function formatTimeline(rows: TimelineRow[]): string {
  return rows.map(({ atMs, text }) => `${String(Math.round(atMs)).padStart(7)} ms  ${text}`).join("\n");
}
