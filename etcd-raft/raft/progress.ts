import type { Entry, NodeId } from "./types.ts";

/**
 * What the leader knows of one member's log.
 *
 * - `probe`: where the logs agree is not known; one append at a time, the next after its answer or a heartbeat's.
 * - `replicate`: they agree; appends are sent ahead of their answers (`nextIndex` moves when sending), at most
 *   so many of them and so many bytes (`Window`), the rest waits.
 * - `snapshot`: it needs entries that are compacted, and the state is on its way to it; nothing else is sent until it has
 *   arrived, or failed to.
 */
export interface Progress {
  readonly id: NodeId;
  state: "probe" | "replicate" | "snapshot";
  matchIndex: number; // durable there; never falls while this leader leads
  nextIndex: number; // > matchIndex
  commitSent: number; // the commit index last sent
  awaits: number; // the last entry that it proposed itself: somebody there waits for its commit
  paused: boolean; // until an answer arrives
  recentActive: boolean; // heard of since the last quorum check
  inflight: { last: number; bytes: number }[]; // each unanswered append: its last index, ascending, and its entries' bytes
  inflightBytes: number; // their sum
}

/** What may be on the way to one member. A window in bytes keeps what one turn has to write small: a heartbeat waits behind it. */
export interface Window {
  maxInflightMessages: number;
  maxInflightBytes: number; // the append that passes it is still sent
}

export function createProgress(id: NodeId, nextIndex: number): Progress {
  return {
    id,
    state: "probe",
    matchIndex: 0,
    nextIndex,
    commitSent: 0,
    awaits: 0,
    paused: false,
    recentActive: false,
    inflight: [],
    inflightBytes: 0,
  };
}

export function become(p: Progress, state: Progress["state"]): void {
  p.state = state;
  p.paused = state === "snapshot";
  if (!p.paused) p.nextIndex = p.matchIndex + 1;
  p.inflight = [];
  p.inflightBytes = 0;
}

/** It holds the state up to `index` (undefined: it does not); the log goes on from there, after its next sign of life. */
export function snapshotSent(p: Progress, index: number | undefined): void {
  if (p.state !== "snapshot") return; // its acknowledgement was faster
  become(p, "probe");
  p.nextIndex = Math.max(p.nextIndex, (index ?? 0) + 1);
  p.paused = true;
}

export const isFull = (p: Progress, { maxInflightMessages, maxInflightBytes }: Window): boolean =>
  p.state === "replicate" && (p.inflight.length >= maxInflightMessages || p.inflightBytes >= maxInflightBytes);

/** An append with these entries is on its way. */
export function sent(p: Progress, entries: readonly Entry[], window: Window): void {
  if (p.state === "probe") {
    p.paused = true;
    return;
  }
  if (entries.length > 0) {
    const last = entries[entries.length - 1]!.index;
    let bytes = 0;
    for (const { data } of entries) bytes += data.length;
    p.nextIndex = last + 1;
    p.inflight.push({ last, bytes });
    p.inflightBytes += bytes;
  }
  p.paused = isFull(p, window);
}

/** The member holds everything up to `index`. Returns whether that is news. `start`: of the leader's log. */
export function acknowledged(p: Progress, index: number, start: number): boolean {
  const news = index > p.matchIndex;
  if (!news && !(p.state === "probe" && index === p.matchIndex)) return false;
  p.matchIndex = index;
  p.nextIndex = Math.max(p.nextIndex, index + 1);
  if (p.state === "snapshot" && index < start) return news; // an old answer: what follows is compacted all the same
  p.paused = false;
  if (p.state !== "replicate") become(p, "replicate");
  let answered = 0;
  for (; answered < p.inflight.length && p.inflight[answered]!.last <= index; answered++)
    p.inflightBytes -= p.inflight[answered]!.bytes;
  if (answered > 0) p.inflight.splice(0, answered);
  return true;
}

/**
 * The member had no match at `index`; `hint` is the last index where it may have one. Returns false for an answer
 * that later ones have overtaken.
 */
export function rejected(p: Progress, index: number, hint: number): boolean {
  if (p.state === "replicate") {
    if (index <= p.matchIndex) return false;
    become(p, "probe");
    return true;
  }
  if (p.state === "snapshot" || p.nextIndex - 1 !== index) return false;
  p.nextIndex = Math.max(Math.min(index, hint + 1), p.matchIndex + 1);
  p.paused = false;
  return true;
}
