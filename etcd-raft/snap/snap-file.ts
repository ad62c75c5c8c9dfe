import * as raftpb from "../../proto/generated/raftpb.ts";
import * as snappb from "../../proto/generated/snappb.ts";
import { crc32c } from "../crc32c.ts";
import { hex16 } from "../file-names.ts";
import { type Membership, parseV2Store, v2Store } from "./membership.ts";

/**
 * `member/snap/<term>-<index>.snap`, 16 hex digits each: a raft snapshot whose data is the v2 store, in a checksum. It
 * belongs to the WAL's snapshot record of the same index; the state itself is in `member/snap/db`, which may be newer.
 */
export interface SnapFile extends Membership {
  index: number;
  term: number;
  confState: raftpb.ConfState;
}

export const snapName = ({ term, index }: { term: number; index: number }): string =>
  `${hex16(term)}-${hex16(index)}.snap`;

export function encodeSnap(snap: SnapFile): Uint8Array {
  const { index, term, confState } = snap;
  const data = raftpb.Snapshot.encode({ data: Buffer.from(v2Store(snap)), metadata: { index, term, confState } });
  return snappb.snapshot.encode({ crc: crc32c(0, data), data });
}

/** Throws when the bytes are not what was written. */
export function decodeSnap(bytes: Uint8Array): SnapFile {
  const { crc, data } = snappb.snapshot.decode(bytes);
  if (data.length === 0) throw new Error("snap: empty snapshot");
  if (crc32c(0, data) !== crc) throw new Error("snap: crc mismatch");
  const { metadata, data: store } = raftpb.Snapshot.decode(data);
  if (metadata?.confState === undefined) throw new Error("snap: no metadata");
  const { index, term, confState } = metadata;
  return { index, term, confState, ...parseV2Store(Buffer.from(store).toString()) };
}
