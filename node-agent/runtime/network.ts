import { run } from "./run.ts";
import { quote } from "./scripts.ts";

/**
 * A Pod's network: routed /32 veths, no bridge (a bridge changes its MAC as Pods come and go, and cannot send a Pod's
 * connection to a Service back to the Pod). The gateway 169.254.1.1 has the same fixed MAC on every veth and is a
 * permanent neighbour of the Pod: nothing is ever resolved, an address can be reused at once.
 */
export interface PodNetwork {
  /** The node's end of the veth; unique, since a deleted one may linger. */
  interfaceName: string;
  ip: string;
  /** File that the Pod's network namespace is pinned to. */
  netns: string;
}

export const interfaceName = (sandboxId: string): string => `v${sandboxId.slice(0, 11)}`;

/** For `ip -batch -` in the node's namespace. */
export function nodeSide({ interfaceName: name, ip, netns }: PodNetwork, nodeIp: string): string[] {
  return [
    `link add ${name} type veth peer name eth0 netns "${netns}"`,
    `link set ${name} address ${gatewayMac}`,
    `link set ${name} up`,
    `addr add ${gateway}/32 dev ${name} scope link`,
    `route replace ${ip}/32 dev ${name} src ${nodeIp}`,
  ];
}

/** For `ip -batch -` in the Pod's namespace. */
export function podSide({ ip }: PodNetwork): string[] {
  return [
    "link set lo up",
    `addr add ${ip}/32 dev eth0`,
    "link set eth0 up",
    `route add ${gateway} dev eth0 scope link`,
    `route add default via ${gateway} dev eth0`,
    `neigh replace ${gateway} lladdr ${gatewayMac} dev eth0 nud permanent`,
  ];
}

/** Throws with the words of `ip`. */
export async function setUpPodNetwork(network: PodNetwork, nodeIp: string): Promise<void> {
  const { ok, problem } = await run("sh", [
    "-c",
    `printf %s "$1" | ip -batch - && printf %s "$2" | nsenter --net="$3" ip -batch -`,
    "sh",
    batch(nodeSide(network, nodeIp)),
    batch(podSide(network)),
    network.netns,
  ]);
  if (!ok) throw new Error(`failed to setup network for sandbox: ${problem}`);
}

/** Idempotent. The device goes at once; the namespace goes when its last process is gone. */
export async function tearDownPodNetwork({ interfaceName: name, netns }: PodNetwork): Promise<void> {
  const pin = quote(netns);
  await run("sh", [
    "-c",
    `ip link del ${name} 2> /dev/null; while umount ${pin} 2> /dev/null; do :; done; rm -f ${pin}`,
  ]);
}

const batch = (lines: string[]): string => lines.map((line) => `${line}\n`).join("");

const gateway = "169.254.1.1";
const gatewayMac = "ee:ee:ee:ee:ee:ee";
