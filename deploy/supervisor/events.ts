import type { Clock } from "../../base/clock.ts";

/** What happened in the lab and when: the timeline of `up`, and the stream behind `GET /v1/events`. */
export interface LabEvent {
  /** Milliseconds since `up` was called. */
  atMs: number;
  /** RFC 3339. */
  time: string;
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
    | "Raft";
  /** `Raft`: the member that says it. Else a process, a node, or a part of the lab such as `store`. */
  subject: string;
  message: string;
}

export class EventLog {
  readonly #events: LabEvent[] = [];
  readonly #listeners = new Set<(event: LabEvent) => void>();
  readonly #clock: Clock;
  readonly #startedAt: number;

  /** `startedAt`: wall time of the command that began it all. */
  constructor(clock: Clock, startedAt: number) {
    this.#clock = clock;
    this.#startedAt = startedAt;
  }

  /** `now`: when it happened, in wall time. */
  add(type: LabEvent["type"], subject: string, message: string, now = this.#clock.now()): void {
    const event = {
      atMs: Math.max(0, now - this.#startedAt),
      time: new Date(now).toISOString(),
      type,
      subject,
      message,
    };
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
