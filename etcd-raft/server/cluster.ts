import { createHash } from "node:crypto";
import { StartError } from "../../base/process.ts";
import type { MemberRecord } from "../snap/membership.ts";

export { idText } from "../snap/membership.ts";

export type ClusterMember = MemberRecord;

export type InitialCluster = { clusterId: bigint; members: ClusterMember[]; self: ClusterMember };

/**
 * `--initial-cluster` ("a=https://10.0.0.1:2380,b=...") as members with their ids. Ids follow from peer URLs and token
 * alone, so all members compute the same ones. Throws a StartError of one line, in etcd's words.
 */
export function initialCluster(options: {
  name: string;
  initialCluster: string;
  token: string;
  advertisePeerURLs: readonly string[];
}): InitialCluster {
  const urls = new Map<string, string[]>();
  for (const part of options.initialCluster.split(",").filter(Boolean)) {
    const [name, url] = split(part);
    urls.set(name, [...(urls.get(name) ?? []), checkURL("initial-cluster", url)]);
  }
  const all = [...urls.values()].flat();
  if (new Set(all).size !== all.length)
    throw new StartError(`--initial-cluster: duplicate urls in ${options.initialCluster}`);
  const own = urls.get(options.name);
  if (own === undefined) {
    throw new StartError(
      `couldn't find local name "${options.name}" in the initial cluster configuration "${options.initialCluster}": set --name or --initial-cluster`,
    );
  }
  const advertised = [...options.advertisePeerURLs].sort();
  if (own.toSorted().join() !== advertised.join()) {
    throw new StartError(
      `--initial-cluster has ${options.name}=${own.join()} but --initial-advertise-peer-urls is ${advertised.join()}: they must be the same`,
    );
  }
  const members = [...urls].map(([name, peerURLs]) => ({
    id: idOf(Buffer.from(peerURLs.toSorted().join("") + options.token)),
    name,
    peerURLs: peerURLs.toSorted(),
    clientURLs: [],
    isLearner: false,
  }));
  members.sort((a, b) => (a.id < b.id ? -1 : 1));
  const ids = Buffer.alloc(8 * members.length);
  for (const [i, { id }] of members.entries()) ids.writeBigUInt64BE(id, 8 * i);
  return { clusterId: idOf(ids), members, self: members.find(({ name }) => name === options.name)! };
}

/** One that etcd accepts: a scheme, a host, a port, and nothing else. */
export const isPeerURL = (text: string): boolean => /^https?:\/\/[^/?#\s]+:\d+\/?$/.test(text) && URL.canParse(text);

/** `host:port` of an http or https URL; throws a StartError that names the flag. */
export function checkURL(flag: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol) || !/:\d+\/?$/.test(text))
    throw new StartError(`flag --${flag}: "${text}" is not a URL such as https://127.0.0.1:2380`);
  return text.replace(/\/$/, "");
}

/** Of a URL, as sockets take it: an IPv6 address without its brackets. */
export const hostOf = (url: string): string => new URL(url).hostname.replace(/^\[|\]$/g, "");

/** `URL` leaves out a port that is the scheme's own. */
export function addressOf(url: string): { host: string; port: number } {
  const { port, protocol } = new URL(url);
  return { host: hostOf(url), port: Number(port || (protocol === "https:" ? 443 : 80)) };
}

/** A member that is added later: the same addresses may have belonged to one that was removed, so the time goes into its id. */
export const newMemberId = (peerURLs: readonly string[], nowMs: number): bigint =>
  idOf(Buffer.from(`${peerURLs.toSorted().join("")}${Math.floor(nowMs / 1000)}`));

function split(part: string): [string, string] {
  const at = part.indexOf("=");
  if (at <= 0) throw new StartError(`--initial-cluster: "${part}" is not name=url`);
  return [part.slice(0, at), part.slice(at + 1)];
}

const idOf = (bytes: Buffer): bigint => createHash("sha1").update(bytes).digest().readBigUInt64BE(0);
