import assert from "node:assert/strict";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "vitest";
import type { Volume } from "../api/generated/core-v1.ts";
import { podOf } from "./testing/pods.ts";
import { type VolumePlan, volumePlan } from "./volumes.ts";
import { makeVolume, pathBelow } from "./volumes-disk.ts";

const input = {
  pod: podOf(),
  podIPs: [],
  hostIP: "192.168.77.1",
  allocatable: {},
  configMaps: new Map([
    [
      "settings",
      {
        metadata: { name: "settings" },
        data: { "a.txt": "one", "b.txt": "two" },
        binaryData: { c: Buffer.from([1, 255]).toString("base64") },
      },
    ],
  ]),
  tokens: new Map([["3607 ", "header.payload.signature"]]),
  secrets: new Map([["s", { metadata: { name: "s" }, data: { key: Buffer.from("hush").toString("base64") } }]]),
};

function files(volume: Omit<Volume, "name">): Record<string, string> {
  const plan = volumePlan({ name: "v", ...volume }, input);
  assert.equal(plan.type, "Files");
  return Object.fromEntries(
    [...(plan as VolumePlan & { type: "Files" }).files].map(([path, { content, mode }]) => [
      path,
      `${Buffer.from(content).toString("latin1")} ${mode.toString(8)}`,
    ]),
  );
}

describe("volumePlan", () => {
  const rows: [string, Omit<Volume, "name">, Record<string, string>][] = [
    [
      "a ConfigMap: a file for every key, text and binary",
      { configMap: { name: "settings" } },
      { "a.txt": "one 644", "b.txt": "two 644", c: "\x01\xff 644" },
    ],
    [
      "items choose keys, paths and modes",
      { configMap: { name: "settings", defaultMode: 0o400, items: [{ key: "a.txt", path: "etc/a", mode: 0o755 }] } },
      { "etc/a": "one 755" },
    ],
    [
      "a token of the service account",
      { projected: { sources: [{ serviceAccountToken: { path: "token", expirationSeconds: 3607 } }] } },
      { token: "header.payload.signature 644" },
    ],
    ["a Secret, decoded", { secret: { secretName: "s", defaultMode: 0o400 } }, { key: "hush 400" }],
    ["an optional ConfigMap that is not there is empty", { configMap: { name: "no", optional: true } }, {}],
    [
      "the downward API",
      { downwardAPI: { items: [{ path: "name", fieldRef: { fieldPath: "metadata.name" } }] } },
      { name: "web 644" },
    ],
    [
      "several sources projected into one",
      { projected: { sources: [{ configMap: { name: "settings" } }, { secret: { name: "s" } }] } },
      { "a.txt": "one 644", "b.txt": "two 644", c: "\x01\xff 644", key: "hush 644" },
    ],
  ];
  test.each(rows)("%s", (_, volume, expected) => assert.deepEqual(files(volume), expected));

  const wrong: [string, Omit<Volume, "name">, string][] = [
    ["a missing ConfigMap", { configMap: { name: "no" } }, 'configmap "no" not found'],
    ["a missing Secret", { secret: { secretName: "no" } }, 'secret "no" not found'],
    [
      "a missing key",
      { configMap: { name: "settings", items: [{ key: "z", path: "z" }] } },
      "configmap references non-existent config key: z",
    ],
    [
      "a path that climbs out",
      { configMap: { name: "settings", items: [{ key: "a.txt", path: "../../etc/passwd" }] } },
      "invalid path: ../../etc/passwd",
    ],
    [
      "a kind that is not built",
      { persistentVolumeClaim: { claimName: "c" } },
      'no volume plugin matched: this node has none for "persistentVolumeClaim"',
    ],
  ];
  test.each(wrong)("%s is refused by name", (_, volume, message) => {
    assert.throws(() => volumePlan({ name: "v", ...volume }, input), { name: "ConfigError", message });
  });
});

describe("makeVolume", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "kubelab-volume-"));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));
  const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second));
  const plan = (entries: Record<string, string>): VolumePlan => ({
    type: "Files",
    files: new Map(Object.entries(entries).map(([path, text]) => [path, { content: Buffer.from(text), mode: 0o640 }])),
  });

  test("changes all files at once, and keeps what has not changed", async () => {
    await makeVolume(directory, plan({ a: "1", "d/b": "2" }), at(1));
    assert.equal(readFileSync(join(directory, "a"), "utf8"), "1");
    assert.equal(statSync(join(directory, "d/b")).mode & 0o777, 0o640);
    const first = readlinkSync(join(directory, "..data"));
    await makeVolume(directory, plan({ a: "1", "d/b": "2" }), at(2));
    assert.equal(readlinkSync(join(directory, "..data")), first);
    await makeVolume(directory, plan({ a: "3", c: "4" }), at(3));
    assert.equal(readFileSync(join(directory, "a"), "utf8"), "3");
    assert.equal(readFileSync(join(directory, "c"), "utf8"), "4");
    assert.throws(() => readFileSync(join(directory, "d/b")), { code: "ENOENT" });
    assert.throws(() => statSync(join(directory, first)), { code: "ENOENT" });
  });

  test("an agent that was killed in the midst of a change makes it again", async () => {
    symlinkSync("..2026", join(directory, "..data_tmp"));
    await makeVolume(directory, plan({ a: "1" }), at(1));
    assert.equal(readFileSync(join(directory, "a"), "utf8"), "1");
  });

  test("a path below a volume stays in it, whatever links a container has put there", async () => {
    const volume = join(directory, "v");
    mkdirSync(join(volume, "inside"), { recursive: true });
    writeFileSync(join(volume, "file"), "");
    for (const [name, target] of Object.entries({ out: "/etc", up: "..", back: "inside", gone: "/no/such" }))
      symlinkSync(target, join(volume, name));
    assert.equal(await pathBelow(volume, ""), volume);
    assert.equal(await pathBelow(volume, "new/one"), join(volume, "new/one"));
    assert.ok(statSync(join(volume, "new/one")).isDirectory());
    assert.equal(await pathBelow(volume, "file"), join(volume, "file"));
    assert.equal(await pathBelow(volume, "back/deeper"), join(volume, "inside/deeper"));
    for (const wrong of ["out", "out/passwd", "up/other", "gone", "../x", "/etc"])
      await assert.rejects(pathBelow(volume, wrong), wrong);
  });

  test("a host path is checked for its type", async () => {
    const path = join(directory, "x");
    const make = (kind: string) => makeVolume("/nowhere", { type: "HostPath", path, kind }, at(0));
    await assert.rejects(make("Directory"), { message: `hostPath type check failed: ${path} is not a directory` });
    assert.equal(await make("DirectoryOrCreate"), path);
    await assert.rejects(make("File"), { message: `hostPath type check failed: ${path} is not a file` });
  });

  test("an emptyDir may be written by every user", async () => {
    const made = await makeVolume(join(directory, "e"), { type: "EmptyDir" }, at(0));
    writeFileSync(join(made, "f"), "");
    assert.equal(statSync(made).mode & 0o777, 0o777);
    chmodSync(made, 0o700);
  });
});
