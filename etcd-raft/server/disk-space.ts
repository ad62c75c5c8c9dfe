import type { Cancel } from "../../base/clock.ts";
import { Alarm } from "./alarms.ts";
import type { Member } from "./member.ts";
import { heldBytes } from "./quota.ts";

/**
 * While there is still room for what will have to be written (segments of the log, the next state file), a member whose disk
 * fills up raises NOSPACE for itself, and all of them refuse what adds: it does not come to a write that fails.
 * Differs: etcd looks at its quota alone, and ends when the disk is full.
 */
export function watchDisk(member: Member): Cancel {
  const { applier, config, id } = member;
  const { clock, disk, log, dataDir, walDir } = config;
  let looking = false;
  const look = async () => {
    const neededBytes = reserveBytes + heldBytes(applier.store);
    const freeBytes = Math.min(...(await Promise.all([dataDir, walDir ?? dataDir].map((dir) => disk.freeBytes!(dir)))));
    const raised = applier.alarms.list(Alarm.noSpace).some(({ memberID }) => memberID === id);
    if (freeBytes >= neededBytes || raised) return;
    log.error(
      { freeBytes, neededBytes },
      "The disk is nearly full, writes are refused (alarm NOSPACE): make room there, then take the alarm back (etcdctl alarm disarm)",
    );
    await member.write({ alarm: { action: 1, memberID: id, alarm: Alarm.noSpace } });
  };
  return clock.every(lookMs, () => {
    if (looking || !disk.freeBytes) return;
    looking = true;
    const done = () => {
      looking = false;
    };
    void look().then(done, done); // asked again next time
  });
}

const lookMs = 1000;
/** Two segments. */
const reserveBytes = 128 << 20;
