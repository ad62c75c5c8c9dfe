import type { HistoryLine } from "./history.ts";

/**
 * No lease ends early: one that the store itself ends has not been granted or renewed within its life. Times must be
 * milliseconds, and commits have their time. `fastestClock`: as much faster than the history's a member's clock may run.
 * `overlapMs`: so long may a leader that has been replaced take itself for one, and renew a lease that the new one counts
 * from its own election (in etcd too: renewing asks nobody).
 */
export function* checkLeases(history: readonly HistoryLine[], { fastestClock = 1, overlapMs = 0 } = {}) {
  const operations = history.filter((line) => line.type === "operation");
  for (const line of history) {
    if (line.type !== "commit" || line.request?.op !== "revoke" || line.at === undefined) continue;
    const { id } = line.request;
    const of = operations.filter(({ request }) => "id" in request && request.id === id);
    if (of.some(({ request, called }) => request.op === "revoke" && called <= line.at!)) continue;
    for (const { request, response, called, returned } of of) {
      if (response?.op !== "grant" && response?.op !== "keepalive") continue;
      if (returned === undefined || returned >= line.at || response.ttl <= 0) continue;
      const lived = line.at - called;
      if (lived < (response.ttl * 1000) / fastestClock - overlapMs)
        yield `short lease: ${id} ends ${lived.toFixed()} ms after a ${request.op} that gave it ${response.ttl} s`;
    }
  }
}
