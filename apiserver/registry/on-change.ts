import { isConflict } from "../../apimachinery/status.ts";
import { type Cancel, sleep } from "../../base/clock.ts";
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
  let dirty = true;
  let wake = () => {};
  const changed = () => {
    dirty = true;
    wake();
  };
  const sinks = new Map<string, WatchSink>();
  const follow = (prefix: string): void => {
    if (signal.aborted) return;
    const end = () => void clock.after(retryMs, () => follow(prefix));
    const send = () => {
      changed();
      return true;
    };
    const sink: WatchSink = { send, end };
    sinks.set(prefix, sink);
    cache.watch(prefix, { scope: { prefix, exact: false }, selects: undefined, from: "now", sink });
  };
  for (const prefix of prefixes) follow(prefix);
  const stop = () => {
    for (const sink of sinks.values()) sink.onClose?.();
    changed();
  };
  signal.addEventListener("abort", stop, { once: true });
  let cancel: Cancel = () => {};
  while (!signal.aborted) {
    if (!dirty) await new Promise<void>((resolve) => (wake = resolve));
    if (signal.aborted) return;
    cancel();
    dirty = false;
    try {
      const again = await sync();
      if (again !== undefined) cancel = clock.after(again, changed);
    } catch (err) {
      if (!isConflict(err)) log.warn({ err }, `Looking after ${what} failed, trying again`);
      dirty = true;
      await sleep(clock, retryMs, signal);
    }
  }
  cancel();
}

const retryMs = 500;
