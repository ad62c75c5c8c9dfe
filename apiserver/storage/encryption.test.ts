import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { describe, test } from "vitest";
import { call } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";
import { Encryption } from "./encryption.ts";

const secret = (fill: number, length = 32) => Buffer.alloc(length, fill).toString("base64");
const config = (...providers: string[]) =>
  `{kind: EncryptionConfiguration, apiVersion: apiserver.config.k8s.io/v1, resources: [{resources: [secrets, "*.apps"], providers: [${providers.join(", ")}]}]}`;
const provider = (name: string, ...keys: [string, number][]) =>
  `{${name}: {keys: [${keys.map(([key, fill]) => `{name: ${key}, secret: ${secret(fill)}}`).join(", ")}]}}`;
const secrets = { group: "", resource: "secrets" };
const key = "/registry/secrets/default/s";

describe.each(["aescbc", "aesgcm"])("%s", (name) => {
  const text = Buffer.from('{"kind":"Secret"}');
  const one = new Encryption(config(provider(name, ["k1", 1]), "{identity: {}}")).of(secrets)!;

  test("what is written is read again, and is never the same twice", () => {
    const sealed = one.toStore(key, text);
    assert.ok(sealed.toString("latin1").startsWith(`k8s:enc:${name}:v1:k1:`));
    assert.ok(!sealed.includes("Secret") && !sealed.equals(one.toStore(key, text)));
    assert.deepEqual(one.fromStore(key, sealed), { value: text, stale: false });
  });

  test("what was there before is read, and is stale", () => {
    assert.deepEqual(one.fromStore(key, text), { value: text, stale: true });
    const two = new Encryption(config(provider(name, ["k2", 2], ["k1", 1]))).of(secrets)!;
    assert.deepEqual(two.fromStore(key, one.toStore(key, text)), { value: text, stale: true });
  });

  test("with the wrong key, or damaged, it is not read", () => {
    const other = new Encryption(config(provider(name, ["k1", 9]))).of(secrets)!;
    const unknown = new Encryption(config(provider(name, ["k9", 1]))).of(secrets)!;
    const sealed = one.toStore(key, text);
    assert.throws(() => unknown.fromStore(key, sealed), /no matching prefix found/);
    if (name === "aesgcm") {
      assert.throws(() => other.fromStore(key, sealed));
      assert.throws(() => one.fromStore("/registry/secrets/default/other", sealed), "it is sealed for its key");
    }
  });
});

test("a value that was sealed elsewhere is read", () => {
  const iv = Buffer.alloc(16, 7);
  const cipher = createCipheriv("aes-256-cbc", Buffer.alloc(32, 1), iv);
  const sealed = Buffer.concat([Buffer.from("k8s:enc:aescbc:v1:k1:"), iv, cipher.update("hello"), cipher.final()]);
  const { value } = new Encryption(config(provider("aescbc", ["k1", 1]))).of(secrets)!.fromStore(key, sealed);
  assert.equal(Buffer.from(value).toString(), "hello");
});

test("entries name resources, groups or all", () => {
  const encryption = new Encryption(config(provider("aescbc", ["k1", 1])));
  assert.ok(encryption.of({ group: "apps", resource: "deployments" }));
  assert.equal(encryption.of({ group: "", resource: "configmaps" }), undefined);
});

test.each([
  [config("{secretbox: {keys: []}}"), /resources\[0\].providers\[0\]: the provider "secretbox" is not supported/],
  [config(`{aescbc: {keys: [{name: k, secret: ${secret(1, 5)}}]}}`), /secret is not of the expected length, got 5/],
  ["{kind: Other}", /no apiserver.config.k8s.io\/v1 EncryptionConfiguration/],
])("%s is refused", (text, message) => {
  assert.throws(() => new Encryption(text), message);
});

test("Secrets lie encrypted in the store, others do not, and a write renews what is stale", async () => {
  const encryption = new Encryption(config(provider("aescbc", ["k1", 1]), "{identity: {}}"));
  const plain = await startTestApiserver();
  const path = "/api/v1/namespaces/default/secrets";
  const body = (name: string) => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name },
    stringData: { word: "open sesame" },
  });
  const raw = async (name: string) => {
    const { kvs } = await plain.etcd.range({ key: `/registry/secrets/default/${name}` });
    return Buffer.from(kvs[0]!.value).toString("latin1");
  };
  await call(plain, path, { method: "POST", body: body("old") });
  const server = await startTestApiserver({ encryption, etcdEndpoints: plain.etcdEndpoints });
  try {
    await call(server, path, { method: "POST", body: body("new") });
    assert.ok((await raw("new")).startsWith("k8s:enc:aescbc:v1:k1:"));
    assert.ok((await raw("old")).startsWith('{"kind"'));
    const list = await call(server, path);
    assert.deepEqual(
      list.json.items.map((item: { data: { word: string } }) => Buffer.from(item.data.word, "base64").toString()),
      ["open sesame", "open sesame"],
    );
    const { json } = await call(server, `${path}/old`);
    assert.equal((await call(server, `${path}/old`, { method: "PUT", body: json })).code, 200);
    assert.ok((await raw("old")).startsWith("k8s:enc:aescbc:v1:k1:"));
  } finally {
    await server.close();
    await plain.close();
  }
});

test("a key is taken out of use without a Secret lost: first it only reads, then all is written anew, then it goes", async () => {
  const first = await startTestApiserver({ encryption: new Encryption(config(provider("aescbc", ["k1", 1]))) });
  const path = "/api/v1/namespaces/default/secrets";
  const body = (name: string) => ({ apiVersion: "v1", kind: "Secret", metadata: { name }, stringData: { word: name } });
  const sealedWith = async (name: string) => {
    const { kvs } = await first.etcd.range({ key: `/registry/secrets/default/${name}` });
    return /^k8s:enc:([^:]+:v1:[^:]+):/.exec(Buffer.from(kvs[0]!.value).toString("latin1"))?.[1];
  };
  const etcdEndpoints = first.etcdEndpoints;
  const start = (...providers: string[]) =>
    startTestApiserver({ etcdEndpoints, encryption: new Encryption(config(...providers)) });
  const words = async (server: TestApiserver) =>
    (await call(server, path)).json.items.map(({ data }: { data: { word: string } }) => atob(data.word)).sort();
  const [next, rest] = [provider("aesgcm", ["k2", 2]), provider("aescbc", ["k1", 1])];
  const servers = [first];
  try {
    await call(first, path, { method: "POST", body: body("a") });
    const both = await start(next, rest);
    servers.push(both);
    await call(both, path, { method: "POST", body: body("b") });
    assert.deepEqual(await words(both), ["a", "b"]);
    assert.deepEqual([await sealedWith("a"), await sealedWith("b")], ["aescbc:v1:k1", "aesgcm:v1:k2"]);
    for (const item of (await call(both, path)).json.items)
      assert.equal((await call(both, `${path}/${item.metadata.name}`, { method: "PUT", body: item })).code, 200);
    assert.deepEqual([await sealedWith("a"), await sealedWith("b")], ["aesgcm:v1:k2", "aesgcm:v1:k2"]);
    const last = await start(next);
    servers.push(last);
    assert.deepEqual(await words(last), ["a", "b"]);
  } finally {
    for (const server of servers.reverse()) await server.close();
  }
});
