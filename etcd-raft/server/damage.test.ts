import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "vitest";
import { StartError } from "../../base/process.ts";
import { Store } from "../mvcc/store.ts";
import { writeDb } from "../snap/db-file.ts";
import { startTestCluster } from "./testing.ts";

describe("damaged data is refused with one line: what, where, and the way out where there is one", () => {
  const inDb = (dir: string, text: string, by: string) => {
    const file = join(dir, "member/snap/db");
    const bytes = readFileSync(file);
    bytes.write(by, bytes.indexOf(text));
    writeFileSync(file, bytes);
  };
  const snapOf = (dir: string) => {
    const name = readdirSync(join(dir, "member/snap")).find((each) => each.endsWith(".snap"))!;
    return join(dir, "member/snap", name);
  };
  const rows: [name: string, damage: (dir: string) => void, message: RegExp][] = [
    [
      "the log is gone, and with it the votes",
      (dir) => rmSync(join(dir, "member/wal"), { recursive: true }),
      /member\/snap\/db has the state at entry \d+, but there is no log in \S+member\/wal: is --wal-dir right\? .*restore a backup/,
    ],
    [
      "a log without a segment",
      (dir) => {
        for (const name of readdirSync(join(dir, "member/wal"))) rmSync(join(dir, "member/wal", name));
      },
      /there is no log in/,
    ],
    [
      "the state is gone",
      (dir) => rmSync(join(dir, "member/snap/db")),
      /member\/snap\/db is missing, but the log begins after entry \d+: restore a backup/,
    ],
    [
      "the state is cut short",
      (dir) => truncateSync(join(dir, "member/snap/db"), 9000),
      /member\/snap\/db is cut short/,
    ],
    [
      "the state is no database",
      (dir) => writeFileSync(join(dir, "member/snap/db"), "x"),
      /db is not a bbolt database/,
    ],
    ["the state holds JSON that is none", (dir) => inDb(dir, '{"voters"', "x"), /member\/snap\/db is damaged: .*JSON/],
    [
      "a .snap of other bytes",
      (dir) => truncateSync(snapOf(dir), 50),
      /\.snap: .*: restore a backup, or move the data/,
    ],
    ["an empty .snap", (dir) => truncateSync(snapOf(dir), 0), /\.snap: snap: empty snapshot: restore a backup/],
  ];
  test.each(rows)("%s", async (_, damage, message) => {
    const cluster = await startTestCluster(1);
    try {
      for (let i = 0; i < 10; i++) await cluster.client.put({ key: `${i}`, value: "x".repeat(1000) });
      const { dataDir } = cluster.members[0]!.member.config;
      await cluster.stop(0);
      damage(dataDir);
      const error = await cluster.start(0).then(
        () => undefined,
        (e: Error) => e,
      );
      assert.ok(error instanceof StartError, `${error?.stack}`);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /\n/);
    } finally {
      await cluster.close();
    }
  });

  test("what an etcd leaves that ended before its first entry is no loss: a member begins there", async () => {
    const cluster = await startTestCluster(1);
    const { config, applier } = cluster.members[0]!.member;
    const { dataDir, disk, clock } = config;
    try {
      const state = { ...applier.state(), consistentIndex: 0, term: 0 };
      await cluster.stop(0);
      rmSync(join(dataDir, "member/wal"), { recursive: true });
      for (const name of readdirSync(join(dataDir, "member/snap"))) rmSync(join(dataDir, "member/snap", name));
      await writeDb(join(dataDir, "member/snap/db"), state, new Store().view(), disk, clock);
      for (const key of ["a", "b"]) {
        await cluster.start(0);
        await cluster.client.put({ key, value: "1" });
        await cluster.stop(0);
      }
    } finally {
      await cluster.close();
    }
  });
});
