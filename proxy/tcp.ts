import net from "node:net";
import type { Clock } from "../base/clock.ts";
import type { Faults } from "../base/faults.ts";
import type { Rand } from "../base/rand.ts";
import { underFaults } from "../net/faulty-link.ts";
import { Balancer, keyOf } from "./balancer.ts";
import type { RouteMetrics } from "./metrics.ts";
import type { Endpoint, Route } from "./routes.ts";

/** How long the first, second, ... attempt of one connection may take; the last value holds for all further ones. */
const connectTimeoutsMs = [250, 500, 1000, 2000];
/** Endpoints tried for one connection. */
const maxAttempts = 8;

/**
 * Carries the connections of one route to its endpoints.
 *
 * - An endpoint that cannot be reached is passed over for the next one, each at most once a connection; the list is
 *   read anew for every attempt. When none is left the client sees a reset.
 * - Either side's FIN is passed on alone, so half-closed connections work; a reset is passed on as a reset.
 * - A change of the route touches no connection that stands.
 */
export class Carrier {
  readonly #balancer: Balancer;
  readonly #clock: Clock;
  readonly #metrics: RouteMetrics;
  readonly #faults: Faults | undefined;
  #route: Route;

  constructor(route: Route, parts: { clock: Clock; rand: Rand; metrics: RouteMetrics; faults?: Faults | undefined }) {
    const { clock, rand, metrics, faults } = parts;
    this.#balancer = new Balancer(clock, rand);
    this.#clock = clock;
    this.#metrics = metrics;
    this.#faults = faults;
    this.#route = route;
    this.update(route);
  }

  update(route: Route): void {
    this.#route = route;
    this.#balancer.setAffinity(route.affinityMs);
  }

  /** Serves the connections of a listening socket until it is closed. */
  serve(server: net.Server): void {
    (server as { allowHalfOpen?: boolean }).allowHalfOpen = true; // read at each accept; handed-in servers lack it
    server.on("connection", (socket) => void this.#carry(socket));
    server.on("error", () => {}); // accept errors (EMFILE): the kernel keeps the connection queued
  }

  async #carry(client: net.Socket): Promise<void> {
    this.#metrics.opened();
    client.on("close", () => this.#metrics.closed(client.bytesRead, client.bytesWritten));
    client.on("error", () => {}); // passed on in join(); before that, seen by `destroyed`
    client.setNoDelay(true);
    const tried = new Set<string>();
    const from = client.remoteAddress ?? "";
    while (tried.size < maxAttempts && !client.destroyed) {
      const endpoint = this.#balancer.pick(this.#route.endpoints, from, tried);
      if (endpoint === undefined) break;
      const timeoutMs = connectTimeoutsMs[Math.min(tried.size, connectTimeoutsMs.length - 1)]!;
      tried.add(keyOf(endpoint));
      const upstream = await this.#connect(endpoint, timeoutMs);
      if (upstream === undefined) {
        this.#metrics.connectFailed();
        continue;
      }
      this.#balancer.connected(from, endpoint);
      return join(client, upstream);
    }
    if (!client.destroyed) client.resetAndDestroy();
  }

  #connect({ ip, port }: Endpoint, timeoutMs: number): Promise<net.Socket | undefined> {
    return new Promise((resolve) => {
      const socket = net.connect({ host: ip, port, allowHalfOpen: true, noDelay: true });
      const done = (result: net.Socket | undefined) => {
        cancel();
        if (result === undefined) socket.destroy();
        resolve(result);
      };
      const cancel = this.#clock.after(timeoutMs, () => done(undefined));
      socket.on("error", () => done(undefined));
      socket.once("connect", () => done(underFaults(socket, this.#faults, [ip])));
    });
  }
}

/** `pipe` passes data, back-pressure and FIN on; an error is passed on as a reset. */
function join(client: net.Socket, upstream: net.Socket): void {
  for (const [from, to] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    from.pipe(to);
    from.on("close", (failed) => {
      if (failed && !to.destroyed) to.resetAndDestroy();
    });
  }
  if (client.destroyed) upstream.resetAndDestroy(); // gone while we connected
}
