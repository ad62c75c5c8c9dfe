import { Counter, Gauge, type Registry } from "../base/metrics.ts";
import type { Route } from "./routes.ts";

/** What one route reports of its connections. */
export interface RouteMetrics {
  opened(): void;
  /** Bytes of a whole connection, counted at its end. */
  closed(bytesIn: number, bytesOut: number): void;
  connectFailed(): void;
}

const labelNames = ["namespace", "service", "port"] as const;

/** Connections, bytes and failed connects per Service port. */
export class ProxyMetrics {
  readonly #connections: Counter<(typeof labelNames)[number]>;
  readonly #active: Gauge<(typeof labelNames)[number]>;
  readonly #bytes: Counter<(typeof labelNames)[number] | "direction">;
  readonly #failures: Counter<(typeof labelNames)[number]>;

  constructor(registry: Registry) {
    const metric = { labelNames, registers: [registry] };
    this.#connections = new Counter({
      ...metric,
      name: "kubelab_proxy_connections_total",
      help: "Connections accepted.",
    });
    this.#active = new Gauge({ ...metric, name: "kubelab_proxy_connections", help: "Connections open now." });
    this.#bytes = new Counter({
      name: "kubelab_proxy_bytes_total",
      help: "Bytes of ended connections, to and from clients.",
      labelNames: [...labelNames, "direction"],
      registers: [registry],
    });
    this.#failures = new Counter({
      ...metric,
      name: "kubelab_proxy_connect_failures_total",
      help: "Attempts to reach an endpoint that failed.",
    });
  }

  of({ service: { namespace, name, port } }: Route): RouteMetrics {
    const labels = { namespace, service: name, port };
    return {
      opened: () => {
        this.#connections.inc(labels);
        this.#active.inc(labels);
      },
      closed: (bytesIn, bytesOut) => {
        this.#active.dec(labels);
        this.#bytes.inc({ ...labels, direction: "in" }, bytesIn);
        this.#bytes.inc({ ...labels, direction: "out" }, bytesOut);
      },
      connectFailed: () => this.#failures.inc(labels),
    };
  }
}
