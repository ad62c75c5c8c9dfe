/**
 * How much of the log raft keeps in memory, for followers that are a little behind. One that needs older entries gets the
 * state instead, which is made of the store and not of the last snapshot on disk: so entries are forgotten long before a
 * snapshot covers them, and a large state does not keep as much log beside it.
 *
 * Kept are the last `catchUp` entries, and as many bytes as a 32nd of the state, at least 32 MB (etcd keeps 5,000 entries);
 * however large the entries, not more than four times that.
 */
export class LogMemory {
  readonly #catchUp: number;
  /** Entries, and the bytes of all entries up to them, now and then. */
  readonly #marks: { index: number; bytes: number }[] = [];
  count = 0; // of this process: of all entries that were added
  #bytes = 0;
  #index = 0;
  #marked = 0;

  constructor(catchUp: number) {
    this.#catchUp = catchUp;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(index: number, bytes: number): void {
    this.count++;
    this.#index = index;
    this.#bytes += bytes + entryBytes;
    if (this.#bytes - this.#marked < markBytes) return;
    this.#marked = this.#bytes;
    this.#marks.push({ index, bytes: this.#bytes });
  }

  /** Up to which entry raft may forget; undefined as long as it is not worth it. */
  forget(stateBytes: number): number | undefined {
    const keep = Math.max(minBytes, stateBytes / 32);
    const oldest = this.#marks[0];
    // Not little by little: each time what is kept is copied.
    if (oldest === undefined || this.#bytes - oldest.bytes < keep * 1.25) return undefined;
    const isEnough = ({ index, bytes }: { index: number; bytes: number }) =>
      this.#bytes - bytes >= (index <= this.#index - this.#catchUp ? keep : 4 * keep);
    const last = this.#marks.findLastIndex(isEnough);
    if (last === -1) return undefined;
    const { index } = this.#marks[last]!;
    this.#marks.splice(0, last + 1);
    return index;
  }
}

const entryBytes = 16; // what a packed entry costs beside its data
const markBytes = 2 << 20;
const minBytes = 32 << 20;
