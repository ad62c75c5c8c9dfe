import * as raftpb from "../../proto/generated/raftpb.ts";
import type { Message } from "./types.ts";

/**
 * Messages as raftpb.Message, etcd's field numbers. Entries and the hard state have the same shape on both sides, so
 * they pass through as they are.
 */
const numbers: Record<Message["type"], number> = {
  App: raftpb.MessageType.MsgApp,
  AppResp: raftpb.MessageType.MsgAppResp,
  Snap: raftpb.MessageType.MsgSnap,
  Vote: raftpb.MessageType.MsgVote,
  VoteResp: raftpb.MessageType.MsgVoteResp,
  PreVote: raftpb.MessageType.MsgPreVote,
  PreVoteResp: raftpb.MessageType.MsgPreVoteResp,
  Heartbeat: raftpb.MessageType.MsgHeartbeat,
  HeartbeatResp: raftpb.MessageType.MsgHeartbeatResp,
  TimeoutNow: raftpb.MessageType.MsgTimeoutNow,
  Prop: raftpb.MessageType.MsgProp,
  ReadIndex: raftpb.MessageType.MsgReadIndex,
  ReadIndexResp: raftpb.MessageType.MsgReadIndexResp,
};
const types = new Map(Object.entries(numbers).map(([type, number]) => [number, type as Message["type"]]));

/** One raftpb.Message, as it stands in a frame between members. */
export function encodeMessage(message: Message): Uint8Array {
  return raftpb.Message.encode({ ...message, type: numbers[message.type] });
}

/** Copies `bytes` once, so that the log keeps no network buffer alive. Throws on bytes that are no raft message of ours. */
export function decodeMessage(bytes: Uint8Array): Message {
  const m = raftpb.Message.decode(new Uint8Array(bytes));
  const type = types.get(m.type);
  if (type === undefined) throw new Error(`raft message of unknown type ${m.type}`);
  const { from, to, term, index, logTerm, entries, commit, reject, rejectHint, context } = m;
  return { type, from, to, term, index, logTerm, entries, commit, reject, rejectHint, context };
}
