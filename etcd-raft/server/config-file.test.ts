import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, test } from "vitest";
import { configFileOf, flagSpec, parseConfig } from "./config.ts";
import { flagsFromFile } from "./config-file.ts";

const dir = mkdtempSync(join(tmpdir(), "config-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const read = (yaml: string) => {
  const path = join(dir, "etcd.yml");
  writeFileSync(path, yaml);
  return parseConfig(flagsFromFile(path, flagSpec));
};

test("etcd's file means what the flags mean", () => {
  const { flags, cluster, clientTLS, peerTLS } = read(`
name: a
data-dir: /tmp/a
snapshot-count: 500
heartbeat-interval: 50
election-timeout: 500
listen-client-urls: https://127.0.0.1:2379,https://[::1]:2379
listen-peer-urls: http://127.0.0.1:2380
advertise-client-urls: https://127.0.0.1:2379
initial-advertise-peer-urls: http://127.0.0.1:2380
initial-cluster: a=http://127.0.0.1:2380,b=http://127.0.0.1:2381
pre-vote: false
quota-backend-bytes: 0
log-outputs: [stderr, /tmp/log]
watch-progress-notify-interval: 5s
auto-compaction-mode: periodic
auto-compaction-retention: "1"
listen-metrics-urls:
client-transport-security:
  cert-file: c.crt
  key-file: c.key
  client-cert-auth: true
  trusted-ca-file: ca.crt
peer-transport-security:
  cert-file: p.crt
  key-file: p.key
  allowed-cn: peer
tls-min-version: TLS1.3
`);
  assert.equal(flags.name, "a");
  assert.equal(flags["snapshot-count"], 500);
  assert.equal(flags["pre-vote"], false);
  assert.deepEqual(flags["log-outputs"], ["stderr", "/tmp/log"]);
  assert.equal(flags["watch-progress-notify-interval"], 5000);
  assert.deepEqual(flags["listen-metrics-urls"], []);
  assert.deepEqual(clientTLS.files, { cert: "c.crt", key: "c.key", ca: "ca.crt", crl: undefined });
  assert.deepEqual(clientTLS.hosts, ["127.0.0.1", "::1"]);
  assert.equal(flags["peer-cert-file"], "p.crt");
  assert.deepEqual(peerTLS.rules.allowedCNs, ["peer"]);
  assert.equal(peerTLS.rules.minVersion, "TLSv1.3");
  assert.ok(cluster);
});

test("an empty file is the defaults", () => assert.equal(read("").flags.name, "default"));

describe("what is wrong is one line with the file and the key", () => {
  const rows: [string, string, RegExp][] = [
    ["no YAML", "a: [", /--config-file \S+etcd\.yml: [^\n]+ at line 1, column 5$/],
    ["a list", "- a", /it holds no keys/],
    ["an unknown key", "nmae: a", /unknown key nmae/],
    ["an unknown key of a section", "peer-transport-security: {cert: a}", /unknown key peer-transport-security\.cert/],
    ["keys where a value should be", "name: {a: b}", /name is no single value/],
    ["a section without keys", "client-transport-security: 5", /client-transport-security holds no keys/],
    ["a bad value", "heartbeat-interval: soon", /flag --heartbeat-interval takes a number, not "soon"/],
  ];
  for (const [name, yaml, message] of rows) test(name, () => assert.throws(() => read(yaml), message));

  test("a file that is not there", () => {
    assert.throws(() => flagsFromFile(join(dir, "none.yml"), flagSpec), /none\.yml: ENOENT/);
  });
});

test("the file is named by a flag in either form, or by a variable", () => {
  assert.equal(configFileOf(["--config-file=a"], {}), "a");
  assert.equal(configFileOf(["--name=x", "--config-file", "a"], { ETCD_CONFIG_FILE: "b" }), "a");
  assert.equal(configFileOf([], { ETCD_CONFIG_FILE: "b" }), "b");
  assert.equal(configFileOf(["--name=config-file"], {}), undefined);
});
