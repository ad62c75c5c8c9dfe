import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { call, configMap, TestWatch } from "../apiserver/http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../apiserver/testing.ts";
import { parseCidr } from "../base/cidr.ts";
import { systemClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { systemRand } from "../base/rand.ts";
import { createGrpcClient } from "../client/grpc-client.ts";
import { ControllerContext } from "./context.ts";
import { startControllers } from "./controllers.ts";

/**
 * Tests of upstream's conformance suite that need the apiserver and the controllers, but no node, each under its name
 * (docs/conformance.md). What they ask for is upstream's, the words are our own.
 */
let server: TestApiserver;
let client: ReturnType<typeof createGrpcClient>;
const stopping = new AbortController();

beforeAll(async () => {
  server = await startTestApiserver({ admissionPlugins: {} });
  client = createGrpcClient({ servers: [server.grpcAddress], tls: server.certs.controllerManager });
  const context = new ControllerContext({ client, clock: systemClock, rand: systemRand, log: silentLogger });
  const options = {
    clusterCidr: parseCidr("10.244.0.0/16"),
    nodeCidrMaskSize: 24,
    reserved: [],
    nodeMonitorPeriodMs: 5000,
    nodeMonitorGracePeriodMs: 3_600_000,
    nodeStartupGracePeriodMs: 3_600_000,
    rootCa: "PEM",
  };
  await new Promise<void>((synced) => void startControllers(context, options, stopping.signal, synced));
}, 60_000);
afterAll(async () => {
  stopping.abort();
  client?.close();
  await server?.close();
});

async function send(method: string, path: string, body?: object, code?: number, type = "json") {
  const headers: Record<string, string> = body === undefined ? {} : { "content-type": `application/${type}` };
  const answer = await call(server, path, { method, headers, ...(body && { body }) });
  if (code === undefined) assert.ok(answer.code < 300, `${method} ${path}: ${answer.text}`);
  else assert.equal(answer.code, code, `${method} ${path}: ${answer.text}`);
  return answer.json;
}

/** Waits until the object that has this name satisfies `done`; it need not be there yet. */
// biome-ignore lint/suspicious/noExplicitAny: tests look where they like
async function until(list: string, name: string, done: (object: any) => boolean, since = "") {
  const watch = new TestWatch(
    server,
    `${list}?watch=true&resourceVersion=${since}&fieldSelector=metadata.name%3D${name}`,
  );
  await watch.until(() => {
    const last = watch.events.at(-1);
    return last !== undefined && done(last.type === "DELETED" ? undefined : last.object);
  });
  watch.close();
}

/** A Namespace of its own, with its ServiceAccount `default`. */
async function namespace(name: string): Promise<string> {
  await send("POST", "/api/v1/namespaces", { metadata: { name } });
  const path = `/api/v1/namespaces/${name}`;
  await until(`${path}/serviceaccounts`, "default", (account) => account !== undefined);
  return path;
}

const pod = (name: string, requests?: object, spec: object = {}) => ({
  metadata: { name },
  spec: {
    containers: [{ name: "c", image: "i", ...(requests && { resources: { requests, limits: requests } }) }],
    ...spec,
  },
});
const labels = { app: "counted" };
const template = { metadata: { labels }, spec: { containers: [{ name: "c", image: "i" }] } };

describe("namespaces", () => {
  test("should ensure that all services are removed when a namespace is deleted", async () => {
    const ns = await namespace("emptied");
    await send("POST", `${ns}/services`, { metadata: { name: "web" }, spec: { ports: [{ port: 80 }] } });
    await send("DELETE", ns);
    await until("/api/v1/namespaces", "emptied", (object) => object === undefined);
    await namespace("emptied");
    assert.deepEqual((await send("GET", `${ns}/services`)).items, []);
  });

  test("should guarantee kube-root-ca.crt exist in any namespace", async () => {
    const ns = await namespace("trusting");
    const name = "kube-root-ca.crt";
    const path = `${ns}/configmaps/${name}`;
    const isRight = (object?: { data: object }) => JSON.stringify(object?.data) === '{"ca.crt":"PEM"}';
    await until(`${ns}/configmaps`, name, isRight);
    const { metadata } = await send("GET", path);
    await send("DELETE", path);
    await until(`${ns}/configmaps`, name, (object) => isRight(object) && object.metadata.uid !== metadata.uid);
    await send("PATCH", path, { data: { "ca.crt": "" } }, undefined, "merge-patch+json");
    await until(`${ns}/configmaps`, name, isRight);
  });

  test("should allow opting out of API token automount", async () => {
    const ns = await namespace("opting");
    for (const automount of [true, false])
      await send("POST", `${ns}/serviceaccounts`, {
        metadata: { name: `mount-${automount}` },
        automountServiceAccountToken: automount,
      });
    const table: [account: string, ofPod: boolean | undefined, mounted: boolean][] = [
      ["default", undefined, true],
      ["default", true, true],
      ["default", false, false],
      ["mount-true", undefined, true],
      ["mount-true", true, true],
      ["mount-true", false, false],
      ["mount-false", undefined, false],
      ["mount-false", true, true],
      ["mount-false", false, false],
    ];
    for (const [serviceAccountName, ofPod, mounted] of table) {
      const spec = { serviceAccountName, ...(ofPod !== undefined && { automountServiceAccountToken: ofPod }) };
      const made = await send("POST", `${ns}/pods`, pod(`${serviceAccountName}-${ofPod}`, undefined, spec));
      const paths = (made.spec.containers[0].volumeMounts ?? []).map(
        ({ mountPath }: { mountPath: string }) => mountPath,
      );
      const token = "/var/run/secrets/kubernetes.io/serviceaccount";
      assert.deepEqual(paths, mounted ? [token] : [], `${serviceAccountName}, ${ofPod}`);
    }
  });
});

test("a claim in use and a Bound volume stay until nobody uses them", async () => {
  const ns = await namespace("protecting");
  const claims = `${ns}/persistentvolumeclaims`;
  const resources = { requests: { storage: "1Gi" } };
  for (const name of ["used", "unused"])
    await send("POST", claims, { metadata: { name }, spec: { accessModes: ["ReadWriteOnce"], resources } });
  const volumes = [{ name: "v", persistentVolumeClaim: { claimName: "used" } }];
  await send("POST", `${ns}/pods`, pod("user", undefined, { volumes, nodeName: "n" }));
  const isGone = (object?: object) => object === undefined;
  const [used, unused] = [await send("DELETE", `${claims}/used`), await send("DELETE", `${claims}/unused`)];
  await until(claims, "unused", isGone, unused.metadata.resourceVersion);
  assert.deepEqual((await send("GET", `${claims}/used`)).metadata.finalizers, ["kubernetes.io/pvc-protection"]);
  await send("DELETE", `${ns}/pods/user?gracePeriodSeconds=0`);
  await until(claims, "used", isGone, used.metadata.resourceVersion);

  const spec = { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], hostPath: { path: "/x" } };
  await send("POST", "/api/v1/persistentvolumes", { metadata: { name: "v" }, spec });
  const say = (phase: string) =>
    send("PATCH", "/api/v1/persistentvolumes/v/status", { status: { phase } }, undefined, "merge-patch+json");
  await say("Bound");
  const { metadata } = await send("DELETE", "/api/v1/persistentvolumes/v");
  await say("Released");
  await until("/api/v1/persistentvolumes", "v", isGone, metadata.resourceVersion);
});

describe("ResourceQuota", () => {
  const zero = (hard: object) => Object.fromEntries(Object.keys(hard).map((name) => [name, "0"]));

  /** A Namespace with one quota, whose use has been counted; `used` waits until it says so. */
  async function withQuota(ns: string, hard: Record<string, string>, more: object = {}, name = "q") {
    await send("POST", `${ns}/resourcequotas`, { metadata: { name }, spec: { hard, ...more } });
    // biome-ignore lint/suspicious/noExplicitAny: tests look where they like
    const matches = (quota: any, wanted: Record<string, string>) =>
      Object.entries(wanted).every(([key, amount]) => quota?.status?.used?.[key] === amount);
    const used = (wanted: Record<string, string>) =>
      until(`${ns}/resourcequotas`, name, (quota) => matches(quota, wanted));
    await used(zero(hard));
    return used;
  }

  /** Of an object that is counted as it comes and goes. */
  async function life(kind: string, path: string, body: object & { metadata: { name: string } }) {
    const ns = await namespace(kind);
    const before = kind === "configmaps" ? "1" : "0"; // kube-root-ca.crt
    if (kind === "configmaps") await until(`${ns}/configmaps`, "kube-root-ca.crt", (object) => object !== undefined);
    const name = kind.startsWith("replicasets") ? "count/replicasets.apps" : kind;
    await send("POST", `${ns}/resourcequotas`, { metadata: { name: "q" }, spec: { hard: { [name]: "3" } } });
    const used = (amount: string) =>
      until(`${ns}/resourcequotas`, "q", (quota) => quota?.status?.used?.[name] === amount);
    await used(before);
    await send("POST", `${path}/namespaces/${kind}/${kind}`, body);
    await used(String(Number(before) + 1));
    await send("DELETE", `${path}/namespaces/${kind}/${kind}/${body.metadata.name}`);
    await used(before);
  }

  test("should create a ResourceQuota and ensure its status is promptly calculated.", async () => {
    const hard = { cpu: "1", memory: "500Mi", pods: "5", services: "10", "count/replicasets.apps": "5" };
    await withQuota(await namespace("prompt"), hard);
  });

  test("should create a ResourceQuota and capture the life of a configMap.", () =>
    life("configmaps", "/api/v1", configMap("one", { data: { a: "b" } })));
  test("should create a ResourceQuota and capture the life of a secret.", () =>
    life("secrets", "/api/v1", { metadata: { name: "one" }, stringData: { a: "b" } } as never));
  test("should create a ResourceQuota and capture the life of a replication controller.", () =>
    life("replicationcontrollers", "/api/v1", {
      metadata: { name: "one" },
      spec: { replicas: 0, selector: labels, template },
    } as never));
  test("should create a ResourceQuota and capture the life of a replica set.", () =>
    life("replicasets", "/apis/apps/v1", {
      metadata: { name: "one" },
      spec: { replicas: 0, selector: { matchLabels: labels }, template },
    } as never));

  test("should create a ResourceQuota and capture the life of a service.", async () => {
    const ns = await namespace("services");
    const used = await withQuota(ns, { services: "10", "services.nodeports": "1", "services.loadbalancers": "1" });
    const service = (name: string, type: string) => ({ metadata: { name }, spec: { type, ports: [{ port: 80 }] } });
    await send("POST", `${ns}/services`, service("internal", "ClusterIP"));
    await send("POST", `${ns}/services`, service("outside", "NodePort"));
    await send("POST", `${ns}/services`, service("balanced", "LoadBalancer"), 403);
    await used({ services: "2", "services.nodeports": "1", "services.loadbalancers": "0" });
    for (const name of ["internal", "outside"]) await send("DELETE", `${ns}/services/${name}`);
    await used({ services: "0", "services.nodeports": "0", "services.loadbalancers": "0" });
  });

  test("should create a ResourceQuota and capture the life of a pod.", async () => {
    const ns = await namespace("pods");
    const extended = "example.com/dongle";
    const hard = { pods: "5", cpu: "1", memory: "500Mi", "ephemeral-storage": "50Gi", [`requests.${extended}`]: "3" };
    const used = await withQuota(ns, hard);
    const requests = { cpu: "500m", memory: "252Mi", "ephemeral-storage": "30Gi", [extended]: "2" };
    const made = await send("POST", `${ns}/pods`, pod("fits", requests));
    const taken = {
      pods: "1",
      cpu: "500m",
      memory: "252Mi",
      "ephemeral-storage": "30Gi",
      [`requests.${extended}`]: "2",
    };
    await used(taken);
    await send("POST", `${ns}/pods`, pod("too-much", { cpu: "600m", memory: "100Mi" }), 403);
    const { message } = await send(
      "POST",
      `${ns}/pods`,
      pod("dongles", { ...requests, cpu: "1m", memory: "1Mi" }),
      403,
    );
    assert.match(message, /exceeded quota: q, requested: .*requests.example.com\/dongle=2/);
    made.spec.containers[0].resources.requests.cpu = "100m";
    await send("PUT", `${ns}/pods/fits`, made, 422);
    await used(taken);
    await send("DELETE", `${ns}/pods/fits`);
    await used(zero(hard));
  });

  test("should be able to update and delete ResourceQuota.", async () => {
    const ns = await namespace("changed");
    const made = await send("POST", `${ns}/resourcequotas`, {
      metadata: { name: "q" },
      spec: { hard: { cpu: "1", memory: "500Mi" } },
    });
    assert.deepEqual(made.spec.hard, { cpu: "1", memory: "500Mi" });
    made.spec.hard = { cpu: "2", memory: "1Gi" };
    delete made.metadata.resourceVersion; // admission may have counted meanwhile
    await send("PUT", `${ns}/resourcequotas/q`, made);
    assert.deepEqual((await send("GET", `${ns}/resourcequotas/q`)).spec.hard, { cpu: "2", memory: "1Gi" });
    await send("DELETE", `${ns}/resourcequotas/q`);
    await send("GET", `${ns}/resourcequotas/q`, undefined, 404);
  });

  /** Of two quotas with opposite scopes each Pod counts for one alone. */
  async function scopes(ns: string, pair: [string, string], cases: { pod: ReturnType<typeof pod>; scope: string }[]) {
    const used = new Map<string, Awaited<ReturnType<typeof withQuota>>>();
    for (const scope of pair)
      used.set(scope, await withQuota(ns, { pods: "5" }, { scopes: [scope] }, scope.toLowerCase()));
    for (const { pod, scope } of cases) {
      await send("POST", `${ns}/pods`, pod);
      for (const [name, wait] of used) await wait({ pods: name === scope ? "1" : "0" });
      await send("DELETE", `${ns}/pods/${pod.metadata.name}`);
      for (const wait of used.values()) await wait({ pods: "0" });
    }
  }

  test("should verify ResourceQuota with terminating scopes.", async () => {
    const cases = [
      { pod: pod("long", { cpu: "500m", memory: "200Mi" }), scope: "NotTerminating" },
      {
        pod: pod("short", { cpu: "500m", memory: "200Mi" }, { activeDeadlineSeconds: 3600 }),
        scope: "Terminating",
      },
    ];
    await scopes(await namespace("ending"), ["Terminating", "NotTerminating"], cases);
  });

  test("should verify ResourceQuota with best effort scope.", async () => {
    const cases = [
      { pod: pod("best-effort"), scope: "BestEffort" },
      { pod: pod("burstable", { cpu: "500m", memory: "200Mi" }), scope: "NotBestEffort" },
    ];
    await scopes(await namespace("effort"), ["BestEffort", "NotBestEffort"], cases);
  });
});
