/**
 * A map for keys that are given out in ascending order and mostly taken back soon, such as numbers of requests: each has the
 * place `key mod size`, and only one whose place is still taken goes to a Map beside.
 *
 * Why not a Map for all: when many come and go, V8 makes a new table every few hundred of them, and the old one points to the
 * new. Once one of these has become old, all that follow it, with whatever was in them, survive until the next full
 * collection (measured: each request of a loaded server was copied twice by the garbage collector).
 */
export class RingMap<T> {
  #keys: Float64Array;
  #values: (T | undefined)[];
  readonly #others = new Map<number, T>();
  #inPlace = 0;

  /** `size` is a power of two; it grows with need. */
  constructor(size = 64) {
    this.#keys = new Float64Array(size).fill(-1);
    this.#values = new Array<T | undefined>(size).fill(undefined);
  }

  get size(): number {
    return this.#inPlace + this.#others.size;
  }

  /** `key`: a non-negative safe integer that is not in here. */
  add(key: number, value: T): void {
    const place = key % this.#keys.length;
    if (this.#keys[place] === -1) {
      this.#keys[place] = key;
      this.#values[place] = value;
      this.#inPlace++;
      return;
    }
    this.#others.set(key, value);
    if (this.#inPlace > this.#keys.length / 2) this.#grow();
  }

  get(key: number): T | undefined {
    const place = key % this.#keys.length;
    return this.#keys[place] === key ? this.#values[place] : this.#others.get(key);
  }

  delete(key: number): void {
    const place = key % this.#keys.length;
    if (this.#keys[place] !== key) {
      this.#others.delete(key);
      return;
    }
    this.#keys[place] = -1;
    this.#values[place] = undefined;
    this.#inPlace--;
  }

  clear(): void {
    this.#keys.fill(-1);
    this.#values.fill(undefined);
    this.#others.clear();
    this.#inPlace = 0;
  }

  /** In no order; what is there now. */
  entries(): [key: number, value: T][] {
    const all = [...this.#others];
    for (const [place, key] of this.#keys.entries()) if (key !== -1) all.push([key, this.#values[place]!]);
    return all;
  }

  values(): T[] {
    return this.entries().map(([, value]) => value);
  }

  #grow(): void {
    const all = this.entries();
    const size = this.#keys.length * 2;
    this.#keys = new Float64Array(size).fill(-1);
    this.#values = new Array<T | undefined>(size).fill(undefined);
    this.#others.clear();
    this.#inPlace = 0;
    for (const [key, value] of all) this.add(key, value);
  }
}
