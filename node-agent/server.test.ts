import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import type { ContainerStatus } from "../api/generated/core-v1.ts";
import { systemClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { createRegistry } from "../base/metrics.ts";
import { createAuthority, type KeyPair } from "../pki/authority.ts";
import type { ContainerInfo } from "./cri-runtime.ts";
import type { PodWorker } from "./pod-worker.ts";
import type { NodePods } from "./pods.ts";
import { logContainer, startServer } from "./server.ts";
import { info, podOf } from "./testing/pods.ts";

const directory = mkdtempSync(join(tmpdir(), "kubelab-server-"));
const log = join(directory, "0.log");
const main: ContainerInfo = { ...info("main"), logPath: log };
const status = {
  containerStatuses: [statusOf("main", { state: { running: {} }, containerID: "kubelab://main-0" })],
};
const worker = { pod: podOf(), status, containers: [main] } as unknown as PodWorker;
const pods = {
  workers: [worker],
  find: (namespace: string, name: string) => (namespace === "default" && name === "web" ? worker : undefined),
} as unknown as NodePods;

let server: { port: number; close(): void };
let ca: string;
const clients: Record<string, KeyPair | undefined> = {};

beforeAll(async () => {
  const authority = await createAuthority("kubernetes");
  const other = await createAuthority("other");
  ca = authority.cert;
  const leaf = await authority.issue({ commonName: "node-1", ipAddresses: ["127.0.0.1"], usages: ["server"] });
  const masters = { commonName: "kube-apiserver-kubelet-client", organizations: ["system:masters"] };
  clients["apiserver"] = await authority.issue({ ...masters, usages: ["client"] });
  clients["impostor"] = await other.issue({ ...masters, usages: ["client"] });
  const node = { commonName: "system:node:node-2", organizations: ["system:nodes"] };
  clients["another node"] = await authority.issue({ ...node, usages: ["client"] });
  const tls = { cert: Buffer.from(leaf.cert), key: Buffer.from(leaf.key), ca: Buffer.from(ca) };
  const common = { registry: createRegistry(), notReady: () => undefined, clock: systemClock, log: silentLogger };
  server = await startServer({ ...common, host: "127.0.0.1", port: 0, tls, pods });
  writeFileSync(log, "2026-01-01T00:00:01.000000000Z stdout F one\n2026-01-01T00:00:02.000000000Z stderr F two\n");
});
afterAll(() => {
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

function request(path: string, client = "apiserver"): Promise<{ code: number; text: string }> {
  return new Promise((resolve, reject) => {
    const pair = clients[client];
    const tls = pair ? { cert: pair.cert, key: pair.key } : {};
    https
      .get({ host: "127.0.0.1", port: server.port, path, ca, agent: false, ...tls }, (response) => {
        let text = "";
        response.on("data", (data) => {
          text += data;
        });
        response.on("end", () => resolve({ code: response.statusCode!, text }));
      })
      .on("error", reject);
  });
}

describe("who may call", () => {
  const forbidden = "Forbidden (user=system:node:node-2, verb=get, resource=nodes, subresource(s)=[proxy])";
  const rows: [string, number, string][] = [
    ["apiserver", 200, "ok"],
    ["nobody", 401, "Unauthorized"],
    ["impostor", 401, "Unauthorized"],
    ["another node", 403, forbidden],
  ];
  test.each(rows)("%s: %i", async (client, code, text) => {
    assert.deepEqual(await request("/healthz", client), { code, text });
  });
});

describe("containerLogs", () => {
  const at = "/containerLogs/default/web/main";
  const rows: [string, string, number, string][] = [
    ["the whole log", at, 200, "one\ntwo\n"],
    ["its last line", `${at}?tailLines=1`, 200, "two\n"],
    ["with times", `${at}?tailLines=1&timestamps=true`, 200, "2026-01-01T00:00:02.000000000Z two\n"],
    ["since a time", `${at}?sinceTime=2026-01-01T00:00:02Z`, 200, "two\n"],
    ["so many bytes", `${at}?limitBytes=2`, 200, "on"],
    ["another Pod", "/containerLogs/default/nosuch/main", 404, 'pod "nosuch" does not exist'],
    ["another container", "/containerLogs/default/web/nosuch", 400, 'container "nosuch" in pod "web" is not available'],
    [
      "the run before the first",
      `${at}?previous=true`,
      400,
      'previous terminated container "main" in pod "web" not found',
    ],
    ["nonsense", `${at}?tailLines=x`, 400, "invalid value for tailLines: x"],
  ];
  test.each(rows)("%s", async (_, path, code, text) => assert.deepEqual(await request(path), { code, text }));

  test("follow sends what comes until the container has ended", async () => {
    const answer = request(`${at}?follow=true&tailLines=1`);
    appendFileSync(log, "2026-01-01T00:00:03.000000000Z stdout F three\n");
    (worker.containers as ContainerInfo[])[0] = { ...main, state: "exited" };
    const { code, text } = await answer;
    assert.equal(code, 200);
    assert.match(text, /three\n$/);
  });
});

test("/pods lists what the agent runs", async () => {
  const { text } = await request("/pods");
  const list = JSON.parse(text);
  assert.equal(list.kind, "PodList");
  assert.equal(list.items[0].metadata.name, "web");
});

describe("which container's log is meant", () => {
  const ended = (id: string) => ({ terminated: { exitCode: 1, containerID: `kubelab://${id}` } });
  const rows: [string, Partial<ContainerStatus>, boolean, string][] = [
    ["the one that runs", { state: { running: {} }, containerID: "kubelab://b" }, false, "b"],
    ["the one that ended", { state: ended("b") }, false, "b"],
    ["in back-off, the one that ended last", { state: { waiting: {} }, lastState: ended("a") }, false, "a"],
    [
      "previous: the one before",
      { state: { running: {} }, containerID: "kubelab://b", lastState: ended("a") },
      true,
      "a",
    ],
  ];
  test.each(rows)("%s", (_, parts, previous, expected) => {
    const of = { status: { containerStatuses: [statusOf("main", parts)] } };
    assert.equal(logContainer(of, { pod: "web", container: "main" }, previous), expected);
  });

  const waiting: [string, string][] = [
    ["ContainerCreating", 'container "main" in pod "web" is waiting to start: ContainerCreating'],
    ["ErrImagePull", 'container "main" in pod "web" is waiting to start: image can\'t be pulled'],
    ["ImagePullBackOff", 'container "main" in pod "web" is waiting to start: trying and failing to pull image'],
  ];
  test.each(waiting)("%s is told in upstream's words", (reason, message) => {
    const of = { status: { containerStatuses: [statusOf("main", { state: { waiting: { reason } } })] } };
    assert.throws(() => logContainer(of, { pod: "web", container: "main" }, false), { message });
  });
});

function statusOf(name: string, parts: Partial<ContainerStatus>): ContainerStatus {
  return { name, ready: false, restartCount: 0, image: "", imageID: "", ...parts };
}
