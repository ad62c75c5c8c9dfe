import type { Server } from "node:net";
import type { Service } from "../api/generated/core-v1.ts";
import type { EndpointSlice } from "../api/generated/discovery-v1.ts";
import type { Cancel, Clock } from "../base/clock.ts";
import type { Faults } from "../base/faults.ts";
import type { Logger } from "../base/logger.ts";
import type { Rand } from "../base/rand.ts";
import type { ProxyMetrics } from "./metrics.ts";
import { diff, type Route, routesOf } from "./routes.ts";
import { Carrier } from "./tcp.ts";

/** How long after a failed listen the next try comes. */
const retryMs = 1000;

export interface ProxierOptions {
  nodeName: string;
  clock: Clock;
  rand: Rand;
  log: Logger;
  metrics: ProxyMetrics;
  /** What connections to endpoints suffer on request, by the address there. */
  faults?: Faults | undefined;
  /** Where to listen for a route; each may fail and is tried again on its own. */
  listenersOf(route: Route): Listen[];
  /** The Service whose address cannot be had learns of it. Called once until it succeeds. */
  onListenFailed(route: Route, message: string): void;
  /** The Service is served, but its users should know something. */
  onNote(route: Route, note: string): void;
}

export interface Listen {
  /** For messages: `10.96.0.10:80`, `127.100.0.1:30080 (outside)`. */
  address: string;
  /** What the users of the Service should know about this address. */
  note?: string;
  listen(): Promise<Server>;
}

/** What the proxier reads: Services and the slices of each, as they are now. */
export interface Source {
  service(key: string): Service | undefined;
  slicesOf(key: string): EndpointSlice[];
}

/**
 * Keeps the listeners of this node as Services and EndpointSlices say. Changes are gathered for one tick of the event
 * loop, so that everything one watch frame brought is applied together; closes come before opens, since an address may
 * move from one Service to another.
 */
export class Proxier {
  readonly #options: ProxierOptions;
  readonly #source: Source;
  readonly #routes = new Map<string, Route[]>();
  readonly #portals = new Map<string, Portal>();
  readonly #dirty = new Set<string>();

  constructor(options: ProxierOptions, source: Source) {
    this.#options = options;
    this.#source = source;
  }

  /** The Service `namespace/name` or one of its slices has changed. */
  changed(key: string): void {
    if (this.#dirty.size === 0) setImmediate(() => this.#sync());
    this.#dirty.add(key);
  }

  close(): void {
    for (const portal of this.#portals.values()) portal.close();
    this.#portals.clear();
  }

  #sync(): void {
    const old: Route[] = [];
    const next: Route[] = [];
    for (const key of this.#dirty) {
      const service = this.#source.service(key);
      const routes = service ? routesOf(service, this.#source.slicesOf(key), this.#options.nodeName) : [];
      old.push(...(this.#routes.get(key) ?? []));
      next.push(...routes);
      if (routes.length > 0) this.#routes.set(key, routes);
      else this.#routes.delete(key);
    }
    this.#dirty.clear();
    const { close, open, update } = diff(old, next);
    for (const { id } of close) {
      this.#portals.get(id)?.close();
      this.#portals.delete(id);
    }
    for (const route of update) this.#portals.get(route.id)?.update(route);
    for (const route of open) this.#portals.set(route.id, new Portal(route, this.#options));
  }
}

/** The listeners of one route. Closing them leaves the connections they accepted alone. */
class Portal {
  readonly #options: ProxierOptions;
  readonly #carrier: Carrier;
  readonly #servers = new Set<Server>();
  readonly #retries = new Set<Cancel>();
  #route: Route;
  #closed = false;

  constructor(route: Route, options: ProxierOptions) {
    this.#options = options;
    this.#route = route;
    this.#carrier = new Carrier(route, { ...options, metrics: options.metrics(route) });
    for (const listen of options.listenersOf(route)) void this.#open(listen, true);
  }

  update(route: Route): void {
    this.#route = route;
    this.#carrier.update(route);
  }

  close(): void {
    this.#closed = true;
    for (const cancel of this.#retries) cancel();
    for (const server of this.#servers) server.close();
  }

  async #open(listen: Listen, first: boolean): Promise<void> {
    const { log, clock, onListenFailed, onNote } = this.#options;
    const { namespace, name } = this.#route.service;
    const fields = { service: `${namespace}/${name}`, address: listen.address };
    try {
      const server = await listen.listen();
      if (this.#closed) return void server.close();
      this.#servers.add(server);
      this.#carrier.serve(server);
      log.info(fields, "Listening");
      if (listen.note !== undefined) onNote(this.#route, listen.note);
    } catch (error) {
      if (this.#closed) return;
      const { message } = error as Error;
      if (first) {
        log.error({ ...fields, error: message }, "Cannot listen for the Service, trying again every second");
        onListenFailed(this.#route, message);
      }
      const cancel = clock.after(retryMs, () => {
        this.#retries.delete(cancel);
        void this.#open(listen, false);
      });
      this.#retries.add(cancel);
    }
  }
}
