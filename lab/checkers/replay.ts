import { memo } from "../../base/memo.ts";
import type { Base, Commit, HistoryLine, Operation, Request, Response } from "./history.ts";
import { brief, canonical, isWrite, outcome, sameMeaning } from "./history.ts";
import { Model } from "./model.ts";

/**
 * Histories with transactions, ranges, leases and revisions, in linear time: the order is not searched for, it is the one
 * that the store reports (revisions) and the log confirms. The log is replayed in a model of etcd; then
 *
 * - each acknowledged write is in the log once, and was answered as the model answers it ("lost write", "wrong answer");
 * - nothing is in the log more often than it was asked for, nor takes effect after it was refused ("double write",
 *   "phantom write", "refused write");
 * - each read was answered as the model would at the revision it reports ("wrong read");
 * - revisions agree with real time: an operation has the revision of all that ended before it began, and a write a later
 *   one ("stale answer"). Serializable reads may be of any earlier state, but of one.
 */
export interface Truth {
  model: Model;
  begin: number; // the revision that the history begins after: nothing is known of earlier ones
  compactedAt: number[]; // what was compacted when each revision began
  at: (number | undefined)[]; // when each revision was seen to be committed, if it was
  entries: {
    index: number;
    request: Request;
    response: Response | undefined;
    changed: boolean;
    at: number | undefined;
  }[];
}

export function replayLog(commits: readonly Commit[], base?: Base): Truth {
  const model = new Model(base);
  const truth: Truth = { model, begin: base?.revision ?? 0, compactedAt: [0, 0], at: [], entries: [] };
  const first = (base?.index ?? 0) + 1;
  for (const [i, { index, request, at }] of commits.entries()) {
    if (index !== first + i) throw new Error(`the history's log has entry ${index} in place ${first + i}`);
    if (request === undefined) continue;
    const before = model.revision;
    const response = model.execute(request);
    const changed = model.revision > before;
    if (changed) {
      truth.compactedAt[model.revision] = model.compacted;
      truth.at[model.revision] = at;
    }
    truth.entries.push({ index, request, response, changed, at });
  }
  return truth;
}

export function checkReplay(history: readonly HistoryLine[], truth: Truth, own: (key: string) => boolean = () => true) {
  const operations = history.filter((line) => line.type === "operation");
  return [...checkWrites(operations, truth, own), ...checkReads(operations, truth), ...checkRealTime(history)];
}

function* checkWrites(operations: readonly Operation[], truth: Truth, own: (key: string) => boolean): Iterable<string> {
  const writes = operations.filter(({ request }) => isWrite(request));
  const attempts = group(writes, ({ request }) => canonical(request));
  const entries = group(truth.entries, ({ request }) => canonical(request));
  for (const [key, found] of entries) {
    const asked = attempts.get(key) ?? [];
    const { request } = found[0]!;
    if (asked.length === 0 && !mayBeOurs(request, own)) continue;
    if (request.op === "revoke") continue; // also what the store itself does when a lease expires
    const count = (kind: string) => asked.filter((operation) => outcome(operation) === kind).length;
    const effective = found.filter(({ response }) => response !== undefined).length;
    if (asked.length === 0) yield `phantom write: nobody asked for ${brief(request)} in the log at ${found[0]!.index}`;
    else if (found.length > asked.length) yield `double write: ${brief(request)} is in the log ${found.length} times`;
    else if (effective > count("ok") + count("unknown"))
      yield `refused write: ${brief(request)} took effect all the same`;
    const early = asked.every(({ called }) => (found[0]!.at ?? called) < called);
    if (early && asked.length > 0) yield `phantom write: ${brief(request)} is committed before anybody asked for it`;
  }
  for (const [key, asked] of attempts) {
    const left = [...(entries.get(key) ?? [])];
    for (const { request, response } of asked) {
      if (response === undefined) continue;
      const at = left.findIndex((entry) => entry.response && sameAnswer(response, entry.response));
      if (at >= 0) left.splice(at, 1);
      else if (left.length === 0)
        yield `lost write: ${brief(request)} was acknowledged at revision ${response.revision}, but is not in the log`;
      else yield `wrong answer: ${brief(request)} was answered ${brief(response)}, not ${brief(left[0]!.response)}`;
    }
  }
}

function* checkReads(operations: readonly Operation[], { model, compactedAt, begin }: Truth): Iterable<string> {
  for (const { request, response, error } of operations) {
    if (isWrite(request) || request.op === "keepalive") continue;
    const asked = request.op === "range" ? (request.revision ?? 0) : 0;
    if ((asked > 0 && asked < begin) || (response?.revision ?? begin) < begin) continue; // nobody knows
    if (error?.message.includes("compacted") && asked >= model.compacted)
      yield `wrong read: ${brief(request)} was refused as compacted, but never was`;
    if (response === undefined) continue;
    const revision = response.revision!;
    if (revision > model.revision) {
      yield `wrong read: ${brief(request)} saw revision ${revision}, which never came`;
    } else if (asked > 0 && asked < compactedAt[revision]!) {
      yield `wrong read: ${brief(request)} was answered at revision ${revision}, when that was compacted`;
    } else {
      const expected = model.read(request, revision);
      if (!sameMeaning(response, expected))
        yield `wrong read: ${brief(request)} was answered ${brief(response)}, not ${brief(expected)}`;
    }
  }
}

/** Others use the store as well: what they ask for is not in the history, but is in the log. */
function mayBeOurs(request: Request, own: (key: string) => boolean): boolean {
  if (request.op === "txn") return [...request.success, ...request.failure].some((inner) => mayBeOurs(inner, own));
  return "key" in request ? own(request.key) : own("");
}

/** One sweep over time: `floor` is the latest revision that somebody is known to have seen. */
function* checkRealTime(history: readonly HistoryLine[]): Iterable<string> {
  const moments: { time: number; call?: Operation; seen?: number; by?: string }[] = [];
  for (const line of history) {
    if (line.type === "operation" && line.returned !== undefined && line.response?.revision !== undefined) {
      moments.push({ time: line.called, call: line });
      moments.push({ time: line.returned, seen: line.response.revision, by: brief(line.request) });
    } else if (line.type === "watch" && (line.event === "events" || line.event === "progress")) {
      moments.push({ time: line.at, seen: line.revision, by: `watch ${line.watch}` });
    }
  }
  moments.sort((a, b) => a.time - b.time || Number(b.call !== undefined) - Number(a.call !== undefined));
  let floor = { seen: 0, by: "" };
  for (const { call, seen, by } of moments) {
    if (call === undefined) {
      if (seen! > floor.seen) floor = { seen: seen!, by: by! };
      continue;
    }
    const { request, response } = call;
    const revision = response!.revision!;
    if (request.op === "keepalive" || (request.op === "range" && request.serializable)) continue;
    if (request.op === "txn" && !isWrite(request) && isSerializable(request)) continue;
    const later = isWrite(request) && didChange(response!) ? 1 : 0;
    if (revision < floor.seen + later)
      yield `stale answer: ${brief(request)} reports revision ${revision}, after ${floor.by} had seen ${floor.seen}`;
  }
}

const isSerializable = (request: Request): boolean =>
  request.op === "range"
    ? request.serializable === true
    : request.op === "txn" && [...request.success, ...request.failure].every(isSerializable);

/** It has made the revision that it reports. */
export function didChange(response: Response): boolean {
  if (response.op === "put") return true;
  if (response.op === "delete") return response.deleted > 0;
  return response.op === "txn" && response.responses.some(didChange);
}

/** A lease may be given a longer life than was asked for. */
function sameAnswer(a: Response, b: Response): boolean {
  if (a.op === "grant" && b.op === "grant") return a.id === b.id && a.revision === b.revision && a.ttl >= b.ttl;
  return sameMeaning(a, b);
}

export function group<T>(all: readonly T[], keyOf: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) memo<string, T[]>(groups, keyOf(one), () => []).push(one);
  return groups;
}
