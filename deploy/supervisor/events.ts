import type { Clock } from "../../base/clock.ts";
import { readText } from "../../base/read-text.ts";

/** What happened in the lab and when: the timeline of `up`, and the stream behind `GET /v1/events`. */
export interface LabEvent {
  /** Milliseconds since `up` was called. */
  atMs: number;
  /** RFC 3339. */
  time: string;
  /** CLOCK_MONOTONIC of the machine; no fault touches it. */
  monotonicMs: number;
  /** Of the machine: tells apart its lives. */
  bootId: string;
  type:
    | "Spawned"
    | "Listening"
    | "Exited"
    | "Killed"
    | "Restarting"
    | "Ready"
    | "Up"
    | "Failed"
    | "Stopping"
    | "Info"
    | "Raft"
    | "Fault"
    | "Healed";
  /** `Raft`: the member that says it. Else a process, a node, or a part of the lab such as `store`. */
  subject: string;
  message: string;
  /** Of `Raft`: kind, term, index, life, and what the kind has. Of `Fault`, `Healed`: the report. Else empty. */
  details: object;
}

type Stamp = Pick<LabEvent, "atMs" | "time" | "monotonicMs">;

export class EventLog {
  readonly #events: LabEvent[] = [];
  readonly #listeners = new Set<(event: LabEvent) => void>();
  readonly #clock: Clock;
  readonly #startedAt: number;
  /** Where the kernel does not tell, nothing is compared over machines either. */
  readonly #bootId = readText("/proc/sys/kernel/random/boot_id").trim() || "unknown";

  /** `startedAt`: wall time of the command that began it all. */
  constructor(clock: Clock, startedAt: number) {
    this.#clock = clock;
    this.#startedAt = startedAt;
  }

  stamp(wallMs = this.#clock.now(), monotonicMs = this.#clock.monotonic()): Stamp {
    return { atMs: Math.max(0, wallMs - this.#startedAt), time: new Date(wallMs).toISOString(), monotonicMs };
  }

  /** `stamp`: when it happened, if not now. */
  add(type: LabEvent["type"], subject: string, message: string, details: object = {}, stamp = this.stamp()): void {
    const event = { ...stamp, bootId: this.#bootId, type, subject, message, details };
    this.#events.push(event);
    if (this.#events.length > keep) this.#events.shift();
    for (const listener of this.#listeners) listener(event);
  }

  has(type: LabEvent["type"]): boolean {
    return this.#events.some((event) => event.type === type);
  }

  all(): readonly LabEvent[] {
    return this.#events;
  }

  /** All that is kept, then what comes; returns the way to stop. */
  follow(listener: (event: LabEvent) => void): () => void {
    for (const event of this.#events) listener(event);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

const keep = 10_000;
