import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "vitest";
import { recordBytes } from "../mvcc/version.ts";
import { type Answer, whoDiffers } from "./corruption.ts";
import { startTestCluster, type TestCluster, within } from "./testing.ts";

describe("who differs", () => {
  const at = (id: number, hash: number, revision = 10, compactRevision = 5): Answer => ({
    header: { memberId: BigInt(id), revision },
    hash,
    compactRevision,
  });
  const rows: [name: string, all: Answer[], members: number, wrong: number[]][] = [
    ["nobody where all are alike", [at(1, 7), at(2, 7), at(3, 7)], 3, []],
    ["a follower against the others", [at(1, 7), at(2, 8), at(3, 7)], 3, [2]],
    ["the leader against its followers", [at(1, 8), at(2, 7), at(3, 7)], 3, [1]],
    ["two of five, each in its way", [at(1, 7), at(2, 8), at(3, 7), at(4, 9), at(5, 7)], 5, [2, 4]],
    ["somebody of two: nobody knows who", [at(1, 7), at(2, 8)], 2, [0]],
    ["somebody of three, each in its way", [at(1, 7), at(2, 8), at(3, 9)], 3, [0]],
    ["somebody of two that answered of five: no majority", [at(1, 7), at(2, 7), at(3, 8)], 5, [0]],
    ["nobody where the compact revisions differ", [at(1, 7), at(2, 8, 10, 4), at(3, 7)], 3, []],
    ["nobody that is behind", [at(1, 7), at(2, 7, 8), at(3, 7)], 3, []],
    ["a follower that is ahead of the leader", [at(1, 7), at(2, 7, 11), at(3, 7)], 3, [2]],
    ["a follower that compacted more than the leader", [at(1, 7), at(2, 6, 10, 6), at(3, 7)], 3, [2]],
    ["nobody where nobody answers", [at(1, 7)], 3, []],
  ];
  test.each(rows)("%s", (_, [leader, ...others], members, wrong) => {
    const found = whoDiffers(leader!, { revision: 10, compactRevision: 5 }, others, members);
    assert.deepEqual(
      found.map(({ peer }) => Number(peer)),
      wrong,
    );
  });
});

/** A bit of the value turns in one member's memory. */
const flip = (cluster: TestCluster, index: number, key: string) => {
  const bytes = recordBytes(cluster.members[index]!.member.applier.store.at(key)!);
  bytes[bytes.length - 1]! ^= 1;
};

const alarmsOf = (cluster: TestCluster, index: number) => cluster.members[index]!.member.applier.alarms.list();

/** Resolves once the member at `index` tells that data differs, and that alarm is raised. */
const differs = async (cluster: TestCluster, index: number) => {
  const { member } = cluster.members[index]!;
  await within(20_000, "data that differs is found", (found: (value: undefined) => void, signal) => {
    const stop = member.history.follow(({ kind }) => kind === "DataDiffers" && found(undefined));
    signal.addEventListener("abort", stop);
  });
  const deadline = performance.now() + 10_000;
  while (!member.applier.alarms.raised && performance.now() < deadline) await member.linearizable(() => undefined);
};

describe("the leader compares", () => {
  const rows: [name: string, flags: string[], whose: "leader" | "follower"][] = [
    ["a follower's data now and then", ["--corrupt-check-time=20ms"], "follower"],
    ["its own data, too", ["--experimental-corrupt-check-time=20ms"], "leader"],
    [
      "a follower's after a compaction",
      ["--experimental-compact-hash-check-enabled", "--experimental-compact-hash-check-time=20ms"],
      "follower",
    ],
    [
      "its own after a compaction",
      ["--feature-gates=CompactHashCheck=true", "--compact-hash-check-time=20ms"],
      "leader",
    ],
  ];
  test.each(rows)("%s: the alarm CORRUPT has the member's id, and all refuse", async (_, flags, whose) => {
    const cluster = await startTestCluster(3, { flags });
    try {
      for (let i = 0; i < 20; i++) await cluster.client.put({ key: `k${i}`, value: "good" });
      const { header } = await cluster.client.put({ key: "last", value: "good" });
      for (const running of cluster.members) await running!.member.linearizable(() => undefined);
      const leader = await cluster.leader();
      const index = whose === "leader" ? leader : (leader + 1) % 3;
      const found = differs(cluster, leader);
      flip(cluster, index, "k7");
      if (flags.length > 1) await cluster.members[leader]!.member.write({ compaction: { revision: header!.revision } });
      await found;
      const { id } = cluster.members[index]!.member;
      assert.deepEqual(alarmsOf(cluster, leader), [{ memberID: id, alarm: 2 }]);
      await assert.rejects(cluster.client.put({ key: "a", value: "b" }), /corrupt cluster/);
      await assert.rejects(cluster.client.range({ key: "a" }), /corrupt cluster/);
    } finally {
      await cluster.close();
    }
  });

  test("members that are alike, under writes, compactions and a restart: no alarm, and they were compared", async () => {
    const flags = ["--corrupt-check-time=1ms", "--compact-hash-check-enabled", "--compact-hash-check-time=1ms"];
    const cluster = await startTestCluster(3, { flags });
    try {
      const writes = async () => {
        for (let i = 0; i < 400; i++) {
          const { header } = await cluster.client.put({ key: `k${i % 50}`, value: `${i}` });
          if (i % 20 === 19) await cluster.members[0]!.member.write({ compaction: { revision: header!.revision - 5 } });
        }
      };
      await writes();
      await cluster.stop(2);
      await writes();
      await cluster.start(2);
      await writes();
      const texts = await Promise.all(cluster.endpoints.map(async (url) => (await fetch(`${url}/metrics`)).text()));
      const hashed = texts.map((text) => Number(/^etcd_mvcc_hash_rev_duration_seconds_count (\d+)$/m.exec(text)![1]));
      assert.ok(
        hashed.every((count) => count > 3),
        `${hashed}`,
      );
      for (const i of [0, 1, 2]) assert.deepEqual(alarmsOf(cluster, i), []);
    } finally {
      await cluster.close();
    }
  });
});

test("--initial-corrupt-check: who differs does not start, the others do, all at once too", async () => {
  const dir = mkdtempSync(join(tmpdir(), "etcd-raft-"));
  let flag = "--initial-corrupt-check";
  const cluster = await startTestCluster(3, { flags: (i) => [`--data-dir=${dir}/${i}`, flag] });
  try {
    for (let i = 0; i < 20; i++) await cluster.client.put({ key: `k${i}`, value: `good${i}` });
    await cluster.stop(1);
    const db = join(dir, "1/member/snap/db");
    const good = readFileSync(db);
    const bad = Buffer.from(good);
    bad.write("evil", bad.indexOf("good7"));
    writeFileSync(db, bad);
    await assert.rejects(
      cluster.start(1),
      /^StartError: [0-9a-f]+ found data inconsistency with peers: [0-9a-f]+ holds/,
    );
    flag = "--initial-corrupt-check=false";
    await cluster.start(1);
    await cluster.stop(1);
    flag = "--feature-gates=InitialCorruptCheck=true";
    await assert.rejects(cluster.start(1), /found data inconsistency with peers/);
    writeFileSync(db, good);
    await cluster.start(1);
    await cluster.client.put({ key: "k20", value: "good" });
    await Promise.all([0, 1, 2].map((i) => cluster.stop(i)));
    await Promise.all([0, 1, 2].map((i) => cluster.start(i)));
    await cluster.client.put({ key: "k21", value: "good" });
  } finally {
    await cluster.close();
    rmSync(dir, { recursive: true, force: true });
  }
});
