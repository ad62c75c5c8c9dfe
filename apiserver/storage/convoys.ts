import type { Cancel, Clock } from "../../base/clock.ts";

/**
 * Writes leave in convoys: while one is at the store, those that come meanwhile gather, and leave together when it has its
 * first answer. A write that comes alone leaves at once. A member takes all that arrives in one turn as one batch, and a
 * batch costs three members hardly more than one write: an fdatasync each, a message to each follower.
 */
export class Convoys {
  readonly #clock: Clock;
  #waiting: (() => void)[] = [];
  /** Ends the one that is under way, when its time is up; undefined: none is. */
  #cancel: Cancel | undefined;
  #number = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async send<T>(write: () => Promise<T>): Promise<T> {
    if (this.#cancel) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#depart();
    const number = this.#number;
    try {
      return await write();
    } finally {
      if (number === this.#number) this.#next();
    }
  }

  #depart(): void {
    this.#number++;
    this.#cancel = this.#clock.after(longestMs, () => this.#next());
  }

  #next(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    if (this.#waiting.length === 0) return;
    this.#depart();
    const leaving = this.#waiting;
    this.#waiting = [];
    for (const leave of leaving) leave();
  }
}

/** So long a write without an answer holds up others: a large one, or one to a member that is gone. */
const longestMs = 10;
