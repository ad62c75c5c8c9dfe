import type { CallContext } from "../../net/grpc-server.ts";
import { etcdError } from "../errors.ts";
import { none } from "../raft/types.ts";
import type { Member } from "./member.ts";

/** A caller that sends `hasleader` would rather fail at once than wait at a member that is cut off. */
export function requireLeader(member: Member, context: CallContext): void {
  if (member.leader === none && wantsLeader(context)) throw etcdError("noLeader");
}

export const wantsLeader = (context: CallContext): boolean => context.metadata["hasleader"] === "true";
