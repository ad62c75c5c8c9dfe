import type { Cancel, Clock } from "../base/clock.ts";

/**
 * Pods that wait for a node (upstream's backend/queue): `active` ones are tried in order of priority, then of
 * arrival; one that fit nowhere waits until the cluster changes, and at least its back-off: 1 s, doubled up to 10 s.
 */
export class SchedulingQueue {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();
  #arrivals = 0;
  /** Called whenever a key has become active. */
  onActive: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** New, or changed so that its earlier failure says nothing any more. */
  add(key: string, priority: number): void {
    const entry = this.#entries.get(key);
    if (entry?.state === "active") {
      entry.priority = priority;
      return;
    }
    entry?.cancel?.();
    this.#entries.set(key, {
      state: "active",
      priority,
      arrival: ++this.#arrivals,
      attempts: entry?.attempts ?? 0,
      readyMs: 0,
    });
    this.onActive();
  }

  delete(key: string): void {
    this.#entries.get(key)?.cancel?.();
    this.#entries.delete(key);
  }

  /** Takes the key to be tried next; it is then in flight until `failed` or `delete`. */
  pop(): string | undefined {
    let best: [string, Entry] | undefined;
    for (const candidate of this.#entries) {
      if (candidate[1].state === "active" && (best === undefined || isBefore(candidate[1], best[1]))) best = candidate;
    }
    if (best === undefined) return undefined;
    best[1].state = "inFlight";
    best[1].attempts++;
    return best[0];
  }

  /** Fit nowhere: waits for a change. With `retry`, something went wrong: waits for its back-off only. */
  failed(key: string, { retry = false } = {}): void {
    const entry = this.#entries.get(key);
    if (entry?.state !== "inFlight") return;
    entry.state = "unschedulable";
    entry.readyMs = this.#clock.monotonic() + Math.min(1000 * 2 ** (entry.attempts - 1), 10_000);
    if (retry) this.#wake(key, entry);
  }

  /** Something has changed that may make room. */
  clusterChanged(): void {
    for (const [key, entry] of this.#entries) if (entry.state === "unschedulable") this.#wake(key, entry);
  }

  #wake(key: string, entry: Entry): void {
    const waitMs = entry.readyMs - this.#clock.monotonic();
    if (waitMs <= 0) {
      this.#activate(entry);
      return;
    }
    entry.state = "backoff";
    entry.cancel = this.#clock.after(waitMs, () => {
      if (this.#entries.get(key) === entry) this.#activate(entry);
    });
  }

  #activate(entry: Entry): void {
    entry.state = "active";
    this.onActive();
  }
}

interface Entry {
  state: "active" | "inFlight" | "unschedulable" | "backoff";
  priority: number;
  arrival: number;
  attempts: number;
  readyMs: number;
  cancel?: Cancel;
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.priority !== b.priority ? a.priority > b.priority : a.arrival < b.arrival;
}
