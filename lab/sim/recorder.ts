import type { Clock } from "../../base/clock.ts";
import type { HistoryLine } from "../checkers/history.ts";

/** Writes the history down. Times are virtual milliseconds, and no two are the same. */
export class Recorder {
  readonly lines: HistoryLine[] = [];
  readonly #clock: Clock;
  #last = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): number {
    this.#last = Math.max(this.#clock.monotonic(), this.#last + 1e-6);
    return this.#last;
  }

  add(line: HistoryLine): void {
    this.lines.push(line);
  }
}
