import { crc32c } from "../crc32c.ts";
import { revisionKey } from "./record.ts";
import type { Store } from "./store.ts";
import { isTombstone, recordBytes, type Version } from "./version.ts";

/** `revision`: up to which; `compactRevision`: what the members that compare must have in common. */
export type KeysHash = { hash: number; revision: number; compactRevision: number };

/**
 * Maintenance.HashKV: CRC-32C over the name of etcd's bucket and then, in revision order, key and value of every entry
 * that etcd's backend would hold up to `revision` (0: now). Equal on all members with the same compact revision,
 * whatever they have physically compacted, and equal to etcd's own (etcd `server/storage/mvcc/hash.go`).
 *
 * An entry is {main u64 BE, "_", sub u64 BE, "t" on a tombstone} -> mvccpb.KeyValue (of a tombstone the key only).
 *
 * A generator that yields after every few entries, so that a caller with other duties may pause. The hash is that of the
 * moment when it ends as to compaction (one that comes in between starts it anew), and as to "now" of its beginning.
 */
export function* hashKeys(store: Store, revision: number): Generator<void, KeysHash> {
  for (;;) {
    const { compactRevision, index } = store;
    const upTo = store.readable(revision);
    const crc = yield* hashAt(store, upTo, () => store.compactRevision !== compactRevision || store.index !== index);
    if (crc !== undefined) return { hash: crc, revision: upTo, compactRevision };
  }
}

/** In one go, for stores of a test's size. */
export function hashKV(store: Store, revision: number): number {
  const work = hashKeys(store, revision);
  for (;;) {
    const step = work.next();
    if (step.done) return step.value.hash;
  }
}

/** Undefined: `stale` came true, and history that this needs may be gone. */
function* hashAt(store: Store, upTo: number, stale: () => boolean): Generator<void, number | undefined> {
  const { compactRevision } = store;
  const view = store.view();
  const aliveAt = (version: Version, revision: number) => {
    const alive = store.at(version.key, revision);
    return alive?.main === version.main && alive.sub === version.sub;
  };
  /** Yields now and then; false once `stale`. */
  const pause = function* (i: number): Generator<void, boolean> {
    if (i % entriesAYield !== 0) return true;
    yield;
    return !stale();
  };
  // Of what compaction left at or before its revision, etcd hashes only what is still alive at `upTo`, unless nothing at
  // all is alive then. The first entry mostly is.
  let kept = compactRevision;
  for (let i = 0; i < view.count && kept !== upTo; i++) {
    if (!(yield* pause(i))) return undefined;
    const version = view.at(i);
    if (version.main > upTo) break;
    if (aliveAt(version, upTo)) kept = upTo;
  }
  let crc = crc32c(0, bucketName);
  for (let i = 0; i < view.count; i++) {
    if (!(yield* pause(i))) return undefined;
    const version = view.at(i);
    if (version.main > upTo) break;
    if (version.main <= compactRevision && !aliveAt(version, kept)) continue;
    crc = crc32c(crc, revisionKey(version.main, version.sub, isTombstone(version)));
    crc = crc32c(crc, recordBytes(version));
  }
  return crc;
}

const bucketName = Buffer.from("key");
const entriesAYield = 256;
