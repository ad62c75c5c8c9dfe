import type { Cancel, Clock } from "../../base/clock.ts";

/** Time that stands still until a test moves it. Timers fire in order of their time, then of their making. */
export class VirtualClock implements Clock {
  #nowMs: number;
  readonly #startMs: number;
  #sequence = 0;
  readonly #timers = new Map<number, { at: number; fn: () => void }>();

  constructor(start = "2026-01-01T00:00:00Z") {
    this.#startMs = Date.parse(start);
    this.#nowMs = this.#startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs - this.#startMs;
  }

  after(ms: number, fn: () => void): Cancel {
    const id = ++this.#sequence;
    this.#timers.set(id, { at: this.#nowMs + ms, fn });
    return () => void this.#timers.delete(id);
  }

  every(ms: number, fn: () => void): Cancel {
    let cancel: Cancel;
    const again = () => {
      cancel = this.after(ms, again);
      fn();
    };
    cancel = this.after(ms, again);
    return () => cancel();
  }

  /** Moves time by `ms`, firing what falls due; between two timers all pending promises run. */
  async advance(ms: number): Promise<void> {
    const end = this.#nowMs + ms;
    await settle();
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      const [id, timer] = next;
      this.#timers.delete(id);
      this.#nowMs = Math.max(this.#nowMs, timer.at);
      timer.fn();
      await settle();
    }
    this.#nowMs = end;
  }

  #next(end: number): [number, { at: number; fn: () => void }] | undefined {
    let best: [number, { at: number; fn: () => void }] | undefined;
    for (const entry of this.#timers) {
      if (entry[1].at <= end && (best === undefined || entry[1].at < best[1].at)) best = entry;
    }
    return best;
  }
}

/** Lets every promise that can go on without a timer or I/O go on. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}
