import "reflect-metadata";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { promisify } from "node:util";
import * as x509 from "@peculiar/x509";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { call, TestWatch } from "../../apiserver/http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../../apiserver/testing.ts";
import { systemClock } from "../../base/clock.ts";
import { silentLogger } from "../../base/logger.ts";
import { systemRand } from "../../base/rand.ts";
import { createGrpcClient } from "../../client/grpc-client.ts";
import { peer } from "../../tools/peers.ts";
import { ControllerContext } from "../context.ts";
import { certificatesController } from "./controller.ts";
import { reconcile, type State } from "./reconcile.ts";

async function requestPem(name: string, extensions: x509.Extension[] = []): Promise<string> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const made = { name, keys, signingAlgorithm: algorithm, extensions };
  return (await x509.Pkcs10CertificateRequestGenerator.create(made as never)).toString("pem");
}

const sans = (...names: x509.JsonGeneralName[]) => [new x509.SubjectAlternativeNameExtension(names)];
const nodeName = "O=system:nodes, CN=system:node:n1";
const client = "kubernetes.io/kube-apiserver-client";
const kubelet = "kubernetes.io/kube-apiserver-client-kubelet";
const serving = "kubernetes.io/kubelet-serving";
const now = Date.parse("2026-01-02T00:00:00Z");
const hour = 3_600_000;
const at = (ms: number) => new Date(ms).toISOString();

describe("what becomes of a request", async () => {
  const plain = await requestPem("CN=jane, O=dev");
  const node = await requestPem(nodeName);
  const dns = await requestPem(nodeName, sans({ type: "dns", value: "n1" }));
  const uri = await requestPem(nodeName, sans({ type: "dns", value: "n1" }, { type: "url", value: "a://b" }));
  const other = await requestPem("O=system:nodes, CN=n1");
  const kubeletUsages = ["client auth", "digital signature"];
  const servingUsages = ["server auth", "digital signature", "key encipherment"];
  const decided = (type: string, age = 0) => ({ type, status: "True", lastUpdateTime: at(now - age) });
  const approved = [decided("Approved")];
  const rows: [string, string, string, string[], object, string][] = [
    ["a client's waits for somebody to approve it", plain, client, ["client auth"], {}, "RequeueAfter"],
    ["a client's that is approved is signed", plain, client, ["client auth"], { conditions: approved }, "Sign"],
    [
      "a client's for a server fails",
      plain,
      client,
      ["server auth"],
      { conditions: approved },
      "invalid usage for client certificate: server auth",
    ],
    [
      "a client's for nothing in particular fails",
      plain,
      client,
      ["digital signature"],
      { conditions: approved },
      "missing required usage for client certificate: client auth",
    ],
    ["a kubelet's is looked at twice", node, kubelet, kubeletUsages, {}, "Review,RequeueAfter"],
    ["a kubelet's with names is nobody's business", dns, kubelet, kubeletUsages, {}, "RequeueAfter"],
    [
      "a kubelet's with names fails when approved",
      dns,
      kubelet,
      kubeletUsages,
      { conditions: approved },
      "DNS subjectAltNames are not allowed",
    ],
    [
      "a kubelet's of another group fails",
      plain,
      kubelet,
      kubeletUsages,
      { conditions: approved },
      "subject organization is not system:nodes",
    ],
    [
      "a kubelet's of another name fails",
      other,
      kubelet,
      kubeletUsages,
      { conditions: approved },
      "subject common name does not begin with system:node:",
    ],
    [
      "a kubelet's for too much fails",
      node,
      kubelet,
      [...kubeletUsages, "server auth"],
      { conditions: approved },
      "usages did not match [client auth digital signature key encipherment]",
    ],
    ["a serving kubelet's is approved by people only", dns, serving, servingUsages, {}, "RequeueAfter"],
    ["a serving kubelet's is signed", dns, serving, servingUsages, { conditions: approved }, "Sign"],
    [
      "a serving kubelet's without names fails",
      node,
      serving,
      servingUsages,
      { conditions: approved },
      "DNS or IP subjectAltName is required",
    ],
    [
      "a serving kubelet's with a URI fails",
      uri,
      serving,
      servingUsages,
      { conditions: approved },
      "URI subjectAltNames are not allowed",
    ],
    [
      "a legacy one is signed whatever it is",
      plain,
      "kubernetes.io/legacy-unknown",
      ["any"],
      { conditions: approved },
      "Sign",
    ],
    ["another signer's is left alone", plain, "example.com/signer", ["any"], { conditions: approved }, ""],
    [
      "one that is denied goes after an hour",
      plain,
      client,
      ["client auth"],
      { conditions: [decided("Denied", hour + 1)] },
      "Delete",
    ],
    [
      "one that is signed goes after an hour",
      plain,
      client,
      ["client auth"],
      { conditions: [decided("Approved", hour + 1)], certificate: "AA==" },
      "Delete",
    ],
    [
      "one that failed stays for an hour",
      plain,
      client,
      ["client auth"],
      { conditions: [...approved, decided("Failed", hour - 1)] },
      "RequeueAfter",
    ],
  ];
  test.each(rows)("%s", (_, pem, signerName, usages, status, wanted) => {
    const spec = { request: Buffer.from(pem).toString("base64"), signerName, usages, username: "system:node:n1" };
    const metadata = { name: "r", creationTimestamp: at(now - hour) };
    const actions = reconcile({ request: { metadata, spec, status } as never, now, longest: 3600 });
    const failed = actions.find((action) => action.type === "Fail");
    expect(failed ? failed.message : actions.map(({ type }) => type).join()).toBe(wanted);
  });

  test("an expiry is kept within ten minutes and the longest", () => {
    const spec = { request: Buffer.from(plain).toString("base64"), signerName: client, usages: ["client auth"] };
    const seconds = (expirationSeconds?: number) => {
      const request = {
        metadata: { name: "r" },
        spec: { ...spec, expirationSeconds },
        status: { conditions: approved },
      };
      const [action] = reconcile({ request, now, longest: 7200 } as unknown as State);
      return action?.type === "Sign" && action.seconds;
    };
    expect([seconds(), seconds(60), seconds(3000), seconds(99999)]).toEqual([7200, 600, 3000, 7200]);
  });

  test("what nobody decides goes after a day", () => {
    const request = { metadata: { creationTimestamp: at(now - 24 * hour - 1) }, spec: {}, status: {} };
    expect(reconcile({ request, now, longest: 1 } as unknown as State)).toEqual([{ type: "Delete" }]);
  });
});

describe("with an apiserver", () => {
  let server: TestApiserver;
  const stopping = new AbortController();
  let running: Promise<unknown>;
  const path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
  const kubectlPath = peer("kubectl");
  const kubectl = async (...args: string[]) =>
    (await promisify(execFile)(kubectlPath!, ["--kubeconfig", server.kubeconfig, ...args])).stdout;

  beforeAll(async () => {
    server = await startTestApiserver();
    const grpc = createGrpcClient({ servers: [server.grpcAddress], tls: server.certs.controllerManager });
    const context = new ControllerContext({ client: grpc, clock: systemClock, rand: systemRand, log: silentLogger });
    const controller = certificatesController(context, {
      signing: { authority: server.authority, longestSeconds: 3600 },
    });
    const { synced, ended } = context.startInformers(stopping.signal);
    await synced;
    running = Promise.all([ended, controller.run(stopping.signal)]).then(() => grpc.close());
  });

  afterAll(async () => {
    stopping.abort();
    await running;
    await server.close();
  });

  const make = async (
    name: string,
    pem: string,
    signerName: string,
    usages: string[],
    more: object = {},
    cert = server.certs.admin,
  ) => {
    const spec = { request: Buffer.from(pem).toString("base64"), signerName, usages, ...more };
    const created = await call(server, path, { method: "POST", body: { metadata: { name }, spec }, cert });
    assert.equal(created.code, 201, created.text);
  };

  const certificateOf = async (name: string) => {
    const watch = new TestWatch(server, `${path}?watch=true&fieldSelector=metadata.name%3D${name}`);
    await watch.until(() => watch.events.some(({ object }) => object.status?.certificate));
    watch.close();
    const { status } = watch.events.find(({ object }) => object.status?.certificate)!.object;
    return { status, certificate: new X509Certificate(Buffer.from(status.certificate, "base64")) };
  };

  test("a node that asks for its own client certificate gets it", async () => {
    const binding = {
      metadata: { name: "auto" },
      roleRef: { kind: "ClusterRole", name: "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient" },
      subjects: [{ kind: "Group", name: "system:nodes" }],
    };
    await call(server, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", { method: "POST", body: binding });
    const usages = ["client auth", "digital signature"];
    await make(
      "own",
      await requestPem(nodeName),
      kubelet,
      usages,
      { expirationSeconds: 1200 },
      await server.certs.node("n1"),
    );
    const { status, certificate } = await certificateOf("own");
    const [{ reason, message }] = status.conditions;
    assert.equal(reason, "AutoApproved");
    assert.equal(message, "Auto approving self kubelet client certificate after SubjectAccessReview.");
    assert.ok(certificate.checkIssued(new X509Certificate(server.authority.cert)));
    assert.ok(certificate.verify(new X509Certificate(server.authority.cert).publicKey));
    assert.equal(certificate.subject, "O=system:nodes\nCN=system:node:n1");
    assert.deepEqual(certificate.keyUsage, ["1.3.6.1.5.5.7.3.2"]);
    const seconds = (Date.parse(certificate.validTo) - Date.parse(certificate.validFrom)) / 1000;
    assert.ok(Math.abs(seconds - 1500) <= 1, `${seconds}`);
  });

  test.skipIf(!kubectlPath)("kubectl certificate approve and deny decide", async () => {
    const usages = ["server auth", "digital signature"];
    const names = sans({ type: "dns", value: "n1.example.com" }, { type: "ip", value: "10.0.0.1" });
    await make("yes", await requestPem(nodeName, names), serving, usages);
    await make("no", await requestPem("CN=jane"), client, ["client auth"]);
    await kubectl("certificate", "deny", "no");
    assert.match(
      await kubectl("certificate", "approve", "yes"),
      /certificatesigningrequest.certificates.k8s.io\/yes approved/,
    );
    const { certificate } = await certificateOf("yes");
    assert.equal(certificate.subjectAltName, "DNS:n1.example.com, IP Address:10.0.0.1");
    const table = await kubectl("get", "csr");
    assert.match(table, /yes +.* Approved,Issued/);
    assert.match(table, /no +.* Denied/);
  });

  test("the certificate that a person gets opens the door", async () => {
    const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
    const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const csr = await x509.Pkcs10CertificateRequestGenerator.create({
      name: "CN=jane",
      keys,
      signingAlgorithm: algorithm,
    } as never);
    await make("jane", csr.toString("pem"), client, ["client auth"]);
    const { json } = await call(server, `${path}/jane`);
    json.status = { conditions: [{ type: "Approved", status: "True", reason: "x", message: "y" }] };
    assert.equal((await call(server, `${path}/jane/approval`, { method: "PUT", body: json })).code, 200);
    const { status } = await certificateOf("jane");
    const key = Buffer.from(
      x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY"),
    );
    const cert = { ...server.certs.admin, cert: Buffer.from(status.certificate, "base64"), key };
    const answer = await call(server, "/api/v1/nodes", { cert });
    assert.equal((await call(server, `${path}/jane`)).json.spec.username, "kubernetes-admin");
    assert.match(answer.json.message, /User "jane" cannot list resource "nodes"/);
  });
});
