import { KeyValue } from "../../proto/generated/mvccpb.ts";
import { crc32c } from "../crc32c.ts";
import { etcdError } from "../errors.ts";
import type { Store } from "./store.ts";
import { isTombstone, keyBytes, keyValueOf, type Version } from "./version.ts";

/**
 * Maintenance.HashKV: CRC-32C over the name of etcd's bucket and then, in revision order, key and value of every entry
 * that etcd's backend would hold up to `revision` (0: now). Equal on all members with the same compact revision,
 * whatever they have physically compacted, and equal to etcd's own (etcd `server/storage/mvcc/hash.go`).
 *
 * An entry is {main u64 BE, "_", sub u64 BE, "t" on a tombstone} -> mvccpb.KeyValue (of a tombstone the key only).
 */
export function hashKV(store: Store, revision: number): number {
  if (revision > 0 && revision < store.compactRevision) throw etcdError("compacted");
  if (revision > store.revision) throw etcdError("futureRevision");
  const upTo = revision <= 0 ? store.revision : revision;
  const versions = store.versionsUpTo(upTo);
  // Of what compaction left at or before its revision, etcd hashes only what is still alive at `revision`, unless
  // nothing is.
  const anyAlive = versions.some((version) => store.at(version.key, upTo) === version);
  let crc = crc32c(0, Buffer.from("key"));
  for (const version of versions) {
    if (version.main <= store.compactRevision) {
      if (isTombstone(version)) continue;
      if (anyAlive && store.at(version.key, upTo) !== version) continue;
    }
    crc = crc32c(crc, revisionKey(version));
    crc = crc32c(
      crc,
      isTombstone(version) ? KeyValue.encode({ key: keyBytes(version.key) }) : KeyValue.encode(keyValueOf(version)),
    );
  }
  return crc;
}

function revisionKey(version: Version): Uint8Array {
  const key = Buffer.alloc(isTombstone(version) ? 18 : 17, "t");
  key.writeBigUInt64BE(BigInt(version.main), 0);
  key[8] = 0x5f;
  key.writeBigUInt64BE(BigInt(version.sub), 9);
  return key;
}
