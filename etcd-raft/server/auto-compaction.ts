import type { Cancel, Clock } from "../../base/clock.ts";
import { parseDuration } from "../../base/flags.ts";
import type { Logger } from "../../base/logger.ts";
import { StartError } from "../../base/process.ts";
import type { Member } from "./member.ts";

/**
 * `--auto-compaction-mode` and `--auto-compaction-retention` (etcd, server/etcdserver/api/v3compactor).
 *
 * - `periodic`: keeps what is younger than the retention. Looks at the revision ten times a period and compacts what was
 *   the revision a retention ago, every period: the retention, or an hour if that is shorter.
 * - `revision`: keeps the last so many revisions; looks every five minutes.
 *
 * Every member keeps the clock, the leader alone compacts.
 */
export type AutoCompaction = { mode: "periodic"; retentionMs: number } | { mode: "revision"; keep: number };

/** Undefined: off. A plain number of a periodic retention is hours, as in etcd. */
export function parseAutoCompaction(mode: string, retention: string): AutoCompaction | undefined {
  const number = /^\d+$/.test(retention) ? Number(retention) : undefined;
  if (mode !== "periodic" && mode !== "revision")
    throw new StartError(`flag --auto-compaction-mode is periodic or revision, not "${mode}"`);
  if (retention === "" || number === 0) return undefined;
  if (mode === "revision") {
    if (number === undefined) throw badRetention(retention, "a number of revisions");
    return { mode, keep: number };
  }
  if (number !== undefined) return { mode, retentionMs: number * hourMs };
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(retention)) throw badRetention(retention, "hours, or a duration such as 30m");
  const retentionMs = parseDuration("auto-compaction-retention", retention);
  return retentionMs > 0 ? { mode, retentionMs } : undefined;
}

export function autoCompact(how: AutoCompaction | undefined, member: Member, clock: Clock, log: Logger): Cancel {
  if (how === undefined) return () => {};
  const { store } = member.applier;
  let last = 0;
  const compact = (revision: number) => {
    if (!member.isLeader || revision <= last || revision <= 0) return;
    member.write({ compaction: { revision } }).then(
      () => {
        last = revision;
        log.info({ revision, mode: how.mode }, "Compacted by itself");
      },
      (error: Error) => {
        // Somebody else was faster: nothing left to do up to there.
        if (error.message.endsWith("has been compacted")) last = revision;
        else log.warn({ revision, reason: error.message }, "Could not compact, trying again next time");
      },
    );
  };
  if (how.mode === "revision") return clock.every(revisionCheckMs, () => compact(store.revision - how.keep));
  const periodMs = Math.min(how.retentionMs, hourMs);
  const stepMs = periodMs / stepsPerPeriod;
  const kept = Math.ceil(how.retentionMs / stepMs);
  const revisions: number[] = [];
  let steps = 0;
  return clock.every(stepMs, () => {
    revisions.push(store.revision);
    if (revisions.length > kept + 1) revisions.shift();
    if (revisions.length > kept && ++steps % stepsPerPeriod === 1) compact(revisions[0]!);
  });
}

const badRetention = (value: string, wanted: string) =>
  new StartError(`flag --auto-compaction-retention: "${value}" is not ${wanted}`);

const hourMs = 3_600_000;
const revisionCheckMs = 300_000;
const stepsPerPeriod = 10;
