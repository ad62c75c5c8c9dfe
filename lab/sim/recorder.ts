import type { Clock } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";
import type { HistoryLine } from "../checkers/history.ts";

/** What a client of a store needs to be one, and to be written down. */
export type Tools = { recorder: Recorder; rand: Rand; clock: Clock };

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
