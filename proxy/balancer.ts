import { LRUCache } from "lru-cache";
import type { Clock } from "../base/clock.ts";
import type { Rand } from "../base/rand.ts";
import type { Endpoint } from "./routes.ts";

/** Clients remembered per route; the longest idle ones are forgotten first. */
const maxClients = 10_000;

/**
 * Chooses an endpoint for each connection of one route: round robin from a random start, or with session affinity the
 * endpoint that the client had last, as long as it is there.
 */
export class Balancer {
  readonly #clock: Clock;
  #turn: number;
  #affinityMs: number | undefined;
  #clients: LRUCache<string, Endpoint> | undefined;

  constructor(clock: Clock, rand: Rand) {
    this.#clock = clock;
    this.#turn = rand.below(1 << 16);
  }

  setAffinity(ms: number | undefined): void {
    if (ms === this.#affinityMs) return;
    this.#affinityMs = ms;
    const perf = { now: () => this.#clock.monotonic() };
    this.#clients =
      ms === undefined
        ? undefined
        : new LRUCache({ max: maxClients, ttl: ms, ttlResolution: 0, updateAgeOnGet: true, perf });
  }

  /** Undefined when all have been tried. */
  pick(endpoints: readonly Endpoint[], client: string, tried: ReadonlySet<string>): Endpoint | undefined {
    const sticky = this.#clients?.get(client);
    if (sticky !== undefined && !tried.has(keyOf(sticky)) && endpoints.some((e) => keyOf(e) === keyOf(sticky)))
      return sticky;
    for (let i = 0; i < endpoints.length; i++) {
      const endpoint = endpoints[this.#turn++ % endpoints.length]!;
      if (!tried.has(keyOf(endpoint))) return endpoint;
    }
    return undefined;
  }

  /** The connection stands: with affinity, the client's next ones go there too. */
  connected(client: string, endpoint: Endpoint): void {
    this.#clients?.set(client, endpoint);
  }
}

export const keyOf = ({ ip, port }: Endpoint): string => `${ip}:${port}`;
