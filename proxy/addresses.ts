import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { formatIp, overlap, readCidr } from "../base/cidr.ts";
import { reachablePort } from "../base/low-ports.ts";
import { listenHere, listenOutside } from "../base/outside.ts";
import { StartError } from "../base/process.ts";
import type { Listen } from "./proxier.ts";
import type { Route } from "./routes.ts";

export interface AddressOptions {
  mode: "netns" | "host";
  /** Node addresses that NodePorts listen on. */
  nodePortAddresses: readonly string[];
  /** The address outside the lab's network where NodePorts listen too. */
  outsideHost: string | undefined;
}

/** The sockets of one route: its ClusterIP alone, or the NodePort on each node address and outside the lab. */
export function listenersOf({ at }: Route, { mode, nodePortAddresses, outsideHost }: AddressOptions): Listen[] {
  if (at.type === "ClusterIP") {
    const port = mode === "host" ? reachablePort(at.port) : at.port;
    const moved = `port ${at.port} needs privileges that this user lacks: it is served at ${at.host}:${port}`;
    const listen = () => listenHere(at.host, port);
    return [{ address: `${at.host}:${port}`, ...(port !== at.port && { note: moved }), listen }];
  }
  const { port } = at;
  const listens = nodePortAddresses.map((host) => ({
    address: `${host}:${port}`,
    listen: () => listenHere(host, port),
  }));
  if (outsideHost !== undefined)
    listens.push({ address: `${outsideHost}:${port} (outside)`, listen: () => listenOutside(outsideHost, port) });
  return listens;
}

/**
 * `--nodeport-addresses`: each an address or, as upstream has it, a CIDR that selects among this node's own (`local`).
 * None given: `nodeIP`.
 */
export function nodePortAddresses(values: readonly string[], nodeIP: string, local: readonly string[]): string[] {
  if (values.length === 0) return [nodeIP];
  return [...new Set(values.flatMap((value) => select(value, local)))];
}

function select(value: string, local: readonly string[]): string[] {
  const range = addressOrRange(value);
  if (range === undefined)
    throw new StartError(`flag --nodeport-addresses takes IPv4 addresses and CIDRs, not "${value}"`);
  if (range.size === 1) return [formatIp(range.first)];
  return local.filter((address) => overlap(range, addressOrRange(address) ?? nothing));
}

const addressOrRange = (text: string) => readCidr(text.includes("/") ? text : `${text}/32`);
const nothing = { first: 0, size: 0 }; // an IPv6 address is in no range of IPv4

/**
 * Makes every address of the Service range one of this node's own (AnyIP): each can be bound, and a port that nobody
 * listens on refuses by itself.
 */
export async function ownServiceRange(cidr: string): Promise<void> {
  try {
    await promisify(execFile)("ip", ["route", "replace", "local", cidr, "dev", "lo"]);
  } catch (cause) {
    const { stderr, message } = cause as Error & { stderr?: string };
    throw new StartError(
      `cannot route the Service range ${cidr} to this node (${(stderr || message).trim()}): run as root, ` +
        "inside the lab's own network, or with --mode=host",
    );
  }
}
