import { expect, test } from "vitest";
import { LeaderChanges, Seen } from "./raft-events.ts";

test("the last leader change of a member says why the leader before was lost", () => {
  const changes = new LeaderChanges();
  expect(changes.last).toBeUndefined();
  changes.take({ kind: "Started", time: "t1", message: "started with the state at entry 0" });
  expect(changes.last).toEqual({ time: "t1", message: "this member was restarted" });
  changes.take({ kind: "LeaderFound", time: "t2", message: "etcd-1 leads in term 2" });
  expect(changes.last).toEqual({ time: "t2", message: "etcd-1 leads in term 2; before: this member was restarted" });
  changes.take({ kind: "VoteGranted", time: "t3", message: "votes for etcd-2 in term 3" });
  changes.take({
    kind: "LeaderLost",
    time: "t4",
    message: "lost the leader etcd-1: not heard for an election timeout",
  });
  expect(changes.last?.time).toBe("t4");
  changes.take({ kind: "LeaderFound", time: "t5", message: "etcd-2 leads in term 3" });
  expect(changes.last).toEqual({
    time: "t5",
    message: "etcd-2 leads in term 3; before: lost the leader etcd-1: not heard for an election timeout",
  });
});

test("a stream that is opened again tells nothing twice, and a restarted member everything", () => {
  const seen = new Seen();
  const told = [
    ["a", 1],
    ["a", 2],
    ["a", 1],
    ["a", 2],
    ["a", 3],
    ["b", 1],
    ["b", 1],
    ["b", 2],
  ].map(([life, seq]) => seen.isNew({ life: life as string, seq: seq as number }));
  expect(told).toEqual([true, true, false, false, true, true, false, true]);
});
