import { StartError } from "../../base/process.ts";
import type { TlsSource } from "../../net/tls-source.ts";
import { MemberListResponse } from "../../proto/generated/etcdserverpb.ts";
import { type ClusterMember, type InitialCluster, idText } from "./cluster.ts";
import { FrameKind } from "./frames.ts";
import { askAt } from "./peer.ts";

/**
 * `--initial-cluster-state=existing`: a member that was added to a running cluster asks the others who is in it, and finds
 * its own id by its peer URLs. Throws a StartError of one line, in etcd's words where it has some.
 */
export async function joinCluster(local: InitialCluster, ask: (url: string) => Promise<Running>) {
  const urls = local.members.filter(({ name }) => name !== local.self.name).flatMap(({ peerURLs }) => peerURLs);
  let problem = "could not retrieve cluster information from the given URLs";
  let found = false;
  for (const url of urls.toSorted()) {
    try {
      const running = await ask(url);
      found = true;
      return assignIds(local, running);
    } catch (error) {
      // Somebody may lag behind and not know of us yet: another one may.
      if (error instanceof StartError || !found) problem = (error as Error).message;
    }
  }
  if (found) throw new StartError(problem);
  throw new StartError(`cannot fetch cluster info from peer urls ${urls.join(",")}: ${problem}`);
}

export type Running = { clusterId: bigint; members: ClusterMember[] };

/** etcd's ValidateClusterAndAssignIDs: the members of both are the same, by their peer URLs. */
export function assignIds(local: InitialCluster, running: Running): InitialCluster {
  const flag = local.members.map(({ name, peerURLs }) => `${name}=${peerURLs.join("|")}`).join(",");
  const refuse = (why: string) => new StartError(`error validating peerURLs {${flag}}: ${why}`);
  if (running.members.length !== local.members.length) {
    throw refuse(
      `member count is unequal: --initial-cluster has ${local.members.length}, the cluster ${running.members.length}`,
    );
  }
  const urlsOf = ({ peerURLs }: ClusterMember) => peerURLs.toSorted().join();
  for (const member of running.members) {
    if (!local.members.some((other) => urlsOf(other) === urlsOf(member)))
      throw refuse(`PeerURLs: no match found for existing member (${idText(member.id)}, ${member.peerURLs.join()})`);
  }
  const self = running.members.find((member) => urlsOf(member) === urlsOf(local.self))!;
  const named = { ...self, name: local.self.name };
  return { ...running, members: running.members.map((member) => (member === self ? named : member)), self: named };
}

export const askMembers = async (url: string, source: TlsSource | undefined): Promise<Running> =>
  runningOf(MemberListResponse.decode(await askAt(url, source, FrameKind.members, new Uint8Array(0), timeoutMs)));

const runningOf = ({ header, members }: MemberListResponse): Running => ({
  clusterId: header?.clusterId ?? 0n,
  members: members.map(({ ID: id, ...rest }) => ({ id, ...rest })),
});

const timeoutMs = 5000;
