import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { examples } from "../api/examples.testing.ts";
import { call, configMap, TestWatch } from "./http.testing.ts";
import { startTestApiserver, type TestApiserver } from "./testing.ts";

/**
 * Tests of upstream's conformance suite that need no node, each under its name (docs/conformance.md). What they ask for
 * is upstream's, the words are our own.
 */
let server: TestApiserver;
beforeAll(async () => {
  server = await startTestApiserver();
});
afterAll(() => server?.close());

const get = async (path: string, headers: Record<string, string> = {}) => {
  const answer = await call(server, path, { headers });
  assert.equal(answer.code, 200, `GET ${path}: ${answer.text}`);
  return answer.json;
};
const send = async (method: string, path: string, body?: object | string, type = "json", code?: number) => {
  const headers: Record<string, string> = body === undefined ? {} : { "content-type": `application/${type}` };
  const answer = await call(server, path, { method, headers, ...(body === undefined ? {} : { body }) });
  if (code === undefined) assert.ok(answer.code < 300, `${method} ${path}: ${answer.text}`);
  else assert.equal(answer.code, code, `${method} ${path}: ${answer.text}`);
  return answer.json;
};
const namesOf = (list: { items: { metadata: { name: string } }[] }) => list.items.map(({ metadata }) => metadata.name);
const merge = "merge-patch+json";

/** All that can be done to a kind: upstream's tests "should support X API operations" do it one by one. */
async function apiOperations(group: string, version: string, resource: string, kind: string, body: object) {
  const groups = (await get("/apis")).groups as { name: string; versions: { version: string }[] }[];
  assert.ok(groups.find(({ name }) => name === group)?.versions.some((v) => v.version === version));
  const { resources } = await get(`/apis/${group}/${version}`);
  assert.ok(resources.some((r: { name: string; kind: string }) => r.name === resource && r.kind === kind));
  const path = `/apis/${group}/${version}/${resource}`;
  const selector = `?labelSelector=conformance%3D${resource}`;
  const make = (name: string) => ({ ...body, metadata: { name, labels: { conformance: resource } } });
  const one = await send("POST", path, make("one"));
  for (const name of ["two", "three"]) await send("POST", path, make(name));
  assert.equal((await get(`${path}/one`)).metadata.uid, one.metadata.uid);
  const list = await get(path + selector);
  assert.deepEqual(namesOf(list), ["one", "three", "two"]);
  const watch = new TestWatch(server, `${path}${selector}&watch=true&resourceVersion=${list.metadata.resourceVersion}`);
  const patched = await send("PATCH", `${path}/one`, { metadata: { annotations: { patched: "true" } } }, merge);
  assert.equal(patched.metadata.annotations.patched, "true");
  patched.metadata.annotations.updated = "true";
  const updated = await send("PUT", `${path}/one`, patched);
  assert.deepEqual(updated.metadata.annotations, { patched: "true", updated: "true" });
  if (resources.some(({ name }: { name: string }) => name === `${resource}/status`)) {
    const status = `${path}/one/status`;
    assert.equal((await get(status)).metadata.uid, one.metadata.uid);
    const changed = await send("PATCH", status, { metadata: { annotations: { patchedstatus: "true" } } }, merge);
    assert.equal(changed.metadata.annotations.patchedstatus, "true");
    changed.metadata.annotations.updatedstatus = "true";
    assert.equal((await send("PUT", status, changed)).metadata.annotations.updatedstatus, "true");
  }
  await send("DELETE", `${path}/one`);
  await send("GET", `${path}/one`, undefined, "json", 404);
  assert.equal((await send("DELETE", path + selector)).items.length, 2);
  assert.deepEqual(namesOf(await get(path + selector)), []);
  await watch.until(() => watch.events.filter(({ type }) => type === "DELETED").length === 3);
  assert.equal(watch.events[0]!.object.metadata.annotations.patched, "true");
  watch.close();
}

describe("API operations", () => {
  const body = (title: string) => examples[title]!.body;
  const flow = "flowcontrol.apiserver.k8s.io";
  const policy = "admissionregistration.k8s.io";

  test("should support FlowSchema API operations", () =>
    apiOperations(flow, "v1", "flowschemas", "FlowSchema", body(`${flow}/v1 FlowSchema`)));
  test("should support PriorityLevelConfiguration API operations", () => {
    const kind = "PriorityLevelConfiguration";
    return apiOperations(flow, "v1", "prioritylevelconfigurations", kind, body(`${flow}/v1 ${kind}`));
  });
  test("should support ValidatingAdmissionPolicy API operations", () => {
    const kind = "ValidatingAdmissionPolicy";
    return apiOperations(policy, "v1", "validatingadmissionpolicies", kind, body(`${policy}/v1 ${kind}`));
  });
  test("should support ValidatingAdmissionPolicyBinding API operations", () => {
    const kind = "ValidatingAdmissionPolicyBinding";
    return apiOperations(policy, "v1", "validatingadmissionpolicybindings", kind, body(`${policy}/v1 ${kind}`));
  });
  test("should support CSR API operations", async () => {
    const group = "certificates.k8s.io";
    const csr = body(`${group}/v1 CertificateSigningRequest`);
    await apiOperations(group, "v1", "certificatesigningrequests", "CertificateSigningRequest", csr);
    const path = `/apis/${group}/v1/certificatesigningrequests`;
    await send("POST", path, { ...csr, metadata: { name: "approved" } });
    const approval = `${path}/approved/approval`;
    const conditions = [{ type: "Approved", status: "True", reason: "Test", message: "Set from a test" }];
    const approved = await send("PATCH", approval, { status: { conditions } }, merge);
    assert.equal(approved.status.conditions[0].type, "Approved");
    approved.status.conditions[0].message = "Updated";
    assert.equal((await send("PUT", approval, approved)).status.conditions[0].message, "Updated");
    const certificate = Buffer.from(server.authority.cert).toString("base64");
    const status = await send("PATCH", `${path}/approved/status`, { status: { certificate } }, merge);
    assert.equal(status.status.certificate, certificate);
    await send("DELETE", `${path}/approved`);
  });
});

describe("discovery", () => {
  const v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
  type Group = {
    metadata: { name: string };
    versions: { version: string; resources: { resource: string; subresources?: { subresource: string }[] }[] }[];
  };
  const find = (groups: Group[], name: string, version: string) =>
    groups.find(({ metadata }) => (metadata.name ?? "") === name)?.versions.find((v) => v.version === version);

  test("should support aggregated discovery interface", async () => {
    const core: Group[] = (await get("/api", { accept: v2 })).items;
    const groups: Group[] = (await get("/apis", { accept: v2 })).items;
    for (const resource of ["pods", "namespaces", "services", "configmaps", "secrets", "nodes"])
      assert.ok(find(core, "", "v1")?.resources.some((r) => r.resource === resource));
    const apps = find(groups, "apps", "v1")?.resources ?? [];
    for (const resource of ["deployments", "daemonsets", "replicasets", "statefulsets", "controllerrevisions"])
      assert.ok(apps.some((r) => r.resource === resource));
    const deployments = apps.find(({ resource }) => resource === "deployments");
    assert.deepEqual(deployments?.subresources?.map(({ subresource }) => subresource).sort(), ["scale", "status"]);
  });

  test("should support raw aggregated discovery endpoint Accept headers", async () => {
    for (const path of ["/api", "/apis"]) {
      const answer = await call(server, path, { headers: { accept: `${v2},application/json` } });
      assert.equal(answer.headers["content-type"], v2);
      assert.deepEqual([answer.json.kind, answer.json.apiVersion], ["APIGroupDiscoveryList", "apidiscovery.k8s.io/v2"]);
      const plain = await call(server, path, { headers: { accept: "application/json" } });
      assert.match(String(plain.headers["content-type"]), /^application\/json(;|$)/);
      assert.ok(["APIVersions", "APIGroupList"].includes(plain.json.kind));
    }
  });

  test("should validate PreferredVersion for each APIGroup", async () => {
    const { groups } = await get("/apis");
    assert.ok(groups.length > 10);
    for (const { name, preferredVersion, versions } of groups) {
      const own = await get(`/apis/${name}`);
      assert.deepEqual(own.preferredVersion, preferredVersion);
      assert.ok(versions.some((v: object) => JSON.stringify(v) === JSON.stringify(preferredVersion)));
      assert.ok((await get(`/apis/${preferredVersion.groupVersion}`)).resources.length > 0);
    }
  });

  test("should locate the groupVersion and a resource within each APIGroup", async () => {
    const wanted = `v1 namespaces
admissionregistration.k8s.io/v1 validatingwebhookconfigurations
apiextensions.k8s.io/v1 customresourcedefinitions
apiregistration.k8s.io/v1 apiservices
apps/v1 deployments
authentication.k8s.io/v1 tokenreviews
authorization.k8s.io/v1 selfsubjectaccessreviews
autoscaling/v1 horizontalpodautoscalers
autoscaling/v2 horizontalpodautoscalers
batch/v1 jobs
certificates.k8s.io/v1 certificatesigningrequests
coordination.k8s.io/v1 leases
discovery.k8s.io/v1 endpointslices
events.k8s.io/v1 events
networking.k8s.io/v1 ingresses
node.k8s.io/v1 runtimeclasses
policy/v1 poddisruptionbudgets
scheduling.k8s.io/v1 priorityclasses
storage.k8s.io/v1 csinodes`;
    for (const [groupVersion, resource] of wanted.split("\n").map((line) => line.split(" ") as [string, string])) {
      const path = groupVersion.includes("/") ? `/apis/${groupVersion}` : `/api/${groupVersion}`;
      const list = await get(path);
      assert.equal(list.groupVersion, groupVersion);
      assert.ok(
        list.resources.some(({ name }: { name: string }) => name === resource),
        `${groupVersion} ${resource}`,
      );
    }
  });

  test("should return a 406 for a backend which does not implement metadata", async () => {
    const headers = {
      "content-type": "application/json",
      accept: "application/json;as=Table;v=v1;g=meta.k8s.io",
    };
    const body = { spec: { nonResourceAttributes: { path: "/", verb: "get" } } };
    const path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    const { code, json } = await call(server, path, { method: "POST", headers, body });
    assert.deepEqual([code, json.kind, json.reason], [406, "Status", "NotAcceptable"]);
  });

  test("should find the server version", async () => {
    const version = await get("/version");
    assert.match(version.major, /^\d+$/);
    assert.match(version.minor, /^\d+\+?$/);
    assert.match(version.gitVersion, /^v\d+\.\d+\.\d+/);
  });
});

describe("authorization", () => {
  test("should support SubjectReview API operations", async () => {
    const reviews = "/apis/authorization.k8s.io/v1";
    await send("POST", "/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "reviewed" } });
    const user = "system:serviceaccount:default:reviewed";
    const resourceAttributes = { namespace: "default", verb: "get", version: "v1", resource: "configmaps", name: "x" };
    const agreesOn = async (allowed: boolean) => {
      const headers = { "impersonate-user": user };
      const { code } = await call(server, "/api/v1/namespaces/default/configmaps/x", { headers });
      assert.equal(code, allowed ? 404 : 403);
      const spec = { user, resourceAttributes };
      const everywhere = await send("POST", `${reviews}/subjectaccessreviews`, { spec });
      const local = await send("POST", `${reviews}/namespaces/default/localsubjectaccessreviews`, {
        metadata: { namespace: "default" },
        spec,
      });
      assert.deepEqual([everywhere.status.allowed, local.status.allowed], [allowed, allowed]);
    };
    await agreesOn(false);
    const watch = new TestWatch(server, "/apis/rbac.authorization.k8s.io/v1/rolebindings?watch=true");
    const rbac = "rbac.authorization.k8s.io";
    await send("POST", `/apis/${rbac}/v1/namespaces/default/roles`, {
      metadata: { name: "reviewed" },
      rules: [{ apiGroups: [""], resources: ["configmaps"], verbs: ["get"] }],
    });
    await send("POST", `/apis/${rbac}/v1/namespaces/default/rolebindings`, {
      metadata: { name: "reviewed" },
      roleRef: { apiGroup: rbac, kind: "Role", name: "reviewed" },
      subjects: [{ kind: "ServiceAccount", name: "reviewed", namespace: "default" }],
    });
    await watch.until(() => watch.lines.includes("ADDED reviewed"));
    watch.close();
    await agreesOn(true);
  });
});

describe("policies of expressions", () => {
  const registration = "/apis/admissionregistration.k8s.io/v1";
  const deployments = "/apis/apps/v1/namespaces/default/deployments";
  const deployment = (name: string, replicas: number) => {
    const labels = { app: "policed" };
    const template = { metadata: { labels }, spec: { containers: [{ name: "c", image: "i" }] } };
    return { metadata: { name, labels }, spec: { replicas, selector: { matchLabels: labels }, template } };
  };
  /** A policy for Deployments of this suite, once it is heeded: what `refused` asks for is refused from then on. */
  async function policy(name: string, spec: object, refused: object) {
    const rule = { apiGroups: ["apps"], apiVersions: ["v1"], operations: ["CREATE"], resources: ["deployments"] };
    await send("POST", `${registration}/validatingadmissionpolicies`, {
      metadata: { name },
      spec: {
        matchConstraints: { resourceRules: [rule], objectSelector: { matchLabels: { app: "policed" } } },
        ...spec,
      },
    });
    await send("POST", `${registration}/validatingadmissionpolicybindings`, {
      metadata: { name },
      spec: { policyName: name, validationActions: ["Deny"] },
    });
    const headers = { "content-type": "application/json" };
    const ask = () => call(server, `${deployments}?dryRun=All`, { method: "POST", headers, body: refused });
    while ((await ask()).code < 300);
  }
  const end = async (name: string) => {
    await send("DELETE", `${registration}/validatingadmissionpolicybindings/${name}`);
    await send("DELETE", `${registration}/validatingadmissionpolicies/${name}`);
  };

  test("should validate against a Deployment", async () => {
    const spec = {
      variables: [],
      validations: [
        { expression: "object.spec.replicas > 1", messageExpression: "'wants 2, is ' + string(object.spec.replicas)" },
      ],
    };
    await policy("replicas.example.com", spec, deployment("marker", 1));
    await send("POST", deployments, deployment("two", 2));
    const refused = await send("POST", deployments, deployment("one", 1), "json", 422);
    assert.equal(
      refused.message,
      `deployments.apps "one" is forbidden: ValidatingAdmissionPolicy 'replicas.example.com' with binding 'replicas.example.com' denied request: wants 2, is 1`,
    );
    await end("replicas.example.com");
  });

  test("should allow expressions to refer variables.", async () => {
    const spec = {
      variables: [
        { name: "replicas", expression: "object.spec.replicas" },
        { name: "oddReplicas", expression: "variables.replicas % 2 == 1" },
      ],
      validations: [{ expression: "variables.replicas > 1" }, { expression: "variables.oddReplicas" }],
    };
    await policy("odd.example.com", spec, deployment("marker", 4));
    await send("POST", deployments, deployment("three", 3));
    const expressions = [
      [1, "variables.replicas > 1"],
      [4, "variables.oddReplicas"],
    ] as const;
    for (const [replicas, expression] of expressions) {
      const { message } = await send("POST", deployments, deployment("refused", replicas), "json", 422);
      assert.ok(message.endsWith(`denied request: failed expression: ${expression}`), message);
    }
    await end("odd.example.com");
  });
});

describe("field validation", () => {
  const deployments = "/apis/apps/v1/namespaces/default/deployments";
  const text = (name: string, spec: string, meta = "") =>
    `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"${name}"${meta}},"spec":{${spec}"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}${meta}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`;
  const strict = "fieldValidation=Strict&fieldManager=conformance";

  test("should detect unknown and duplicate fields of a typed object", async () => {
    await send("POST", deployments, text("typed", ""));
    const wrong = text("typed", '"unknown1":true,"replicas":1,"replicas":2,');
    const expected = /strict decoding error: unknown field "spec.unknown1", duplicate field "spec.replicas"/;
    const put = await send("PUT", `${deployments}/typed?${strict}`, wrong, "json", 400);
    assert.match(put.message, expected);
    assert.match((await send("POST", `${deployments}?${strict}`, wrong, "json", 400)).message, expected);
    const apply = await send("PATCH", `${deployments}/typed?${strict}`, wrong, "apply-patch+yaml", 400);
    assert.match(apply.message, /strict decoding.*duplicate field "spec.replicas"|key "replicas" already set in map/);
    const warned = await call(server, `${deployments}/typed`, { method: "PUT", body: wrong });
    assert.equal(warned.code, 200);
    assert.match(
      String(warned.headers["warning"]),
      /unknown field \\"spec.unknown1\\".*duplicate field \\"spec.replicas\\"/,
    );
    const ignored = await call(server, `${deployments}/typed?fieldValidation=Ignore`, { method: "PUT", body: wrong });
    assert.deepEqual([ignored.code, ignored.headers["warning"]], [200, undefined]);
  });

  test("should detect unknown metadata fields of a typed object", async () => {
    const wrong = text("meta", "", ',"unknownMeta":"x"');
    const { message } = await send("POST", `${deployments}?${strict}`, wrong, "json", 400);
    assert.match(message, /unknown field "metadata.unknownMeta", unknown field "spec.template.metadata.unknownMeta"/);
  });
});

describe("namespaces, quotas and accounts", () => {
  const namespaces = "/api/v1/namespaces";

  test("should patch a Namespace", async () => {
    await send("POST", namespaces, { metadata: { name: "patched" } });
    await send("PATCH", `${namespaces}/patched`, { metadata: { labels: { testLabel: "testValue" } } }, merge);
    assert.equal((await get(`${namespaces}/patched`)).metadata.labels.testLabel, "testValue");
  });

  test("should apply an update to a Namespace", async () => {
    const namespace = await send("POST", namespaces, { metadata: { name: "updated" } });
    namespace.metadata.labels.updated = "1";
    assert.equal((await send("PUT", `${namespaces}/updated`, namespace)).metadata.labels.updated, "1");
  });

  test("should apply changes to a namespace status", async () => {
    const path = `${namespaces}/status-of/status`;
    await send("POST", namespaces, { metadata: { name: "status-of" } });
    assert.equal((await get(path)).status.phase, "Active");
    const condition = { type: "StatusPatch", status: "True", reason: "E2E", message: "Patched" };
    const patched = await send("PATCH", path, { status: { conditions: [condition] } }, merge);
    assert.equal(patched.status.conditions[0].type, "StatusPatch");
    patched.status.conditions.push({ ...condition, type: "StatusUpdate" });
    const updated = await send("PUT", path, patched);
    assert.equal(updated.status.conditions.length, 2);
    assert.equal(updated.status.phase, "Active");
  });

  test("should apply a finalizer to a Namespace", async () => {
    const namespace = await send("POST", namespaces, { metadata: { name: "finalized" } });
    assert.deepEqual(namespace.spec.finalizers, ["kubernetes"]);
    const path = `${namespaces}/finalized/finalize`;
    namespace.spec.finalizers.push("e2e.example.com/fake");
    const added = await send("PUT", path, namespace);
    assert.deepEqual(added.spec.finalizers, ["kubernetes", "e2e.example.com/fake"]);
    added.spec.finalizers = ["kubernetes"];
    assert.deepEqual((await send("PUT", path, added)).spec.finalizers, ["kubernetes"]);
  });

  const quotas = "/api/v1/namespaces/default/resourcequotas";

  test("should manage the lifecycle of a ResourceQuota", async () => {
    const labels = { lifecycle: "1" };
    const made = await send("POST", quotas, { metadata: { name: "life", labels }, spec: { hard: { pods: "5" } } });
    assert.equal((await get(`${quotas}/life`)).spec.hard.pods, "5");
    assert.deepEqual(namesOf(await get("/api/v1/resourcequotas?labelSelector=lifecycle%3D1")), ["life"]);
    const patch = { metadata: { labels: { patched: "1" } }, spec: { hard: { memory: "750Mi" } } };
    const patched = await send("PATCH", `${quotas}/life`, patch, "strategic-merge-patch+json");
    assert.deepEqual(patched.spec.hard, { memory: "750Mi", pods: "5" });
    assert.equal(
      (await send("DELETE", `${quotas}?labelSelector=patched%3D1`)).items[0].metadata.uid,
      made.metadata.uid,
    );
    await send("GET", `${quotas}/life`, undefined, "json", 404);
  });

  test("should apply changes to a resourcequota status", async () => {
    await send("POST", quotas, { metadata: { name: "status" }, spec: { hard: { cpu: "500m", memory: "500Mi" } } });
    const watch = new TestWatch(server, `${quotas}?watch=true&fieldSelector=metadata.name%3Dstatus`);
    const path = `${quotas}/status/status`;
    const quota = await get(path);
    quota.status = { hard: { cpu: "500m", memory: "500Mi" } };
    const updated = await send("PUT", path, quota);
    assert.deepEqual([updated.status.hard, updated.spec.hard], [quota.status.hard, quota.spec.hard]);
    const patched = await send("PATCH", path, { status: { hard: { cpu: "1k", memory: "1Gi" } } }, merge);
    assert.deepEqual(patched.status.hard, { cpu: "1k", memory: "1Gi" });
    await watch.until(() => watch.events.length === 3);
    assert.equal(watch.events[2]!.object.status.hard.cpu, "1k");
    watch.close();
    await send("PATCH", path, { spec: { hard: { cpu: "9" } } }, merge);
    assert.equal((await get(`${quotas}/status`)).spec.hard.cpu, "500m");
  });

  const accounts = "/api/v1/namespaces/default/serviceaccounts";

  test("should run through the lifecycle of a ServiceAccount", async () => {
    const labels = { "test-serviceaccount-static": "true" };
    const watch = new TestWatch(server, `${accounts}?watch=true&labelSelector=test-serviceaccount-static%3Dtrue`);
    await send("POST", accounts, { metadata: { name: "life", labels } });
    const patched = await send("PATCH", `${accounts}/life`, { automountServiceAccountToken: false }, merge);
    assert.equal(patched.automountServiceAccountToken, false);
    const all = await get("/api/v1/serviceaccounts?labelSelector=test-serviceaccount-static%3Dtrue");
    assert.deepEqual(namesOf(all), ["life"]);
    await send("DELETE", `${accounts}?labelSelector=test-serviceaccount-static%3Dtrue`);
    await watch.until(() => watch.events.length === 3);
    assert.deepEqual(watch.lines, ["ADDED life", "MODIFIED life", "DELETED life"]);
    watch.close();
  });

  test("should update a ServiceAccount", async () => {
    const account = await send("POST", accounts, {
      metadata: { name: "updated" },
      automountServiceAccountToken: false,
    });
    account.automountServiceAccountToken = true;
    await send("PUT", `${accounts}/updated`, account);
    assert.equal((await get(`${accounts}/updated`)).automountServiceAccountToken, true);
  });
});

describe("chunks", () => {
  const templates = "/api/v1/namespaces/default/podtemplates";
  const total = 40;
  beforeAll(async () => {
    const template = { spec: { containers: [{ name: "c", image: "i" }] } };
    for (let i = 0; i < total; i++)
      await send("POST", templates, { metadata: { name: `t-${String(i).padStart(4, "0")}` }, template });
  });
  const page = (query: string) => call(server, `${templates}?limit=17${query}`);

  test("should return chunks of results for list calls", async () => {
    let token = "";
    let version: string | undefined;
    const found: string[] = [];
    do {
      const { json } = await page(token && `&continue=${token}`);
      version ??= json.metadata.resourceVersion;
      assert.equal(json.metadata.resourceVersion, version);
      found.push(...namesOf(json));
      token = json.metadata.continue ?? "";
      const left = total - found.length;
      assert.equal(json.metadata.remainingItemCount, left > 0 ? left : undefined);
    } while (token !== "");
    assert.equal(found.length, total);
    assert.deepEqual([...new Set(found)].sort(), found);
    assert.equal((await get(templates)).items.length, total);
  });

  test("should support continue listing from the last key if the original version has been compacted away, though the list is inconsistent [Slow]", async () => {
    const first = await page("");
    await send("POST", "/api/v1/namespaces/default/configmaps", configMap("chunk"));
    await server.etcd.compact({ revision: Number((await get(templates)).metadata.resourceVersion) });
    const expired = await page(`&continue=${first.json.metadata.continue}`);
    assert.deepEqual([expired.code, expired.json.reason], [410, "Expired"]);
    const fresh = expired.json.metadata.continue;
    assert.ok(fresh && fresh !== first.json.metadata.continue);
    const found = namesOf(first.json);
    let token = fresh;
    let version: string | undefined;
    while (token) {
      const { json } = await page(`&continue=${token}`);
      version ??= json.metadata.resourceVersion;
      assert.notEqual(json.metadata.resourceVersion, first.json.metadata.resourceVersion);
      assert.equal(json.metadata.resourceVersion, version);
      found.push(...namesOf(json));
      token = json.metadata.continue;
    }
    assert.deepEqual(found, namesOf(await get(templates)));
  });
});

describe("watchers", () => {
  const maps = "/api/v1/namespaces/default/configmaps";
  const labelled = (name: string, label: string, data = {}) => ({
    ...configMap(name, { data }),
    metadata: { name, labels: { watch: label } },
  });
  const open = (query: string) => new TestWatch(server, `${maps}?watch=true&${query}`);
  const change = (name: string, data: object) => send("PATCH", `${maps}/${name}`, { data }, merge);

  test("should observe add, update, and delete watch notifications on configmaps", async () => {
    const [a, b, both] = ["watch%3DA", "watch%3DB", "watch+in+(A,B)"].map((s) => open(`labelSelector=${s}`));
    await send("POST", maps, labelled("map-a", "A"));
    await change("map-a", { mutation: "1" });
    await change("map-a", { mutation: "2" });
    await send("DELETE", `${maps}/map-a`);
    await send("POST", maps, labelled("map-b", "B"));
    await send("DELETE", `${maps}/map-b`);
    await both!.until(() => both!.events.length === 6);
    await a!.until(() => a!.events.length === 4);
    await b!.until(() => b!.events.length === 2);
    assert.deepEqual(a!.lines, ["ADDED map-a", "MODIFIED map-a", "MODIFIED map-a", "DELETED map-a"]);
    assert.deepEqual(b!.lines, ["ADDED map-b", "DELETED map-b"]);
    assert.deepEqual(both!.lines, [...a!.lines, ...b!.lines]);
    assert.equal(a!.events[3]!.object.data.mutation, "2");
    for (const watch of [a, b, both]) watch!.close();
  });

  test("should be able to start watching from a specific resource version", async () => {
    await send("POST", maps, labelled("from", "specific"));
    const first = await change("from", { mutation: "1" });
    await change("from", { mutation: "2" });
    await send("DELETE", `${maps}/from`);
    const watch = open(`labelSelector=watch%3Dspecific&resourceVersion=${first.metadata.resourceVersion}`);
    await watch.until(() => watch.events.length === 2);
    assert.deepEqual(watch.lines, ["MODIFIED from", "DELETED from"]);
    watch.close();
  });

  test("should be able to restart watching from the last resource version observed by the previous watch", async () => {
    const selector = "labelSelector=watch%3Drestart";
    const first = open(selector);
    await send("POST", maps, labelled("restart", "restart"));
    await change("restart", { mutation: "1" });
    await first.until(() => first.events.length === 2);
    const { resourceVersion } = first.events[1]!.object.metadata;
    first.close();
    await change("restart", { mutation: "2" });
    await send("DELETE", `${maps}/restart`);
    const second = open(`${selector}&resourceVersion=${resourceVersion}`);
    await second.until(() => second.events.length === 2);
    assert.deepEqual(second.lines, ["MODIFIED restart", "DELETED restart"]);
    second.close();
  });

  test("should observe an object deletion if it stops meeting the requirements of the selector", async () => {
    const watch = open("labelSelector=watch%3Dmeets");
    const relabel = (label: string) =>
      send("PATCH", `${maps}/leaves`, { metadata: { labels: { watch: label } } }, merge);
    await send("POST", maps, labelled("leaves", "meets"));
    await change("leaves", { mutation: "1" });
    await relabel("not");
    await change("leaves", { mutation: "2" });
    await relabel("meets");
    await change("leaves", { mutation: "3" });
    await send("DELETE", `${maps}/leaves`);
    await watch.until(() => watch.events.length === 6);
    assert.deepEqual(
      watch.events.map(({ type, object }) => `${type} ${object.data?.mutation ?? "-"}`),
      ["ADDED -", "MODIFIED 1", "DELETED 1", "ADDED 2", "MODIFIED 3", "DELETED 3"],
    );
    watch.close();
  });

  test("should receive events on concurrent watches in same order", async () => {
    const { resourceVersion } = (await get(`${maps}?limit=1`)).metadata;
    const versions: string[] = [];
    const writer = (async () => {
      for (let i = 0; i < 30; i++) {
        const name = `order-${i % 10}`;
        const made = i < 10 ? await send("POST", maps, labelled(name, "order")) : await change(name, { i: String(i) });
        versions.push(made.metadata.resourceVersion);
      }
    })();
    const selector = "labelSelector=watch%3Dorder";
    const watches = [open(`${selector}&resourceVersion=${resourceVersion}`)];
    for (let i = 0; i < 9; i++) {
      const reference = watches[0]!;
      await reference.until(() => reference.events.length > i * 2);
      const from = i === 0 ? resourceVersion : reference.events[i]!.object.metadata.resourceVersion;
      watches.push(open(`${selector}&resourceVersion=${from}`));
    }
    await writer;
    for (const watch of watches) {
      await watch.until(() => watch.events.at(-1)?.object.metadata.resourceVersion === versions.at(-1));
      const seen = watch.events.map(({ object }) => object.metadata.resourceVersion);
      assert.deepEqual(seen, versions.slice(-seen.length));
      watch.close();
    }
  });
});
