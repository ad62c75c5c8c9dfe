import { expect, test } from "vitest";
import * as raftpb from "../../proto/generated/raftpb.ts";
import { confOf } from "./conf.ts";
import { encodeConfChange } from "./testing/encode-conf-change.ts";
import type { Message } from "./types.ts";
import { decodeConfChange, decodeMessage, encodeMessage } from "./wire.ts";

const message: Message = {
  type: "App",
  from: 0xfedcba9876543210n,
  to: 2n,
  term: 7,
  index: 2 ** 40,
  logTerm: 6,
  entries: [
    { term: 7, index: 2 ** 40 + 1, type: 0, data: Uint8Array.of(1, 2, 3) },
    { term: 7, index: 2 ** 40 + 2, type: 1, data: new Uint8Array(0) },
  ],
  commit: 2 ** 40,
  reject: true,
  rejectHint: 5,
  context: Uint8Array.of(9),
  conf: undefined,
};

/** Buffers and plain arrays are the same bytes. */
function plain(m: Message): unknown {
  return { ...m, context: [...m.context], entries: m.entries.map((e) => ({ ...e, data: [...e.data] })) };
}

test.each([
  "App",
  "AppResp",
  "Snap",
  "Vote",
  "VoteResp",
  "PreVote",
  "PreVoteResp",
  "Heartbeat",
  "HeartbeatResp",
  "TimeoutNow",
  "Prop",
  "ReadIndex",
  "ReadIndexResp",
] as const)("%s comes back as it was sent", (type) => {
  expect(plain(decodeMessage(encodeMessage({ ...message, type })))).toEqual(plain({ ...message, type }));
});

test("a snapshot says who takes part as of its index", () => {
  const conf = { ...confOf([1n, 2n], [3n]), votersOutgoing: [2n, 5n], learnersNext: [5n], autoLeave: true };
  expect(decodeMessage(encodeMessage({ ...message, type: "Snap", conf })).conf).toEqual(conf);
});

test("changes of configuration come back as they were, and the one that leaves has no bytes", () => {
  const changes = [
    { type: "AddVoter", id: 4n } as const,
    { type: "AddLearner", id: 5n } as const,
    { type: "Remove", id: 2n } as const,
  ];
  for (const transition of ["auto", "implicit", "explicit"] as const)
    expect(decodeConfChange(encodeConfChange({ transition, changes }))).toEqual({ transition, changes });
  const leave = encodeConfChange({ transition: "auto", changes: [] });
  expect(leave).toEqual({ type: 2, data: new Uint8Array(0) });
  expect(decodeConfChange(leave)).toEqual({ transition: "auto", changes: [] });
  const single = raftpb.ConfChange.encode({ type: raftpb.ConfChangeType.ConfChangeUpdateNode, nodeId: 7n, id: 9n });
  expect(decodeConfChange({ type: 1, data: single })).toEqual({
    transition: "auto",
    changes: [{ type: "Update", id: 7n }],
  });
});

test("the data of entries is not copied: it lies in the bytes that came", () => {
  const bytes = encodeMessage(message);
  expect(decodeMessage(bytes).entries[0]!.data.buffer).toBe(bytes.buffer);
});

test("a message of a kind we do not speak, or no message at all, is an error", () => {
  expect(() => decodeMessage(raftpb.Message.encode({ type: raftpb.MessageType.MsgHup }))).toThrow("unknown type 0");
  expect(() => decodeMessage(Uint8Array.of(0x0a, 0xff))).toThrow();
});
