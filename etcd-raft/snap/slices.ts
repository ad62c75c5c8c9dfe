import type { Clock } from "../../base/clock.ts";

/**
 * Runs a generator to its end without holding up the event loop: after each slice everything else gets its turn. Returns
 * what the generator returns.
 */
export async function inSlices<R>(work: Generator<void, R>, clock: Clock): Promise<R> {
  for (;;) {
    const end = clock.monotonic() + sliceMs;
    do {
      const step = work.next();
      if (step.done) return step.value;
    } while (clock.monotonic() < end);
    await turn();
  }
}

/** Everything else gets its turn. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const sliceMs = 5;
