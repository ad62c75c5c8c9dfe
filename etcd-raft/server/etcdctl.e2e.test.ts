import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, test } from "vitest";
import { peer } from "../../tools/peers.ts";
import { type ProcessCluster, startProcessCluster } from "./testing.ts";

const etcdctl = peer("etcdctl");

/** Debian's etcdctl 3.4 against three members of ours. */
describe.skipIf(!etcdctl)("etcdctl", () => {
  let cluster: ProcessCluster;
  beforeAll(async () => {
    cluster = await startProcessCluster(3);
  });
  afterAll(() => cluster?.close());

  const env = () => ({ ...process.env, ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: cluster.endpoints.join(",") });
  const run = async (...args: string[]) => {
    const { stdout } = await promisify(execFile)(etcdctl!, args, { env: env(), timeout: 30_000 });
    return stdout;
  };
  const fails = async (...args: string[]) => {
    const error = await run(...args).then(
      () => undefined,
      (e: { stderr: string }) => e,
    );
    assert.ok(error, `etcdctl ${args.join(" ")} did not fail`);
    return error.stderr;
  };
  const runWithInput = (args: string[], input: string) =>
    new Promise<string>((resolve, reject) => {
      const child = execFile(etcdctl!, args, { env: env(), timeout: 30_000 }, (error, stdout) =>
        error ? reject(error) : resolve(stdout),
      );
      child.stdin!.end(input);
    });

  test("put and get, with prefix, limit, order and a past revision", async () => {
    assert.equal(await run("put", "app/a", "1"), "OK\n");
    assert.equal(await run("put", "app/b", "2"), "OK\n");
    assert.equal(await run("get", "app/", "--prefix"), "app/a\n1\napp/b\n2\n");
    assert.equal(await run("get", "app/", "--prefix", "--keys-only", "--order=DESCEND"), "app/b\n\napp/a\n\n");
    assert.equal(await run("get", "app/", "--prefix", "--limit=1", "--print-value-only"), "1\n");
    const json = JSON.parse(await run("get", "app/a", "-w", "json"));
    assert.equal(await run("put", "app/a", "3", "--prev-kv"), "OK\napp/a\n1\n");
    assert.equal(await run("get", "app/a", `--rev=${json.header.revision}`, "--print-value-only"), "1\n");
  });

  test("del says how many", async () => {
    await run("put", "gone/a", "1");
    await run("put", "gone/b", "1");
    assert.equal(await run("del", "gone/", "--prefix"), "2\n");
    assert.equal(await run("del", "gone/", "--prefix"), "0\n");
  });

  test("txn takes the branch that its compares choose", async () => {
    await run("put", "txn", "old");
    const script = 'value("txn") = "old"\n\nput txn new\nget txn\n\nput txn wrong\n\n';
    assert.equal(await runWithInput(["txn"], script), "SUCCESS\n\nOK\n\ntxn\nnew\n");
    assert.equal(await runWithInput(["txn"], script.replace("put txn wrong", "get txn")), "FAILURE\n\ntxn\nnew\n");
  });

  test("watch prints what happens from a revision on, and what comes", async () => {
    const { header } = await cluster.client.put({ key: "w/1", value: "one" });
    await cluster.client.deleteRange({ key: "w/1" });
    const child = spawn(etcdctl!, ["watch", "w/", "--prefix", `--rev=${header!.revision}`], { env: env() });
    try {
      const lines: string[] = [];
      const done = new Promise<void>((resolve) => {
        createInterface({ input: child.stdout }).on("line", (line) => {
          lines.push(line);
          if (lines.length === 5) void cluster.client.put({ key: "w/2", value: "two" });
          if (line === "two") resolve();
        });
      });
      await done;
      assert.deepEqual(lines, ["PUT", "w/1", "one", "DELETE", "w/1", "", "PUT", "w/2", "two"]);
    } finally {
      child.kill();
    }
  });

  test("lease grant, keep-alive, timetolive and revoke; a lease that ends takes its keys along", async () => {
    const id = /lease (\w+) granted with TTL\(60s\)/.exec(await run("lease", "grant", "60"))![1]!;
    await run("put", "leased", "1", `--lease=${id}`);
    assert.match(await run("lease", "keep-alive", "--once", id), /keepalived with TTL\(60\)/);
    assert.match(
      await run("lease", "timetolive", "--keys", id),
      /granted with TTL\(60s\), remaining\(\d+s\), attached keys\(\[leased\]\)/,
    );
    assert.match(await run("lease", "list"), new RegExp(`found 1 leases\\n${id}`));
    assert.match(await run("lease", "revoke", id), /revoked/);
    assert.equal(await run("get", "leased"), "");
    assert.match(await run("lease", "timetolive", id), /already expired/);
    assert.match(await fails("lease", "revoke", id), /requested lease not found/);

    const short = /lease (\w+) granted/.exec(await run("lease", "grant", "1"))![1]!;
    const gone = new Promise<void>((resolve, reject) => {
      cluster.client.watch(
        { key: "short" },
        { onEvents: (events) => events[0]!.type === 1 && resolve(), onClosed: reject },
      );
    });
    await run("put", "short", "1", `--lease=${short}`);
    await gone;
  });

  test("endpoint status and health, member list, hashkv", async () => {
    const status = JSON.parse(await run("endpoint", "status", "-w", "json")) as {
      Status: { version: string; leader: number; header: { member_id: number }; raftTerm: number };
    }[];
    assert.equal(status.length, 3);
    assert.equal(new Set(status.map(({ Status }) => Status.leader)).size, 1);
    assert.match(status[0]!.Status.version, /^3\.6\.\d+$/);
    assert.equal((await run("endpoint", "health").catch((e) => e)) instanceof Error, false);
    const members = (await run("member", "list")).trim().split("\n");
    assert.equal(members.length, 3);
    for (const [i, endpoint] of cluster.endpoints.entries()) {
      assert.ok(
        members.some((line) => line.includes(`started, m${i}`) && line.includes(endpoint)),
        members.join("\n"),
      );
    }
    const hashes = (await run("endpoint", "hashkv"))
      .trim()
      .split("\n")
      .map((line) => line.split(", ")[1]);
    assert.equal(new Set(hashes).size, 1);
  });

  test("compaction takes old revisions, with etcd's words", async () => {
    await run("put", "c", "1");
    const { header } = await cluster.client.put({ key: "c", value: "2" });
    assert.equal(await run("compact", "--physical", `${header!.revision}`), `compacted revision ${header!.revision}\n`);
    assert.match(
      await fails("get", "c", `--rev=${header!.revision - 1}`),
      /mvcc: required revision has been compacted/,
    );
    assert.match(await fails("compact", `${header!.revision}`), /mvcc: required revision has been compacted/);
    assert.match(await fails("get", "c", "--rev=99999"), /mvcc: required revision is a future revision/);
    assert.equal(await run("get", "c", "--print-value-only"), "2\n");
  });

  test("move-leader", async () => {
    const leader = await cluster.leader();
    const to = (leader + 1) % 3;
    const { header } = await cluster.clientOf(to).status();
    assert.match(await run("move-leader", header!.memberId.toString(16)), /Leadership transferred/);
    assert.equal(await cluster.leader(), to);
  });
});
