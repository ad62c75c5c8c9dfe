import sortedBTree from "sorted-btree";
import type { Version } from "./version.ts";

type BTreeClass = typeof sortedBTree.default;
/** sorted-btree is a CommonJS package: Node and the bundle import its exports, vitest the class itself. */
const BTree = sortedBTree.default ?? (sortedBTree as unknown as BTreeClass);

/** [key, end): `end` undefined is the single key, `null` every key from `key` on. */
export interface KeyRange {
  key: string;
  end: string | null | undefined;
}

/** One key with its newest version; older ones hang on that. */
export interface KeyRecord {
  readonly key: string;
  newest: Version;
}

/** All keys that have a version, in byte order. A hash map answers single keys, a B-tree ranges. */
export class KeyIndex {
  readonly #byKey = new Map<string, KeyRecord>();
  readonly #sorted = new BTree<string, KeyRecord>(undefined, (a, b) => (a < b ? -1 : a > b ? 1 : 0));

  get size(): number {
    return this.#byKey.size;
  }

  get(key: string): KeyRecord | undefined {
    return this.#byKey.get(key);
  }

  add(version: Version): void {
    const record = this.#byKey.get(version.key);
    if (record) {
      record.newest = version;
      return;
    }
    const fresh = { key: version.key, newest: version };
    this.#byKey.set(version.key, fresh);
    this.#sorted.set(version.key, fresh);
  }

  remove(key: string): void {
    this.#byKey.delete(key);
    this.#sorted.delete(key);
  }

  forEach({ key, end }: KeyRange, fn: (record: KeyRecord) => void): void {
    if (end === undefined) {
      const record = this.#byKey.get(key);
      if (record) fn(record);
      return;
    }
    if (end !== null && end <= key) return;
    const last = end ?? this.#sorted.maxKey();
    if (last === undefined || last < key) return;
    this.#sorted.forRange(key, last, end === null, (_key, record) => fn(record));
  }

  /** Up to `limit` records from `key` on, for walks in slices. */
  from(key: string, limit: number): KeyRecord[] {
    const records: KeyRecord[] = [];
    for (const [, record] of this.#sorted.entries(key)) {
      if (records.push(record) === limit) break;
    }
    return records;
  }
}
