import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, test } from "vitest";
import { EtcdClient } from "../etcd-raft/client/client.ts";
import { startTestMember } from "../etcd-raft/server/testing.ts";
import { writeLabCerts } from "../pki/lab-certs.ts";
import { call, type TestRequest } from "./http.testing.ts";
import type { TestApiserver } from "./testing.ts";

/** The process with its flags: tokens, ABAC, audit and encryption from files. */
const dir = mkdtempSync(join(tmpdir(), "flags-"));
const file = (name: string, text?: string) => {
  if (text !== undefined) writeFileSync(join(dir, name), text);
  return join(dir, name);
};
let store: Awaited<ReturnType<typeof startTestMember>>;
let running: ChildProcess | undefined;
let base: string[];

beforeAll(async () => {
  store = await startTestMember();
  await writeLabCerts(dir, { apiserver: { dnsNames: [], ipAddresses: [] }, members: [], nodes: [] });
  base = [
    "dist/apiserver.mjs",
    `--etcd-servers=${store.endpoint}`,
    "--bind-address=127.0.0.1",
    "--secure-port=0",
    "--grpc-port=0",
    "--allow-loopback-endpoints",
    `--client-ca-file=${file("ca.crt")}`,
    `--tls-cert-file=${file("apiserver.crt")}`,
    `--tls-private-key-file=${file("apiserver.key")}`,
  ];
});
afterAll(async () => {
  if (running?.exitCode === null) {
    running.kill("SIGTERM");
    await once(running, "exit");
  }
  await store?.close();
  rmSync(dir, { recursive: true, force: true });
});

test("each file does what it is for", async () => {
  const abac = { user: "stefan", namespace: "default", resource: "configmaps", readonly: true };
  const child = spawn(process.execPath, [
    ...base,
    "--service-account-issuer=https://issuer.example",
    `--service-account-key-file=${file("sa.pub")}`,
    `--service-account-signing-key-file=${file("sa.key")}`,
    `--token-auth-file=${file("tokens.csv", "secret,stefan,1\n")}`,
    `--requestheader-client-ca-file=${file("front-proxy-ca.crt")}`,
    "--authorization-mode=Node,RBAC,ABAC",
    `--authorization-policy-file=${file("abac", JSON.stringify({ apiVersion: "abac.authorization.kubernetes.io/v1beta1", kind: "Policy", spec: abac }))}`,
    `--audit-policy-file=${file("audit.yaml", "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{ level: Metadata, users: [stefan] }]\n")}`,
    `--audit-log-path=${file("audit.log")}`,
    `--encryption-provider-config=${file(
      "encryption.yaml",
      `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers: [{ aesgcm: { keys: [{ name: k1, secret: ${Buffer.alloc(32, 7).toString("base64")} }] } }]
`,
    )}`,
  ]);
  running = child;
  let port = 0;
  for await (const line of createInterface({ input: child.stderr! })) {
    const entry = JSON.parse(line);
    if (entry.msg === "Serving securely") port = entry.securePort;
    if (entry.msg === "Ready") break;
  }
  const admin = {
    cert: readFileSync(file("admin.crt")),
    key: readFileSync(file("admin.key")),
    ca: readFileSync(file("ca.crt")),
  };
  const server = { url: `https://127.0.0.1:${port}`, certs: { admin } } as unknown as TestApiserver;
  const stefan: TestRequest = { cert: null, headers: { authorization: "Bearer secret" } };
  const namespace = "/api/v1/namespaces/default";

  assert.equal((await call(server, `${namespace}/configmaps`, stefan)).code, 200);
  assert.match(
    (await call(server, `${namespace}/secrets`, stefan)).json.message,
    /^secrets is forbidden: User "stefan" cannot list resource "secrets" .*: No policy matched.$/,
  );
  const events = readFileSync(file("audit.log"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    events
      .filter(({ stage }) => stage === "ResponseComplete")
      .map(({ objectRef, responseStatus }) => [objectRef.resource, responseStatus.code]),
    [
      ["configmaps", 200],
      ["secrets", 403],
    ],
  );

  const body = { apiVersion: "v1", kind: "Secret", metadata: { name: "s" }, stringData: { a: "b" } };
  assert.equal((await call(server, `${namespace}/secrets`, { method: "POST", body })).code, 201);
  const etcd = new EtcdClient({ endpoints: [store.endpoint] });
  const { kvs } = await etcd.range({ key: "/registry/secrets/default/s" });
  etcd.close();
  assert.match(Buffer.from(kvs[0]!.value).toString("latin1"), /^k8s:enc:aesgcm:v1:k1:/);

  const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "robot" } };
  await call(server, `${namespace}/serviceaccounts`, { method: "POST", body: account });
  const ask = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} };
  const { json } = await call(server, `${namespace}/serviceaccounts/robot/token`, { method: "POST", body: ask });
  const robot = { cert: null, headers: { authorization: `Bearer ${json.status.token}` } };
  assert.equal((await call(server, "/.well-known/openid-configuration", robot)).json.issuer, "https://issuer.example");
  const published = await call(server, "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication");
  assert.equal(published.json.data["requestheader-client-ca-file"], readFileSync(file("front-proxy-ca.crt"), "utf8"));
});

test.each([
  ["--authorization-mode=Nobody", /authorizers\[0\]\.type: Unsupported value: "Nobody"/],
  ["--authorization-mode=ABAC", /--authorization-policy-file is required/],
  ["--token-auth-file=/nowhere", /ENOENT.*\/nowhere/],
  [
    `--encryption-provider-config=${file("bad.yaml", "kind: Other")}`,
    /no apiserver.config.k8s.io\/v1 EncryptionConfiguration/,
  ],
])("%s is refused in one line", async (flag, message) => {
  const child = spawn(process.execPath, [...base, flag]);
  let said = "";
  child.stderr.on("data", (bytes) => (said += bytes));
  const [code] = await once(child, "exit");
  assert.notEqual(code, 0);
  assert.match(said, message);
});
