import { checkHashes } from "./hashes.ts";
import type { HistoryLine } from "./history.ts";
import { checkLeases } from "./leases.ts";
import { checkLinearizable, registersOf } from "./linearizable.ts";
import { checkReplay, replayLog } from "./replay.ts";
import { checkWatches } from "./watches.ts";

export interface JudgeOptions {
  /** At the end all was well for long enough that every watcher had heard everything. */
  settled?: boolean;
  /** See `leases.ts`. */
  fastestClock?: number;
  overlapMs?: number;
  /** Whose keys only those whom the history tells of write; without it all are. */
  own?(key: string): boolean;
}

/** All that can be said of a history, by all checkers. Empty: every promise was kept. */
export function judge(history: readonly HistoryLine[], options: JudgeOptions = {}): string[] {
  const base = history.find((line) => line.type === "base");
  const truth = replayLog(
    history.filter((line) => line.type === "commit"),
    base,
  );
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
