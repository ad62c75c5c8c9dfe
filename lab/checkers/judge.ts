import { checkHashes } from "./hashes.ts";
import type { HistoryLine } from "./history.ts";
import { checkLeases } from "./leases.ts";
import { checkLinearizable, registersOf } from "./linearizable.ts";
import { checkReplay, replayLog } from "./replay.ts";
import { checkWatches } from "./watches.ts";

export interface JudgeOptions {
  settled?: boolean; // at the end all was well for long enough that every watcher had heard everything
  fastestClock?: number; // see `leases.ts`
  overlapMs?: number;
  own?(key: string): boolean; // whose keys only those whom the history tells of write; without it all are
}

/** All that can be said of a history, by all checkers. Empty: every promise was kept. */
export function judge(history: readonly HistoryLine[], options: JudgeOptions = {}): string[] {
  const base = history.find((line) => line.type === "base");
  const commits = history.filter((line) => line.type === "commit");
  const truth = replayLog(commits, base);
  const registers = checkLinearizable(registersOf(history, truth));
  return [
    ...checkReplay(history, truth, options.own),
    ...checkWatches(history, truth, options),
    ...checkLeases(history, options),
    ...checkHashes(history),
    ...(registers.verdict === "ok"
      ? []
      : [`linearizability: ${registers.verdict} of ${registers.key}: ${registers.message}`]),
  ];
}
