import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, test } from "vitest";
import { listenHere } from "../../base/outside.ts";
import { GrpcClient } from "../../net/grpc-client.ts";
import type { TlsMaterial } from "../../net/tls.ts";
import { createAuthority } from "../../pki/authority.ts";
import { AuthService, KVService } from "../../proto/generated/etcdserverpb.ts";
import { peer } from "../../tools/peers.ts";
import { EtcdClient } from "../client/client.ts";
import { freePorts, type ProcessCluster, startProcessCluster } from "./testing.ts";

/** Runs one member until it ends by itself. */
async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return promisify(execFile)(process.execPath, ["dist/etcd-raft.mjs", ...args], { timeout: 30_000 }).then(
    (out) => ({ code: 0, ...out }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  );
}

describe("the process", () => {
  let dir: string;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), "etcd-raft-"));
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  const alone = async (name: string, ...more: string[]) => {
    const [client, peerPort] = await freePorts(2);
    return [
      `--data-dir=${join(dir, name)}`,
      `--listen-client-urls=http://127.0.0.1:${client}`,
      `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
      ...more,
    ];
  };

  test("--version begins as etcd's", async () => {
    assert.match((await run("--version")).stdout, /^etcd Version: 3\.6\.\d+\n/);
  });

  test("a bad flag is one line and exit code 2", async () => {
    const { code, stderr } = await run("--no-such-flag=1");
    assert.equal(code, 2);
    assert.match(stderr, /^[^\n]*--no-such-flag[^\n]*\n$/);
  });

  test("a taken address is one line that names flag and address", async () => {
    const taken = await listenHere("127.0.0.1", 0);
    try {
      const { port } = taken.address() as { port: number };
      const { code, stderr } = await run(...(await alone("taken")), `--listen-client-urls=http://127.0.0.1:${port}`);
      assert.equal(code, 1);
      assert.equal(stderr, `--listen-client-urls: cannot listen on 127.0.0.1:${port}: EADDRINUSE\n`);
    } finally {
      await new Promise((resolve) => taken.close(resolve));
    }
  });

  test("a data directory that cannot be is one line that names it", async () => {
    writeFileSync(join(dir, "file"), "");
    const { code, stderr } = await run(...(await alone("file")));
    assert.equal(code, 1);
    assert.match(stderr, /^--data-dir=\S+\/file: ENOTDIR[^\n]*\n$/);
  });

  test("a restart goes by what is on disk, whatever the flags say of the cluster", async () => {
    const args = await alone("mine", "--log-level=info");
    const memberOf = async (...flags: string[]) => {
      const child = spawn(process.execPath, ["dist/etcd-raft.mjs", ...args, ...flags]);
      const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
      let log = "";
      await new Promise<void>((resolve, reject) => {
        child.stderr.on("data", (chunk) => {
          log += `${chunk}`;
          if (log.includes("ready to serve client requests")) resolve();
        });
        void exited.then((code) => reject(new Error(`it ended with ${code}: ${log}`)));
      });
      child.kill("SIGTERM");
      assert.equal(await exited, 0);
      return /"member":"(\w+)"/.exec(log)![1];
    };
    const first = await memberOf();
    assert.equal(await memberOf("--initial-cluster-token=other"), first);
    assert.equal(await memberOf("--initial-cluster=other=http://127.0.0.1:1"), first);
  });

  test("nobody to ask is one line for a member that is to join", async () => {
    const { code, stderr } = await run(
      ...(await alone("joins")),
      "--name=joins",
      "--initial-advertise-peer-urls=http://127.0.0.1:2",
      "--initial-cluster=joins=http://127.0.0.1:2,other=http://127.0.0.1:1",
      "--initial-cluster-state=existing",
    );
    assert.equal(code, 1);
    assert.match(stderr, /^cannot fetch cluster info from peer urls http:\/\/127\.0\.0\.1:1: [^\n]*\n$/);
  });
});

describe("with TLS and client certificates, and an address outside", () => {
  let dir: string;
  let cluster: ProcessCluster;
  let client: TlsMaterial;
  let root: TlsMaterial;
  let outside: number;
  let metrics: number;
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "etcd-raft-"));
    const authority = await createAuthority("etcd");
    const write = async (name: string) => {
      const pair = await authority.issue({
        commonName: name,
        ipAddresses: ["127.0.0.1"],
        usages: ["client", "server"],
      });
      writeFileSync(join(dir, `${name}.crt`), pair.cert);
      writeFileSync(join(dir, `${name}.key`), pair.key);
      return { cert: Buffer.from(pair.cert), key: Buffer.from(pair.key), ca: Buffer.from(authority.cert) };
    };
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, "ca.crt"), authority.cert);
    await write("server");
    client = await write("client");
    root = await write("root");
    [outside, metrics] = (await freePorts(2)) as [number, number];
    const files = (prefix: string) => [
      `--${prefix}cert-file=${join(dir, "server.crt")}`,
      `--${prefix}key-file=${join(dir, "server.key")}`,
      `--${prefix}trusted-ca-file=${join(dir, "ca.crt")}`,
      `--${prefix}client-cert-auth`,
    ];
    cluster = await startProcessCluster(3, {
      scheme: "https",
      clientTLS: client,
      flags: (i) => [
        ...files(""),
        ...files("peer-"),
        ...(i === 0
          ? [`--listen-outside=127.0.0.1:${outside}`, `--listen-metrics-urls=http://127.0.0.1:${metrics}`]
          : []),
      ],
    });
  });
  afterAll(async () => {
    await cluster?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  test("members and clients with a certificate of the authority talk", async () => {
    for (const [i] of cluster.endpoints.entries()) await cluster.clientOf(i).put({ key: `tls/${i}`, value: "1" });
    assert.equal((await cluster.client.range({ key: "tls/", rangeEnd: "tls0" })).count, 3);
  });

  test("without one, or with one of another authority, there is no connection", async () => {
    const other = await createAuthority("other");
    const pair = await other.issue({ commonName: "x", usages: ["client"] });
    const stranger = new EtcdClient({
      endpoints: [cluster.endpoints[0]!],
      tls: { cert: Buffer.from(pair.cert), key: Buffer.from(pair.key), ca: client.ca },
    });
    try {
      await assert.rejects(stranger.put({ key: "a" }, { timeoutMs: 1500 }));
    } finally {
      stranger.close();
    }
  });

  test("the address outside serves the same", async () => {
    const other = new EtcdClient({ endpoints: [`https://127.0.0.1:${outside}`], tls: client });
    try {
      assert.equal((await other.range({ key: "tls/", rangeEnd: "tls0" })).count, 3);
    } finally {
      other.close();
    }
  });

  test("/health, /version and /metrics speak as etcd's", async () => {
    const get = async (path: string) => (await fetch(`http://127.0.0.1:${metrics}${path}`)).text();
    assert.deepEqual(JSON.parse(await get("/health")), { health: "true", reason: "" });
    assert.match(JSON.parse(await get("/version")).etcdserver, /^3\.6\./);
    const text = await get("/metrics");
    assert.match(text, /^etcd_server_has_leader 1$/m);
    assert.match(text, /^etcd_disk_wal_fsync_duration_seconds_count [1-9]\d*$/m);
    assert.match(text, /^process_resident_memory_bytes \d+$/m);
  });

  test("HTTP/1.1 over TLS on the client port", async () => {
    const url = `${cluster.endpoints[0]}/v3/kv/range`;
    const body = JSON.stringify({ key: Buffer.from("tls/0").toString("base64") });
    const text = await new Promise<string>((resolve, reject) => {
      const request = https.request(url, { method: "POST", ...client }, (response) => {
        let all = "";
        response.on("data", (chunk) => {
          all += chunk;
        });
        response.on("end", () => resolve(all));
      });
      request.on("error", reject);
      request.end(body);
    });
    assert.equal(JSON.parse(text).count, "1");
  });

  test("a client certificate's name is the user", async () => {
    const [asRoot, asClient] = [root, client].map(
      (tls) => new GrpcClient(cluster.endpoints[1]!.replace("https://", ""), { tls }),
    ) as [GrpcClient, GrpcClient];
    try {
      const options = { noPassword: true };
      for (const name of ["root", "client"]) await asRoot.unary(AuthService.UserAdd, { name, options });
      await asRoot.unary(AuthService.RoleAdd, { name: "root" });
      await asRoot.unary(AuthService.UserGrantRole, { user: "root", role: "root" });
      await asRoot.unary(AuthService.AuthEnable, {});
      const put = { key: Buffer.from("cn"), value: Buffer.from("1") };
      await asRoot.unary(KVService.Put, put);
      await assert.rejects(asClient.unary(KVService.Put, put), { message: "etcdserver: permission denied" });
      await assert.rejects(asClient.unary(AuthService.AuthDisable, {}), { message: "etcdserver: permission denied" });
      await asRoot.unary(AuthService.AuthDisable, {});
      await asClient.unary(KVService.Put, put);
    } finally {
      asRoot.close();
      asClient.close();
    }
  });

  test.skipIf(!peer("etcdctl"))("etcdctl with certificates", async () => {
    const args = [
      `--endpoints=${cluster.endpoints.join(",")}`,
      `--cacert=${join(dir, "ca.crt")}`,
      `--cert=${join(dir, "client.crt")}`,
      `--key=${join(dir, "client.key")}`,
      "endpoint",
      "health",
    ];
    const env = { ...process.env, ETCDCTL_API: "3" };
    const { stderr } = await promisify(execFile)(peer("etcdctl")!, args, { env, timeout: 30_000 });
    assert.equal(stderr.match(/is healthy/g)?.length ?? 0, 3, stderr);
  });
});
