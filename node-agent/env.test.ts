import assert from "node:assert/strict";
import { describe, test } from "vitest";
import type { ConfigMap, Container, Secret, Service } from "../api/generated/core-v1.ts";
import { environment, expand, fieldValue, references, resourceValue } from "./env.ts";
import { serviceEnvironment } from "./service-env.ts";
import { container, podOf } from "./testing/pods.ts";

const pod = {
  ...podOf({ nodeName: "node-1", serviceAccountName: "sa", enableServiceLinks: false }),
  metadata: { name: "web", namespace: "default", uid: "u1", labels: { app: "web", "x/y": 'a"b' } },
};
const settings: ConfigMap = { metadata: { name: "settings" }, data: { color: "blue", size: "9" } };
const secret: Secret = { metadata: { name: "s" }, data: { password: Buffer.from("hush").toString("base64") } };

function envOf(parts: Partial<Container>): Record<string, string> {
  const env = environment({
    pod,
    container: container("main", parts),
    podIPs: ["10.244.1.2"],
    hostIP: "192.168.77.1",
    services: [],
    configMaps: new Map([["settings", settings]]),
    secrets: new Map([["s", secret]]),
    allocatable: { cpu: "4", memory: "8Gi" },
  });
  return Object.fromEntries(env);
}

const from = (name: string, valueFrom: NonNullable<Container["env"]>[number]["valueFrom"]) => ({
  env: [{ name, ...(valueFrom && { valueFrom }) }],
});

describe("environment", () => {
  const rows: [string, Partial<Container>, Record<string, string>][] = [
    ["plain values", { env: [{ name: "A", value: "1" }, { name: "B" }] }, { A: "1", B: "" }],
    [
      "values may use what comes before them, not what comes after",
      {
        env: [
          { name: "A", value: "$(B)" },
          { name: "B", value: "x" },
          { name: "C", value: "$(B)y" },
        ],
      },
      { A: "$(B)", B: "x", C: "xy" },
    ],
    ["fields of the Pod", from("IP", { fieldRef: { fieldPath: "status.podIP" } }), { IP: "10.244.1.2" }],
    ["a key of a ConfigMap", from("C", { configMapKeyRef: { name: "settings", key: "color" } }), { C: "blue" }],
    ["a key of a Secret, decoded", from("P", { secretKeyRef: { name: "s", key: "password" } }), { P: "hush" }],
    [
      "an optional key that is not there is left out",
      from("C", { configMapKeyRef: { name: "settings", key: "nosuch", optional: true } }),
      {},
    ],
    [
      "a limit that is not set is the node's",
      from("CPU", { resourceFieldRef: { resource: "limits.cpu" } }),
      { CPU: "4" },
    ],
    [
      "all keys, with a prefix; a value of its own wins",
      {
        envFrom: [{ prefix: "X_", configMapRef: { name: "settings" } }],
        env: [{ name: "X_size", value: "1" }],
      },
      { X_color: "blue", X_size: "1" },
    ],
    ["all keys of a Secret", { envFrom: [{ secretRef: { name: "s" } }] }, { password: "hush" }],
    ["an optional ConfigMap that is not there", { envFrom: [{ configMapRef: { name: "no", optional: true } }] }, {}],
  ];
  test.each(rows)("%s", (_, parts, expected) => assert.deepEqual(envOf(parts), expected));

  const wrong: [string, Partial<Container>, string][] = [
    ["a missing ConfigMap", { envFrom: [{ configMapRef: { name: "no" } }] }, 'configmap "no" not found'],
    ["a missing Secret", from("A", { secretKeyRef: { name: "no", key: "k" } }), 'secret "no" not found'],
    [
      "a missing key of a ConfigMap",
      from("A", { configMapKeyRef: { name: "settings", key: "no" } }),
      "couldn't find key no in ConfigMap default/settings",
    ],
    [
      "a missing key of a Secret",
      from("A", { secretKeyRef: { name: "s", key: "no" } }),
      "couldn't find key no in Secret default/s",
    ],
  ];
  test.each(wrong)("%s is said in upstream's words", (_, parts, message) => {
    assert.throws(() => envOf(parts), { name: "ConfigError", message });
  });

  test("references names what has to be fetched", () => {
    const parts = container("main", {
      envFrom: [{ configMapRef: { name: "a" } }, { secretRef: { name: "b" } }],
      env: [{ name: "X", valueFrom: { configMapKeyRef: { name: "c", key: "k" } } }],
    });
    assert.deepEqual(references(parts), { configMaps: ["a", "c"], secrets: ["b"] });
  });
});

describe("expand", () => {
  const values = new Map([["A", "1"]]);
  const rows: [string, string][] = [
    ["$(A)", "1"],
    ["x$(A)y$(A)", "x1y1"],
    ["$(B)", "$(B)"],
    ["$$(A)", "$(A)"],
    ["$A", "$A"],
    ["$(A", "$(A"],
    ["a$", "a$"],
    ["$$$(A)", "$1"],
  ];
  test.each(rows)("%s becomes %s", (text, expected) => {
    assert.equal(
      expand(text, (name) => values.get(name)),
      expected,
    );
  });
});

describe("the downward API", () => {
  const rows: [string, string][] = [
    ["metadata.name", "web"],
    ["metadata.namespace", "default"],
    ["metadata.uid", "u1"],
    ["metadata.labels['app']", "web"],
    ["metadata.labels['nosuch']", ""],
    ["metadata.labels", 'app="web"\nx/y="a\\"b"'],
    ["spec.nodeName", "node-1"],
    ["spec.serviceAccountName", "sa"],
    ["status.hostIP", "192.168.77.1"],
    ["status.podIPs", "10.244.1.2"],
  ];
  test.each(rows)("%s is %j", (path, expected) => {
    assert.equal(fieldValue(path, { pod, podIPs: ["10.244.1.2"], hostIP: "192.168.77.1" }), expected);
  });

  const resources = { limits: { cpu: "1500m", memory: "64Mi" }, requests: { cpu: "250m" } };
  const amounts: [string, string | undefined, string][] = [
    ["limits.cpu", undefined, "2"],
    ["limits.cpu", "1m", "1500"],
    ["requests.cpu", "1m", "250"],
    ["limits.memory", undefined, "67108864"],
    ["limits.memory", "1Mi", "64"],
    ["requests.memory", "1Mi", "64"],
    ["limits.ephemeral-storage", "1Gi", "10"],
  ];
  test.each(amounts)("%s in units of %s is %s", (resource, divisor, expected) => {
    const allocatable = { "ephemeral-storage": "10Gi" };
    assert.equal(resourceValue(container("main", { resources }), resource, divisor, allocatable), expected);
  });
});

describe("Services in the environment", () => {
  const service = (name: string, namespace: string, clusterIP: string): Service => ({
    metadata: { name, namespace },
    spec: {
      clusterIP,
      ports: [
        { name: "http", port: 80, protocol: "TCP" },
        { name: "web-admin", port: 8080, protocol: "TCP" },
      ],
    },
  });
  const kubernetes = service("kubernetes", "default", "10.96.0.1");
  const services = [
    service("my-db", "shop", "10.96.0.5"),
    kubernetes,
    service("other", "elsewhere", "10.96.0.6"),
    service("headless", "shop", "None"),
  ];

  test("those of the namespace and `kubernetes`, with every port", () => {
    const env = Object.fromEntries(serviceEnvironment(services, "shop", true));
    assert.equal(env["KUBERNETES_SERVICE_HOST"], "10.96.0.1");
    assert.equal(env["OTHER_SERVICE_HOST"], undefined);
    assert.equal(env["HEADLESS_SERVICE_HOST"], undefined);
    const ours = Object.fromEntries(Object.entries(env).filter(([key]) => key.startsWith("MY_DB")));
    assert.deepEqual(ours, {
      MY_DB_SERVICE_HOST: "10.96.0.5",
      MY_DB_SERVICE_PORT: "80",
      MY_DB_SERVICE_PORT_HTTP: "80",
      MY_DB_SERVICE_PORT_WEB_ADMIN: "8080",
      MY_DB_PORT: "tcp://10.96.0.5:80",
      MY_DB_PORT_80_TCP: "tcp://10.96.0.5:80",
      MY_DB_PORT_80_TCP_PROTO: "tcp",
      MY_DB_PORT_80_TCP_PORT: "80",
      MY_DB_PORT_80_TCP_ADDR: "10.96.0.5",
      MY_DB_PORT_8080_TCP: "tcp://10.96.0.5:8080",
      MY_DB_PORT_8080_TCP_PROTO: "tcp",
      MY_DB_PORT_8080_TCP_PORT: "8080",
      MY_DB_PORT_8080_TCP_ADDR: "10.96.0.5",
    });
  });

  test("without enableServiceLinks only `kubernetes`", () => {
    const keys = [...serviceEnvironment(services, "shop", false).keys()];
    assert.ok(keys.length > 0 && keys.every((key) => key.startsWith("KUBERNETES_")));
  });

  test("a low port that is served elsewhere is told as served, under the name that programs look for", () => {
    const env = serviceEnvironment([service("db", "shop", "127.150.0.5")], "shop", true, (_, port) =>
      port < 1024 ? 10_000 + port : port,
    );
    assert.equal(env.get("DB_SERVICE_PORT"), "10080");
    assert.equal(env.get("DB_PORT_80_TCP"), "tcp://127.150.0.5:10080");
    assert.equal(env.get("DB_SERVICE_PORT_WEB_ADMIN"), "8080");
  });
});
