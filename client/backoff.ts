import type { Rand } from "../base/rand.ts";

/**
 * How long to wait before the next try against a server: doubles from `baseMs` to `maxMs`, each wait drawn between half
 * and the whole of it, so that many clients of a restarted server do not come back in step.
 */
export class Backoff {
  readonly #rand: Rand;
  readonly #maxMs: number;
  #tries = 0;

  constructor(rand: Rand, { maxMs = 2000 } = {}) {
    this.#rand = rand;
    this.#maxMs = maxMs;
  }

  nextMs(): number {
    const wholeMs = Math.min(baseMs * 2 ** this.#tries++, this.#maxMs);
    return wholeMs * (0.5 + this.#rand.next() / 2);
  }

  reset(): void {
    this.#tries = 0;
  }
}

const baseMs = 50;
