import type { Clock } from "../../base/clock.ts";
import type { EtcdClient } from "../../etcd-raft/client/client.ts";
import { storageError } from "./errors.ts";

/**
 * Events go after an hour: their keys hang on a lease of the store. One lease serves all Events of a minute (and at most
 * a thousand), so an Event lives up to a minute longer than it must.
 */
export function eventLease(etcd: Pick<EtcdClient, "leaseGrant">, clock: Clock): () => Promise<bigint> {
  let current: Promise<bigint> | undefined;
  let grantedAt = 0;
  let used = 0;
  return async () => {
    const now = clock.monotonic();
    if (current === undefined || now - grantedAt > reuseMs || used >= maxUses) {
      grantedAt = now;
      used = 0;
      current = etcd.leaseGrant({ TTL: ttlSeconds + reuseMs / 1000 }).then(({ ID }) => ID);
      current.catch(() => (current = undefined));
    }
    used++;
    try {
      return await current;
    } catch (error) {
      throw storageError(error);
    }
  };
}

const ttlSeconds = 3600;
const reuseMs = 60_000;
const maxUses = 1000;
