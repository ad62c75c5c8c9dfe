import type { Endpoints } from "../../api/generated/core-v1.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { type Clock, sleep } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import { type EtcdClient, prefixEnd } from "../../etcd-raft/client/client.ts";
import { registryRoot } from "../storage/storage.ts";
import { keyOf } from "./context.ts";
import type { Registry } from "./registry.ts";
import { ensure, kubernetesEndpoints } from "./system-objects.ts";

/**
 * Which apiservers live: each keeps a key of its address in the store that ends with its lease (upstream's lease endpoint
 * reconciler), and each writes what it finds there to the endpoints of the Service `kubernetes`. One that ends takes its
 * key back; one that dies is gone when its lease is over.
 *
 *   /registry/masterleases/192.168.77.221  {"kind":"Endpoints",...,"subsets":[{"addresses":[{"ip":"192.168.77.221"}]}]}
 */
export class EndpointLeases {
  readonly #registry: Registry;
  readonly #options: LeaseOptions;
  #generation = 0;
  #stopped = false;
  /** One after the other: a key taken back is not written again. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(registry: Registry, options: LeaseOptions) {
    this.#registry = registry;
    this.#options = options;
  }

  /** Renews the own key and writes the endpoints. */
  renew(): Promise<void> {
    return this.#next(async () => {
      if (this.#stopped) return;
      const { ID: lease } = await this.#options.etcd.leaseGrant({ TTL: ttlSeconds });
      const { address: ip } = this.#options.advertise;
      const metadata = { generation: ++this.#generation };
      const value = { kind: "Endpoints", apiVersion: "v1", metadata, subsets: [{ addresses: [{ ip }] }] };
      await this.#options.etcd.put({ key: `${prefix}${ip}`, value: JSON.stringify(value), lease });
      await this.#write();
    });
  }

  /** Takes the own key back, unless the store is away longer than a client waits for a process to end. */
  stop(): Promise<void> {
    return this.#next(async () => {
      if (this.#stopped) return;
      this.#stopped = true;
      if (this.#generation === 0) return;
      await this.#options.etcd.deleteRange(
        { key: `${prefix}${this.#options.advertise.address}` },
        { timeoutMs: stopMs },
      );
      await this.#write();
    }).catch(() => {}); // the lease ends it
  }

  async run(log: Logger, signal: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(this.#options.clock, renewMs, signal);
      if (signal.aborted) return;
      await this.renew().catch((err: unknown) => log.warn({ err }, "Renewing the own endpoint failed, trying again"));
    }
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  async #write(): Promise<void> {
    const { kvs } = await this.#options.etcd.range(
      { key: prefix, rangeEnd: prefixEnd(prefix), keysOnly: true },
      { timeoutMs: stopMs },
    );
    const addresses = kvs.map(({ key }) => Buffer.from(key).toString().slice(prefix.length)).sort();
    if (addresses.length === 0) return; // nobody would be left to lead to: upstream refuses to erase all, too
    const { context } = this.#registry;
    for (const [type, object] of kubernetesEndpoints(addresses, this.#options.advertise.port)) {
      const stored = await context.storage.get(keyOf(this.#registry.resource(type), object.metadata as never));
      const found = stored?.parse() as Endpoints | undefined;
      if (found !== undefined && sameJson(partOf(found), partOf(object))) continue;
      await ensure(this.#registry, type, object, true);
    }
  }
}

interface LeaseOptions {
  etcd: EtcdClient;
  advertise: { address: string; port: number };
  clock: Clock;
}

/** What the reconciler decides about an Endpoints or an EndpointSlice. */
function partOf(object: object) {
  const { subsets, endpoints, ports } = object as Record<string, unknown>;
  return JSON.parse(JSON.stringify({ subsets, endpoints, ports })) as unknown;
}

const prefix = `${registryRoot}masterleases/`;
/** As upstream. */
const ttlSeconds = 15;
const renewMs = 10_000;
const stopMs = 2000;
