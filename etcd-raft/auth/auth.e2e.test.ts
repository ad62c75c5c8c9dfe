import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, test } from "vitest";
import { peer } from "../../tools/peers.ts";
import { startTestCluster, type TestCluster } from "../server/testing.ts";

const etcdctl = peer("etcdctl");

/** Debian's etcdctl walks through users, roles and permissions on three members. */
describe.skipIf(!etcdctl)("etcdctl with auth", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startTestCluster(3, { flags: ["--bcrypt-cost=4"] });
    await cluster.leader();
  });
  afterAll(() => cluster?.close());

  const at = async (endpoints: string[], ...args: string[]) => {
    const env = { ...process.env, ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: endpoints.join(",") };
    return (await promisify(execFile)(etcdctl!, args, { env, timeout: 30_000 })).stdout;
  };
  const run = (...args: string[]) => at(cluster.endpoints, ...args);
  const fails = async (...args: string[]) => {
    const error = await run(...args).then(
      () => undefined,
      (e: { stderr: string }) => e,
    );
    assert.ok(error, `etcdctl ${args.join(" ")} did not fail`);
    return error.stderr;
  };
  const root = ["--user=root:secret"];
  const ann = ["--user=ann:pw"];

  test("users, roles and permissions, then auth is turned on", async () => {
    assert.match(await fails("auth", "enable"), /root user does not exist/);
    assert.match(await run("user", "add", "root:secret"), /User root created/);
    assert.match(await run("role", "add", "root"), /Role root created/);
    assert.match(await run("user", "grant-role", "root", "root"), /Role root is granted to user root/);
    assert.match(await run("user", "add", "ann:pw"), /User ann created/);
    assert.match(await run("role", "add", "app"), /Role app created/);
    await run("role", "grant-permission", "app", "readwrite", "app/", "--prefix=true");
    await run("role", "grant-permission", "app", "read", "shared");
    await run("user", "grant-role", "ann", "app");
    await run("put", "shared", "1");
    assert.match(await run("auth", "enable"), /Authentication Enabled/);
  });

  test("nobody, and a wrong password, get nowhere", async () => {
    assert.match(await fails("get", "shared"), /user name is empty/);
    assert.match(await fails("put", "shared", "2"), /user name is empty/);
    assert.match(await fails("user", "list"), /user name is empty/);
    assert.match(
      await fails("--user=ann:wrong", "get", "shared"),
      /authentication failed, invalid user ID or password/,
    );
    assert.match(
      await fails("--user=nobody:pw", "get", "shared"),
      /authentication failed, invalid user ID or password/,
    );
  });

  test("a user may what its roles say", async () => {
    assert.equal(await run(...ann, "put", "app/a", "1"), "OK\n");
    assert.equal(await run(...ann, "get", "app/", "--prefix"), "app/a\n1\n");
    assert.equal(await run(...ann, "get", "shared"), "shared\n1\n");
    for (const args of [
      ["put", "shared", "2"],
      ["get", "other"],
      ["get", "", "--from-key"],
      ["del", "app", "--prefix"],
      ["user", "list"],
      ["user", "get", "root"],
      ["role", "add", "x"],
      ["auth", "disable"],
      ["defrag"],
      ["endpoint", "hashkv"],
      ["endpoint", "status"],
      ["alarm", "list"],
      ["alarm", "disarm"],
    ]) {
      assert.match(await fails(...ann, ...args), /permission denied/, args.join(" "));
    }
    const dir = mkdtempSync(join(tmpdir(), "etcd-raft-"));
    try {
      const save = at([cluster.endpoints[0]!], ...ann, "snapshot", "save", join(dir, "db"));
      await assert.rejects(save, /permission denied/);
    } finally {
      rmSync(dir, { recursive: true });
    }
    assert.match(await run(...ann, "user", "get", "ann"), /Roles: app/);
    assert.match(await run(...ann, "role", "get", "app"), /KV Read:/);
    assert.equal(await run(...ann, "del", "app/", "--prefix"), "1\n");
  });

  test("a lease may be revoked only by who may write its keys", async () => {
    const id = /lease (\w+) granted/.exec(await run(...root, "lease", "grant", "600"))![1]!;
    await run(...root, "put", "private", "1", `--lease=${id}`);
    assert.match(await fails(...ann, "lease", "revoke", id), /permission denied/);
    assert.match(await fails(...ann, "put", "app/a", "1", `--lease=${id}`), /permission denied/);
    assert.match(await fails(...ann, "lease", "timetolive", "--keys", id), /permission denied/);
    assert.match(await run(...ann, "lease", "timetolive", id), /granted with TTL\(600s\)/);
    assert.match(await fails(...ann, "lease", "list"), /permission denied/);
    assert.match(await fails(...ann, "lease", "keep-alive", "--once", id), /permission denied/);
    assert.match(await run(...root, "lease", "keep-alive", "--once", id), /keepalived with TTL\(600\)/);
    assert.match(await run(...root, "lease", "list"), new RegExp(id));
    assert.match(await run(...root, "lease", "revoke", id), /revoked/);
    for (const args of [
      ["lease", "grant", "60"],
      ["lease", "revoke", id],
      ["lease", "timetolive", id],
      ["lease", "list"],
      ["compact", "2"],
    ]) {
      assert.match(await fails(...args), /user name is empty/, args.join(" "));
    }
  });

  test("a watch is refused with the reason", async () => {
    assert.match(await fails(...ann, "watch", "other"), /permission denied/);
  });

  test("root administers, and what is taken away counts at once", async () => {
    assert.equal(await run(...root, "user", "list"), "ann\nroot\n");
    assert.equal(await run(...root, "role", "list"), "app\nroot\n");
    assert.match(await fails(...root, "user", "delete", "root"), /invalid auth management/);
    await run(...root, "role", "revoke-permission", "app", "shared");
    assert.match(await fails(...ann, "get", "shared"), /permission denied/);
    await run(...root, "user", "revoke-role", "ann", "app");
    assert.match(await fails(...ann, "get", "app/a"), /permission denied/);
    assert.match(await run(...root, "user", "delete", "ann"), /User ann deleted/);
    assert.match(await fails(...ann, "get", "app/a"), /authentication failed/);
  });

  test("all of it is there after a restart of a member, and off again", async () => {
    await cluster.stop(0);
    await cluster.start(0);
    assert.equal(await at([cluster.endpoints[0]!], ...root, "get", "shared"), "shared\n1\n");
    assert.match(await fails("get", "shared"), /user name is empty/);
    assert.match(await run(...root, "auth", "disable"), /Authentication Disabled/);
    assert.equal(await run("get", "shared"), "shared\n1\n");
  });
});
