import { type Chunk, chunkSize, type History } from "./history.ts";
import type { KeyIndex } from "./key-index.ts";
import {
  headBytes,
  isDead,
  isTombstoneAt,
  keyIdOf,
  lengthOf,
  mainOf,
  markDead,
  moveRecord,
  previousOf,
  setPrevious,
  subOf,
} from "./record.ts";
import { type Address, addressOf, roundUp, type Slabs } from "./slabs.ts";

/**
 * A compaction at `revision`, a slice at a time. It works on what has changed and what has to move, not on the whole store:
 *
 * 1. mark: walks the changes since the compaction before. What they superseded is dead, and so is a deletion before
 *    `revision`, with its key (one at `revision` itself stays: a watch may still start there).
 * 2. squeeze: chunks of the history that hold dead versions are written anew without them. Now they count as gone.
 * 3. sweep: slabs that are mostly garbage are emptied, so that their memory is given back.
 *
 * A deletion that a later put hides stays until that put is compacted, too: nothing leads from it to the put.
 */
export class Compaction {
  readonly revision: number;
  readonly #slabs: Slabs;
  readonly #index: KeyIndex;
  readonly #history: History;
  readonly #squeezed: () => void;
  #phase: "mark" | "squeeze" | "sweep" = "mark";
  #main: number; // next to mark
  #sub = 0;
  #chunk = 0; // next to squeeze
  #sparse: number[] = []; // to be swept, and how far the last of them is
  #offset = 0;

  /** `from`: everything before this revision is marked. `squeezed`: what is superseded at `revision` is gone. */
  constructor(
    { slabs, index, history }: { slabs: Slabs; index: KeyIndex; history: History },
    { revision, from, squeezed }: { revision: number; from: number; squeezed(): void },
  ) {
    this.revision = revision;
    this.#slabs = slabs;
    this.#index = index;
    this.#history = history;
    this.#main = from;
    this.#squeezed = squeezed;
  }

  /** Where the next compaction has to start marking. */
  get markedTo(): number {
    return Math.min(this.#main, this.revision);
  }

  /** Handles about `limit` versions; true while there is more to do. */
  step(limit: number): boolean {
    if (this.#phase === "mark") this.#mark(limit);
    else if (this.#phase === "squeeze") this.#squeeze(limit);
    else return this.#sweep(limit);
    return true;
  }

  #mark(limit: number): void {
    const { table } = this.#slabs;
    let left = limit;
    let isDone = true;
    this.#history.forEachFrom(this.#main, this.#sub, (address) => {
      this.#main = mainOf(table, address);
      this.#sub = subOf(table, address);
      if (this.#main > this.revision) return false;
      if (left-- === 0) {
        isDone = false;
        return false;
      }
      const previous = previousOf(table, address);
      if (previous !== 0) {
        setPrevious(table, address, 0);
        this.#kill(previous);
      }
      if (this.#main < this.revision && isTombstoneAt(table, address)) {
        const id = keyIdOf(table, address);
        if (this.#index.newest(id) === address) {
          this.#index.remove(id);
          this.#kill(address);
        }
      }
      return true;
    });
    if (!isDone) return;
    this.#main = this.revision;
    this.#phase = "squeeze";
  }

  #kill(address: Address): void {
    const { table } = this.#slabs;
    if (isDead(table, address)) return;
    markDead(table, address);
    this.#slabs.release(address, headBytes + lengthOf(table, address));
    const { chunks } = this.#history;
    chunks[this.#history.chunkOf(mainOf(table, address), subOf(table, address))]!.dead++;
  }

  #squeeze(limit: number): void {
    const { chunks } = this.#history;
    for (let left = limit; left > 0; this.#chunk++, left--) {
      const chunk = chunks[this.#chunk];
      if (chunk === undefined || chunk.main > this.revision) {
        this.#phase = "sweep";
        this.#sparse = [...this.#slabs.sparse];
        this.#squeezed();
        return;
      }
      if (chunk.dead === 0) continue;
      left -= chunk.count;
      this.#squeezeChunk(chunk);
    }
  }

  /** What is left of the chunk joins the one before if there is room. */
  #squeezeChunk(chunk: Chunk): void {
    const { table } = this.#slabs;
    const { chunks } = this.#history;
    const fresh = this.#history.chunk(chunk.main, chunk.sub);
    for (let i = 0; i < chunk.count; i++) {
      const address = chunk.addresses[i]!;
      if (isDead(table, address)) this.#slabs.drop(address);
      else fresh.addresses[fresh.count++] = address;
    }
    this.#history.count -= chunk.count - fresh.count;
    const before = chunks[this.#chunk - 1];
    const fits = before !== undefined && before.count + fresh.count <= chunkSize && !this.#history.isShared(before);
    if (fits) {
      before.addresses.set(fresh.addresses.subarray(0, fresh.count), before.count);
      before.count += fresh.count;
    }
    if (fits || fresh.count === 0) chunks.splice(this.#chunk--, 1);
    else chunks[this.#chunk] = fresh;
  }

  #sweep(limit: number): boolean {
    let left = limit;
    while (this.#sparse.length > 0) {
      const number = this.#sparse[this.#sparse.length - 1]!;
      if (this.#slabs.sparse.has(number)) {
        left = this.#sweepSlab(number, left);
        if (left <= 0) return true;
      }
      this.#sparse.pop();
      this.#offset = 0;
    }
    return false;
  }

  /** Returns what it leaves of the limit. */
  #sweepSlab(number: number, limit: number): number {
    const { table } = this.#slabs;
    const { used } = table[number]!;
    let left = limit;
    while (this.#offset < used) {
      if (left <= 0) return 0;
      const address = addressOf(number, this.#offset);
      this.#offset += roundUp(headBytes + lengthOf(table, address));
      left--;
      if (isDead(table, address)) continue;
      left -= this.#move(address);
      if (table[number] === undefined) return left; // that was the last
    }
    this.#slabs.sparse.delete(number);
    return left;
  }

  /** Returns its cost in versions looked at. One under too many newer ones stays where it is. */
  #move(address: Address): number {
    const { table } = this.#slabs;
    const id = keyIdOf(table, address);
    let next: Address = 0; // the version after it
    let steps = 0;
    for (let at = this.#index.newest(id); at !== address; at = previousOf(table, at)) {
      next = at;
      if (++steps > maxSteps) return steps;
    }
    const moved = moveRecord(this.#slabs, address);
    if (next === 0) this.#index.setNewest(id, moved);
    else setPrevious(table, next, moved);
    this.#history.replace(mainOf(table, moved), subOf(table, moved), moved);
    const bytes = headBytes + lengthOf(table, address);
    this.#slabs.release(address, bytes);
    markDead(table, address);
    this.#slabs.drop(address);
    return steps + (bytes >>> 11); // copying 2 KB costs as much as a look
  }
}

const maxSteps = 1000;
