import { describe, expect, test } from "vitest";
import { seededRand } from "../../base/rand.ts";
import { confOf } from "./conf.ts";
import { lastIndex } from "./log.ts";
import { createRaft, type RaftConfig, step } from "./raft.ts";
import type { Entry, Message } from "./types.ts";

/** What scenarios cannot show: which messages wait for the disk, and messages that only a rare interleaving makes. */
function raft(config: Partial<RaftConfig> = {}) {
  return createRaft({
    id: 1n,
    conf: confOf([1n, 2n, 3n]),
    electionTicks: 10,
    heartbeatTicks: 1,
    rand: seededRand(1),
    hardState: { term: 1, vote: 0n, commit: 0 },
    entries: [],
    applied: 0,
    preVote: false,
    checkQuorum: false,
    maxSizePerMessage: 1 << 20,
    maxInflightMessages: 512,
    maxInflightBytes: 2 ** 30,
    ...config,
  });
}

function entry(index: number, term: number): Entry {
  return { index, term, type: 0, data: new Uint8Array(0) };
}

function message(fields: Partial<Message> & Pick<Message, "type">): { type: "Message"; message: Message } {
  const empty = { index: 0, logTerm: 0, entries: [], commit: 0, reject: false, rejectHint: 0 };
  const context = new Uint8Array(0);
  return { type: "Message", message: { from: 2n, to: 1n, term: 2, ...empty, context, conf: undefined, ...fields } };
}

function types(messages: Message[]): string[] {
  return messages.map((m) => m.type);
}

test("a candidate asks for votes only after its own vote and its log are on disk", () => {
  const member = raft();
  for (let i = 0; i < 20; i++) {
    const ready = step(member, { type: "Tick" });
    expect(types(ready.messages)).toEqual([]);
    if (ready.softState?.role !== "candidate") continue;
    expect(ready.hardState).toEqual({ term: 2, vote: 1n, commit: 0 });
    expect(ready.mustSync).toBe(true);
    expect(types(ready.messagesAfterPersist)).toEqual(["Vote", "Vote"]);
    return;
  }
  expect.fail("it did not campaign");
});

test.each([
  ["a vote", message({ type: "Vote" }), "VoteResp"],
  ["an append", message({ type: "App", entries: [entry(1, 2)] }), "AppResp"],
] as const)("the answer to %s waits for the disk", (_, input, answer) => {
  const ready = step(raft(), input);
  expect(ready.mustSync).toBe(true);
  expect(types(ready.messages)).toEqual([]);
  expect(types(ready.messagesAfterPersist)).toEqual([answer]);
});

test("a follower commits only what the leader's message has shown to agree", () => {
  // Entries 2 and 3 are of a deposed leader; the new one commits others there.
  const member = raft({ entries: [entry(1, 1), entry(2, 1), entry(3, 1)] });
  const ready = step(member, message({ type: "App", index: 1, logTerm: 1, commit: 3 }));
  expect(ready.committedEntries.map((e) => e.index)).toEqual([1]);
});

test("an append that comes late does not take back what came after it", () => {
  const member = raft();
  const early = message({ type: "App", entries: [entry(1, 2)] });
  step(member, message({ type: "App", entries: [entry(1, 2), entry(2, 2)] }));
  const ready = step(member, early);
  expect(lastIndex(member.log)).toBe(2);
  expect(ready.entries).toEqual([]);
  expect(ready.messagesAfterPersist[0]).toMatchObject({ type: "AppResp", index: 1 });
});

test("what the disk reports of entries that were replaced meanwhile does not count", () => {
  const member = raft();
  step(member, message({ type: "App", entries: [entry(1, 2), entry(2, 2)] }));
  step(member, message({ type: "App", from: 3n, term: 3, index: 1, logTerm: 2, entries: [entry(2, 3)] }));
  step(member, { type: "Persisted", index: 2, term: 2 });
  expect(member.log.persisted).toBe(0);
  step(member, { type: "Persisted", index: 2, term: 3 });
  expect(member.log.persisted).toBe(2);
});

test("a change of commit alone needs no sync", () => {
  const member = raft({ entries: [entry(1, 1)] });
  const ready = step(member, message({ type: "Heartbeat", term: 1, commit: 1 }));
  expect(ready.hardState).toEqual({ term: 1, vote: 0n, commit: 1 });
  expect(ready.mustSync).toBe(false);
});

test("a commit of a change of configuration is synced: who hears of it may leave", () => {
  const member = raft({ entries: [{ ...entry(1, 1), type: 2 }] });
  expect(step(member, message({ type: "Heartbeat", term: 1, commit: 1 })).mustSync).toBe(true);
});

test("a commit index beyond the log means that the log was lost: the member stops", () => {
  expect(() => step(raft(), message({ type: "Heartbeat", term: 1, commit: 1 }))).toThrow("was the log lost?");
  expect(() => raft({ hardState: { term: 1, vote: 0n, commit: 1 } })).toThrow("beyond the log's last index");
});

describe("a snapshot that is given to a follower", () => {
  const follower = () => {
    const member = raft();
    step(member, message({ type: "App", entries: [entry(1, 2), entry(2, 2), entry(3, 2)], commit: 1 }));
    return member;
  };

  test("is stale if it covers no more than what is committed: it is only acknowledged", () => {
    const ready = step(follower(), message({ type: "Snap", index: 1, logTerm: 2 }));
    expect(ready.snapshot).toBeUndefined();
    expect(ready.messagesAfterPersist).toMatchObject([{ type: "AppResp", index: 1 }]);
  });

  test("only commits if the log agrees with it: no entry is thrown away", () => {
    const member = follower();
    const ready = step(member, message({ type: "Snap", index: 2, logTerm: 2 }));
    expect(ready.snapshot).toBeUndefined();
    expect(ready.committedEntries.map(({ index }) => index)).toEqual([2]);
    expect(ready.messagesAfterPersist).toMatchObject([{ type: "AppResp", index: 2 }]);
    expect(lastIndex(member.log)).toBe(3);
  });

  test.each([
    ["its term there is another", { index: 3, logTerm: 1 }],
    ["it ends before it", { index: 7, logTerm: 2 }],
  ])("takes the place of the log if %s; it is acknowledged when it is durable", (_, at) => {
    const member = follower();
    const ready = step(member, message({ type: "Snap", ...at }));
    expect(ready.snapshot).toMatchObject({ index: at.index, term: at.logTerm });
    expect(ready.mustSync).toBe(true);
    expect(ready.committedEntries).toEqual([]);
    expect(ready.messagesAfterPersist).toMatchObject([{ type: "AppResp", index: at.index }]);
    expect(member.log).toMatchObject({ start: { index: at.index }, committed: at.index });
    expect(lastIndex(member.log)).toBe(at.index);
    const next = step(
      member,
      message({ type: "App", index: at.index, logTerm: at.logTerm, entries: [entry(at.index + 1, 2)] }),
    );
    expect(next.entries.map(({ index }) => index)).toEqual([at.index + 1]);
  });
});
