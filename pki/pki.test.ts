import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { afterAll, beforeAll, describe, test } from "vitest";
import { createAuthority, loadAuthority } from "./authority.ts";
import { writeLabCerts } from "./lab-certs.ts";

describe("a lab's certificates", () => {
  const dir = mkdtempSync(join(tmpdir(), "kubelab-pki-"));
  const spec = {
    apiserver: { dnsNames: [], ipAddresses: ["10.96.0.1", "127.100.0.221"] },
    members: [{ name: "etcd-1", ipAddresses: ["127.100.0.201"] }],
    nodes: [{ name: "node-1", ipAddresses: ["127.100.0.1"] }],
  };
  const read = (path: string) => readFileSync(join(dir, path), "utf8");
  const cert = (path: string) => new X509Certificate(read(`${path}.crt`));
  beforeAll(() => writeLabCerts(dir, spec));
  afterAll(() => rmSync(dir, { recursive: true }));

  test.each([
    ["apiserver", "ca", "CN=kube-apiserver"],
    ["apiserver-kubelet-client", "ca", "O=system:masters\nCN=kube-apiserver-kubelet-client"],
    ["controller-manager", "ca", "CN=system:kube-controller-manager"],
    ["admin", "ca", "O=system:masters\nCN=kubernetes-admin"],
    ["nodes/node-1", "ca", "O=system:nodes\nCN=system:node:node-1"],
    ["nodes/node-1-proxy", "ca", "CN=system:kube-proxy"],
    ["etcd/etcd-1", "etcd/ca", "CN=etcd-1"],
    ["front-proxy-client", "front-proxy-ca", "CN=front-proxy-client"],
  ])("%s is signed by %s and carries its identity", (path, authority, subject) => {
    assert.equal(cert(path).subject, subject);
    assert.ok(cert(path).checkIssued(cert(authority)) && cert(path).verify(cert(authority).publicKey));
  });

  test("the apiserver answers to its names and addresses", () => {
    for (const name of ["kubernetes.default.svc", "localhost"]) assert.ok(cert("apiserver").checkHost(name));
    for (const ip of ["127.0.0.1", "10.96.0.1", "127.100.0.221"]) assert.ok(cert("apiserver").checkIP(ip));
    assert.equal(cert("apiserver").checkIP("127.100.0.222"), undefined);
  });

  test("keys are for their owner only, and a second run changes nothing", async () => {
    assert.equal(statSync(join(dir, "ca.key")).mode & 0o777, 0o600);
    const before = [read("ca.crt"), read("nodes/node-1.key"), read("sa.pub")];
    await writeLabCerts(dir, { ...spec, nodes: [...spec.nodes, { name: "node-2", ipAddresses: [] }] });
    assert.deepEqual([read("ca.crt"), read("nodes/node-1.key"), read("sa.pub")], before);
    assert.ok(cert("nodes/node-2").verify(cert("ca").publicKey));
  });

  test("mutual TLS: the right authority is accepted, a stranger's certificate is not", async () => {
    const stranger = await (await createAuthority("stranger")).issue({ commonName: "x", usages: ["client"] });
    const reloaded = await loadAuthority({ cert: read("ca.crt"), key: read("ca.key") });
    const known = await reloaded.issue({ commonName: "known", organizations: ["a", "b"], usages: ["client"] });
    const identity = { cert: read("nodes/node-1.crt"), key: read("nodes/node-1.key"), ca: read("ca.crt") };
    const server = tls.createServer({ ...identity, requestCert: true, rejectUnauthorized: true }, (socket) => {
      const { CN, O } = socket.getPeerCertificate().subject as unknown as { CN: string; O: string[] };
      socket.end(JSON.stringify({ CN, O }));
    });
    server.on("tlsClientError", () => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const dial = (pair: { cert: string; key: string }) =>
      new Promise<string>((resolve, reject) => {
        const { port } = server.address() as AddressInfo;
        const socket = tls.connect({ port, host: "127.0.0.1", servername: "node-1", ca: identity.ca, ...pair });
        let text = "";
        socket.on("data", (chunk) => {
          text += chunk;
        });
        socket.on("error", reject);
        socket.on("close", () => (text ? resolve(text) : reject(new Error("closed without an answer"))));
      });
    try {
      assert.deepEqual(JSON.parse(await dial(known)), { CN: "known", O: ["a", "b"] });
      await assert.rejects(dial(stranger));
    } finally {
      server.close();
    }
  });
});
