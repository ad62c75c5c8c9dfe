import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, test } from "vitest";
import { EtcdClient } from "../etcd-raft/client/client.ts";
import { startTestMember } from "../etcd-raft/server/testing.ts";
import { peer } from "../tools/peers.ts";
import { call } from "./http.testing.ts";
import { startTestApiserver, type TestApiserver } from "./testing.ts";

/**
 * Informers that nobody here wrote: Prometheus' discovery over client-go, with a token over TLS. It has to hear what comes,
 * changes and goes; also what did while its apiserver was down and the store was compacted.
 */
const discovery = peer("prometheus-discovery");

interface Group {
  source: string;
  labels: Record<string, string> | null;
  targets: Record<string, string>[] | null;
}

describe.skipIf(!discovery)("Prometheus' discovery (client-go)", () => {
  let store: Awaited<ReturnType<typeof startTestMember>>;
  let server: TestApiserver;
  let child: ChildProcess;
  /** The newest of each source. */
  const groups = new Map<string, Group>();
  let wake = () => {};
  let log = "";
  /** What it asked for: as whom, and how. */
  const asked = new Set<string>();
  const audit = {
    policy: { rules: [{ level: "Metadata" as const, verbs: ["watch"] }] },
    write(line: string) {
      const { user, requestURI, responseStatus } = JSON.parse(line);
      if (user.username === "system:serviceaccount:default:prometheus" && responseStatus)
        asked.add(`${/sendInitialEvents=true/.test(requestURI) ? "WatchList" : "watch"} ${responseStatus.code}`);
    },
  };

  const at = (namespaced: string) => namespaced.replace(/ /, "/namespaces/default/");
  const [pods, services, nodes] = [at("/api/v1 pods"), at("/api/v1 services"), "/api/v1/nodes"];
  const [slices, ingresses] = [
    at("/apis/discovery.k8s.io/v1 endpointslices"),
    at("/apis/networking.k8s.io/v1 ingresses"),
  ];
  const send = async (method: string, path: string, body?: object, type = "application/json") => {
    const { code, text, json } = await call(server, path, {
      method,
      ...(body && { body }),
      headers: { "content-type": type },
    });
    assert.ok(code < 300, `${method} ${path}: ${text}`);
    return json;
  };
  const create = (path: string, name: string, body: object) =>
    send("POST", path, { ...body, metadata: { name, ...(body as { metadata?: object }).metadata } });
  const merge = (path: string, body: object) => send("PATCH", path, body, "application/merge-patch+json");
  const until = async (source: string, holds: (group: Group | undefined) => boolean) => {
    while (!holds(groups.get(source))) {
      if (child.exitCode !== null) throw new Error(`discovery ended: ${log}`);
      await new Promise<void>((resolve) => (wake = resolve));
    }
  };
  const comes = (source: string, label: string, value: string) =>
    until(source, (group) => [group?.labels, ...(group?.targets ?? [])].some((one) => one?.[label] === value));
  const goes = (source: string) => until(source, (group) => group !== undefined && !group.targets?.length);

  const pod = (ip: string) => ({
    metadata: { labels: { app: "web" } },
    spec: { nodeName: "n1", containers: [{ name: "c", image: "i", ports: [{ containerPort: 80 }] }] },
    status: { podIP: ip },
  });
  const makePod = async (name: string, ip: string) => {
    await create(pods, name, pod(ip));
    await merge(`${pods}/${name}/status`, { status: { phase: "Running", podIP: ip, podIPs: [{ ip }] } });
  };
  const slice = (address: string) => ({
    metadata: { labels: { "kubernetes.io/service-name": "web" } },
    addressType: "IPv4",
    ports: [{ name: "http", port: 80 }],
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
  });

  beforeAll(async () => {
    store = await startTestMember();
    server = await startTestApiserver({ etcdEndpoints: [store.endpoint], audit });
    const rbac = "/apis/rbac.authorization.k8s.io/v1";
    await create(at("/api/v1 serviceaccounts"), "prometheus", {});
    const rule = (apiGroup: string, ...resources: string[]) => ({
      apiGroups: [apiGroup],
      resources,
      verbs: ["get", "list", "watch"],
    });
    await create(`${rbac}/clusterroles`, "prometheus", {
      rules: [
        rule("", "nodes", "pods", "services", "endpoints", "namespaces"),
        rule("discovery.k8s.io", "endpointslices"),
        rule("networking.k8s.io", "ingresses"),
      ],
    });
    await create(`${rbac}/clusterrolebindings`, "prometheus", {
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "prometheus" },
      subjects: [{ kind: "ServiceAccount", name: "prometheus", namespace: "default" }],
    });
    const { status } = await send("POST", `${at("/api/v1 serviceaccounts")}/prometheus/token`, { spec: {} });
    const kubeconfig = join(server.dir, "prometheus.kubeconfig");
    const cluster = {
      server: server.url,
      "certificate-authority-data": Buffer.from(server.authority.cert).toString("base64"),
    };
    writeFileSync(
      kubeconfig,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        clusters: [{ name: "c", cluster }],
        users: [{ name: "u", user: { token: status.token } }],
        contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
        "current-context": "x",
      }),
    );
    child = spawn(discovery!, [kubeconfig, "node", "pod", "service", "endpoints", "endpointslice", "ingress"]);
    child.stderr!.on("data", (chunk) => (log += chunk));
    child.on("exit", () => wake());
    createInterface({ input: child.stdout! }).on("line", (line) => {
      const group = JSON.parse(line) as Group;
      groups.set(group.source, group);
      wake();
    });
  });

  afterAll(async () => {
    if (child !== undefined && child.exitCode === null) {
      const over = once(child, "exit");
      child.kill("SIGKILL");
      await over;
    }
    await server?.close();
    await store?.close();
  });

  test("hears what comes, of every role", async () => {
    const addresses = [{ type: "InternalIP", address: "10.0.0.1" }];
    await create(nodes, "n1", {});
    await merge(`${nodes}/n1/status`, { status: { addresses, daemonEndpoints: { kubeletEndpoint: { Port: 10250 } } } });
    await makePod("web-1", "10.1.0.1");
    await create(services, "web", { spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80 }] } });
    await create(slices, "web-1", slice("10.1.0.1"));
    await create(at("/api/v1 endpoints"), "web", {
      subsets: [{ addresses: [{ ip: "10.1.0.1" }], ports: [{ name: "http", port: 80 }] }],
    });
    const backend = { service: { name: "web", port: { number: 80 } } };
    await create(ingresses, "web", {
      spec: { rules: [{ host: "web.example", http: { paths: [{ path: "/", pathType: "Prefix", backend }] } }] },
    });
    await comes("node/n1", "__address__", "10.0.0.1:10250");
    await comes("pod/default/web-1", "__address__", "10.1.0.1:80");
    await comes("svc/default/web", "__address__", "web.default.svc:80");
    await comes("endpointslice/default/web-1", "__address__", "10.1.0.1:80");
    await comes("endpoints/default/web", "__address__", "10.1.0.1:80");
    await comes("ingress/default/web", "__address__", "web.example");
    assert.ok(asked.has("WatchList 200"), [...asked].join());
  });

  test("hears what changes, and what goes", async () => {
    await merge(`${pods}/web-1`, { metadata: { labels: { tier: "front" } } });
    await comes("pod/default/web-1", "__meta_kubernetes_pod_label_tier", "front");
    await merge(`${slices}/web-1`, { endpoints: [{ addresses: ["10.1.0.9"], conditions: { ready: true } }] });
    await comes("endpointslice/default/web-1", "__address__", "10.1.0.9:80");
    await send("DELETE", `${ingresses}/web`);
    await goes("ingress/default/web");
  });

  test("hears what happened while its apiserver was away and the store was compacted", async () => {
    const { authority, url } = server;
    const options = { etcdEndpoints: [store.endpoint] };
    await server.close();
    server = await startTestApiserver(options); // another one, elsewhere
    await makePod("web-2", "10.1.0.2");
    await merge(`${nodes}/n1`, { metadata: { labels: { zone: "z" } } });
    await send("DELETE", `${services}/web`);
    await send("DELETE", `${pods}/web-1?gracePeriodSeconds=0`);
    const etcd = new EtcdClient({ endpoints: [store.endpoint] });
    const { header } = await etcd.range({ key: "/", limit: 1 });
    await etcd.compact({ revision: header!.revision });
    etcd.close();
    await server.close();
    server = await startTestApiserver({ ...options, authority, port: Number(new URL(url).port) });
    await comes("pod/default/web-2", "__address__", "10.1.0.2:80");
    await comes("node/n1", "__meta_kubernetes_node_label_zone", "z");
    await goes("svc/default/web");
    await goes("pod/default/web-1");
    await makePod("web-3", "10.1.0.3");
    await comes("pod/default/web-3", "__address__", "10.1.0.3:80");
    await send("DELETE", `${pods}/web-3?gracePeriodSeconds=0`);
    await goes("pod/default/web-3");
  });
});
