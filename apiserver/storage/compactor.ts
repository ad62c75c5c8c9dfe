import { type Clock, sleep } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { EtcdClient } from "../../etcd-raft/client/client.ts";

/**
 * Forgets history that is older than one to two intervals (five minutes). Several apiservers share the work as upstream's do: the key
 * `compact_rev_key` counts the rounds in its version, and whoever moves it on compacts to the revision that it saw one
 * round before. Failures wait for the next round.
 */
export async function runCompactor(
  etcd: Pick<EtcdClient, "txn" | "compact">,
  { clock, log, intervalMs = defaultIntervalMs }: { clock: Clock; log: Logger; intervalMs?: number | undefined },
  signal: AbortSignal,
): Promise<void> {
  let round = 0;
  let revision = 0;
  while (!signal.aborted) {
    await sleep(clock, intervalMs, signal);
    if (signal.aborted) return;
    try {
      const { succeeded, header, responses } = await etcd.txn({
        compare: [{ key, result: equal, target: version, version: round }],
        success: [{ requestPut: { key, value: String(revision) } }],
        failure: [{ requestRange: { key } }],
      });
      const before = revision;
      revision = header!.revision;
      if (!succeeded) round = responses[0]?.responseRange?.kvs[0]?.version ?? 0;
      else {
        round++;
        if (before > 0) {
          await etcd.compact({ revision: before });
          log.info({ revision: before }, "Compacted the store");
        }
      }
    } catch (err) {
      log.warn({ err }, "Compacting the store failed");
    }
  }
}

const key = "compact_rev_key";
const equal = 0;
const version = 0;
const defaultIntervalMs = 5 * 60_000;
