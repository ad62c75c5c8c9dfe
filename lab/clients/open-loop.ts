import { type Clock, sleep } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";

/**
 * Sends at the times of a Poisson process, whether earlier requests were answered or not, until `signal` aborts; beyond
 * `maxInFlight` it waits, and what is late keeps the time at which it was due. Resolves when all have ended.
 */
export async function openLoop(
  rate: number,
  { rand, clock, signal }: { rand: Rand; clock: Clock; signal: AbortSignal },
  send: (due: number) => Promise<void>,
): Promise<void> {
  const running = new Set<Promise<void>>();
  let due = clock.monotonic();
  for (;;) {
    due += (-Math.log(1 - rand.next()) * 1000) / rate;
    await sleep(clock, Math.max(0, due - clock.monotonic()), signal);
    if (running.size >= maxInFlight) await Promise.race(running);
    if (signal.aborted) break;
    const one: Promise<void> = send(due).finally(() => running.delete(one));
    running.add(one);
  }
  await Promise.all(running);
}

const maxInFlight = 100;
