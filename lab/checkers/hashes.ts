import type { HistoryLine, MemberHash } from "./history.ts";

/** Members that have come to the same point are the same. */
export function* checkHashes(history: readonly HistoryLine[]): Iterable<string> {
  const first = new Map<string, MemberHash>();
  for (const line of history) {
    if (line.type !== "hash") continue;
    const other = first.get(line.point);
    if (other === undefined) first.set(line.point, line);
    else if (other.hash !== line.hash) {
      yield `unequal hashes: at ${line.point} ${line.member} has ${line.hash}, ${other.member} ${other.hash}`;
    }
  }
}
