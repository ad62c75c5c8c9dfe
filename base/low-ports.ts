import { readFileSync } from "node:fs";

/**
 * Ports below 1024 for those who may not open them (mode `host` as an ordinary user): such a Service port is served at
 * 10000 + port. The proxy listens there and the node agent tells it to programs in FOO_SERVICE_PORT, so both ask here.
 */
export function reachablePort(port: number, lowest = lowestPort()): number {
  return port < lowest ? 10_000 + port : port;
}

/** The lowest port this process may listen on (capabilities(7): CAP_NET_BIND_SERVICE is bit 10; ip-sysctl). */
function lowestPort(): number {
  try {
    const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
    if ((BigInt(`0x${effective}`) >> 10n) & 1n) return 1;
    return Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"));
  } catch {
    return 1024; // not Linux
  }
}
