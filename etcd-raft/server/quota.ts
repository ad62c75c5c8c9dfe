import type { Logger } from "../../base/logger.ts";
import type { LeaseGrantRequest, PutRequest, TxnRequest } from "../../proto/generated/etcdserverpb.ts";
import type { Store } from "../mvcc/store.ts";
import { ReceivedPut } from "./plain-put.ts";

/**
 * `--quota-backend-bytes`: how much a member may hold before writes that add are refused. Looked at before a request goes
 * to raft, so what was accepted is never lost.
 *
 * Differs: what counts are live bytes (keys and values that can still be read, and what they cost), not the size of a file:
 * compaction and deletion make room by themselves, nothing has to be defragmented. And it warns on the way.
 */
export class Quota {
  readonly bytes: number; // 0: no quota
  readonly #store: Store;
  readonly #log: Logger;
  #warned = 0;

  constructor(store: Store, flag: number, log: Logger) {
    this.#store = store;
    this.#log = log;
    this.bytes = flag < 0 ? 0 : flag || defaultBytes;
  }

  allows(cost: number): boolean {
    return this.bytes === 0 || liveBytes(this.#store) + cost < this.bytes;
  }

  /** Called now and then: one line when a mark is passed, and again only after it was left by a good step. */
  warn(): void {
    if (this.bytes === 0) return;
    const used = liveBytes(this.#store) / this.bytes;
    const mark = marks.findLast((share) => used >= share) ?? 0;
    if (mark > this.#warned) {
      const percent = `${Math.floor(used * 100)}`;
      const fields = { usedBytes: liveBytes(this.#store), quotaBytes: this.bytes, percent };
      this.#log.warn(
        fields,
        `The store uses ${percent} % of its quota; at 100 % writes are refused (alarm NOSPACE): compact (etcdctl compact REVISION, or --auto-compaction-retention), delete keys, or start the members with a larger --quota-backend-bytes`,
      );
    }
    if (mark > this.#warned || used < this.#warned - 0.05) this.#warned = mark;
  }
}

/** Everything that can still be read: keys and values with what is stored of them, and for each key its place in the index. */
export const liveBytes = (store: Store): number => store.slabs.liveBytes + store.index.size * keyOverheadBytes;

/** And what is held for it. */
export const heldBytes = (store: Store): number => store.slabs.capacityBytes + store.index.size * keyOverheadBytes;

export const costOfPut = (put: PutRequest): number =>
  256 + (put instanceof ReceivedPut ? put.bytes : put.key.length + put.value.length);

export const costOfGrant = (_request: LeaseGrantRequest): number => 64;

/** The dearer branch. */
export function costOfTxn({ success, failure }: TxnRequest): number {
  const cost = (ops: TxnRequest["success"]) =>
    ops.reduce((sum, { requestPut, requestTxn }) => {
      if (requestPut) return sum + costOfPut(requestPut);
      return requestTxn ? sum + costOfTxn(requestTxn) : sum;
    }, 0);
  return Math.max(cost(success), cost(failure));
}

const keyOverheadBytes = 32; // hash table, sorted leaves and history of one key with one version, measured
const defaultBytes = 2 * 1024 ** 3;
const marks = [0.7, 0.85, 0.95];
