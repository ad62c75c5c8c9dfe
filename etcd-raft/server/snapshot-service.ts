import { createHash } from "node:crypto";
import type { StreamHandler } from "../../net/grpc-server.ts";
import type * as pb from "../../proto/generated/etcdserverpb.ts";
import { planDb } from "../snap/db-file.ts";
import { turn } from "../snap/slices.ts";
import type { Member } from "./member.ts";
import { etcdVersion } from "./version.ts";

/**
 * Maintenance.Snapshot: the state file as it would be now, in blobs of 32 KiB, then the SHA-256 of all of them. It is made
 * while it is sent, no faster than the caller reads, and other requests go on; nothing is held but a view of the store.
 * Answered by any member with what it has applied, also without a leader.
 */
export const snapshotHandler =
  ({ applier, config: { clock } }: Member): StreamHandler<pb.SnapshotRequest, Partial<pb.SnapshotResponse>> =>
  async (_request, { signal }, send) => {
    const { size, chunks } = await planDb(applier.state(), applier.store.view(), clock);
    const hash = createHash("sha256");
    let left = size;
    for (const chunk of chunks()) {
      for (let at = 0; at < chunk.length; at += blobBytes) {
        if (signal.aborted) return;
        const blob = chunk.subarray(at, at + blobBytes);
        hash.update(blob);
        left -= blob.length;
        if (!send({ remainingBytes: left, blob, version: etcdVersion })) await send.drained();
      }
      await turn();
    }
    send({ remainingBytes: 0, blob: hash.digest(), version: etcdVersion });
  };

const blobBytes = 32 * 1024;
