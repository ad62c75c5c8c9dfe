import type { PriorityLevelConfiguration } from "../../api/generated/flowcontrol-v1.ts";

/**
 * How levels lend seats to one another (KEP-1040, "Seat borrowing"): every ten seconds each level's limit is set anew
 * between what it keeps for itself and what it may have at most, in proportion to how many seats it has lately asked for.
 *
 * Differs: exempt levels neither lend nor borrow (by default they have no share to lend).
 */
export const adjustmentPeriodMs = 10_000;

export interface Bounds {
  nominal: number;
  /** What is left when all that may be lent is lent. */
  min: number;
  max: number;
}

export function boundsOf({ spec }: PriorityLevelConfiguration, nominal: number, server: number): Bounds {
  const { lendablePercent = 0, borrowingLimitPercent } = spec.limited ?? {};
  const part = (percent: number) => Math.round((nominal * percent) / 100);
  const more = borrowingLimitPercent === undefined ? server : part(borrowingLimitPercent);
  return { nominal, min: nominal - part(lendablePercent), max: nominal + more };
}

/** How many seats a level asks for, taken or waited for, over one period; and smoothed over many, where rises count at once. */
export class Demand {
  #value = 0;
  #since: number;
  #start: number;
  #sum = 0;
  #squares = 0;
  #high = 0;
  #smoothed = 0;

  constructor(nowMs: number) {
    this.#since = nowMs;
    this.#start = nowMs;
  }

  set(value: number, nowMs: number): void {
    const elapsed = nowMs - this.#since;
    this.#sum += this.#value * elapsed;
    this.#squares += this.#value ** 2 * elapsed;
    this.#since = nowMs;
    this.#value = value;
    this.#high = Math.max(this.#high, value);
  }

  /** Ends the period. */
  take(nowMs: number): { high: number; smoothed: number } {
    this.set(this.#value, nowMs);
    const elapsed = nowMs - this.#start || 1;
    const average = this.#sum / elapsed;
    const envelope = average + Math.sqrt(Math.max(0, this.#squares / elapsed - average ** 2));
    this.#smoothed = Math.max(envelope, smoothing * this.#smoothed + (1 - smoothing) * envelope);
    const high = this.#high;
    [this.#sum, this.#squares, this.#high, this.#start] = [0, 0, this.#value, nowMs];
    return { high, smoothed: this.#smoothed };
  }
}

/** As upstream: half of a demand is forgotten in five minutes. */
const smoothing = 0.977;

/** The limits of all levels until the next adjustment; their sum is that of the nominal ones, but for rounding. */
export function currentLimits(levels: readonly (Bounds & { high: number; smoothed: number })[]): number[] {
  const total = levels.reduce((sum, { nominal }) => sum + nominal, 0);
  const items = levels.map(({ nominal, min, max, high, smoothed }) => {
    const lower = Math.max(min, Math.min(nominal, high));
    return { lower, upper: Math.max(lower, max), target: Math.max(lower, smoothed, 0.001) };
  });
  const at = (fraction: number) =>
    items.map(({ lower, upper, target }) => Math.min(upper, Math.max(lower, fraction * target)));
  let [low, high] = [0, Math.max(0, ...items.map(({ upper, target }) => upper / target))];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (at(middle).reduce((sum, limit) => sum + limit, 0) < total) low = middle;
    else high = middle;
  }
  return at(high).map(Math.round);
}
