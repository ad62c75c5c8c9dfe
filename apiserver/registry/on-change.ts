import { isConflict } from "../../apimachinery/status.ts";
import { sleep } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { WatchSink } from "../watchcache/watcher.ts";
import type { Context } from "./context.ts";

/**
 * Calls `sync` whenever something under `prefixes` has changed, one call at a time, and again after as many milliseconds
 * as it says. For what an apiserver looks after itself: all of them do, so writes must be conditional.
 */
export async function onChange(
  { cache, clock }: Pick<Context, "cache" | "clock">,
  { prefixes, log, what }: { prefixes: readonly string[]; log: Logger; what: string },
  sync: () => Promise<number | undefined>,
  signal: AbortSignal,
): Promise<void> {
  let change = new AbortController();
  const sinks = new Map<string, WatchSink>();
  const follow = (prefix: string): void => {
    if (signal.aborted) return;
    const end = () => void clock.after(retryMs, () => follow(prefix));
    const send = () => {
      change.abort();
      return true;
    };
    const sink: WatchSink = { send, end };
    sinks.set(prefix, sink);
    cache.watch(prefix, { scope: { prefix, exact: false }, selects: undefined, from: "now", sink });
  };
  for (const prefix of prefixes) follow(prefix);
  const stop = () => {
    for (const sink of sinks.values()) sink.onClose?.();
    change.abort();
  };
  signal.addEventListener("abort", stop, { once: true });
  while (!signal.aborted) {
    change = new AbortController();
    try {
      await sleep(clock, (await sync()) ?? longestMs, change.signal);
    } catch (err) {
      if (!isConflict(err)) log.warn({ err }, `Looking after ${what} failed, trying again`);
      await sleep(clock, retryMs, signal);
    }
  }
}

const retryMs = 500;
/** Of a timer. */
const longestMs = 2 ** 31 - 1;
