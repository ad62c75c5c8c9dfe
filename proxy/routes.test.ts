import assert from "node:assert/strict";
import { describe, test } from "vitest";
import type { Service, ServiceSpec } from "../api/generated/core-v1.ts";
import type { EndpointConditions, EndpointSlice } from "../api/generated/discovery-v1.ts";
import { diff, type Route, routesOf } from "./routes.ts";

function service(spec: ServiceSpec, labels: Record<string, string> = {}): Service {
  const ports = [{ name: "http", port: 80, protocol: "TCP" as const, targetPort: "web" }];
  return {
    metadata: { name: "web", namespace: "default", uid: "u1", labels },
    spec: { type: "ClusterIP", clusterIP: "10.96.0.9", clusterIPs: ["10.96.0.9"], ports, ...spec },
  };
}

type Row = [ip: string, conditions?: EndpointConditions, nodeName?: string];

function slice(rows: Row[], port = 8080, name = "http"): EndpointSlice {
  return {
    metadata: { name: "web-1", namespace: "default", labels: { "kubernetes.io/service-name": "web" } },
    addressType: "IPv4",
    ports: [{ name, port, protocol: "TCP" }],
    endpoints: rows.map(([ip, conditions = { ready: true }, nodeName = "node-1"]) => ({
      addresses: [ip],
      conditions,
      nodeName,
    })),
  };
}

const ending = { ready: false, serving: true, terminating: true };
const nodePort = {
  type: "NodePort" as const,
  ports: [{ name: "http", port: 80, nodePort: 30080, protocol: "TCP" as const }],
};

describe("routesOf", () => {
  const rows: [string, ServiceSpec, EndpointSlice[], Record<string, string>][] = [
    [
      "a ClusterIP goes to its ready endpoints at the target port",
      {},
      [slice([["10.244.1.2"], ["10.244.2.2"]])],
      { "10.96.0.9:80": "10.244.1.2:8080 10.244.2.2:8080" },
    ],
    ["unset readiness counts as ready", {}, [slice([["10.244.1.2", {}]])], { "10.96.0.9:80": "10.244.1.2:8080" }],
    ["a Service without ready endpoints has no route", {}, [slice([["10.244.1.2", { ready: false }]])], {}],
    [
      "terminating endpoints are passed over while a ready one is there",
      {},
      [slice([["10.244.1.2", ending], ["10.244.1.3"]])],
      { "10.96.0.9:80": "10.244.1.3:8080" },
    ],
    [
      "without ready endpoints those that serve while terminating are used",
      {},
      [slice([["10.244.1.2", ending]])],
      { "10.96.0.9:80": "10.244.1.2:8080" },
    ],
    [
      "a named target port may differ from slice to slice",
      {},
      [slice([["10.244.1.2"]], 8080), slice([["10.244.1.3"]], 9090)],
      { "10.96.0.9:80": "10.244.1.2:8080 10.244.1.3:9090" },
    ],
    [
      "an endpoint in two slices counts once",
      {},
      [slice([["10.244.1.2"]]), slice([["10.244.1.2"]])],
      { "10.96.0.9:80": "10.244.1.2:8080" },
    ],
    ["another port's endpoints are not used", {}, [slice([["10.244.1.2"]], 8080, "admin")], {}],
    [
      "a NodePort Service has a route for its node port too",
      nodePort,
      [slice([["10.244.1.2"]])],
      { "10.96.0.9:80": "10.244.1.2:8080", "NodePort:30080": "10.244.1.2:8080" },
    ],
    [
      "externalTrafficPolicy Local keeps the node port on this node",
      { ...nodePort, externalTrafficPolicy: "Local" },
      [slice([["10.244.1.2"], ["10.244.2.2", { ready: true }, "node-2"]])],
      { "10.96.0.9:80": "10.244.1.2:8080 10.244.2.2:8080", "NodePort:30080": "10.244.1.2:8080" },
    ],
    [
      "internalTrafficPolicy Local keeps the ClusterIP on this node",
      { internalTrafficPolicy: "Local" },
      [slice([["10.244.1.2"], ["10.244.2.2", { ready: true }, "node-2"]])],
      { "10.96.0.9:80": "10.244.1.2:8080" },
    ],
    ["a headless Service has no route", { clusterIP: "None", clusterIPs: ["None"] }, [slice([["10.244.1.2"]])], {}],
    ["an ExternalName Service has no route", { type: "ExternalName" }, [slice([["10.244.1.2"]])], {}],
    [
      "UDP ports have no route",
      { ports: [{ name: "http", port: 80, protocol: "UDP" }] },
      [slice([["10.244.1.2"]])],
      {},
    ],
  ];
  test.each(rows)("%s", (_, spec, slices, expected) => {
    const routes = routesOf(service(spec), slices, "node-1");
    const actual = routes.map(({ id, endpoints }) => [id, endpoints.map((e) => `${e.ip}:${e.port}`).join(" ")]);
    assert.deepEqual(Object.fromEntries(actual), expected);
  });

  test("a Service that names another proxy is left to it", () => {
    const other = service({}, { "service.kubernetes.io/service-proxy-name": "other" });
    assert.deepEqual(routesOf(other, [slice([["10.244.1.2"]])], "node-1"), []);
  });

  test("session affinity carries its timeout, three hours unless told", () => {
    const affinityOf = (spec: ServiceSpec) =>
      routesOf(service(spec), [slice([["10.244.1.2"]])], "node-1")[0]?.affinityMs;
    assert.equal(affinityOf({}), undefined);
    assert.equal(affinityOf({ sessionAffinity: "ClientIP" }), 10_800_000);
    const timeoutSeconds = 5;
    const spec: ServiceSpec = { sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds } } };
    assert.equal(affinityOf(spec), 5000);
  });
});

describe("diff", () => {
  const route = (id: string, ip = "10.244.1.2", uid = "u1"): Route => ({
    id,
    at: { type: "ClusterIP", host: "10.96.0.9", port: 80 },
    service: { namespace: "default", name: "web", uid, port: "http" },
    endpoints: [{ ip, port: 8080 }],
    affinityMs: undefined,
  });
  const rows: [string, Route[], Route[], { close?: string[]; open?: string[]; update?: string[] }][] = [
    ["a new route opens", [], [route("a")], { open: ["a"] }],
    ["a route that is gone closes", [route("a")], [], { close: ["a"] }],
    ["an unchanged route is left alone", [route("a")], [route("a")], {}],
    ["changed endpoints keep the listener", [route("a")], [route("a", "10.244.1.3")], { update: ["a"] }],
    [
      "an address that moves to another Service is closed and opened",
      [route("a")],
      [route("a", "10.244.1.2", "u2")],
      { close: ["a"], open: ["a"] },
    ],
  ];
  test.each(rows)("%s", (_, old, next, { close = [], open = [], update = [] }) => {
    const actual = diff(old, next);
    const ids = (routes: Route[]) => routes.map(({ id }) => id);
    assert.deepEqual(
      { close: ids(actual.close), open: ids(actual.open), update: ids(actual.update) },
      { close, open, update },
    );
  });
});
