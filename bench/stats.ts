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
  const ranks = ranksOf([...a, ...b]);
  const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0);
  const mean = (a.length * (ranks.length + 1)) / 2;
  const distance = Math.abs(sum(ranks.slice(0, a.length)) - mean) - 1e-9;
  /** By how many ranks are chosen: sum of the ranks -> number of choices. */
  const choices = Array.from({ length: a.length + 1 }, () => new Map<number, number>());
  choices[0]!.set(0, 1);
  for (const rank of ranks) {
    for (let size = a.length; size > 0; size--)
      for (const [total, ways] of choices[size - 1]!)
        choices[size]!.set(total + rank, (choices[size]!.get(total + rank) ?? 0) + ways);
  }
  const all = choices[a.length]!;
  const extreme = [...all].filter(([total]) => Math.abs(total - mean) >= distance).map(([, ways]) => ways);
  return sum(extreme) / sum(all.values());
}

/** From 1; equal values share the mean of their ranks. */
function ranksOf(values: readonly number[]): number[] {
  const sorted = [...values].sort((a, b) => a - b);
  return values.map((value) => (sorted.indexOf(value) + sorted.lastIndexOf(value)) / 2 + 1);
}
