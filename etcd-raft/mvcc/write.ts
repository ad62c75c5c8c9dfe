import { assert } from "../../base/assert.ts";
import type { History } from "./history.ts";
import type { KeyRange } from "./key-index.ts";
import { keyFieldBytes, keyValueBytes, writeKey, writeRest } from "./key-value.ts";
import { allocateRecord, bodyOf, isTombstoneAt, setKeyId, setPrevious, slabOf } from "./record.ts";
import type { Address } from "./slabs.ts";
import type { KeyLeases, RestoredRow, Store } from "./store.ts";
import { isTombstone, Version } from "./version.ts";

/** One write transaction at a time: its changes are visible at once, and become the next revision with `end`. */
export class Write {
  readonly #store: Store;
  readonly #history: History;
  readonly #leases: KeyLeases;
  #count = 0;
  open = false;

  constructor(store: Store, history: History, leases: KeyLeases) {
    this.#store = store;
    this.#history = history;
    this.#leases = leases;
  }

  begin(): this {
    assert(!this.open, "one write at a time");
    this.open = true;
    this.#count = 0;
    return this;
  }

  /** What the store's revision is, seen from inside. */
  get revision(): number {
    return this.#store.revision + (this.#count > 0 ? 1 : 0);
  }

  /** `value` may be one of the store's own. */
  put(key: string, value: Uint8Array, lease: bigint): void {
    const { index, slabs, revision } = this.#store;
    const id = index.find(key);
    const previous = id === 0 ? 0 : index.newest(id);
    const before = previous === 0 ? undefined : new Version(slabs.table, previous);
    const alive = before !== undefined && !isTombstone(before);
    const main = revision + 1;
    const fields = { create: alive ? before.create : main, mod: main, version: alive ? before.version + 1 : 1, lease };
    const length = keyValueBytes(key.length, fields, value.length);
    const address = allocateRecord(slabs, length, { main, sub: this.#count, previous, tombstone: false });
    const { bytes } = slabOf(slabs.table, address);
    writeRest(bytes, writeKey(bytes, bodyOf(address), key), fields, value);
    this.#add(key, id, address);
    if (before !== undefined && !alive) index.addAlive(key, 1);
    if (alive && before.lease !== 0n) this.#leases.detach(before.lease, key);
    if (lease !== 0n) this.#leases.attach(lease, key);
  }

  /** The tombstones it made; `previous` of each is what was deleted. */
  deleteRange(range: KeyRange): Version[] {
    const found: Version[] = [];
    this.#store.forEach(range, Number.MAX_SAFE_INTEGER, (version) => found.push(version));
    return found.map((version) => this.#delete(version));
  }

  end(): void {
    this.open = false;
    if (this.#count > 0) this.#store.revision++;
  }

  #delete({ key, lease }: Version): Version {
    const { index, slabs, revision } = this.#store;
    const id = index.find(key);
    const [main, sub, previous] = [revision + 1, this.#count, index.newest(id)];
    const address = allocateRecord(slabs, keyFieldBytes(key.length), { main, sub, previous, tombstone: true });
    writeKey(slabOf(slabs.table, address).bytes, bodyOf(address), key);
    this.#add(key, id, address);
    index.addAlive(key, -1);
    if (lease !== 0n) this.#leases.detach(lease, key);
    return new Version(slabs.table, address);
  }

  #add(key: string, id: number, address: Address): void {
    addRecord(this.#store, key, id, address);
    this.#history.push(address, this.#store.revision + 1, this.#count++);
  }
}

/** A version as a snapshot has it. Leases that keys hang on are known before. */
export function restoreRecord(store: Store, history: History, leases: KeyLeases, row: RestoredRow): void {
  const { index, slabs } = store;
  const { main, sub, isTombstone: tombstone, record } = row;
  const address = allocateRecord(slabs, record.length, { main, sub, previous: 0, tombstone });
  const { table } = slabs;
  slabOf(table, address).bytes.set(record, bodyOf(address));
  const { key, lease } = new Version(table, address);
  const id = index.find(key);
  if (id !== 0) {
    const previous = index.newest(id);
    const before = new Version(table, previous).lease;
    if (before !== 0n) leases.detach(before, key);
    setPrevious(table, address, previous);
    const difference = (tombstone ? 0 : 1) - (isTombstoneAt(table, previous) ? 0 : 1);
    addRecord(store, key, id, address);
    if (difference !== 0) index.addAlive(key, difference);
  } else addRecord(store, key, id, address);
  if (lease !== 0n) leases.attach(lease, key);
  history.push(address, main, sub);
}

/** The newest of its key from now on; `id` 0: of a new key. */
function addRecord({ index, slabs }: Store, key: string, id: number, address: Address): void {
  if (id !== 0) index.setNewest(id, address);
  setKeyId(slabs.table, address, id === 0 ? index.add(key, address) : id);
}
