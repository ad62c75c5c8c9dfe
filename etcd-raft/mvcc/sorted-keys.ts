/**
 * Ids of keys in the byte order of their keys: a list of leaves of up to 256 ids each. A million keys are some 6,000 leaves;
 * a new leaf moves those after it, which for as many is a few microseconds every hundred keys, so no level stands above.
 *
 * `low` of a leaf: not above any key in it, above all keys before (of the first it does not matter). Keys themselves are in
 * their records: `compare`. That is far away in memory, so a leaf knows what its keys begin with, and the four bytes after
 * that of each (`heads`): they tell most keys apart. `alive` counts the ids whose key is not deleted, so that a range is
 * counted without walking it.
 */
export interface KeyOrder {
  compare(id: number, key: string): number; // of the key with this id to `key`: negative, 0 or positive
  keyOf(id: number): string;
  /** Four bytes of its key from `at` on, zeros past its end, the first most significant. */
  headOf(id: number, at: number): number;
  isAlive(id: number): boolean;
}

interface Leaf {
  low: string;
  ids: Uint32Array;
  heads: Uint32Array; // of each key, the bytes after `prefix`
  prefix: string; // all keys of the leaf begin with it; empty in an empty leaf
  count: number;
  alive: number;
}

export type Place = { leaf: number; slot: number };

export class SortedKeys {
  readonly #order: KeyOrder;
  readonly #leaves: Leaf[] = [newLeaf("")];

  constructor(order: KeyOrder) {
    this.#order = order;
  }

  /** A key that is not there yet; it is alive. */
  add(key: string, id: number): void {
    const { leaf: l, slot } = this.place(key);
    const leaf = this.#leaves[l]!;
    if (leaf.count === leafSize) {
      // Keys that come in order leave full leaves behind.
      this.#leaves.splice(l + 1, 0, this.#splitLeaf(leaf, slot === leafSize ? leafSize : leafSize / 2, key));
      this.add(key, id);
      return;
    }
    if (leaf.count === 0) leaf.prefix = key;
    else if (!key.startsWith(leaf.prefix)) this.#setPrefix(leaf, common(leaf.prefix, key));
    leaf.ids.copyWithin(slot + 1, slot, leaf.count);
    leaf.heads.copyWithin(slot + 1, slot, leaf.count);
    leaf.ids[slot] = id;
    leaf.heads[slot] = headOf(key, leaf.prefix.length);
    leaf.count++;
    leaf.alive++;
  }

  /** A key that is there and not alive. */
  remove(key: string): void {
    const { leaf: l, slot } = this.place(key);
    const leaf = this.#leaves[l]!;
    leaf.ids.copyWithin(slot, slot + 1, leaf.count);
    leaf.heads.copyWithin(slot, slot + 1, leaf.count);
    if (--leaf.count === 0) leaf.prefix = "";
    if (leaf.count > leafSize / 4) return;
    if (leaf.count === 0 && this.#leaves.length > 1) this.#leaves.splice(l, 1);
    else if (!this.#mergeLeaf(l)) this.#mergeLeaf(l - 1);
  }

  /** A key that is there was deleted (-1) or came back (+1). */
  addAlive(key: string, difference: number): void {
    this.#leaves[this.#leafOf(key)]!.alive += difference;
  }

  /** Of the first key that is not below `key`: it may be one past the end of its leaf. */
  place(key: string): Place {
    const leaf = this.#leafOf(key);
    return { leaf, slot: this.#slot(this.#leaves[leaf]!, key) };
  }

  end(): Place {
    const leaf = this.#leaves.length - 1;
    return { leaf, slot: this.#leaves[leaf]!.count };
  }

  /** Calls `fn` with the ids from one place up to before another, until it returns false. Nothing may change meanwhile. */
  forEach(from: Place, to: Place, fn: (id: number) => boolean): void {
    for (let l = from.leaf, slot = from.slot; l <= to.leaf; l++, slot = 0) {
      const { ids, count } = this.#leaves[l]!;
      const end = l === to.leaf ? to.slot : count;
      for (; slot < end; slot++) if (!fn(ids[slot]!)) return;
    }
  }

  countAlive(from: Place, to: Place): number {
    let alive = this.#aliveBefore(to) - this.#aliveBefore(from);
    for (let l = from.leaf; l < to.leaf; l++) alive += this.#leaves[l]!.alive;
    return alive;
  }

  /** In its leaf. */
  #aliveBefore({ leaf, slot }: Place): number {
    let alive = 0;
    const { ids } = this.#leaves[leaf]!;
    for (let i = 0; i < slot; i++) if (this.#order.isAlive(ids[i]!)) alive++;
    return alive;
  }

  /** The ids from `from` on go to a leaf of their own; `key` is about to be its only one when there are none. */
  #splitLeaf(leaf: Leaf, from: number, key: string): Leaf {
    const next = newLeaf(from < leaf.count ? this.#order.keyOf(leaf.ids[from]!) : key);
    next.ids.set(leaf.ids.subarray(from, leaf.count));
    next.count = leaf.count - from;
    leaf.count = from;
    this.#setPrefix(leaf, this.#commonOf(leaf));
    this.#setPrefix(next, this.#commonOf(next));
    for (let i = 0; i < next.count; i++) if (this.#order.isAlive(next.ids[i]!)) next.alive++;
    leaf.alive -= next.alive;
    return next;
  }

  /** With the one after it, if both fill at most half a leaf. */
  #mergeLeaf(l: number): boolean {
    const [leaf, next] = [this.#leaves[l], this.#leaves[l + 1]];
    if (!leaf || !next || leaf.count + next.count > leafSize / 2) return false;
    leaf.ids.set(next.ids.subarray(0, next.count), leaf.count);
    leaf.count += next.count;
    leaf.alive += next.alive;
    this.#setPrefix(leaf, this.#commonOf(leaf));
    this.#leaves.splice(l + 1, 1);
    return true;
  }

  /** The last whose `low` is not above; the first when all are. */
  #leafOf(key: string): number {
    let low = 1;
    let high = this.#leaves.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#leaves[middle]!.low <= key) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #slot({ prefix, heads, ids, count }: Leaf, key: string): number {
    if (!key.startsWith(prefix)) return key < prefix ? 0 : count;
    const head = headOf(key, prefix.length);
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = heads[middle]!;
      if (other < head || (other === head && this.#order.compare(ids[middle]!, key) < 0)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #commonOf({ ids, count }: Leaf): string {
    return count === 0 ? "" : common(this.#order.keyOf(ids[0]!), this.#order.keyOf(ids[count - 1]!));
  }

  #setPrefix(leaf: Leaf, prefix: string): void {
    leaf.prefix = prefix;
    for (let i = 0; i < leaf.count; i++) leaf.heads[i] = this.#order.headOf(leaf.ids[i]!, prefix.length);
  }
}

const newLeaf = (low: string): Leaf => ({
  low,
  ids: new Uint32Array(leafSize),
  heads: new Uint32Array(leafSize),
  prefix: "",
  count: 0,
  alive: 0,
});

/** As `KeyOrder.headOf`, of one that is here. `charCodeAt` past the end gives NaN, which counts as 0. */
export const headOf = (key: string, at: number): number =>
  ((key.charCodeAt(at) << 24) |
    (key.charCodeAt(at + 1) << 16) |
    (key.charCodeAt(at + 2) << 8) |
    key.charCodeAt(at + 3)) >>>
  0;

function common(a: string, b: string): string {
  let length = 0;
  while (length < a.length && a.charCodeAt(length) === b.charCodeAt(length)) length++;
  return a.slice(0, length);
}

const leafSize = 256;
