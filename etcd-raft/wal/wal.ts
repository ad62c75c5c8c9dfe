import type { Entry, HardState } from "../raft/types.ts";
import type { Disk } from "./disk.ts";

export interface WalMetadata {
  nodeId: bigint;
  clusterId: bigint;
}

export interface Wal {
  /**
   * Resolves when this and every earlier save is durable (fdatasync). Entries go before the hard state. A change of
   * `commit` alone is written with the next save and waits for nothing. Once a write has failed, every save rejects: the
   * member must stop.
   */
  save(hardState: HardState | undefined, entries: readonly Entry[]): Promise<void>;
  /** Writes what is left, syncs and closes. */
  close(): Promise<void>;
}

export interface OpenedWal {
  wal: Wal;
  metadata: WalMetadata;
  hardState: HardState | undefined;
  entries: Entry[];
  snapshots: { index: number; term: number }[];
}

/** Makes the directory `dir` (`<data>/member/wal`) whole or not at all. */
export declare function createWal(dir: string, metadata: WalMetadata, disk: Disk): Promise<Wal>;
/** Reads everything, mends a torn tail, and goes on at the end. Throws when there is no WAL or it is corrupt. */
export declare function openWal(dir: string, disk: Disk): Promise<OpenedWal>;
