/**
 * From a key to its id: a hash table outside the JavaScript heap, which holds hashes and ids; the keys themselves are in
 * their records (`matches`). It is many small tables, each of which grows on its own: there is never a moment at which
 * millions of entries have to move.
 *
 * `seed` makes it hard to find keys that fall into one place on purpose; nothing that can be seen depends on it.
 */
export class KeyTable {
  readonly #parts: Part[] = Array.from({ length: 256 }, () => ({ slots: new Uint32Array(2 * minSlots), count: 0 }));
  readonly #matches: (id: number, key: string) => boolean;
  readonly #seed: number;

  constructor(matches: (id: number, key: string) => boolean, seed: number) {
    this.#matches = matches;
    this.#seed = seed;
  }

  /** 0: there is none. */
  find(key: string): number {
    const hash = hashOf(key, this.#seed);
    const { slots } = this.#parts[hash >>> 24]!;
    const mask = slots.length - 1;
    for (let at = (hash << 1) & mask; ; at = (at + 2) & mask) {
      const id = slots[at + 1]!;
      if (id === 0 || (slots[at] === hash && this.#matches(id, key))) return id;
    }
  }

  /** A key that is not there yet. */
  add(key: string, id: number): void {
    const hash = hashOf(key, this.#seed);
    const part = this.#parts[hash >>> 24]!;
    if (part.count * 8 >= part.slots.length * 3) resize(part, part.slots.length * 2);
    insert(part.slots, hash, id);
    part.count++;
  }

  /** A key that is there. */
  remove(key: string, id: number): void {
    const hash = hashOf(key, this.#seed);
    const part = this.#parts[hash >>> 24]!;
    const { slots } = part;
    const mask = slots.length - 1;
    let gap = (hash << 1) & mask;
    while (slots[gap + 1] !== id) gap = (gap + 2) & mask;
    // What comes after moves up, unless it would pass the place it belongs to (Knuth 6.4, algorithm R).
    for (let at = (gap + 2) & mask; slots[at + 1] !== 0; at = (at + 2) & mask) {
      const home = (slots[at]! << 1) & mask;
      if (((at - home) & mask) < ((at - gap) & mask)) continue;
      slots[gap] = slots[at]!;
      slots[gap + 1] = slots[at + 1]!;
      gap = at;
    }
    slots[gap + 1] = 0;
    part.count--;
    if (slots.length > 2 * minSlots && part.count * 16 < slots.length) resize(part, slots.length / 2);
  }
}

/** Pairs of hash and id; id 0 is an empty slot. A power of two, at most three quarters full. */
type Part = { slots: Uint32Array; count: number };

function resize(part: Part, length: number): void {
  const { slots } = part;
  part.slots = new Uint32Array(length);
  for (let at = 0; at < slots.length; at += 2) if (slots[at + 1] !== 0) insert(part.slots, slots[at]!, slots[at + 1]!);
}

function insert(slots: Uint32Array, hash: number, id: number): void {
  const mask = slots.length - 1;
  let at = (hash << 1) & mask;
  while (slots[at + 1] !== 0) at = (at + 2) & mask;
  slots[at] = hash;
  slots[at + 1] = id;
}

/** FNV-1a, and the last mixing of MurmurHash3, since the low bits choose the slot and the high ones the part. */
function hashOf(key: string, seed: number): number {
  let hash = seed ^ 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

const minSlots = 16;
