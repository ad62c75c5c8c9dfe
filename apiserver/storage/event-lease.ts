import type { Clock } from "../../base/clock.ts";
import type { EtcdClient } from "../../etcd-raft/client/client.ts";
import { storageError } from "./errors.ts";

/**
 * Events go after an hour: their keys hang on a lease of the store. One lease serves all Events of a minute (and at most
 * a thousand), so an Event lives up to a minute longer than it must.
 */
export class EventLease {
  readonly #etcd: Pick<EtcdClient, "leaseGrant">;
  readonly #clock: Clock;
  #current: Promise<bigint> | undefined;
  #grantedAt = 0;
  #used = 0;

  constructor(etcd: Pick<EtcdClient, "leaseGrant">, clock: Clock) {
    this.#etcd = etcd;
    this.#clock = clock;
  }

  async get(): Promise<bigint> {
    const now = this.#clock.monotonic();
    if (this.#current === undefined || now - this.#grantedAt > reuseMs || this.#used >= maxUses) {
      this.#grantedAt = now;
      this.#used = 0;
      this.#current = this.#etcd.leaseGrant({ TTL: ttlSeconds + reuseMs / 1000 }).then(({ ID }) => ID);
      this.#current.catch(() => (this.#current = undefined));
    }
    this.#used++;
    try {
      return await this.#current;
    } catch (error) {
      throw storageError(error);
    }
  }
}

const ttlSeconds = 3600;
const reuseMs = 60_000;
const maxUses = 1000;
