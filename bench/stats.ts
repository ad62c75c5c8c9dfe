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
 * as much as these, counted out over all ways to divide the values (ties included).
 */
export function mannWhitney(a: readonly number[], b: readonly number[]): number {
  const ranks = ranksOf([...a, ...b]).map((rank) => 2 * rank); // whole numbers, also of ties
  const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0);
  const mean = a.length * (ranks.length + 1);
  const distance = Math.abs(sum(ranks.slice(0, a.length)) - mean);
  /** By how many ranks are chosen: sum of the ranks -> number of choices. */
  const choices = Array.from({ length: a.length + 1 }, () => new Float64Array(a.length * 2 * ranks.length + 1));
  choices[0]![0] = 1;
  for (const [i, rank] of ranks.entries()) {
    for (let size = Math.min(i + 1, a.length); size > 0; size--) {
      const [from, to] = [choices[size - 1]!, choices[size]!];
      for (let total = (size - 1) * 2 * ranks.length; total >= 0; total--) to[total + rank]! += from[total]!;
    }
  }
  const all = choices[a.length]!;
  return sum(all.filter((_, total) => Math.abs(total - mean) >= distance)) / sum(all);
}

/** From 1; equal values share the mean of their ranks. */
function ranksOf(values: readonly number[]): number[] {
  const sorted = [...values].sort((a, b) => a - b);
  return values.map((value) => (sorted.indexOf(value) + sorted.lastIndexOf(value)) / 2 + 1);
}
