import { systemClock } from "../base/clock.ts";
import { KVService } from "../proto/generated/etcdserverpb.ts";
import { keyMark } from "./load/job.ts";
import type { Cluster } from "./members.ts";

const perTxn = 100;

/** Does `work` for each number from `from` on and below `to`, `width` at a time; how many a second that were. */
export async function each(
  { from = 0, to, width, signal }: { from?: number; to: number; width: number; signal: AbortSignal },
  work: (n: number) => Promise<unknown>,
): Promise<number> {
  const began = systemClock.monotonic();
  let next = from;
  const worker = async () => {
    while (next < to) {
      signal.throwIfAborted();
      await work(next++);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  return ((to - from) / (systemClock.monotonic() - began)) * 1000;
}

/**
 * Writes the keys `prefix00000000` and on, in transactions of 100 puts, eight at a time. `scattered`: in an order that is
 * not theirs, as keys come in practice; eight digits still.
 */
export async function preload(
  cluster: Cluster,
  member: number,
  options: { prefix: string; from?: number; keys: number; valueSize: number; scattered?: boolean; signal: AbortSignal },
): Promise<void> {
  const { prefix, keys, from = 0, valueSize, scattered = false, signal } = options;
  const value = Buffer.alloc(valueSize, "v");
  const keyOf = (n: number) => `${scattered ? (n * 7_919_017) % 99_999_989 : n}`.padStart(keyMark.length, "0");
  await each({ to: Math.ceil((keys - from) / perTxn), width: 8, signal }, async (txn) => {
    const first = from + txn * perTxn;
    const success = Array.from({ length: Math.min(perTxn, keys - first) }, (_, i) => ({
      requestPut: { key: Buffer.from(`${prefix}${keyOf(first + i)}`), value },
    }));
    await cluster.client(member).unary(KVService.Txn, { success }, { timeoutMs: 120_000 });
  });
}
