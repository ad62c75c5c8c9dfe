import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import type { ResourceQuota } from "../../api/generated/core-v1.ts";
import { call } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";
import { charged } from "./resource-quota.ts";
import { attributes } from "./testing.ts";

const quota = (hard: Record<string, string>, used: Record<string, string>, spec: object = {}): ResourceQuota => ({
  metadata: { name: "q", namespace: "ns" },
  spec: { hard, ...spec },
  status: { hard, used },
});
const pod = (requests: object = {}, limits: object = {}, spec: object = {}) => ({
  metadata: { name: "x" },
  spec: { containers: [{ name: "c", image: "i", resources: { requests, limits } }], ...spec },
});

describe("what a request takes of a quota", () => {
  test.each<[string, ResourceQuota, Parameters<typeof attributes>, Record<string, string> | string | undefined]>([
    [
      "a Pod",
      quota({ pods: "2", cpu: "1" }, { pods: "1", cpu: "500m" }),
      ["pods", pod({ cpu: "500m" })],
      { pods: "2", cpu: "1" },
    ],
    [
      "too much of it",
      quota({ pods: "2", "requests.memory": "1Gi" }, { pods: "1", "requests.memory": "512Mi" }),
      ["pods", pod({ memory: "1Gi" })],
      "exceeded quota: q, requested: requests.memory=1Gi, used: requests.memory=512Mi, limited: requests.memory=1Gi",
    ],
    [
      "several at once",
      quota({ pods: "0", "count/pods": "0" }, { pods: "0", "count/pods": "0" }),
      ["pods", pod()],
      "exceeded quota: q, requested: count/pods=1,pods=1, used: count/pods=0,pods=0, limited: count/pods=0,pods=0",
    ],
    [
      "what it does not say",
      quota({ "limits.cpu": "1", memory: "1Gi" }, { "limits.cpu": "0", memory: "0" }),
      ["pods", pod()],
      "failed quota: q: must specify limits.cpu for: c; memory for: c",
    ],
    [
      "before anyone has counted",
      quota({ pods: "1" }, {}),
      ["pods", pod()],
      "status unknown for quota: q, resources: pods",
    ],
    [
      "a device",
      quota({ "requests.x.com/gpu": "2" }, { "requests.x.com/gpu": "1" }),
      ["pods", pod({ "x.com/gpu": "1" })],
      { "requests.x.com/gpu": "2" },
    ],
    ["another scope", quota({ pods: "0" }, { pods: "0" }, { scopes: ["NotBestEffort"] }), ["pods", pod()], undefined],
    [
      "its scope",
      quota({ pods: "0" }, { pods: "0" }, { scopes: ["BestEffort", "NotTerminating"] }),
      ["pods", pod()],
      "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0",
    ],
    [
      "a class of priority",
      quota(
        { pods: "1" },
        { pods: "0" },
        { scopeSelector: { matchExpressions: [{ scopeName: "PriorityClass", operator: "In", values: ["high"] }] } },
      ),
      ["pods", pod({}, {}, { priorityClassName: "high" })],
      { pods: "1" },
    ],
    [
      "a Service",
      quota({ "services.nodeports": "2", services: "5" }, { "services.nodeports": "0", services: "0" }),
      ["services", { metadata: { name: "x" }, spec: { type: "NodePort", ports: [{ port: 1 }, { port: 2 }] } }],
      { "services.nodeports": "2", services: "1" },
    ],
    [
      "a claim by class",
      quota(
        { "gold.storageclass.storage.k8s.io/requests.storage": "5Gi" },
        { "gold.storageclass.storage.k8s.io/requests.storage": "0" },
      ),
      [
        "persistentvolumeclaims",
        { metadata: { name: "x" }, spec: { storageClassName: "gold", resources: { requests: { storage: "2Gi" } } } },
      ],
      { "gold.storageclass.storage.k8s.io/requests.storage": "2Gi" },
    ],
    [
      "a count",
      quota({ "count/deployments.apps": "1" }, { "count/deployments.apps": "1" }),
      ["deployments", { metadata: { name: "x" } }],
      "exceeded quota: q, requested: count/deployments.apps=1, used: count/deployments.apps=1, limited: count/deployments.apps=1",
    ],
    [
      "only what an update adds",
      quota({ "services.nodeports": "1" }, { "services.nodeports": "1" }),
      [
        "services",
        { metadata: { name: "x" }, spec: { type: "NodePort", ports: [{ port: 1 }] } },
        {
          operation: "UPDATE",
          oldObject: { metadata: { name: "x" }, spec: { type: "NodePort", ports: [{ port: 1 }] } } as never,
        },
      ],
      undefined,
    ],
  ])("%s", (_name, given, args, expected) => {
    const run = () => charged(given, attributes(...args))?.status?.used;
    if (typeof expected !== "string") return assert.deepEqual(run(), expected);
    assert.throws(run, (error: Error) => error.message.endsWith(` is forbidden: ${expected}`));
  });
});

describe("two apiservers over one store", () => {
  let one: TestApiserver;
  let two: TestApiserver;
  beforeAll(async () => {
    one = await startTestApiserver();
    two = await startTestApiserver({ etcdEndpoints: one.etcdEndpoints });
  });
  afterAll(async () => {
    await two?.close();
    await one?.close();
  });

  test("together admit no more than there is", async () => {
    const path = "/api/v1/namespaces/default/resourcequotas";
    const made = await call(one, path, {
      method: "POST",
      body: { metadata: { name: "q" }, spec: { hard: { pods: "7" } } },
    });
    const status = { hard: { pods: "7" }, used: { pods: "0" } };
    await call(one, `${path}/q/status`, { method: "PUT", body: { ...made.json, status } });
    await Promise.all([call(one, path), call(two, path)]); // both have seen it
    const create = (server: TestApiserver, name: string) =>
      call(server, "/api/v1/namespaces/default/pods", { method: "POST", body: { ...pod(), metadata: { name } } });
    const names = Array.from({ length: 12 }, (_, i) => i);
    const answers = await Promise.all(names.flatMap((i) => [create(one, `one-${i}`), create(two, `two-${i}`)]));
    const codes = answers.map(({ code }) => code).sort();
    assert.deepEqual(codes, [...Array<number>(7).fill(201), ...Array<number>(17).fill(403)]);
    assert.match(
      answers.find(({ code }) => code === 403)!.json.message,
      /exceeded quota: q, requested: pods=1, used: pods=7, limited: pods=7$/,
    );
    assert.equal((await call(two, `${path}/q`)).json.status.used.pods, "7");
  });

  test("a dry run is checked, but takes nothing", async () => {
    const body = { ...pod(), metadata: { name: "dry" } };
    const answer = await call(one, "/api/v1/namespaces/default/pods?dryRun=All", { method: "POST", body });
    assert.equal(answer.code, 403);
  });
});
