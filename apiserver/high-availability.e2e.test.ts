import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, test } from "vitest";
import { Cluster, defaultTimers, ourStore } from "../bench/members.ts";
import { freePorts } from "../bench/process.ts";
import type { TlsMaterial } from "../net/tls.ts";
import { createAuthority } from "../pki/authority.ts";
import { peer } from "../tools/peers.ts";
import { call, configMap } from "./http.testing.ts";
import { startTestApiserver, type TestApiserver } from "./testing.ts";

interface Store {
  endpoints: string[];
  tls?: TlsMaterial;
  close(): Promise<void>;
}

const maps = "/api/v1/namespaces/default/configmaps";
const endpoints = async (server: TestApiserver) => {
  const { json } = await call(server, "/api/v1/namespaces/default/endpoints/kubernetes");
  return json.subsets.flatMap(({ addresses }: { addresses: { ip: string }[] }) => addresses.map(({ ip }) => ip));
};

/** Debian's etcd with mutual TLS towards its clients. */
async function realEtcd(path: string): Promise<Store> {
  const dir = mkdtempSync(join(tmpdir(), "real-etcd-"));
  const authority = await createAuthority("etcd-ca");
  const member = await authority.issue({ commonName: "m", ipAddresses: ["127.0.0.1"], usages: ["server", "client"] });
  const client = await authority.issue({ commonName: "apiserver", usages: ["client"] });
  const file = (name: string, text: string) => {
    writeFileSync(join(dir, name), text, { mode: 0o600 });
    return join(dir, name);
  };
  const [clientPort, peerPort] = await freePorts(2);
  const url = `https://127.0.0.1:${clientPort}`;
  const child: ChildProcess = spawn(path, [
    "--name=m",
    `--data-dir=${join(dir, "data")}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
    `--initial-advertise-peer-urls=http://127.0.0.1:${peerPort}`,
    `--initial-cluster=m=http://127.0.0.1:${peerPort}`,
    `--cert-file=${file("m.crt", member.cert)}`,
    `--key-file=${file("m.key", member.key)}`,
    `--trusted-ca-file=${file("ca.crt", authority.cert)}`,
    "--client-cert-auth",
  ]);
  const over = once(child, "exit");
  const close = async () => {
    child.kill("SIGKILL");
    await over;
    rmSync(dir, { recursive: true, force: true });
  };
  for await (const line of createInterface({ input: child.stderr! }))
    if (line.includes("ready to serve")) {
      child.stderr!.resume();
      const tls = { cert: Buffer.from(client.cert), key: Buffer.from(client.key), ca: Buffer.from(authority.cert) };
      return { endpoints: [url], tls, close };
    }
  await close();
  throw new Error("etcd ended");
}

const over = new AbortController();
afterAll(() => over.abort());

async function threeMembers(): Promise<Store & { cluster: Cluster }> {
  const cluster = await Cluster.start(ourStore(defaultTimers), { signal: over.signal });
  return { cluster, endpoints: cluster.targets.map((target) => `http://${target}`), close: () => cluster.stop() };
}

const etcd = peer("etcd");
const stores: [string, (() => Promise<Store>) | undefined][] = [
  ["three members of ours", threeMembers],
  ["Debian's etcd with mutual TLS", etcd === undefined ? undefined : () => realEtcd(etcd)],
];

for (const [name, start] of stores)
  describe.skipIf(start === undefined)(`two apiservers over ${name}`, () => {
    let store: Store;
    const servers: TestApiserver[] = [];
    beforeAll(async () => {
      store = await start!();
      const options = { etcdEndpoints: store.endpoints, ...(store.tls ? { etcdTls: store.tls } : {}) };
      servers.push(await startTestApiserver(options));
      servers.push(await startTestApiserver({ ...options, advertiseAddress: "127.0.0.2" }));
    });
    afterAll(async () => {
      for (const server of servers) await server.close();
      await store?.close();
    });

    test("what one has answered, the other reads at once, from its cache", async () => {
      const [one, other] = servers as [TestApiserver, TestApiserver];
      for (let i = 0; i < 100; i++) {
        const created = await call(one, maps, { method: "POST", body: configMap(`m${i}`) });
        assert.equal(created.code, 201, created.text);
        // A write of somebody else, which raises the revision and is no object of ours.
        if (i % 10 === 0) await one.etcd.put({ key: "foreign", value: `${i}` });
        const read = await call(other, `${maps}/m${i}`);
        assert.equal(read.code, 200, read.text);
        assert.equal(read.json.metadata.resourceVersion, created.json.metadata.resourceVersion);
        const { items } = (await call(other, maps)).json;
        assert.equal(
          items.filter(({ metadata }: { metadata: { name: string } }) => /^m\d/.test(metadata.name)).length,
          i + 1,
        );
      }
    });

    test("the Service kubernetes leads to both, and to one when the other has ended", async () => {
      const [one, other] = servers as [TestApiserver, TestApiserver];
      assert.deepEqual(await endpoints(one), ["127.0.0.1", "127.0.0.2"]);
      const { json } = await call(one, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes");
      assert.deepEqual(
        json.endpoints.flatMap(({ addresses }: { addresses: string[] }) => addresses),
        ["127.0.0.1", "127.0.0.2"],
      );
      servers.pop();
      await other.close();
      assert.deepEqual(await endpoints(one), ["127.0.0.1"]);
    });
  });

test("while the leader is killed, every create is answered once with 201, and each is there", async () => {
  const { cluster, ...store } = await threeMembers();
  const server = await startTestApiserver({ etcdEndpoints: store.endpoints });
  try {
    const total = 300;
    const refused: string[] = [];
    let next = 0;
    const writer = async () => {
      while (next < total) {
        const name = `w${next++}`;
        const answer = await call(server, maps, { method: "POST", body: configMap(name) });
        if (answer.code !== 201) refused.push(`${name}: ${answer.text}`);
        if (name === `w${total / 3}`) await cluster.end(await cluster.leader(), "SIGKILL");
      }
    };
    await Promise.all(Array.from({ length: 8 }, writer));
    assert.deepEqual(refused, []);
    const { items } = (await call(server, maps)).json;
    const names = items.map(({ metadata }: { metadata: { name: string } }) => metadata.name);
    assert.equal(names.filter((name: string) => /^w\d/.test(name)).length, total);
  } finally {
    await server.close();
    await store.close();
  }
});
