import { type HistoryLine, outcome, type Request } from "./history.ts";
import { inRange } from "./model.ts";

/**
 * Is a history of reads and writes of single registers linearizable? Search after Wing and Gong with Lowe's memory of
 * visited states, one register at a time (linearizability is local: Herlihy and Wing, theorem 1).
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
}

export type Verdict = { verdict: "ok" } | { verdict: "violation" | "unknown"; key: string; message: string };

export function checkLinearizable(history: readonly RegisterOperation[], maxSteps = 1_000_000): Verdict {
  const keys = new Map<string, RegisterOperation[]>();
  for (const operation of history) {
    const known = keys.get(operation.key);
    if (known) known.push(operation);
    else keys.set(operation.key, [operation]);
  }
  for (const [key, operations] of keys) {
    const result = checkRegister(operations, maxSteps);
    if (result.verdict !== "ok") return { ...result, key };
  }
  return { verdict: "ok" };
}

/**
 * The keys of a history that are plain registers: put, deleted and read one at a time, never in a transaction, a range or
 * with a lease. A put that asks for the value before is a read and a write in one, which a register has not.
 */
export function registersOf(history: readonly HistoryLine[]): RegisterOperation[] {
  const operations = history.filter((line) => line.type === "operation");
  const plain = ({ op, ...request }: Request): boolean => {
    if (op === "put" || op === "delete" || op === "range") {
      const { end, prevKv, lease, revision, limit, countOnly, keysOnly } = request as Record<string, unknown>;
      return !(end || prevKv || lease || revision || limit || countOnly || keysOnly);
    }
    return false;
  };
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
    });
  }
  return registers;
}

interface Link {
  previous: Link | undefined;
  next: Event | undefined;
}

/** A call or a return in a doubly linked list in time order; a call knows its return. */
interface Event extends Link {
  operation: RegisterOperation;
  id: number;
  isCall: boolean;
  match: Event | undefined;
}

function checkRegister(
  operations: RegisterOperation[],
  maxSteps: number,
): { verdict: "ok" } | { verdict: "violation" | "unknown"; message: string } {
  // A read without answer says nothing and changes nothing; nor does a write without answer whose value nobody read: taken out
  // of an order of operations that explains the reads, it leaves one that does.
  const read = new Set(operations.filter((o) => o.kind === "read" && o.returned !== undefined).map((o) => o.value));
  const relevant = operations.filter((o) => o.returned !== undefined || (o.kind === "write" && read.has(o.value)));
  const head = eventList(relevant);
  let open = relevant.filter((o) => o.returned !== undefined).length; // must still find their place
  let value: string | undefined;
  let done = 0n; // bit set of the operations that have one
  const visited = new Set<string>();
  const stack: { event: Event; value: string | undefined }[] = [];
  let stuck = { depth: -1, operation: undefined as RegisterOperation | undefined, value }; // what came furthest
  let event = head.next;
  let steps = 0;
  while (open > 0) {
    if (++steps > maxSteps) return { verdict: "unknown", message: `no verdict within ${maxSteps} steps` };
    if (event?.isCall) {
      const { operation, id } = event;
      const possible = operation.kind === "write" || operation.value === value;
      const after = operation.value;
      const state = `${(done | (1n << BigInt(id))).toString(36)} ${after}`;
      if (!possible || visited.has(state)) {
        event = event.next;
        continue;
      }
      visited.add(state);
      stack.push({ event, value });
      done |= 1n << BigInt(id);
      value = after;
      if (operation.returned !== undefined) open--;
      remove(event);
      event = head.next;
      continue;
    }
    // Something has returned that found no place: take back the last choice.
    if (stack.length > stuck.depth) stuck = { depth: stack.length, operation: event?.operation, value };
    const last = stack.pop();
    if (last === undefined) return { verdict: "violation", message: describe(stuck.operation, stuck.value) };
    restore(last.event);
    done &= ~(1n << BigInt(last.event.id));
    value = last.value;
    if (last.event.operation.returned !== undefined) open++;
    event = last.event.next;
  }
  return { verdict: "ok" };
}

function eventList(operations: RegisterOperation[]): Link {
  const events = operations.flatMap((operation, id) => {
    const call: Event = { operation, id, isCall: true, match: undefined, previous: undefined, next: undefined };
    if (operation.returned === undefined) return [{ at: operation.called, event: call }];
    call.match = { ...call, isCall: false };
    return [
      { at: operation.called, event: call },
      { at: operation.returned, event: call.match },
    ];
  });
  events.sort((a, b) => a.at - b.at);
  const head: Link = { previous: undefined, next: undefined };
  let last: Link = head;
  for (const { event } of events) {
    last.next = event;
    event.previous = last;
    last = event;
  }
  return head;
}

function remove(call: Event): void {
  for (const event of [call, call.match]) {
    if (event === undefined) continue;
    event.previous!.next = event.next;
    if (event.next !== undefined) event.next.previous = event.previous;
  }
}

function restore(call: Event): void {
  for (const event of [call.match, call]) {
    if (event === undefined) continue;
    event.previous!.next = event;
    if (event.next !== undefined) event.next.previous = event;
  }
}

function describe(operation: RegisterOperation | undefined, value: string | undefined): string {
  if (operation === undefined) return "not linearizable";
  const { kind, called, returned } = operation;
  const seen = `${kind} of ${operation.value ?? "(empty)"} [${called}, ${returned}]`;
  return `${seen} has no place; the furthest order of operations leaves ${value ?? "(empty)"} before it`;
}
