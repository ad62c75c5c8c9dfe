import assert from "node:assert/strict";
import { afterAll, beforeAll, test } from "vitest";
import type { FlowSchema } from "../../api/generated/flowcontrol-v1.ts";
import { StatusError } from "../../apimachinery/status.ts";
import { Registry as Metrics } from "../../base/metrics.ts";
import { VirtualClock } from "../../lab/sim/virtual-clock.ts";
import type { Attributes } from "../authz/authorizer.ts";
import { call, configMap } from "../http.testing.ts";
import type { Verb } from "../request.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";
import { reconcile, wantedFlowControl } from "./bootstrap.ts";
import { classify, inPrecedence } from "./classify.ts";
import { defaultFlowControl, FlowControl, type FlowControlOptions } from "./flow-control.ts";

const schemas = inPrecedence(
  wantedFlowControl().flatMap(({ type, object }) => (type.kind === "FlowSchema" ? [object as FlowSchema] : [])),
);

function request(name: string, groups: string[], what = "get /pods default"): Attributes {
  const user = { name, groups: [...groups, "system:authenticated"] };
  const [verb, where, namespace = ""] = what.split(" ") as [Verb, string, string?];
  const [group, resource, subresource = ""] = where.split("/") as [string, string, string?];
  if (resource === undefined || group === "path") return { user, verb, path: where.replace("path", "") };
  return { user, verb, target: { group, version: "v1", resource, namespace, name: "", subresource } };
}

const nodes = ["system:nodes"];
const accounts = ["system:serviceaccounts"];
const classes: [string, Attributes, string][] = [
  ["an administrator is exempt", request("admin", ["system:masters"]), "exempt"],
  ["so is who asks for health", request("alice", [], "get path/healthz"), "probes"],
  [
    "a node writes its status before other nodes' business",
    request("n", nodes, "patch /nodes/status"),
    "system-node-high",
  ],
  [
    "and renews its Lease",
    request("n", nodes, "update coordination.k8s.io/leases kube-node-lease"),
    "system-node-high",
  ],
  ["what else a node does", request("n", nodes, "list /pods"), "system-nodes"],
  [
    "the scheduler's election",
    request("system:kube-scheduler", [], "update coordination.k8s.io/leases kube-system"),
    "system-leader-election",
  ],
  ["what else the scheduler does", request("system:kube-scheduler", [], "list /pods"), "kube-scheduler"],
  [
    "the controller-manager's Endpoints",
    request("system:kube-controller-manager", [], "update /endpoints default"),
    "endpoint-controller",
  ],
  [
    "a service account of kube-system",
    request("system:serviceaccount:kube-system:x", accounts),
    "kube-system-service-accounts",
  ],
  ["a service account of others", request("system:serviceaccount:a:x", accounts), "service-accounts"],
  ["anyone else", request("alice", []), "global-default"],
];
for (const [name, attributes, expected] of classes)
  test(`classification: ${name}`, () => assert.equal(classify(schemas, attributes)?.metadata.name, expected));

test("a bootstrap object is kept as it should be while its annotation says so, a mandatory one always", () => {
  const [wanted] = wantedFlowControl().filter(({ object }) => object.metadata.name === "workload-low");
  const changed = (name: string, value: string | undefined, generation: number) => {
    const annotations = value === undefined ? {} : { "apf.kubernetes.io/autoupdate-spec": value };
    const existing = { metadata: { name, generation, annotations }, spec: { type: "Exempt" } };
    return (reconcile(existing as never, wanted!.object) as { spec?: { type: string } } | undefined)?.spec?.type;
  };
  assert.equal(changed("workload-low", "true", 3), "Limited");
  assert.equal(changed("workload-low", "false", 1), undefined);
  assert.equal(changed("workload-low", undefined, 1), "Limited");
  assert.equal(changed("workload-low", undefined, 2), "Exempt", "only the annotation is written");
  assert.equal(changed("exempt", "false", 2), "Limited");
});

/** One seat for global-default: 20 of 245 shares of 10. */
function flowControl(options: Partial<FlowControlOptions> = {}) {
  const clock = new VirtualClock();
  const metrics = new Metrics();
  const cache = { revision: 0, resource: () => assert.fail("the cache is not there yet") };
  const limits = { ...defaultFlowControl, maxRequestsInFlight: 10, maxMutatingRequestsInFlight: 0, ...options };
  return { clock, metrics, flow: new FlowControl(limits, { cache, clock, metrics, count: () => 0 }) };
}
const live = () => ({ signal: new AbortController().signal });
const isRefusal = (error: unknown) => {
  assert.ok(error instanceof StatusError);
  assert.deepEqual(
    [error.status.code, error.status.reason, error.status.details?.retryAfterSeconds],
    [429, "TooManyRequests", 1],
  );
  return true;
};

test("who finds no seat waits for one, an administrator does not, and who waits too long is told to come again", async () => {
  const { clock, metrics, flow } = flowControl();
  const release = await flow.begin(request("alice", []), live());
  const bob = flow.begin(request("bob", []), live());
  const carol = flow.begin(request("carol", []), live());
  (await flow.begin(request("admin", ["system:masters"]), live()))();
  assert.match(await metrics.metrics(), /current_inqueue_requests\{priority_level="global-default"\} 2/);
  release();
  const first = await Promise.race([
    bob.then((done) => ({ done, other: carol })),
    carol.then((done) => ({ done, other: bob })),
  ]);
  const refused = assert.rejects(first.other, isRefusal);
  await clock.run(clock.monotonic() + defaultFlowControl.requestTimeoutMs / 4);
  await refused;
  first.done();
  (await flow.begin(request("dave", []), live()))();
  assert.match(
    await metrics.metrics(),
    /rejected_requests_total\{flow_schema="global-default",priority_level="global-default",reason="time-out"\} 1/,
  );
});

test("seats that others do not need are lent after ten seconds, and given back when they do", async () => {
  const { clock, metrics, flow } = flowControl({ maxRequestsInFlight: 245 });
  const many = Array.from({ length: 60 }, (_, i) => flow.begin(request(`user-${i}`, []), live()));
  const limit = async (level: string) =>
    Number(new RegExp(`current_limit_seats\\{priority_level="${level}"\\} (\\d+)`).exec(await metrics.metrics())![1]);
  const waiting = async () =>
    Number(/inqueue_requests\{priority_level="global-default"\} (\d+)/.exec(await metrics.metrics())![1]);
  const first = await Promise.any(many);
  assert.deepEqual([await limit("global-default"), await waiting()], [20, 40]);
  await clock.run(clock.monotonic() + 10_000);
  first(); // whoever comes or goes looks
  assert.ok((await limit("global-default")) >= 60, "what is asked for is lent");
  assert.equal(await waiting(), 0);
  assert.ok((await limit("leader-election")) >= 10 && (await limit("catch-all")) >= 5, "these lend nothing");
  assert.ok(
    (await limit("workload-low")) >= 10 && (await limit("workload-low")) < 100,
    "this one lends nine of ten at most",
  );
  for (const release of (await Promise.all(many)).slice(0, 59)) release();
});

test("who is gone waits no longer", async () => {
  const { flow } = flowControl();
  const release = await flow.begin(request("alice", []), live());
  const gone = new AbortController();
  const bob = flow.begin(request("bob", []), gone);
  gone.abort();
  await assert.rejects(bob, isRefusal);
  release();
  (await flow.begin(request("carol", []), live()))();
});

test("without fairness there are two limits, and writes do not take the place of reads", async () => {
  const { flow } = flowControl({ fair: false, maxRequestsInFlight: 1, maxMutatingRequestsInFlight: 1 });
  const write = request("alice", [], "create /pods default");
  const release = await flow.begin(write, live());
  await assert.rejects(flow.begin(write, live()), isRefusal);
  (await flow.begin(request("alice", []), live()))();
  (await flow.begin(request("admin", ["system:masters"], "create /pods default"), live()))();
  release();
  (await flow.begin(write, live()))();
});

let server: TestApiserver;
beforeAll(async () => {
  server = await startTestApiserver({ flowControl: { requestTimeoutMs: 3000 } });
});
afterAll(() => server?.close());

test("every answer names its FlowSchema and priority level, the objects are there, and the metrics count", async () => {
  const url = "/apis/flowcontrol.apiserver.k8s.io/v1";
  const uid = async (path: string) => (await call(server, `${url}/${path}`)).json.metadata.uid;
  const { headers } = await call(server, "/api/v1/namespaces/default/configmaps/none");
  assert.equal(headers["x-kubernetes-pf-flowschema-uid"], await uid("flowschemas/exempt"));
  assert.equal(headers["x-kubernetes-pf-prioritylevel-uid"], await uid("prioritylevelconfigurations/exempt"));
  const cert = await server.certs.node("n");
  const node = await call(server, "/api/v1/nodes/n", { cert });
  assert.equal(node.headers["x-kubernetes-pf-flowschema-uid"], await uid("flowschemas/system-node-high"));
  const text = (await call(server, "/metrics")).text;
  assert.match(text, /apiserver_flowcontrol_dispatched_requests_total\{[^}]*flow_schema="system-node-high"[^}]*\} 1/);
});

test("a level without shares runs one request at a time, and the next is told over the wire when to come again", async () => {
  const url = "/apis/flowcontrol.apiserver.k8s.io/v1";
  const post = (path: string, name: string, spec: object) =>
    call(server, `${url}/${path}`, { method: "POST", body: { metadata: { name }, spec } });
  const limited = { nominalConcurrencyShares: 0, lendablePercent: 0, borrowingLimitPercent: 0 };
  const limitResponse = { type: "Reject" };
  const level = await post("prioritylevelconfigurations", "nothing", {
    type: "Limited",
    limited: { ...limited, limitResponse },
  });
  assert.equal(level.code, 201, level.text);
  const subjects = [{ kind: "User", user: { name: "jane" } }];
  const resourceRules = [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"], clusterScope: true, namespaces: ["*"] }];
  const schema = await post("flowschemas", "jane", {
    priorityLevelConfiguration: { name: "nothing" },
    matchingPrecedence: 2,
    rules: [{ subjects, resourceRules }],
  });
  assert.equal(schema.code, 201, schema.text);
  const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" };
  await call(server, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
    method: "POST",
    body: {
      metadata: { name: "jane" },
      roleRef,
      subjects: [{ kind: "User", name: "jane", apiGroup: roleRef.apiGroup }],
    },
  });
  await call(server, `${url}/flowschemas`); // the cache has it now
  const headers = { "impersonate-user": "jane" };
  const path = "/api/v1/namespaces/default/pods";
  const held = call(server, `${path}?resourceVersion=99999999`, { headers }); // waits for what does not come
  let refused: Awaited<typeof held>;
  do refused = await call(server, path, { headers });
  while (refused.code === 200);
  const { reason, message, details } = refused.json;
  assert.deepEqual([refused.code, reason, refused.headers["retry-after"]], [429, "TooManyRequests", "1"]);
  assert.deepEqual([message, details], ["Too many requests, please try again later.", { retryAfterSeconds: 1 }]);
  assert.equal((await held).code, 504);
});

test("a body that does not come to its end is waited for as long as a request may last", async () => {
  const path = "/api/v1/namespaces/default/configmaps";
  const headers = { "content-length": "100000", "content-type": "application/json" };
  const cut = { method: "POST", body: JSON.stringify(configMap("slow")), headers };
  for (const query of ["", "?timeout=50ms"]) {
    const answer = await call(server, `${path}${query}`, cut);
    assert.deepEqual([answer.code, answer.json.reason], [504, "Timeout"]);
  }
});
