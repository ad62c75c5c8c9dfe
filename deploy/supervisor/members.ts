import { readFileSync } from "node:fs";
import { join } from "node:path";
import { GrpcClient } from "../../net/grpc-client.ts";
import { readTls } from "../../net/tls.ts";
import { MaintenanceService } from "../../proto/generated/etcdserverpb.ts";
import { addressesOf, ports } from "../lab/addresses.ts";
import type { LabFile } from "../lab/lab-file.ts";
import type { LabPaths } from "../lab/paths.ts";
import { memberNames } from "../lab/processes.ts";

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
    const { outside } = addressesOf(lab);
    const file = (name: string) => join(paths.certs, "etcd", name);
    if (lab.store && "endpoints" in lab.store) {
      const { endpoints, caFile, certFile, keyFile } = lab.store;
      const secure = caFile && {
        ca: readFileSync(caFile),
        ...(certFile && { cert: readFileSync(certFile), key: readFileSync(keyFile!) }),
      };
      this.#clients = endpoints.map((address) => {
        const clientUrl = `${caFile ? "https" : "http"}://${address}`;
        return { name: address, clientUrl, client: new GrpcClient(address, secure ? { tls: secure } : {}) };
      });
      return;
    }
    const tls = readTls({ certFile: file("client.crt"), keyFile: file("client.key"), caFile: file("ca.crt") });
    this.#clients = memberNames(lab).map((name, i) => {
      const address = `${outside.member(i + 1)}:${ports.client}`;
      return { name, clientUrl: `https://${address}`, client: new GrpcClient(address, { tls, serverName: name }) };
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
