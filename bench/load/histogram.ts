/**
 * Counts of durations in log-linear buckets, after HdrHistogram: up to 128 µs a bucket a microsecond, above that 64
 * buckets to each power of two, so that a percentile is right within 1.6 % (the bucket's upper end is told, never less
 * than what was measured). Fixed size, so recording costs the same however long a run is.
 */
const linear = 128;
const perOctave = linear / 2;
const octaves = 24;
/** About 35 minutes; what took longer counts as that. */
const maxUs = linear * 2 ** octaves - 1;

export interface HistogramJson {
  /** Pairs of bucket and count, flat. */
  buckets: number[];
  maxUs: number;
}

export class Histogram {
  readonly #counts = new Float64Array(linear + octaves * perOctave);
  #count = 0;
  #maxUs = 0;

  static fromJson({ buckets, maxUs }: HistogramJson): Histogram {
    const histogram = new Histogram();
    for (let i = 0; i < buckets.length; i += 2) {
      histogram.#counts[buckets[i]!] = buckets[i + 1]!;
      histogram.#count += buckets[i + 1]!;
    }
    histogram.#maxUs = maxUs;
    return histogram;
  }

  get count(): number {
    return this.#count;
  }

  record(us: number): void {
    const value = us > maxUs ? maxUs : us < 0 ? 0 : Math.floor(us);
    this.#counts[bucketOf(value)]!++;
    this.#count++;
    if (value > this.#maxUs) this.#maxUs = value;
  }

  /** The least bucket end that at least the share `p` of all values does not exceed; NaN without values. */
  percentile(p: number): number {
    if (this.#count === 0) return Number.NaN;
    const rank = Math.max(1, Math.ceil(p * this.#count));
    let seen = 0;
    for (let i = 0; i < this.#counts.length; i++) {
      seen += this.#counts[i]!;
      if (seen >= rank) return Math.min(endOf(i), this.#maxUs);
    }
    return this.#maxUs;
  }

  toJson(): HistogramJson {
    const buckets: number[] = [];
    for (const [i, count] of this.#counts.entries()) if (count > 0) buckets.push(i, count);
    return { buckets, maxUs: this.#maxUs };
  }
}

function bucketOf(us: number): number {
  if (us < linear) return us;
  const octave = 31 - Math.clz32(us) - 6; // 128 to 255 is octave 1
  return linear + (octave - 1) * perOctave + ((us >>> octave) - perOctave);
}

/** The largest value that falls into the bucket. */
function endOf(bucket: number): number {
  if (bucket < linear) return bucket;
  const octave = Math.floor((bucket - linear) / perOctave) + 1;
  const step = ((bucket - linear) % perOctave) + perOctave;
  return (step + 1) * 2 ** octave - 1;
}
