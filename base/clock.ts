/**
 * Time as a parameter. Everything that waits or stamps takes a `Clock`, so that `lab/sim` can pass virtual time and a
 * seed replays a run. Only this file touches `Date` and the timers.
 */
export interface Clock {
  /** Wall time in milliseconds since the epoch; may jump. For stamps only. */
  now(): number;
  /** Monotonic milliseconds, fractional, the same for all processes of the machine (CLOCK_MONOTONIC). For durations. */
  monotonic(): number;
  /** Calls `fn` once after at least `ms`; returns the way to take that back. */
  after(ms: number, fn: () => void): Cancel;
  /** Calls `fn` every `ms` until cancelled; a late call is not made up for. */
  every(ms: number, fn: () => void): Cancel;
}

export type Cancel = () => void;

/** `performance.now()` counts from the start of the process, and is cheaper to read than `process.hrtime`. */
const processStartMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** Some 25 days. A timer for longer would go off at once. */
const longestTimerMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => processStartMs + performance.now(),
  after(ms, fn) {
    let timer: NodeJS.Timeout;
    const wait = (left: number) => {
      timer =
        left > longestTimerMs ? setTimeout(() => wait(left - longestTimerMs), longestTimerMs) : setTimeout(fn, left);
    };
    wait(ms);
    return () => clearTimeout(timer);
  },
  every(ms, fn) {
    const timer = setInterval(fn, ms);
    return () => clearInterval(timer);
  },
};

/** Resolves after `ms`, or at once when `signal` aborts: callers look at `signal.aborted`. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      cancel();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const cancel = clock.after(ms, done);
    signal?.addEventListener("abort", done);
  });
}
