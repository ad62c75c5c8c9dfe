import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { requestPem } from "../../api/examples.testing.ts";
import { createAuthority } from "../../pki/authority.ts";
import { call, pod } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";

let server: TestApiserver;
beforeAll(async () => {
  server = await startTestApiserver();
});
afterAll(() => server?.close());

const pods = "/api/v1/namespaces/default/pods";
const budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
const post = (body: object) => ({ method: "POST", body });
const put = (body: object) => ({ method: "PUT", body });
const patch = (type: string, body: object) => ({
  method: "PATCH",
  body,
  headers: { "content-type": `application/${type}` },
});

describe("evictions", () => {
  const eviction = (name: string, deleteOptions?: object) =>
    post({
      apiVersion: "policy/v1",
      kind: "Eviction",
      metadata: { name },
      ...(deleteOptions ? { deleteOptions } : {}),
    });
  const running = async (name: string, labels: object, ready: "True" | "False" = "True") => {
    await call(server, pods, post({ ...pod(name, { nodeName: "n" }), metadata: { name, labels } }));
    const status = { phase: "Running", conditions: [{ type: "Ready", status: ready }] };
    await call(server, `${pods}/${name}/status`, patch("merge-patch+json", { status }));
  };
  const budget = async (name: string, labels: object, status: object, spec: object = {}) => {
    await call(
      server,
      budgets,
      post({ metadata: { name }, spec: { minAvailable: 1, selector: { matchLabels: labels }, ...spec } }),
    );
    const full = { observedGeneration: 1, expectedPods: 1, ...status };
    await call(server, `${budgets}/${name}/status`, patch("merge-patch+json", { status: full }));
  };
  const evict = (name: string, options?: object) => call(server, `${pods}/${name}/eviction`, eviction(name, options));

  test("a Pod without a budget goes, and one that is gone is not found", async () => {
    await running("free", { a: "free" });
    const answer = await evict("free", { gracePeriodSeconds: 0 });
    assert.deepEqual([answer.code, answer.json.status], [201, "Success"]);
    assert.equal((await call(server, `${pods}/free`)).code, 404);
    assert.equal((await evict("free")).code, 404);
    await running("older", { a: "older" });
    const older = { apiVersion: "policy/v1beta1", kind: "Eviction", metadata: { name: "older" } };
    assert.equal((await call(server, `${pods}/older/eviction`, post(older))).code, 201);
  });

  test("an allowed eviction is counted in the budget, and the Pod says why it goes", async () => {
    await running("counted", { a: "counted" });
    await budget("counted", { a: "counted" }, { disruptionsAllowed: 1, currentHealthy: 2, desiredHealthy: 1 });
    assert.equal((await evict("counted")).code, 201);
    const { json } = await call(server, `${budgets}/counted`);
    assert.deepEqual(
      [json.status.disruptionsAllowed, Object.keys(json.status.disruptedPods), json.status.conditions[0].reason],
      [0, ["counted"], "InsufficientPods"],
    );
    const going = await call(server, `${pods}/counted`);
    assert.ok(going.json.metadata.deletionTimestamp);
    const why = going.json.status.conditions.find(({ type }: { type: string }) => type === "DisruptionTarget");
    assert.deepEqual([why.reason, why.message], ["EvictionByEvictionAPI", "Eviction API: evicting"]);
  });

  test("a budget that allows none answers 429, without Retry-After", async () => {
    await running("kept", { a: "kept" });
    await budget("kept", { a: "kept" }, { disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 1 });
    const { code, json, headers } = await evict("kept");
    assert.deepEqual(
      [code, json.reason, json.message, json.details.causes, headers["retry-after"]],
      [
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
        [
          {
            reason: "DisruptionBudget",
            message: "The disruption budget kept needs 1 healthy pods and has 1 currently",
          },
        ],
        undefined,
      ],
    );
    assert.equal((await call(server, `${pods}/kept`)).json.metadata.deletionTimestamp, undefined);
  });

  test("a budget that its controller has not seen yet answers 429 with Retry-After", async () => {
    await running("early", { a: "early" });
    await budget("early", { a: "early" }, { observedGeneration: 0, disruptionsAllowed: 1 });
    const { code, json, headers } = await evict("early");
    assert.deepEqual(
      [code, json.details.causes[0].message, headers["retry-after"]],
      [429, "The disruption budget early is still being processed by the server.", "10"],
    );
  });

  test("two budgets are too many", async () => {
    await running("twice", { a: "twice" });
    for (const name of ["twice-1", "twice-2"]) await budget(name, { a: "twice" }, { disruptionsAllowed: 1 });
    const { code, json } = await evict("twice");
    assert.equal(code, 500);
    assert.match(json.message, /^This pod has more than one PodDisruptionBudget, which/);
  });

  test("a Pod that is not ready, or has not begun, does not count", async () => {
    await running("unready", { a: "unready" }, "False");
    await budget("unready", { a: "unready" }, { disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 1 });
    assert.equal((await evict("unready")).code, 201);
    await call(server, pods, post({ ...pod("pending"), metadata: { name: "pending", labels: { a: "kept" } } }));
    assert.equal((await evict("pending")).code, 201);
  });

  test("a dry run decides and does nothing", async () => {
    await running("dry", { a: "dry" });
    await budget("dry", { a: "dry" }, { disruptionsAllowed: 1, currentHealthy: 2, desiredHealthy: 1 });
    assert.equal((await evict("dry", { dryRun: ["All"] })).code, 201);
    assert.equal((await call(server, `${budgets}/dry`)).json.status.disruptionsAllowed, 1);
    assert.equal((await call(server, `${pods}/dry`)).json.metadata.deletionTimestamp, undefined);
  });

  test("preconditions hold, and the name must be the path's", async () => {
    await running("named", { a: "named" });
    assert.equal((await evict("named", { preconditions: { uid: "other" } })).code, 409);
    const answer = await call(server, `${pods}/named/eviction`, eviction("else"));
    assert.deepEqual([answer.code, answer.json.message], [400, "name in URL does not match name in Eviction object"]);
  });
});

describe("parts of a Pod", () => {
  const debug = { name: "debug", image: "busybox", targetContainerName: "c" };

  test("an ephemeral container is added, defaulted, and never changed or removed", async () => {
    const created = await call(server, pods, post(pod("debugged", { nodeName: "n" })));
    const path = `${pods}/debugged/ephemeralcontainers`;
    const added = await call(
      server,
      path,
      patch("strategic-merge-patch+json", { spec: { nodeName: "other", ephemeralContainers: [debug] } }),
    );
    assert.equal(added.code, 200, added.text);
    const { spec, metadata } = added.json;
    assert.deepEqual(
      [spec.nodeName, spec.ephemeralContainers[0].terminationMessagePolicy, metadata.generation],
      ["n", "File", created.json.metadata.generation + 1],
    );
    const entry = metadata.managedFields.find((e: { subresource?: string }) => e.subresource === "ephemeralcontainers");
    assert.deepEqual(Object.keys(entry.fieldsV1["f:spec"]), ["f:ephemeralContainers"]);
    const without = await call(server, path, put({ ...added.json, spec: { ...spec, ephemeralContainers: [] } }));
    assert.match(without.json.message, /existing ephemeral containers "debug" may not be removed/);
    const [container] = spec.ephemeralContainers;
    const changed = { ...spec, ephemeralContainers: [{ ...container, image: "x" }] };
    const other = await call(server, path, put({ ...added.json, spec: changed }));
    assert.match(other.json.message, /existing ephemeral containers "debug" may not be changed/);
    const main = await call(server, `${pods}/debugged`, patch("strategic-merge-patch+json", { spec: changed }));
    assert.equal(main.code, 422);
  });

  test.each<[string, object, RegExp]>([
    ["a port", { ports: [{ containerPort: 80 }] }, /ports: Forbidden: cannot be set for an Ephemeral Container/],
    ["the name of a container", { name: "c" }, /ephemeralContainers\[0\]\.name: Duplicate value: "c"/],
    ["a target that is none", { targetContainerName: "x" }, /targetContainerName: Not found: "x"/],
  ])("an ephemeral container has not %s", async (name, extra, message) => {
    const pod1 = `eph-${name.length}`;
    await call(server, pods, post(pod(pod1)));
    const answer = await call(
      server,
      `${pods}/${pod1}/ephemeralcontainers`,
      patch("merge-patch+json", { spec: { ephemeralContainers: [{ ...debug, ...extra }] } }),
    );
    assert.equal(answer.code, 422, answer.text);
    assert.match(answer.json.message, message);
  });

  test("a Pod is not created with ephemeral containers", async () => {
    const { json } = await call(server, pods, post(pod("eph-new", { ephemeralContainers: [debug] })));
    assert.match(json.message, /spec.ephemeralContainers: Forbidden: cannot be set on create/);
  });

  test("resize changes cpu and memory within the quality of service, and nothing else", async () => {
    const resources = { requests: { cpu: "100m" } };
    const containers = [{ name: "c", image: "x", resources }];
    await call(server, pods, post({ metadata: { name: "sized" }, spec: { containers } }));
    const path = `${pods}/sized/resize`;
    const resized = (more: object) =>
      call(server, path, patch("strategic-merge-patch+json", { spec: { containers: [{ name: "c", ...more }] } }));
    const { json } = await resized({ image: "y", resources: { requests: { cpu: "200m" } } });
    assert.deepEqual(
      [json.spec.containers[0].image, json.spec.containers[0].resources.requests, json.metadata.generation],
      ["x", { cpu: "200m" }, 2],
    );
    const best = await call(
      server,
      path,
      patch("merge-patch+json", { spec: { containers: [{ name: "c", image: "x", resources: {} }] } }),
    );
    assert.match(best.json.message, /Pod QOS Class may not change as a result of resizing/);
    assert.match(best.json.message, /resource requests cannot be removed/);
    const disk = await resized({ resources: { requests: { "ephemeral-storage": "1Gi" } } });
    assert.match(disk.json.message, /only cpu and memory resources are mutable/);
    const main = await call(
      server,
      `${pods}/sized`,
      patch("strategic-merge-patch+json", {
        spec: { containers: [{ name: "c", resources: { requests: { cpu: "1" } } }] },
      }),
    );
    assert.equal(main.code, 422);
  });

  test("a Binding binds at its own resource, too", async () => {
    await call(server, pods, post(pod("bound")));
    const annotations = { "a.io/chosen-by": "b" };
    const binding = { metadata: { name: "bound", annotations }, target: { kind: "Node", name: "n1" } };
    const answer = await call(server, "/api/v1/namespaces/default/bindings", post(binding));
    assert.deepEqual([answer.code, answer.json.status], [201, "Success"]);
    const { spec, metadata } = (await call(server, `${pods}/bound`)).json;
    assert.deepEqual([spec.nodeName, metadata.annotations], ["n1", annotations]);
    assert.equal((await call(server, "/api/v1/namespaces/default/bindings")).code, 405);
  });

  test("a Binding to nothing, and of a Pod that is not to be scheduled, is refused", async () => {
    const gated = pod("gated");
    await call(server, pods, post({ ...gated, spec: { ...gated.spec, schedulingGates: [{ name: "a.io/gate" }] } }));
    const bound = async (target: object) =>
      (await call(server, `${pods}/gated/binding`, post({ metadata: { name: "gated" }, target }))).json.message;
    assert.match(await bound({ name: "n1" }), /pod gated has non-empty .spec.schedulingGates/);
    assert.match(
      await bound({ kind: "Pod" }),
      /target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>", target.name: Required value/,
    );
  });

  test("what finalizes a Namespace has a name", async () => {
    const path = "/api/v1/namespaces/default/finalize";
    const body = { metadata: { name: "default" }, spec: { finalizers: ["kubernetes", "mine"] } };
    const { code, json } = await call(server, path, { method: "PUT", body });
    assert.equal(code, 422);
    assert.match(
      json.message,
      /spec.finalizers\[1\]: Invalid value: "mine": name is neither a standard finalizer name/,
    );
  });
});

describe("a CertificateSigningRequest", () => {
  const csrs = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
  const request = Buffer.from(requestPem);
  const make = (name: string) =>
    call(
      server,
      csrs,
      post({
        metadata: { name },
        spec: { request: request.toString("base64"), signerName: "example.com/s", usages: ["client auth"] },
      }),
    );
  const condition = (type: string) => ({ type, status: "True", reason: "R", message: "M" });

  test("is approved at /approval only, with its times, once and for all", async () => {
    const { json } = await make("one");
    const approved = { ...json, status: { conditions: [condition("Approved")] } };
    const refused = await call(server, `${csrs}/one/status`, put(approved));
    assert.match(refused.json.message, /updates may not add a condition of type "Approved"/);
    const answer = await call(server, `${csrs}/one/approval`, put({ ...approved, spec: { ...json.spec, usages: [] } }));
    assert.equal(answer.code, 200, answer.text);
    const [made] = answer.json.status.conditions;
    assert.ok(made.lastUpdateTime && made.lastTransitionTime);
    assert.deepEqual(answer.json.spec, json.spec);
    const denied = { ...answer.json, status: { conditions: [made, condition("Denied")] } };
    const both = await call(server, `${csrs}/one/approval`, put(denied));
    assert.match(both.json.message, /Approved and Denied conditions are mutually exclusive/);
    const none = await call(server, `${csrs}/one/approval`, put({ ...answer.json, status: {} }));
    assert.match(none.json.message, /updates may not remove a condition of type "Approved"/);
  });

  test("gets its certificate at /status, which keeps decisions and changes no certificate", async () => {
    const { json } = await make("two");
    await call(server, `${csrs}/two/approval`, put({ ...json, status: { conditions: [condition("Approved")] } }));
    const none = await call(
      server,
      `${csrs}/two/status`,
      patch("merge-patch+json", { status: { certificate: "AA==" } }),
    );
    assert.match(none.json.message, /must contain at least one CERTIFICATE PEM block/);
    const certificate = Buffer.from((await createAuthority("a")).cert).toString("base64");
    const issued = await call(server, `${csrs}/two/status`, patch("merge-patch+json", { status: { certificate } }));
    assert.deepEqual(
      [issued.json.status.certificate, issued.json.status.conditions[0].type],
      [certificate, "Approved"],
    );
    const other = Buffer.from("other").toString("base64");
    const again = await call(
      server,
      `${csrs}/two/status`,
      patch("merge-patch+json", { status: { certificate: other } }),
    );
    assert.match(again.json.message, /status.certificate: Forbidden/);
  });
});

test("componentstatuses tell of the store and of who leads, with the warning of a thing that is old", async () => {
  const lease = (seconds: number) => ({
    metadata: { name: "kube-scheduler" },
    spec: { holderIdentity: "me", leaseDurationSeconds: seconds, renewTime: "2099-01-01T00:00:00.000000Z" },
  });
  await call(server, "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", post(lease(15)));
  const { json, headers } = await call(server, "/api/v1/componentstatuses");
  assert.deepEqual(
    json.items.map((item: { metadata: { name: string }; conditions: { status: string; message: string }[] }) => [
      item.metadata.name,
      item.conditions[0]!.status,
      item.conditions[0]!.message,
    ]),
    [
      ["controller-manager", "False", "nobody holds the Lease kube-system/kube-controller-manager"],
      ["scheduler", "True", "ok"],
      ["etcd-0", "True", "ok"],
    ],
  );
  assert.equal(headers["warning"], '299 - "v1 ComponentStatus is deprecated in v1.19+"');
  assert.equal((await call(server, "/api/v1/componentstatuses/etcd-0")).json.conditions[0].status, "True");
  assert.equal((await call(server, "/api/v1/componentstatuses/nope")).code, 404);
  assert.equal((await call(server, "/api/v1/componentstatuses?watch=true")).code, 405);
});
