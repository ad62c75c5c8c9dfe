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

export type ProxyMetrics = (route: Route) => RouteMetrics;

/** Connections, bytes and failed connects per Service port. */
export function proxyMetrics(registry: Registry): ProxyMetrics {
  const metric = (name: string, help: string) => {
    return { name: `kubelab_proxy_${name}`, help, labelNames, registers: [registry] };
  };
  const connections = new Counter(metric("connections_total", "Connections accepted."));
  const active = new Gauge(metric("connections", "Connections open now."));
  const bytes = new Counter({
    ...metric("bytes_total", "Bytes of ended connections, to and from clients."),
    labelNames: [...labelNames, "direction"] as const,
  });
  const failures = new Counter(metric("connect_failures_total", "Attempts to reach an endpoint that failed."));
  return ({ service: { namespace, name, port } }) => {
    const labels = { namespace, service: name, port };
    return {
      opened() {
        connections.inc(labels);
        active.inc(labels);
      },
      closed(bytesIn, bytesOut) {
        active.dec(labels);
        bytes.inc({ ...labels, direction: "in" }, bytesIn);
        bytes.inc({ ...labels, direction: "out" }, bytesOut);
      },
      connectFailed: () => failures.inc(labels),
    };
  };
}
