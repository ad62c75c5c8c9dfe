import type { LabEvent } from "../deploy/supervisor/events.ts";

/** A line of the timeline: milliseconds since `up`, and what happened. */
export interface TimelineRow {
  atMs: number;
  text: string;
}

/**
 * The events as rows: starts that follow one another as one. `up` shows what became ready; `raft`: also what the members
 * tell of their elections, as it happened.
 */
export function timelineOf(events: readonly LabEvent[], { raft = false } = {}): TimelineRow[] {
  const rows: TimelineRow[] = [];
  let started: string[] = [];
  const inOrder = raft ? events.toSorted((a, b) => a.atMs - b.atMs) : events; // told later than it happened
  for (const { atMs, type, subject, message } of inOrder) {
    if (type === "Spawned") {
      if (started.length === 0) rows.push({ atMs, text: "" });
      started.push(subject);
      rows.at(-1)!.text = `started ${started.join(", ")}`;
      continue;
    }
    if (type === "Listening" || (type === "Raft" && !raft)) continue;
    started = [];
    rows.push({ atMs, text: subject === "lab" ? message : `${subject}: ${message}` });
  }
  return rows;
}

export function formatTimeline(rows: TimelineRow[]): string {
  return rows.map(({ atMs, text }) => `${String(Math.round(atMs)).padStart(7)} ms  ${text}`).join("\n");
}
