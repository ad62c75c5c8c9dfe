/**
 * When a process that ended comes back. One that was told to go stays down; one that ended by itself returns after
 * 100 ms, doubling to 5 s while it keeps dying, and from the start again once it has lived for 10 s.
 */
export interface Ended {
  /** False after `kill` or while the lab goes down. */
  wanted: boolean;
  /** False with `--no-restart`. */
  restart: boolean;
  livedMs: number;
  /** Of the restart before; 0 when there was none. */
  lastDelayMs: number;
}

const firstDelayMs = 100;
const maxDelayMs = 5000;
const healthyMs = 10_000;

/** After how many milliseconds; undefined: it stays down. */
export function afterEnd({ wanted, restart, livedMs, lastDelayMs }: Ended): number | undefined {
  if (!wanted || !restart) return undefined;
  return livedMs >= healthyMs || lastDelayMs === 0 ? firstDelayMs : Math.min(lastDelayMs * 2, maxDelayMs);
}
