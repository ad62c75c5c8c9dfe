import { describe, expect, test } from "vitest";
import { errorText } from "../../apimachinery/field-error.ts";
import type { Service, ServiceSpec } from "../generated/core-v1.ts";
import { services } from "./service.ts";

const service = (spec: ServiceSpec, name = "s"): Service => {
  const object: Service = { metadata: { name, namespace: "default" }, spec: structuredClone(spec) };
  services.defaults(object);
  return object;
};
const http = { ports: [{ port: 80 }] };

test("a bare Service gets exactly what upstream adds before allocation", () => {
  expect(service(http).spec).toEqual({
    internalTrafficPolicy: "Cluster",
    ports: [{ port: 80, protocol: "TCP", targetPort: 80 }],
    sessionAffinity: "None",
    type: "ClusterIP",
  });
  expect(service({ ...http, type: "LoadBalancer", sessionAffinity: "ClientIP" }).spec).toMatchObject({
    allocateLoadBalancerNodePorts: true,
    externalTrafficPolicy: "Cluster",
    sessionAffinityConfig: { clientIP: { timeoutSeconds: 10800 } },
  });
});

describe("validation", () => {
  test.each<[string, ServiceSpec, string[]]>([
    ["a good one has no problems", http, []],
    ["no ports", {}, ["spec.ports: Required value"]],
    ["headless needs none", { clusterIP: "None" }, []],
    [
      "several ports need names",
      { ports: [{ port: 80 }, { port: 81, name: "b" }] },
      ["spec.ports[0].name: Required value"],
    ],
    [
      "the same port twice",
      {
        ports: [
          { port: 80, name: "a" },
          { port: 80, name: "b" },
        ],
      },
      ['spec.ports[1]: Duplicate value: {"protocol":"TCP","port":80}'],
    ],
    [
      "a port out of range",
      { ports: [{ port: 70000, targetPort: "a" }] },
      ["spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive"],
    ],
    [
      "node ports are not for ClusterIP",
      { ports: [{ port: 80, nodePort: 30000 }] },
      ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ],
    [
      "an unknown type",
      { ...http, type: "X" as "ClusterIP" },
      ['spec.type: Unsupported value: "X": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'],
    ],
    [
      "no address",
      { ...http, clusterIP: "x" },
      ['spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
    ],
    ["an external name is missing", { type: "ExternalName" }, ["spec.externalName: Required value"]],
  ])("%s", (_, spec, problems) => expect(services.validate(service(spec)).map(errorText)).toEqual(problems));

  test("names are DNS labels that start with a letter", () => {
    expect(services.validate(service(http, "1a")).map(errorText)[0]).toContain(
      'metadata.name: Invalid value: "1a": a DNS-1035 label',
    );
  });
});

describe("updates", () => {
  const old = service({
    ...http,
    type: "NodePort",
    clusterIP: "10.96.0.5",
    clusterIPs: ["10.96.0.5"],
    ports: [{ port: 80, nodePort: 30001 }],
  });
  const update = (spec: ServiceSpec) => {
    const object = service(spec);
    services.prepareForUpdate(object, old);
    return { spec: object.spec, problems: services.validateUpdate(object, old).map(errorText) };
  };
  test("what was allocated stays when it is left out", () => {
    const { spec, problems } = update({ ...http, type: "NodePort" });
    expect(spec).toMatchObject({ clusterIP: "10.96.0.5", clusterIPs: ["10.96.0.5"], ports: [{ nodePort: 30001 }] });
    expect(problems).toEqual([]);
  });
  test("the cluster IP may not change", () => {
    expect(update({ ...http, type: "NodePort", clusterIP: "10.96.0.6" }).problems).toEqual([
      'spec.clusterIPs[0]: Invalid value: ["10.96.0.6"]: may not change once set',
    ]);
  });
  test("becoming an ExternalName drops the address", () => {
    const { spec, problems } = update({ type: "ExternalName", externalName: "example.com" });
    expect([spec.clusterIP, problems]).toEqual([undefined, []]);
  });
});

test.each<[ServiceSpec, string, string, string]>([
  [{ ...http, clusterIP: "10.96.0.5" }, "10.96.0.5", "<none>", "80/TCP"],
  [
    { ports: [{ port: 80, nodePort: 30001 }], type: "NodePort", clusterIP: "10.96.0.5" },
    "10.96.0.5",
    "<none>",
    "80:30001/TCP",
  ],
  [{ ...http, type: "LoadBalancer", clusterIP: "10.96.0.5" }, "10.96.0.5", "<pending>", "80/TCP"],
  [{ type: "ExternalName", externalName: "example.com" }, "<none>", "example.com", "<none>"],
])("columns of %o", (spec, clusterIp, externalIp, ports) => {
  const cells = Object.fromEntries(services.columns.map((c) => [c.name, c.cell(service(spec), 0)]));
  expect(cells).toMatchObject({ "Cluster-IP": clusterIp, "External-IP": externalIp, "Port(s)": ports });
});
