import assert from "node:assert/strict";
import { test } from "vitest";
import { type EtcdEvent, eventOfLine } from "./etcd-log.ts";

const line = (msg: string, more = {}) =>
  JSON.stringify({ level: "info", ts: "2026-01-02T03:04:05.678Z", ...more, msg });

const cases: [string, string, Partial<EtcdEvent> | undefined][] = [
  ["a leader", line("8e9e became leader at term 3"), { kind: "RoleChanged", to: "leader", term: 3 }],
  [
    "a pre-candidate",
    line("8e9e became pre-candidate at term 2"),
    { kind: "RoleChanged", to: "preCandidate", term: 2 },
  ],
  ["the leader found", line("raft.node: 8e9e elected leader 8e9e at term 3"), { kind: "LeaderFound", term: 3 }],
  ["another leader", line("raft.node: 8e9e changed leader from 1 to 2 at term 4"), { kind: "LeaderFound", term: 4 }],
  ["the leader lost", line("raft.node: 8e9e lost leader 8e9e at term 3"), { kind: "LeaderLost", term: 3 }],
  ["of 3.6, with its logger", line("1 became follower at term 9", { logger: "raft" }), { to: "follower", term: 9 }],
  ["anything else", line("8e9e received MsgVoteResp from 8e9e at term 3"), undefined],
  ["half a line", '{"msg":"8e9e became leader at te', undefined],
  ["a line without its time", line("8e9e became leader at term 3", { ts: undefined }), undefined],
];

test.each(cases)("%s", (_, text, wanted) => {
  const event = eventOfLine(text);
  if (!wanted) return assert.equal(event, undefined);
  assert.deepEqual({ ...event, ...wanted, wallMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678) }, event);
});
