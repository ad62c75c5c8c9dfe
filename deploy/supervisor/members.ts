import { GrpcClient } from "../../net/grpc-client.ts";
import { MaintenanceService } from "../../proto/generated/etcdserverpb.ts";
import type { LabFile } from "../lab/lab-file.ts";
import type { LabPaths } from "../lab/paths.ts";
import { storeAccess, storeTls } from "../lab/store-access.ts";

/** What a member says of itself over etcd's Maintenance.Status. */
export interface MemberStatus {
  name: string;
  clientUrl: string;
  /** `unreachable`: it does not answer. */
  role: "leader" | "follower" | "learner" | "unreachable";
  term: number | null;
  commitIndex: number | null;
  /** Does it know a leader? */
  hasLeader: boolean;
}

/** Asks the members of a lab, from outside, as etcdctl would. */
export class Members {
  readonly #clients: { name: string; clientUrl: string; client: GrpcClient }[];

  constructor(lab: LabFile, paths: LabPaths) {
    const access = storeAccess(lab, paths);
    const tls = storeTls(access);
    this.#clients = access.members.map(({ name, address, url, serverName }) => {
      const client = new GrpcClient(address, { ...(tls && { tls }), ...(serverName && { serverName }) });
      return { name, clientUrl: url, client };
    });
  }

  status(timeoutMs: number): Promise<MemberStatus[]> {
    return Promise.all(
      this.#clients.map(async ({ name, clientUrl, client }) => {
        try {
          const answer = await client.unary(MaintenanceService.Status, {}, { timeoutMs });
          const leads = answer.leader !== 0n && answer.leader === answer.header?.memberId;
          return {
            name,
            clientUrl,
            role: leads ? "leader" : answer.isLearner ? "learner" : "follower",
            term: answer.raftTerm,
            commitIndex: answer.raftIndex,
            hasLeader: answer.leader !== 0n,
          };
        } catch {
          return { name, clientUrl, role: "unreachable", term: null, commitIndex: null, hasLeader: false };
        }
      }),
    );
  }

  close(): void {
    for (const { client } of this.#clients) client.close();
  }
}

/** Of two that both think they lead, the one of the higher term does. */
export function leaderOf(members: MemberStatus[]): MemberStatus | undefined {
  return members.filter(({ role }) => role === "leader").sort((a, b) => (b.term ?? 0) - (a.term ?? 0))[0];
}
