import type { Pod } from "../../api/generated/core-v1.ts";
import type { FilterPlugin } from "../plugin.ts";

interface HostPort {
  ip: string;
  port: number;
  protocol: string;
}

/** A port of the node belongs to one Pod; 0.0.0.0 means all addresses. */
export const nodePorts: FilterPlugin = (pod, { pods }) => {
  const wanted = hostPorts(pod);
  if (wanted.length === 0) return undefined;
  const taken = pods.flatMap(hostPorts);
  if (!wanted.some((port) => taken.some((other) => conflict(port, other)))) return undefined;
  return { reasons: ["node(s) didn't have free ports for the requested pod ports"], unresolvable: false };
};

function hostPorts({ spec }: Pod): HostPort[] {
  return spec.containers.flatMap(({ ports = [] }) =>
    ports.flatMap(({ hostPort, hostIP, protocol = "TCP" }) =>
      hostPort ? [{ ip: hostIP || "0.0.0.0", port: hostPort, protocol }] : [],
    ),
  );
}

function conflict(a: HostPort, b: HostPort): boolean {
  const sameIp = a.ip === b.ip || a.ip === "0.0.0.0" || b.ip === "0.0.0.0";
  return sameIp && a.port === b.port && a.protocol === b.protocol;
}
