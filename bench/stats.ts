/** Order statistics of measurements: what a table shows beside each other. */
export interface Spread {
  median: number;
  min: number;
  max: number;
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) return { median: Number.NaN, min: Number.NaN, max: Number.NaN };
  return { median: percentile(sorted, 0.5), min: sorted[0]!, max: sorted.at(-1)! };
}

/** Of ascending values, by linear interpolation between the two nearest ranks. */
export function percentile(sorted: readonly number[], p: number): number {
  const at = (sorted.length - 1) * p;
  const low = sorted[Math.floor(at)]!;
  const high = sorted[Math.ceil(at)]!;
  return low + (high - low) * (at - Math.floor(at));
}

/**
 * The two-sided p value of the Mann-Whitney U test: how often two samples of one distribution differ in rank by at least
 * as much as these. Few values are counted out exactly over all ways to divide them (ties included); many are
 * approximated by a normal distribution.
 */
export function mannWhitney(a: readonly number[], b: readonly number[]): number {
  const ranks = ranksOf([...a, ...b]);
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
  const observed = sum(ranks.slice(0, a.length));
  const mean = (a.length * (ranks.length + 1)) / 2;
  const distance = Math.abs(observed - mean) - 1e-9;
  if (ranks.length <= 20) {
    const [extreme, all] = divisions(ranks, a.length, (total) => Math.abs(total - mean) >= distance);
    return extreme / all;
  }
  const variance =
    (a.length * b.length * sum(ranks.map((rank) => (rank - (ranks.length + 1) / 2) ** 2))) / ranks.length;
  const z = variance === 0 ? 0 : Math.max(0, distance - 0.5) / Math.sqrt(variance / (ranks.length - 1));
  return Math.min(1, 2 * upperTail(z));
}

/** From 1; equal values share the mean of their ranks. */
function ranksOf(values: readonly number[]): number[] {
  const sorted = [...values].sort((a, b) => a - b);
  return values.map((value) => (sorted.indexOf(value) + sorted.lastIndexOf(value)) / 2 + 1);
}

/** Over all choices of `size` ranks: how many have a sum of which `test` holds, and how many there are. */
function divisions(ranks: readonly number[], size: number, test: (sum: number) => boolean): [number, number] {
  const walk = (from: number, left: number, sum: number): [number, number] => {
    if (left === 0) return [test(sum) ? 1 : 0, 1];
    let [hits, all] = [0, 0];
    for (let i = from; i <= ranks.length - left; i++) {
      const [h, n] = walk(i + 1, left - 1, sum + ranks[i]!);
      hits += h;
      all += n;
    }
    return [hits, all];
  };
  return walk(0, size, 0);
}

/** Of the standard normal distribution; Abramowitz and Stegun, 26.2.17, error below 1e-7. */
function upperTail(z: number): number {
  const t = 1 / (1 + 0.2316419 * z);
  const poly = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * poly;
}
