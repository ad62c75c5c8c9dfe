import { KVService } from "../proto/generated/etcdserverpb.ts";
import { keyMark } from "./load/job.ts";
import type { Cluster } from "./members.ts";

export interface Preload {
  prefix: string;
  /** Keys `prefix00000000` and on. */
  keys: number;
  from?: number;
  valueSize: number;
  /** In an order that is not theirs, as keys come in practice; eight digits still. */
  scattered?: boolean;
  signal: AbortSignal;
}

/** Writes keys in transactions of 100 puts, eight at a time. */
export async function preload(cluster: Cluster, member: number, options: Preload): Promise<void> {
  const { prefix, keys, from = 0, valueSize, scattered = false, signal } = options;
  const value = Buffer.alloc(valueSize, "v");
  let next = from;
  const keyOf = (n: number) => `${scattered ? (n * 7_919_017) % 99_999_989 : n}`.padStart(keyMark.length, "0");
  const writer = async () => {
    while (next < keys) {
      signal.throwIfAborted();
      const first = next;
      next = Math.min(keys, next + 100);
      const success = Array.from({ length: next - first }, (_, i) => ({
        requestPut: { key: Buffer.from(`${prefix}${keyOf(first + i)}`), value },
      }));
      await cluster.client(member).unary(KVService.Txn, { success }, { timeoutMs: 120_000 });
    }
  };
  await Promise.all(Array.from({ length: 8 }, writer));
}
