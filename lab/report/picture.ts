import type { RunEvent } from "../experiments/run.ts";

/**
 * Who was what, and when: the picture of a run, or of a lab that runs, before anybody draws it. Pure: `lanesOf` reads
 * events alone, so that the report and the terminal show the same.
 */
export interface Lane {
  name: string;
  /** One after the other, without a gap, from the first thing known on. */
  spans: Span[];
  /** Campaigns: when they were won, or else begun. */
  elections: { atMs: number; term: number; won: boolean }[];
}

export interface Span {
  fromMs: number;
  toMs: number;
  state: State;
  /** Of raft members. */
  term?: number;
}

export type State = "leader" | "follower" | "candidate" | "starting" | "up" | "down" | "ready" | "not ready";

export interface FaultSpan {
  /** `kill etcd-1` */
  name: string;
  targets: readonly string[];
  fromMs: number;
  /** `fromMs` of what is done in a moment. */
  toMs: number;
}

export type Happened = Pick<RunEvent, "atMs" | "type" | "subject" | "message" | "details">;

/** All members, and of the others those that were not simply there all the time. Events in the order of time. */
export function lanesOf(
  events: readonly Happened[],
  members: readonly string[],
  faults: readonly FaultSpan[],
  [fromMs, toMs]: readonly [number, number],
): Lane[] {
  const lanes = new Map<string, Lane>(members.map((name) => [name, { name, spans: [], elections: [] }]));
  for (const event of events) {
    if (event.atMs > toMs) break;
    const known = lanes.get(event.subject);
    const next = changeOf(event, known?.spans.at(-1), members.includes(event.subject));
    if (next === undefined) continue;
    const lane = known ?? { name: event.subject, spans: [], elections: [] };
    lanes.set(lane.name, lane);
    const { atMs } = event;
    if (next.state === "candidate" || next.state === "leader") {
      const open = lane.elections.at(-1);
      if (next.state === "leader" && open?.won === false && open.term === next.term)
        Object.assign(open, { atMs, won: true });
      else if (lane.spans.at(-1)?.state !== next.state || next.state === "candidate")
        lane.elections.push({ atMs, term: next.term ?? 0, won: next.state === "leader" });
    }
    const last = lane.spans.at(-1);
    if (last?.state === next.state && last.term === next.term) continue;
    if (last) last.toMs = atMs;
    lane.spans.push({ fromMs: atMs, toMs, ...next });
  }
  for (const lane of lanes.values()) {
    lane.spans = lane.spans.filter((span) => span.toMs > fromMs && span.toMs > span.fromMs);
    lane.elections = lane.elections.filter(({ atMs }) => atMs >= fromMs);
    for (const span of lane.spans) span.fromMs = Math.max(span.fromMs, fromMs);
  }
  const moved = ({ spans }: Lane) =>
    spans.some(({ state }) => state !== "up" && state !== "ready" && state !== "starting");
  return [...lanes.values()].filter(
    (lane) => members.includes(lane.name) || faults.some((fault) => hits(fault, lane.name)) || moved(lane),
  );
}

function changeOf(
  { type, message, details }: Happened,
  last: Span | undefined,
  member: boolean,
): Pick<Span, "state" | "term"> | undefined {
  // The supervisor looks at nodes now and then; a run has what a watch of the API told, too.
  if (type === "NodeReady" || message === "node Ready") return { state: "ready" };
  if (type === "NodeNotReady" || message === "node NotReady") return { state: "not ready" };
  switch (type) {
    case "Spawned":
      return { state: member ? "starting" : "up" };
    case "Exited":
      return { state: "down" };
    case "Raft": {
      const term = Number(details["term"]);
      const to = { Started: "follower", RoleChanged: details["to"] }[details["kind"] as "Started"];
      // A pre-candidate only asks whether it would be heard: its term is the old one, and it follows until then.
      if (to !== undefined) return { state: to === "preCandidate" ? "follower" : (to as State), term };
      return last?.term === undefined || last.term === term ? undefined : { state: last.state, term };
    }
    default:
      return undefined;
  }
}

/** Of a node, all that runs on it is hit. */
export const hits = ({ targets }: FaultSpan, lane: string): boolean =>
  targets.some((target) => lane === target || lane.startsWith(`${target}/`));

/** A fault lasts until it is healed, or what it ended runs again; one that has nothing to undo is a moment. */
export function faultsOf(events: readonly Happened[], toMs: number): FaultSpan[] {
  const open = new Map<unknown, FaultSpan>();
  const all: FaultSpan[] = [];
  for (const { type, atMs, subject, details } of events) {
    if (type === "Fault") {
      const targets = (details["targets"] as string[] | undefined) ?? [subject];
      const moment = details["undo"] === null;
      const fault = { name: `${details["kind"] ?? "fault"} ${targets.join(", ")}`, targets, fromMs: atMs };
      all.push({ ...fault, toMs: moment ? atMs : toMs });
      open.set(details["id"], all.at(-1)!);
    } else if (type === "Spawned") {
      for (const fault of all)
        if (/^(kill|stop) /.test(fault.name) && hits(fault, subject)) fault.toMs = Math.min(fault.toMs, atMs);
    } else if (type === "Healed") {
      const fault = open.get(details["id"]);
      if (fault) fault.toMs = Math.min(fault.toMs, atMs);
      open.delete(details["id"]);
    }
  }
  return all;
}
