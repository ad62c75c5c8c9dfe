import { canonical, type HistoryLine, isWrite, type Operation, outcome, type Request } from "./history.ts";
import { inRange } from "./model.ts";
import { didChange, group, type Truth } from "./replay.ts";

/**
 * Is a history of reads and writes of single registers linearizable? One register at a time (linearizability is local:
 * Herlihy and Wing, theorem 1). First the order that revisions suggest is tried, which is linear; it is believed only as far
 * as it explains the history by itself. Where it does not, another may: search after Wing and Gong with Lowe's memory of
 * visited states.
 *
 * The search is bounded by `maxSteps`; past it the verdict is "unknown", which every caller counts as a failure.
 */
export interface RegisterOperation {
  key: string;
  kind: "read" | "write";
  /** Written, or seen by the read; undefined: the register was empty. Written values are unique within a key. */
  value: string | undefined;
  /** Positions in the one order of all calls and returns. An operation without `returned` is indeterminate: it took effect
   * at some time after its call, or never. */
  called: number;
  returned: number | undefined;
  revision?: number | undefined; // the store's after it, as its answer or the log tells: a hint at its place
  changed?: boolean; // it made that revision; a deletion of nothing does not
}

export type Verdict = { verdict: "ok" } | { verdict: "violation" | "unknown"; key: string; message: string };

export function checkLinearizable(history: readonly RegisterOperation[], maxSteps = 1_000_000): Verdict {
  for (const [key, operations] of group(history, ({ key }) => key)) {
    const result = checkRegister(operations, maxSteps);
    if (result.verdict !== "ok") return { ...result, key };
  }
  return { verdict: "ok" };
}

/**
 * The keys of a history that are plain registers: put, deleted and read one at a time, never in a transaction, a range or
 * with a lease. A put that asks for the value before is a read and a write in one, which a register has not.
 */
export function registersOf(history: readonly HistoryLine[], truth?: Truth): RegisterOperation[] {
  const operations = history.filter((line) => line.type === "operation");
  const unclaimed = unclaimedRevisions(operations, truth);
  const options = ["end", "prevKv", "lease", "revision", "limit", "countOnly", "keysOnly"];
  const plain = (request: Request) =>
    /^(put|delete|range)$/.test(request.op) && !options.some((name) => (request as Record<string, unknown>)[name]);
  const others = new Map<string, { key: string; end?: string }>();
  const collect = (request: Request, alone: boolean): void => {
    if (request.op === "txn") {
      for (const compare of request.compare) others.set(`${compare.key} ${compare.end}`, compare);
      for (const inner of [...request.success, ...request.failure]) collect(inner, false);
    } else if ("key" in request && !(alone && plain(request)))
      others.set(`${request.key} ${"end" in request ? request.end : ""}`, request);
  };
  for (const { request } of operations) collect(request, true);
  const shared = (key: string) => [...others.values()].some((other) => inRange(key, other.key, other.end));
  const keys = new Map<string, boolean>();
  const registers: RegisterOperation[] = [];
  for (const operation of operations) {
    const { request, response, called } = operation;
    if (!("key" in request) || !plain(request) || outcome(operation) === "failed") continue;
    if (request.op === "range" && (request.serializable || !response)) continue;
    if (!keys.has(request.key)) keys.set(request.key, !shared(request.key));
    if (!keys.get(request.key)) continue;
    const seen = response?.op === "range" ? response.kvs[0]?.value : undefined;
    registers.push({
      key: request.key,
      kind: request.op === "range" ? "read" : "write",
      value: request.op === "put" ? request.value : seen,
      called,
      returned: response ? operation.returned : undefined,
      revision: response ? response.revision : unclaimed.get(canonical(request))?.shift(),
      changed: isWrite(request) && (response === undefined || didChange(response)),
    });
  }
  return registers;
}

/** Revisions in the log that nobody was told of, by what was asked for: who asked for it and had no answer has made them. */
function unclaimedRevisions(operations: readonly Operation[], truth: Truth | undefined): Map<string, number[]> {
  const told = new Set(operations.map(({ response }) => response && didChange(response) && response.revision));
  const open = (truth?.entries ?? []).filter(({ changed, response }) => changed && !told.has(response!.revision));
  const byRequest = [...group(open, ({ request }) => canonical(request))];
  return new Map(byRequest.map(([key, entries]) => [key, entries.map(({ response }) => response!.revision!)]));
}

/**
 * Is the order of revisions a linearization? (What changes nothing goes after what made the revision, by its call; what has
 * no answer and is not in the log has not happened.) Then all that returned is in it, nothing comes before what had returned
 * when it was called, and each read sees the last write: this is looked at here, so that no wrong revision hides anything.
 */
function isOrderedByRevision(operations: readonly RegisterOperation[]): boolean {
  const placed = operations.filter(({ revision }) => revision !== undefined);
  if (operations.some(({ revision, returned }) => revision === undefined && returned !== undefined)) return false;
  placed.sort((a, b) => a.revision! - b.revision! || Number(b.changed) - Number(a.changed) || a.called - b.called);
  let value: string | undefined;
  let latestCall = Number.NEGATIVE_INFINITY;
  for (const operation of placed) {
    latestCall = Math.max(latestCall, operation.called);
    if ((operation.returned ?? latestCall) < latestCall) return false;
    if (operation.kind === "write") value = operation.value;
    else if (operation.value !== value) return false;
  }
  return true;
}

function checkRegister(
  operations: RegisterOperation[],
  maxSteps: number,
): { verdict: "ok" } | Omit<Exclude<Verdict, { verdict: "ok" }>, "key"> {
  if (isOrderedByRevision(operations)) return { verdict: "ok" };
  // A read without answer says nothing and changes nothing; nor does a write without answer whose value nobody read: taken out
  // of an order of operations that explains the reads, it leaves one that does.
  const read = new Set(operations.filter((o) => o.kind === "read" && o.returned !== undefined).map((o) => o.value));
  const relevant = operations.filter((o) => o.returned !== undefined || (o.kind === "write" && read.has(o.value)));
  relevant.sort((a, b) => a.called - b.called);
  const never = Number.POSITIVE_INFINITY;
  const placed = relevant.map(() => false);
  let start = 0; // those before are placed
  /** What may come next: was called when nothing that has no place yet had returned. */
  const candidates = (): number[] => {
    const found: number[] = [];
    while (placed[start]) start++;
    for (let id = start, end = never; id < relevant.length && relevant[id]!.called <= end; id++) {
      if (placed[id]) continue;
      found.push(id);
      end = Math.min(end, relevant[id]!.returned ?? never);
    }
    return found;
  };
  let open = relevant.filter((o) => o.returned !== undefined).length; // must still find their place
  let value: string | undefined;
  let done = 0n; // bit set of those that are placed
  const visited = new Set<string>();
  const path: { id: number; value: string | undefined; untried: number[] }[] = [];
  let stuck = { depth: -1, operation: undefined as RegisterOperation | undefined, value }; // what came furthest
  let untried = candidates();
  for (let steps = 0; open > 0; ) {
    if (++steps > maxSteps) return { verdict: "unknown", message: `no verdict within ${maxSteps} steps` };
    const id = untried.shift();
    if (id === undefined) {
      // Something has returned that found no place: take back the last choice.
      if (path.length > stuck.depth) {
        const left = candidates().map((id) => relevant[id]!);
        const [operation] = left.sort((a, b) => (a.returned ?? never) - (b.returned ?? never) || 0);
        stuck = { depth: path.length, operation, value };
      }
      const last = path.pop();
      if (last === undefined) return { verdict: "violation", message: describe(stuck.operation, stuck.value) };
      placed[last.id] = false;
      start = Math.min(start, last.id);
      done ^= 1n << BigInt(last.id);
      if (relevant[last.id]!.returned !== undefined) open++;
      ({ value, untried } = last);
      continue;
    }
    const operation = relevant[id]!;
    if (operation.kind === "read" && operation.value !== value) continue;
    const state = `${(done | (1n << BigInt(id))).toString(36)} ${operation.value}`;
    if (visited.has(state)) continue;
    visited.add(state);
    path.push({ id, value, untried });
    placed[id] = true;
    done |= 1n << BigInt(id);
    value = operation.value;
    if (operation.returned !== undefined) open--;
    untried = candidates();
  }
  return { verdict: "ok" };
}

function describe(operation: RegisterOperation | undefined, value: string | undefined): string {
  if (operation === undefined) return "not linearizable";
  const { kind, called, returned } = operation;
  const seen = `${kind} of ${operation.value ?? "(empty)"} [${called}, ${returned}]`;
  return `${seen} has no place; the furthest order of operations leaves ${value ?? "(empty)"} before it`;
}
