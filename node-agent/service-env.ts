import type { Service } from "../api/generated/core-v1.ts";
import { reachablePort } from "../base/low-ports.ts";

/**
 * The variables that tell a container its Services, in the shape that Docker links had: for a Service `web` with port
 * http 80: WEB_SERVICE_HOST, WEB_SERVICE_PORT, WEB_SERVICE_PORT_HTTP, WEB_PORT=tcp://ip:80, WEB_PORT_80_TCP, ..._PROTO,
 * ..._PORT and ..._ADDR. The `kubernetes` Service is always told, the namespace's own with `enableServiceLinks`.
 */
export function serviceEnvironment(
  services: readonly Service[],
  namespace: string,
  links: boolean,
  portOf: (service: Service, port: number) => number = servedPort,
): Map<string, string> {
  const env = new Map<string, string>();
  const isMaster = ({ metadata }: Service) => metadata.namespace === "default" && metadata.name === "kubernetes";
  const told = services.filter((service) => isMaster(service) || (links && service.metadata.namespace === namespace));
  // The namespace's own last: they win over one of the same name.
  told.sort((a, b) => Number(!isMaster(a)) - Number(!isMaster(b)));
  for (const service of told) {
    const { clusterIP = "", ports = [] } = service.spec ?? {};
    if (clusterIP === "" || clusterIP === "None" || ports.length === 0) continue;
    const name = variableName(service.metadata.name);
    env.set(`${name}_SERVICE_HOST`, clusterIP);
    env.set(`${name}_SERVICE_PORT`, String(portOf(service, ports[0]!.port)));
    for (const { name: portName, port } of ports)
      if (portName) env.set(`${name}_SERVICE_PORT_${variableName(portName)}`, String(portOf(service, port)));
    ports.forEach(({ port, protocol = "TCP" }, i) => {
      const at = portOf(service, port);
      const host = clusterIP.includes(":") ? `[${clusterIP}]` : clusterIP;
      const url = `${protocol.toLowerCase()}://${host}:${at}`;
      const prefix = `${name}_PORT_${port}_${protocol}`;
      if (i === 0) env.set(`${name}_PORT`, url);
      env.set(prefix, url);
      env.set(`${prefix}_PROTO`, protocol.toLowerCase());
      env.set(`${prefix}_PORT`, String(at));
      env.set(`${prefix}_ADDR`, clusterIP);
    });
  }
  return env;
}

/** Where the proxy serves it: ClusterIPs are loopback addresses in mode `host` alone, where low ports may be moved. */
function servedPort({ spec }: Service, port: number): number {
  return spec?.clusterIP?.startsWith("127.") ? reachablePort(port) : port;
}

const variableName = (name: string): string => name.toUpperCase().replaceAll("-", "_");
