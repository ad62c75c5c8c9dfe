/**
 * How long a container that ended waits before it is started again (upstream's CrashLoopBackOff): the first restart is
 * at once, then 10 s doubling to 5 min, counted from the end of the last run. Twice the longest wait without a restart
 * and it starts over. Kept in memory per container name, like upstream: a restarted agent starts over too.
 */
export interface RestartBackoff {
  delayMs: number;
  /** When the last restart was let through. */
  updatedAtMs: number;
}

const initialMs = 10_000;
const maxMs = 300_000;

/** When a container that ended at `finishedAtMs` may start again; a time in the past means now. */
export function restartAtMs(backoff: RestartBackoff | undefined, finishedAtMs: number): number {
  if (backoff === undefined || isExpired(backoff, finishedAtMs)) return finishedAtMs;
  return finishedAtMs + backoff.delayMs;
}

/** After a restart was let through. */
export function nextBackoff(backoff: RestartBackoff | undefined, finishedAtMs: number, nowMs: number): RestartBackoff {
  const startsOver = backoff === undefined || isExpired(backoff, finishedAtMs);
  return { delayMs: startsOver ? initialMs : Math.min(backoff.delayMs * 2, maxMs), updatedAtMs: nowMs };
}

function isExpired({ updatedAtMs }: RestartBackoff, finishedAtMs: number): boolean {
  return finishedAtMs - updatedAtMs > 2 * maxMs;
}

/** Go's text of a duration of whole seconds: `10s`, `1m20s`, `5m0s`. */
export function durationText(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m${seconds % 60}s`;
  return `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds % 60}s`;
}
