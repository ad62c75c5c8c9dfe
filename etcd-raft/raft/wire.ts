import * as raftpb from "../../proto/generated/raftpb.ts";
import { Writer } from "../../proto/wire.ts";
import type { ConfChange } from "./conf.ts";
import type { Entry, Message } from "./types.ts";

/**
 * Messages as raftpb.Message, etcd's field numbers. Entries and the hard state have the same shape on both sides, so
 * they pass through as they are.
 */
const numbers = Object.fromEntries(
  "App AppResp Snap Vote VoteResp PreVote PreVoteResp Heartbeat HeartbeatResp TimeoutNow Prop ReadIndex ReadIndexResp"
    .split(" ")
    .map((type) => [type, raftpb.MessageType[`Msg${type}` as keyof typeof raftpb.MessageType]]),
) as Record<Message["type"], number>;
const types = new Map(Object.entries(numbers).map(([type, number]) => [number, type as Message["type"]]));

/** One raftpb.Message, as it stands in a frame between members. */
export const encodeMessage = (message: Message): Uint8Array => writeMessage(message).finish();

/** In the shared writer, until that is used again. */
export function writeMessage(message: Message): Writer {
  const { to, from, term, logTerm, index, entries, commit, reject, rejectHint, context, conf } = message;
  const snapshot = conf && { metadata: { index, term: logTerm, confState: conf } };
  const type = numbers[message.type];
  const fields = { type, to, from, term, logTerm, index, entries, commit, reject, rejectHint, context, snapshot };
  return raftpb.Message.write(fields, Writer.create());
}

/** What it holds are views of `bytes`: the log keeps them alive. Throws on bytes that are no raft message of ours. */
export function decodeMessage(bytes: Uint8Array): Message {
  const m = raftpb.Message.decode(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)); // slower as a Buffer
  const type = types.get(m.type);
  if (type === undefined) throw new Error(`raft message of unknown type ${m.type}`);
  const { from, to, term, index, logTerm, entries, commit, reject, rejectHint, context } = m;
  const conf = m.snapshot?.metadata?.confState;
  return { type, from, to, term, index, logTerm, entries, commit, reject, rejectHint, context, conf };
}

/** `raftpb.ConfChangeType` by its number. */
export const changeTypes = ["AddVoter", "Remove", "Update", "AddLearner"] as const;
export const transitions = ["auto", "implicit", "explicit"] as const;

/** What an entry of type 1 (ConfChange) or 2 (ConfChangeV2) asks for. Throws when it is neither. */
export function decodeConfChange({ type, data }: Pick<Entry, "type" | "data">): ConfChange {
  const single = ({ type, nodeId: id }: raftpb.ConfChangeSingle) => {
    const name = changeTypes[type];
    if (name === undefined) throw new Error(`change of configuration of unknown type ${type}`);
    return { type: name, id };
  };
  if (type === 1) return { transition: "auto", changes: [single(raftpb.ConfChange.decode(data))] };
  if (type !== 2) throw new Error(`entry of type ${type} is no change of configuration`);
  const { transition, changes } = raftpb.ConfChangeV2.decode(data);
  const name = transitions[transition];
  if (name === undefined) throw new Error(`transition of unknown type ${transition}`);
  return { transition: name, changes: changes.map(single) };
}
