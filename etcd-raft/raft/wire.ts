import type { Message } from "./types.ts";

/** One raftpb.Message, as it stands in a frame between members. */
export declare function encodeMessage(message: Message): Uint8Array;
/** Copies `bytes` once, so that the log keeps no network buffer alive. Throws on bytes that are no raft message of ours. */
export declare function decodeMessage(bytes: Uint8Array): Message;
