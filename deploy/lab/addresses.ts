import { formatCidr, parseCidr } from "../../base/cidr.ts";
import type { LabFile } from "./lab-file.ts";

/**
 * Who listens where in the lab of slot L (ARCHITECTURE.md, "Addresses"). `inside` is what the processes call each other,
 * `outside` what the machine reaches them by; in mode `host` both are the same.
 */
export interface Addresses {
  inside: Plan;
  outside: Plan;
  clusterCidr: string;
  /** Parts of the Pod range that no node may get. */
  reservedCidr: string | undefined;
  serviceCidr: string;
  /** The first of the Service range: the `kubernetes` Service. */
  kubernetesIp: string;
}

export interface Plan {
  node(n: number): string;
  member(i: number): string;
  apiserver(i: number): string;
  /** Before several apiservers. */
  balancer: string;
  controllerManager: string;
  scheduler: string;
}

export const slots = 50;
export const nodePortRange = "30000-32767";
export const ports = {
  client: 2379,
  peer: 2380,
  memberMetrics: 2381,
  secure: 6443,
  grpc: 6444,
  kubelet: 10250,
  runtimeMetrics: 1338, // where containerd serves its own
  proxyHealth: 10256,
  controllerManager: 10257,
  scheduler: 10259,
} as const;

/** With `up --relay`, members are reached at the same addresses and ports higher by so much. */
export const relayOffset = 10_000;

/** The lab's own switch: everything's default route, and a dead end. */
export const switchIp = "192.168.77.254";
export const switchCidr = "192.168.77.0/24";

export function addressesOf(lab: Pick<LabFile, "mode" | "slot" | "serviceCidr" | "podNetworkCidr">): Addresses {
  const { mode, slot, serviceCidr = "10.96.0.0/12", podNetworkCidr = "10.244.0.0/16" } = lab;
  const outside = plan(`127.${100 + slot}.0`);
  return mode === "host"
    ? {
        inside: outside,
        outside,
        clusterCidr: `127.${100 + slot}.0.0/16`,
        reservedCidr: outsideCidr(slot),
        serviceCidr: `127.${150 + slot}.0.0/16`,
        kubernetesIp: `127.${150 + slot}.0.1`,
      }
    : {
        inside: plan("192.168.77"),
        outside,
        clusterCidr: podNetworkCidr,
        reservedCidr: undefined,
        serviceCidr,
        kubernetesIp: formatCidr({ first: parseCidr(serviceCidr).first + 1, size: 1 }).replace("/32", ""),
      };
}

export function outsideCidr(slot: number): string {
  return `127.${100 + slot}.0.0/24`;
}

/** May a process of this lab ask for a listener there? Only on the lab's own addresses. */
export function isOutside(slot: number, host: string): boolean {
  return new RegExp(`^127\\.${100 + slot}\\.0\\.\\d{1,3}$`).test(host);
}

function plan(prefix: string): Plan {
  return {
    node: (n) => `${prefix}.${n}`,
    member: (i) => `${prefix}.${200 + i}`,
    apiserver: (i) => `${prefix}.${220 + i}`,
    balancer: `${prefix}.230`,
    controllerManager: `${prefix}.240`,
    scheduler: `${prefix}.250`,
  };
}

export const maxNodes = 199;
