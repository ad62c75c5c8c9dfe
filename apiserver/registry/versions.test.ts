import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { call, TestWatch } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";

let server: TestApiserver;
beforeAll(async () => {
  server = await startTestApiserver();
});
afterAll(() => server?.close());

const post = (body: object) => ({ method: "POST", body });
const patch = (type: string, body: object) => ({
  method: "PATCH",
  body,
  headers: { "content-type": `application/${type}` },
});

describe("one HorizontalPodAutoscaler in two versions", () => {
  const v1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
  const v2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
  const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
  const autoscaling = (name: string, spec: object) => ({ metadata: { name }, spec: { scaleTargetRef, ...spec } });

  test("what v1 creates, v2 reads, and the other way around", async () => {
    const created = await call(
      server,
      v1,
      post(autoscaling("one", { maxReplicas: 3, targetCPUUtilizationPercentage: 50 })),
    );
    assert.deepEqual(
      [created.code, created.json.apiVersion, created.json.spec, created.json.status],
      [
        201,
        "autoscaling/v1",
        { scaleTargetRef, minReplicas: 1, maxReplicas: 3, targetCPUUtilizationPercentage: 50 },
        { currentReplicas: 0, desiredReplicas: 0 },
      ],
    );
    const read = await call(server, `${v2}/one`);
    assert.deepEqual(read.json.spec.metrics, [
      { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 50 } } },
    ]);
    assert.deepEqual([read.json.apiVersion, read.json.metadata.uid], ["autoscaling/v2", created.json.metadata.uid]);
    assert.equal(created.json.metadata.managedFields[0].apiVersion, "autoscaling/v1");
  });

  test("what v1 cannot say travels in annotations, and comes back when v1 writes what it read", async () => {
    const metrics = [
      {
        type: "Pods",
        pods: {
          metric: { name: "qps", selector: { matchLabels: { a: "b" } } },
          target: { type: "AverageValue", averageValue: "10" },
        },
      },
      { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 70 } } },
      {
        type: "Object",
        object: { describedObject: scaleTargetRef, metric: { name: "rps" }, target: { type: "Value", value: "1k" } },
      },
    ];
    const behavior = { scaleDown: { stabilizationWindowSeconds: 60, selectPolicy: "Min" } };
    const created = await call(server, v2, post(autoscaling("rich", { maxReplicas: 5, metrics, behavior })));
    assert.equal(created.code, 201, created.text);
    const read = await call(server, `${v1}/rich`);
    assert.equal(read.json.spec.targetCPUUtilizationPercentage, 70);
    const { annotations } = read.json.metadata;
    assert.match(
      annotations["autoscaling.alpha.kubernetes.io/metrics"],
      /"metricName":"qps".*"targetAverageValue":"10"/,
    );
    assert.match(annotations["autoscaling.alpha.kubernetes.io/behavior"], /"ScaleDown":\{.*"SelectPolicy":"Min"/);
    const written = await call(server, `${v1}/rich`, {
      method: "PUT",
      body: { ...read.json, spec: { ...read.json.spec, maxReplicas: 6 } },
    });
    assert.equal(written.code, 200, written.text);
    const { json } = await call(server, `${v2}/rich`);
    assert.deepEqual(json.spec.maxReplicas, 6);
    assert.deepEqual(json.spec.behavior, created.json.spec.behavior);
    assert.equal(json.metadata.annotations, undefined);
    const byType = (list: { type: string }[]) => list.sort((a, b) => (a.type < b.type ? -1 : 1));
    assert.deepEqual(byType(json.spec.metrics), byType(metrics));
  });

  test("patches, applies, status, deletes, lists and watches speak the version of their path", async () => {
    const watch = new TestWatch(server, `${v1}?watch=true&fieldSelector=metadata.name%3Dspoken`);
    const url = `${v1}/spoken`;
    const config = {
      apiVersion: "autoscaling/v1",
      kind: "HorizontalPodAutoscaler",
      ...autoscaling("spoken", { maxReplicas: 2 }),
    };
    const applied = await call(server, `${url}?fieldManager=me`, patch("apply-patch+yaml", config));
    assert.deepEqual([applied.code, applied.json.apiVersion], [201, "autoscaling/v1"]);
    assert.deepEqual(applied.json.metadata.managedFields[0].fieldsV1["f:spec"]["f:maxReplicas"], {});
    const patched = await call(
      server,
      url,
      patch("strategic-merge-patch+json", { spec: { targetCPUUtilizationPercentage: 42 } }),
    );
    assert.equal(patched.json.spec.targetCPUUtilizationPercentage, 42);
    const status = await call(
      server,
      `${url}/status`,
      patch("merge-patch+json", {
        status: { currentReplicas: 1, desiredReplicas: 1, currentCPUUtilizationPercentage: 9 },
      }),
    );
    assert.equal(status.json.status.currentCPUUtilizationPercentage, 9);
    const list = await call(server, v1);
    assert.equal(list.json.apiVersion, "autoscaling/v1");
    assert.ok(list.json.items.every(({ apiVersion }: { apiVersion: string }) => apiVersion === "autoscaling/v1"));
    const table = await call(server, url, {
      headers: { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" },
    });
    assert.deepEqual(table.json.rows[0].cells.slice(0, 3), ["spoken", "Deployment/web", "cpu: 9%/42%"]);
    const invalid = await call(server, url, patch("merge-patch+json", { spec: { maxReplicas: 0 } }));
    assert.match(invalid.json.message, /spec.maxReplicas: Invalid value: 0: must be greater than 0/);
    assert.equal((await call(server, url, { method: "DELETE" })).code, 200);
    await watch.until(() => watch.events.some(({ type }) => type === "DELETED"));
    assert.deepEqual(
      watch.events.map(({ type, object }) => `${type} ${object.apiVersion}`),
      ["ADDED", "MODIFIED", "MODIFIED", "DELETED"].map((type) => `${type} autoscaling/v1`),
    );
    watch.close();
  });
});

describe("one Event in two groups", () => {
  const core = "/api/v1/namespaces/default/events";
  const v1 = "/apis/events.k8s.io/v1/namespaces/default/events";
  const event = {
    metadata: { name: "e" },
    eventTime: "2026-01-01T00:00:00.000000Z",
    reportingController: "kubelab.io/test",
    reportingInstance: "one",
    action: "Do",
    reason: "Because",
    regarding: { kind: "Pod", name: "p", namespace: "default" },
    note: "Said so",
    type: "Normal",
  };

  test("fields have their names in each, selectors too", async () => {
    const created = await call(server, v1, post(event));
    assert.equal(created.code, 201, created.text);
    const { json } = await call(server, `${core}/e`);
    assert.deepEqual(
      [json.apiVersion, json.message, json.involvedObject.name, json.reportingComponent],
      ["v1", "Said so", "p", "kubelab.io/test"],
    );
    const ours = await call(server, `${v1}?fieldSelector=regarding.name%3Dp,reportingController%3Dkubelab.io/test`);
    assert.deepEqual([ours.json.kind, ours.json.items.length, ours.json.items[0].note], ["EventList", 1, "Said so"]);
    assert.equal((await call(server, `${core}?fieldSelector=involvedObject.name%3Dp`)).json.items.length, 1);
    assert.equal((await call(server, `${v1}?fieldSelector=involvedObject.name%3Dp`)).code, 400);
  });

  test("the newer version asks for more", async () => {
    const bare = { metadata: { name: "bare" }, regarding: { namespace: "default" } };
    const refused = await call(server, v1, post(bare));
    assert.deepEqual(
      [refused.code, refused.json.details.causes.map(({ field }: { field: string }) => field)],
      [422, ["eventTime", "type"]],
    );
    const changed = await call(server, `${v1}/e`, patch("merge-patch+json", { note: "other" }));
    assert.match(changed.json.message, /message: Invalid value: "other": field is immutable/);
    const series = { count: 2, lastObservedTime: "2026-01-01T00:00:01.000000Z" };
    assert.equal((await call(server, `${v1}/e`, patch("merge-patch+json", { series }))).code, 200);
  });
});
