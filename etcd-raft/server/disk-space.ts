import type { Cancel } from "../../base/clock.ts";
import type { Store } from "../mvcc/store.ts";
import type { Disk } from "../wal/disk.ts";
import { Alarm } from "./alarms.ts";
import type { Member } from "./member.ts";
import { heldBytes } from "./quota.ts";
import { repeat } from "./waiters.ts";

/**
 * While there is still room for what will have to be written, a member whose disk fills up raises NOSPACE for itself, and all
 * of them refuse what adds: it does not come to a write of the log that fails.
 * Differs: etcd looks at its quota alone, and ends when the disk is full.
 */
export function watchDisk(member: Member): Cancel {
  const { applier, config } = member;
  const { clock, disk, dataDir, walDir } = config;
  return repeat(clock, lookMs, async () => {
    const spare = await spareBytes(disk, [dataDir, walDir ?? dataDir], applier.store);
    if (spare < 0) await diskIsFull(member, { missingBytes: -spare });
  });
}

/** What is free beyond the next segments of the log and the next state file. */
export async function spareBytes(disk: Disk, dirs: readonly string[], store: Store): Promise<number> {
  if (!disk.freeBytes) return Number.POSITIVE_INFINITY;
  const free = await Promise.all(dirs.map((dir) => disk.freeBytes!(dir)));
  return Math.min(...free) - reserveBytes - heldBytes(store);
}

/** Raises NOSPACE, unless it is raised: nobody may add anything until it is taken back. */
export async function diskIsFull(member: Member, details: Record<string, unknown>): Promise<void> {
  const { id, applier, config } = member;
  if (applier.alarms.list(Alarm.noSpace).some(({ memberID }) => memberID === id)) return;
  config.log.error(
    details,
    "The disk is nearly full, writes are refused (alarm NOSPACE): make room there, then take the alarm back (etcdctl alarm disarm)",
  );
  await member.raiseNoSpace();
}

const lookMs = 1000;
const reserveBytes = 128 << 20; // two segments
