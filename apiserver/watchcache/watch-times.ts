import type { Cancel, Clock } from "../../base/clock.ts";
import type { Watcher } from "./watcher.ts";

/** One timer for all watches, and none while there is no watch: thousands that are idle cost no timer each. */
export class WatchTimes {
  readonly #clock: Clock;
  readonly #watches = new Map<Watcher, Times>();
  #cancel: Cancel | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the watch after `timeoutMs`, a second later at most; until then `tell` says every minute how far it is. */
  add(watcher: Watcher, timeoutMs: number, tell: (() => void) | undefined): void {
    const now = this.#clock.monotonic();
    this.#watches.set(watcher, { end: now + timeoutMs, tell, next: now + bookmarkMs });
    this.#cancel ??= this.#clock.every(lookMs, () => this.#look());
    watcher.onFinished(() => {
      this.#watches.delete(watcher);
      if (this.#watches.size > 0) return;
      this.#cancel?.();
      this.#cancel = undefined;
    });
  }

  #look(): void {
    const now = this.#clock.monotonic();
    for (const [watcher, times] of this.#watches) {
      const over = now >= times.end;
      if (over || now >= times.next) {
        times.next = now + bookmarkMs;
        times.tell?.();
      }
      if (over) watcher.end();
    }
  }
}

interface Times {
  end: number;
  next: number;
  tell: (() => void) | undefined;
}

const lookMs = 1000;
const bookmarkMs = 60_000;
