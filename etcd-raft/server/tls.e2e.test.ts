import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import type { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, test } from "vitest";
import { readTls } from "../../net/tls.ts";
import { type Authority, createAuthority } from "../../pki/authority.ts";
import { revocationList } from "../../pki/testing.ts";
import { peer } from "../../tools/peers.ts";
import { EtcdClient } from "../client/client.ts";
import { type ProcessCluster, type ProcessClusterOptions, startProcessCluster } from "./testing.ts";

/** The identities of a test, as files that may be written anew. */
class Files {
  readonly dir = mkdtempSync(join(tmpdir(), "tls-"));
  path = (name: string) => join(this.dir, name);
  write = (name: string, content: string) => writeFileSync(this.path(name), content);
  read = (name: string) => readFileSync(this.path(name), "utf8");

  async issue(name: string, by: Authority, commonName = name): Promise<void> {
    const { cert, key } = await by.issue({ commonName, ipAddresses: ["127.0.0.1"], usages: ["client", "server"] });
    this.write(`${name}.key`, key);
    this.write(`${name}.crt`, cert);
  }

  tls = (name: string) =>
    readTls({ certFile: this.path(`${name}.crt`), keyFile: this.path(`${name}.key`), caFile: this.path("ca.crt") });

  flags = (prefix: "" | "peer-", name: string) => [
    `--${prefix}cert-file=${this.path(`${name}.crt`)}`,
    `--${prefix}key-file=${this.path(`${name}.key`)}`,
    `--${prefix}trusted-ca-file=${this.path("ca.crt")}`,
    `--${prefix}client-cert-auth`,
  ];

  remove = () => rmSync(this.dir, { recursive: true, force: true });
}

const shownBy = (endpoint: string, options: tls.ConnectionOptions) =>
  new Promise<X509Certificate>((resolve, reject) => {
    const { hostname, port } = new URL(endpoint);
    const socket = tls.connect({ host: hostname, port: Number(port), ...options }, () => {
      resolve(socket.getPeerX509Certificate()!);
      socket.destroy();
    });
    socket.on("error", reject);
  });

describe("mutual TLS between three members and their clients", () => {
  const files = new Files();
  let old: Authority;
  let cluster: ProcessCluster;
  beforeAll(async () => {
    old = await createAuthority("old");
    files.write("ca.crt", old.cert);
    files.write("crl.pem", await revocationList(old, []));
    for (const name of ["server", "peer", "client", "leaver"]) await files.issue(name, old);
    cluster = await startProcessCluster(3, {
      scheme: "https",
      clientTLS: files.tls("client"),
      flags: [
        ...files.flags("", "server"),
        `--client-crl-file=${files.path("crl.pem")}`,
        ...files.flags("peer-", "peer"),
        `--peer-crl-file=${files.path("crl.pem")}`,
        "--peer-cert-allowed-cn=peer",
        "--snapshot-count=50",
        "--snapshot-catchup-entries=5",
      ],
    });
  });
  afterAll(async () => {
    await cluster?.close();
    files.remove();
  });

  test("a follower that is too far behind gets the state over TLS", async () => {
    const behind = ((await cluster.leader()) + 1) % 3;
    await cluster.kill(behind, "SIGKILL");
    for (let i = 0; i < 300; i++) await cluster.client.put({ key: `k${i % 20}`, value: "v".repeat(50_000) });
    await cluster.start(behind);
    await cluster.event(behind, "SnapshotInstalled");
    const { count } = await cluster.clientOf(behind).range({ key: "k", rangeEnd: "l" });
    assert.equal(count, 20);
  });

  test.skipIf(!peer("etcdctl"))(
    "a member joins, catches up and leaves by etcdctl, all with certificates",
    async () => {
      const ctl = async (...args: string[]) => {
        const paths = ["ca.crt", "client.crt", "client.key"].map(files.path);
        const tls = ["cacert", "cert", "key"].map((flag, i) => `--${flag}=${paths[i]}`);
        const env = { ...process.env, ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: cluster.endpoints.join(",") };
        return (await promisify(execFile)(peer("etcdctl")!, [...tls, ...args], { env, timeout: 60_000 })).stdout;
      };
      /** The rules count a connection after five seconds. */
      const whenHealthy = async (...args: string[]): Promise<string> =>
        ctl(...args).catch((error: { stderr: string }) => {
          if (!error.stderr.includes("unhealthy cluster")) throw error;
          return whenHealthy(...args);
        });
      const joins = await cluster.reserve();
      const [endpoint] = cluster.endpoints.splice(joins); // not to be asked before it is there
      const added = await whenHealthy("member", "add", `m${joins}`, `--peer-urls=${cluster.peerURL(joins)}`);
      const [, id] = /Member +(\w+) added to cluster/.exec(added)!;
      assert.ok(added.includes('ETCD_INITIAL_CLUSTER_STATE="existing"'));
      cluster.endpoints.push(endpoint!);
      await cluster.start(joins);
      await cluster.event(joins, "SnapshotInstalled"); // the log no longer begins at its beginning
      assert.equal((await cluster.clientOf(joins).range({ key: "k", rangeEnd: "l" })).count, 20);
      const lines = (await ctl("member", "list")).trim().split("\n");
      assert.ok(
        lines.includes(`${id}, started, m${joins}, ${cluster.peerURL(joins)}, ${endpoint}, false`),
        lines.join("\n"),
      );
      await Promise.all(cluster.endpoints.map((_, i) => cluster.clientOf(i).range({ key: "k" }))); // all have come so far
      const hashes = JSON.parse(await ctl("endpoint", "hashkv", "-w", "json")) as { HashKV: { hash: number } }[];
      assert.equal(hashes.length, 4);
      assert.equal(new Set(hashes.map(({ HashKV }) => HashKV.hash)).size, 1);
      cluster.endpoints.pop();
      await whenHealthy("member", "remove", id!);
      await cluster.logged(joins, "the member has been permanently removed from the cluster");
    },
    120_000,
  );

  test("a client that is revoked gets no new connection, and nobody else notices", async () => {
    const leaver = () => new EtcdClient({ endpoints: [cluster.endpoints[0]!], tls: files.tls("leaver") });
    const before = leaver();
    await before.put({ key: "leaver", value: "1" });
    before.close();
    files.write("crl.pem", await revocationList(old, [files.read("leaver.crt")]));
    const after = leaver();
    try {
      await assert.rejects(after.put({ key: "leaver", value: "2" }, { timeoutMs: 1500 }));
    } finally {
      after.close();
    }
    assert.match(
      await cluster.logged(0, " revoked"),
      /certificate serial [0-9A-F]+ revoked.*Rejected a client connection/,
    );
    await cluster.client.put({ key: "stays", value: "1" });
  });

  test("all certificates and their authority are replaced while the members run", async () => {
    const next = await createAuthority("next");
    files.write("ca.crt", old.cert + next.cert); // first trust both,
    for (const name of ["server", "peer", "client"]) await files.issue(name, next); // then show the new ones,
    for (const endpoint of cluster.endpoints) {
      const { issuer } = await shownBy(endpoint, { ...files.tls("client") });
      assert.equal(issuer, "CN=next");
    }
    files.write("ca.crt", next.cert); // then forget the old.
    // A member that starts now knows only the new authority: it and the running ones must dial each other anew.
    const restarted = ((await cluster.leader()) + 1) % 3;
    await cluster.kill(restarted, "SIGKILL");
    await cluster.start(restarted);
    const fresh = new EtcdClient({ endpoints: [cluster.endpoints[restarted]!], tls: files.tls("client") });
    try {
      await fresh.put({ key: "rotated", value: "1" });
    } finally {
      fresh.close();
    }
    await files.issue("stranger", old);
    await assert.rejects(
      shownBy(cluster.endpoints[0]!, { ...files.tls("stranger"), maxVersion: "TLSv1.2" }), // where a refusal comes at once
    );
  });

  test("a half-written certificate changes nothing and is told", async () => {
    const whole = files.read("server.crt");
    files.write("server.crt", whole.slice(0, 300));
    const other = new EtcdClient({ endpoints: [cluster.endpoints[2]!], tls: files.tls("client") });
    try {
      await other.put({ key: "half", value: "1" });
    } finally {
      other.close();
    }
    await cluster.logged(2, "Cannot use the changed TLS files, keeping what was there");
    files.write("server.crt", whole);
  });

  test("a peer of another common name is kept out", async () => {
    await files.issue("peer", await createAuthority("nobody"), "peer"); // who restarts has a stranger's certificate
    const leader = await cluster.leader();
    const outsider = (leader + 1) % 3;
    await cluster.kill(outsider, "SIGKILL");
    const starting = cluster.start(outsider);
    starting.catch(() => {});
    await cluster.logged(leader, "Rejected a peer connection");
    await cluster.client.put({ key: "without", value: "1" });
  });
});

describe("certificates of their own making", () => {
  const files = new Files();
  const started: ProcessCluster[] = [];
  const start = async (size: number, flags: string[]) => {
    const options: ProcessClusterOptions = { scheme: "https", clientTLS: files.tls("any"), flags };
    started.push(await startProcessCluster(size, options));
    return started.at(-1)!;
  };
  beforeAll(async () => {
    const authority = await createAuthority("any");
    files.write("ca.crt", authority.cert);
    await files.issue("any", authority);
  });
  afterAll(async () => {
    await Promise.all(started.map((cluster) => cluster.close()));
    files.remove();
  });
  const trusting = { rejectUnauthorized: false };
  const get = (url: string, options: https.RequestOptions) =>
    new Promise<string>((resolve, reject) => {
      https
        .get(url, options, (response) => {
          let all = "";
          response.on("data", (chunk) => {
            all += chunk;
          });
          response.on("end", () => resolve(all));
        })
        .on("error", reject);
    });

  test("--auto-tls and --peer-auto-tls: https without a file, the same over a restart", async () => {
    const cluster = await start(3, ["--auto-tls", "--peer-auto-tls"]);
    const shown = await shownBy(cluster.endpoints[0]!, trusting);
    assert.ok(shown.checkIP("127.0.0.1"));
    assert.deepEqual(JSON.parse(await get(`${cluster.endpoints[0]}/health`, trusting)), { health: "true", reason: "" });
    await cluster.kill(0, "SIGTERM");
    await cluster.start(0);
    assert.equal((await shownBy(cluster.endpoints[0]!, trusting)).fingerprint256, shown.fingerprint256);
    await assert.rejects(get(`${cluster.endpoints[0]}/health`, {}), /self.signed|unable to verify/i);
  });

  test("--tls-max-version and --cipher-suites count", async () => {
    const suite = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    const cluster = await start(1, [
      ...["--auto-tls", "--peer-auto-tls"],
      ...[`--cipher-suites=${suite}`, "--tls-max-version=TLS1.2"],
    ]);
    const { hostname, port } = new URL(cluster.endpoints[0]!);
    const socket = tls.connect({ host: hostname, port: Number(port), ...trusting });
    await new Promise((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
    assert.deepEqual([socket.getProtocol(), socket.getCipher().standardName], ["TLSv1.2", suite]);
    socket.destroy();
    await assert.rejects(shownBy(cluster.endpoints[0]!, { ...trusting, minVersion: "TLSv1.3" }));
    await assert.rejects(shownBy(cluster.endpoints[0]!, { ...trusting, ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" }));
  });

  test.skipIf(!peer("etcdctl"))("etcdctl against --auto-tls", async () => {
    const cluster = await start(1, ["--auto-tls", "--peer-auto-tls"]);
    const args = [`--endpoints=${cluster.endpoints}`, "--insecure-transport=false", "--insecure-skip-tls-verify"];
    const env = { ...process.env, ETCDCTL_API: "3" };
    const { stdout } = await promisify(execFile)(peer("etcdctl")!, [...args, "put", "a", "1"], {
      env,
      timeout: 30_000,
    });
    assert.equal(stdout, "OK\n");
  });
});
