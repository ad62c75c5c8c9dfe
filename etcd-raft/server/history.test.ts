import assert from "node:assert/strict";
import { get, type IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import { describe, test } from "vitest";
import { seededRand } from "../../base/rand.ts";
import { VirtualClock } from "../../client/testing/virtual-clock.ts";
import { inWords } from "./event-words.ts";
import { History, type HistoryEvent, type MemberEvent } from "./history.ts";
import { startTestCluster } from "./testing.ts";

const names = new Map([
  [1n, "m1"],
  [2n, "m2"],
]);
const nameOf = (id: bigint) => names.get(id) ?? id.toString(16);

function history(keep = 1000) {
  const clock = new VirtualClock();
  const made = new History({
    clock,
    rand: seededRand(1),
    id: 255n,
    name: "m255",
    nameOf,
    position: () => ({ term: 7, index: 12 }),
    keep,
  });
  return { clock, history: made };
}

test("an event carries both clocks, life, member, term and index, and its ids in hexadecimal", () => {
  const { history: h } = history();
  h.record({
    kind: "VoteGranted",
    term: 3,
    index: 9,
    pre: true,
    peer: 255n,
    forTerm: 4,
    theirs: { term: 2, index: 9 },
  });
  assert.deepEqual(h.since(0), [
    {
      seq: 1,
      time: "2026-01-01T00:00:00.000Z",
      monotonicMs: 0,
      life: h.life,
      member: "m255",
      id: "ff",
      term: 3,
      index: 9,
      kind: "VoteGranted",
      message: "would vote for ff in term 4",
      details: { pre: true, peer: "ff", forTerm: 4, theirs: { term: 2, index: 9 } },
    },
  ]);
});

test("the history is bounded: the oldest go, their numbers are not used again", () => {
  const { history: h } = history(10);
  for (let i = 0; i < 25; i++) h.server({ kind: "PeerConnected", peer: 1n });
  assert.deepEqual(
    h.since(0).map(({ seq }) => seq),
    [16, 17, 18, 19, 20, 21, 22, 23, 24, 25],
  );
  assert.deepEqual(
    h.since(23).map(({ seq }) => seq),
    [24, 25],
  );
  h.server({ kind: "PeerLost", peer: 1n, reason: "x".repeat(10_000) });
  assert.ok(JSON.stringify(h.since(25)).length < 1500, "a long text is cut");
});

test("a burst is told at once, then second by second with the slowest of each", async () => {
  const { clock, history: h } = history();
  for (const seconds of [0.2, 0.5, 0.3]) h.burst("SlowFsync", 1, seconds);
  await clock.advance(1000);
  await clock.advance(5000);
  h.burst("SlowFsync", 1, 0.7);
  const told = h.since(0).map(({ message }) => message);
  assert.deepEqual(told, [
    "the disk took 0.2 s to make a write durable",
    "the disk took 0.5 s to make a write durable (the slowest of 2)",
    "the disk took 0.7 s to make a write durable",
  ]);
  h.close();
});

describe("in words", () => {
  const at = { term: 5, index: 20 };
  const vote = {
    kind: "VoteRefused" as const,
    pre: false,
    peer: 1n,
    forTerm: 6,
    theirs: { term: 4, index: 30 },
    ...at,
  };
  const cases: [MemberEvent, string][] = [
    [
      { ...vote, because: "logBehind", ours: at },
      "refuses m1 its vote in term 6: its log ends with entry 30 of term 4, ours with entry 20 of term 5",
    ],
    [
      { ...vote, because: "alreadyVoted", votedFor: 2n },
      "refuses m1 its vote in term 6: already voted for m2 in this term",
    ],
    [
      { ...vote, pre: true, because: "leaderLease", leader: 2n },
      "refuses m1 its pre-vote in term 6: the leader m2 was heard within the election timeout",
    ],
    [{ ...vote, because: "oldTerm" }, "refuses m1 its vote in term 6: this member is in term 5 already"],
    [
      { kind: "LeaderLost", peer: 2n, because: "connectionLost", other: 0n, ...at },
      "lost the leader m2: the connection to it broke and could not be made again",
    ],
    [
      { kind: "LeaderLost", peer: 2n, because: "higherTerm", other: 1n, ...at },
      "lost the leader m2: m1 is in a higher term",
    ],
    [{ kind: "ConfChanged", voters: [1n, 2n], learners: [16n], ...at }, "voters are m1, m2; learners 10"],
    [{ kind: "FaultsChanged", faults: [], ...at }, "no faults any more"],
  ];
  test.each(cases)("%o", (event, words) => assert.equal(inWords(event, nameOf), words));
});

const answer = (url: string) =>
  new Promise<IncomingMessage>((resolve, reject) => get(url, resolve).on("error", reject));

async function read<T>(url: string): Promise<{ code: number; body: T }> {
  const response = await answer(url);
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk;
  return { code: response.statusCode!, body: JSON.parse(text) as T };
}

interface Answer {
  member: string;
  life: string;
  oldest: number;
  last: number;
  events: HistoryEvent[];
}

describe("GET /debug/raft/events of members that lose their leader", () => {
  test("survivors say why they lost it, who asked for votes, who granted them, and who leads", async () => {
    const cluster = await startTestCluster(3);
    try {
      const leader = await cluster.leader();
      const other = (leader + 1) % 3;
      const url = `${cluster.endpoints[other]}/debug/raft/events`;
      const before = (await read<Answer>(url)).body;
      assert.equal(before.member, `m${other}`);
      assert.equal(before.oldest, 1);
      assert.equal(before.events.at(-1)!.seq, before.last);
      assert.ok(before.events.some(({ kind, message }) => kind === "LeaderFound" && message.startsWith(`m${leader} `)));

      const stream = await answer(`${url}?follow=true&since=${before.last}`);
      const seen: HistoryEvent[] = [];
      const lines = createInterface({ input: stream });
      const found = new Promise<void>((resolve) => {
        lines.on("line", (line) => {
          seen.push(JSON.parse(line) as HistoryEvent);
          if (seen.at(-1)!.kind === "LeaderFound") resolve();
        });
      });
      await cluster.client.put({ key: "secret-key", value: "secret-value" });
      await cluster.stop(leader); // hands over
      await found;
      lines.close();
      stream.destroy();
      const kinds = seen.map(({ kind }) => kind);
      assert.ok(kinds.includes("LeaderLost") && (kinds.includes("VoteGranted") || kinds.includes("CampaignStarted")));
      assert.deepEqual(
        seen.map(({ seq }) => seq),
        seen.map((_, i) => before.last + 1 + i),
        "no gap between what was read and what came",
      );
      const { body } = await read<Answer>(`${url}?since=${before.last}`);
      assert.deepEqual(body.events.slice(0, seen.length), seen);
      assert.equal(body.life, before.life);
      assert.ok(!JSON.stringify((await read<Answer>(url)).body).includes("secret"), "keys and values stay out");
    } finally {
      await cluster.close();
    }
  });

  test("a since that is no number is refused", async () => {
    const cluster = await startTestCluster(1);
    try {
      const { code, body } = await read<{ error: string }>(`${cluster.endpoints[0]}/debug/raft/events?since=-1`);
      assert.deepEqual([code, body.error], [400, 'since is a number, not "-1"']);
    } finally {
      await cluster.close();
    }
  });
});
