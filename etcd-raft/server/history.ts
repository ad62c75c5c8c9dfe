import type { Cancel, Clock } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";
import type { RaftEvent } from "../raft/events.ts";
import { inWords } from "./event-words.ts";

/**
 * What happened to this member lately, and why, for `GET /debug/raft/events`: the last `keep` events in memory. They hold
 * ids, terms, indexes, counts and durations, never a key or a value, and go with the process.
 */
export interface HistoryEvent {
  seq: number; // 1, 2, 3, ... in one life: a number that is missing was forgotten
  time: string; // RFC 3339; the wall clock may jump
  /** Milliseconds of a clock that does not: CLOCK_MONOTONIC, the same for all processes of a machine. */
  monotonicMs: number;
  life: string; // drawn anew at each start of the process
  member: string;
  id: string;
  term: number;
  index: number;
  kind: MemberEvent["kind"];
  message: string; // the same in words, with the members' names
  details: Record<string, unknown>; // whatever else the kind has; ids in hexadecimal
}

export type MemberEvent = RaftEvent | (ServerEvent & { term: number; index: number });

/** What raft itself does not see. Seconds are durations. */
export type ServerEvent =
  | { kind: "Started"; applied: number }
  | { kind: "Stopping" }
  | { kind: "PeerConnected"; peer: bigint }
  | { kind: "PeerLost"; peer: bigint; reason: string }
  | { kind: "ConfChanged"; voters: bigint[]; learners: bigint[] }
  | { kind: "ProposalsDropped"; count: number } // raft took none: they wait here for a leader
  /** They were with a leader that is lost; whether they committed is not known. */
  | { kind: "ProposalsFailed"; count: number }
  | { kind: "SlowFsync"; count: number; seconds: number } // `seconds`: of the slowest of `count`
  | { kind: "SlowApply"; count: number; seconds: number }
  | { kind: "SnapshotBegun"; at: number }
  | { kind: "SnapshotSaved"; at: number; bytes: number; seconds: number }
  | { kind: "SnapshotSending"; peer: bigint; at: number }
  | { kind: "SnapshotSent"; peer: bigint; at: number; seconds: number }
  | { kind: "SnapshotSendFailed"; peer: bigint; at: number; reason: string }
  | { kind: "SnapshotReceiving"; peer: bigint; at: number }
  | { kind: "SnapshotReceived"; peer: bigint; at: number; bytes: number }
  | { kind: "SnapshotInstalled"; at: number }
  | { kind: "DataDiffers"; peer: bigint; reason: string } // `peer` 0: nobody knows whose is wrong
  | { kind: "FaultsChanged"; faults: string[] };

export interface HistoryOptions {
  clock: Clock;
  rand: Rand;
  id: bigint;
  name: string;
  nameOf(id: bigint): string;
  position(): { term: number; index: number }; // of raft, now
  keep?: number; // how many are kept
}

export class History {
  readonly life: string;
  readonly #options: HistoryOptions;
  readonly #keep: number;
  #events: HistoryEvent[] = [];
  #last = 0;
  readonly #listeners = new Set<(event: HistoryEvent, raw: MemberEvent) => void>();
  readonly #bursts = new Map<string, { count: number; seconds: number; cancel: Cancel }>();

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.#keep = options.keep ?? 1000;
    this.life = options.rand.uuid();
  }

  get lastSeq(): number {
    return this.#last;
  }

  since(seq: number): HistoryEvent[] {
    return this.#events.filter((event) => event.seq > seq);
  }

  /** Everything that comes; returns the way to stop. */
  follow(listener: (event: HistoryEvent, raw: MemberEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  server(event: ServerEvent): void {
    this.record({ ...event, ...this.#options.position() });
  }

  record(raw: MemberEvent): void {
    const { clock, id, name, nameOf } = this.#options;
    const { kind, term, index, ...rest } = raw;
    const event: HistoryEvent = {
      seq: ++this.#last,
      time: new Date(clock.now()).toISOString(),
      monotonicMs: Math.round(clock.monotonic() * 1000) / 1000,
      life: this.life,
      member: name,
      id: id.toString(16),
      term,
      index,
      kind,
      message: inWords(raw, nameOf).slice(0, maxText),
      details: plain(rest) as Record<string, unknown>,
    };
    this.#events.push(event);
    if (this.#events.length > this.#keep) this.#events.shift();
    for (const listener of this.#listeners) listener(event, raw);
  }

  /**
   * What comes in bursts (a slow disk is slow at every write) must not push the elections out: the first is told at once,
   * those of the next second together.
   */
  burst(kind: "SlowFsync" | "SlowApply" | "ProposalsDropped", count: number, seconds = 0): void {
    const running = this.#bursts.get(kind);
    if (running) {
      running.count += count;
      running.seconds = Math.max(running.seconds, seconds);
      return;
    }
    if (kind === "ProposalsDropped") this.server({ kind, count });
    else this.server({ kind, count, seconds: Math.round(seconds * 1000) / 1000 });
    const burst = { count: 0, seconds: 0, cancel: () => {} };
    burst.cancel = this.#options.clock.after(burstMs, () => {
      this.#bursts.delete(kind);
      if (burst.count > 0) this.burst(kind, burst.count, burst.seconds);
    });
    this.#bursts.set(kind, burst);
  }

  close(): void {
    for (const { cancel } of this.#bursts.values()) cancel();
    this.#bursts.clear();
    this.#listeners.clear();
  }
}

const burstMs = 1000;

/** As JSON can say it. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return value.toString(16);
  if (typeof value === "string") return value.slice(0, maxText);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field)]));
}

const maxText = 300;
