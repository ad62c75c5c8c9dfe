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
      [
        'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}',
      ],
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
    [
      "a name of elsewhere has neither address nor family",
      { type: "ExternalName", externalName: "a_b.", clusterIPs: ["10.96.0.5"], ipFamilies: ["IPv4"] },
      [
        "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
        "spec.ipFamilies: Forbidden: may not be set for ExternalName services",
        expect.stringContaining('spec.externalName: Invalid value: "a_b": a lowercase RFC 1123 subdomain'),
      ] as unknown as string[],
    ],
    [
      "affinity without its time, and with too much of it",
      { ...http, sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 86401 } } },
      [
        "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than 86400",
      ],
    ],
    [
      "addresses and families that do not go together",
      { ...http, clusterIP: "10.96.0.5", clusterIPs: ["10.96.0.6", "10.96.0.5"], ipFamilies: ["IPv6", "IPv6"] },
      [
        'spec.clusterIPs: Invalid value: ["10.96.0.6","10.96.0.5"]: first value must match `clusterIP`',
        'spec.ipFamilies[1]: Duplicate value: "IPv6"',
        'spec.clusterIPs: Invalid value: ["10.96.0.6","10.96.0.5"]: may specify no more than one IP for each IP family',
        'spec.clusterIPs[0]: Invalid value: "10.96.0.6": expected an IPv6 value as indicated by `ipFamilies[0]`',
        'spec.clusterIPs[1]: Invalid value: "10.96.0.5": expected an IPv6 value as indicated by `ipFamilies[1]`',
      ],
    ],
    [
      "None beside an address, and a family and a policy that are none",
      {
        ...http,
        clusterIP: "None",
        clusterIPs: ["None", "::1"],
        ipFamilies: ["IPv5" as "IPv4"],
        ipFamilyPolicy: "X" as never,
      },
      [
        'spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
        'spec.ipFamilyPolicy: Unsupported value: "X": supported values: "PreferDualStack", "RequireDualStack", "SingleStack"',
        `spec.clusterIPs: Invalid value: ["None","::1"]: 'None' must be the first and only value`,
      ],
    ],
    [
      "addresses only given, not kept in step",
      { ...http, clusterIPs: ["10.96.0.5"] },
      ['spec.clusterIPs: Invalid value: ["10.96.0.5"]: must be empty when `clusterIP` is not specified'],
    ],
    [
      "what only balancers have",
      {
        ...http,
        loadBalancerSourceRanges: ["10.0.0.0/8", "x"],
        allocateLoadBalancerNodePorts: true,
        loadBalancerClass: "a",
        healthCheckNodePort: 30001,
        externalTrafficPolicy: "Local",
      },
      [
        "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
        'spec.LoadBalancerSourceRanges[1]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
        "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'",
        "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
        'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
        "spec.healthCheckNodePort: Invalid value: 30001: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
      ],
    ],
    [
      "a balancer that is headless, and a port for its health that is none",
      { ...http, type: "LoadBalancer", clusterIP: "None", externalTrafficPolicy: "Local", healthCheckNodePort: -1 },
      [
        "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for LoadBalancer services",
        "spec.healthCheckNodePort: Invalid value: -1: must be between 1 and 65535, inclusive",
      ],
    ],
    [
      "zeros that lead, and an address of IPv4 in IPv6",
      {
        ...http,
        ...{ type: "LoadBalancer", externalIPs: ["010.1.2.3", "::ffff:127.0.0.1"] },
        loadBalancerSourceRanges: [" 010.0.0.0/8 "],
      },
      [
        'spec.externalIPs[1]: Invalid value: "::ffff:127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
      ],
    ],
    [
      "affinity for no time at all",
      { ...http, sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 0 } } },
      [
        "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less than 86400",
      ],
    ],
    [
      "addresses outside that nobody can be reached at, and policies that are none",
      {
        ...http,
        externalIPs: ["127.0.0.1"],
        externalTrafficPolicy: "X" as never,
        internalTrafficPolicy: "Y" as never,
        trafficDistribution: "Z",
      },
      [
        'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
        'spec.externalTrafficPolicy: Unsupported value: "X": supported values: "Cluster", "Local"',
        'spec.internalTrafficPolicy: Unsupported value: "Y": supported values: "Cluster", "Local"',
        'spec.trafficDistribution: Unsupported value: "Z": supported values: "PreferClose", "PreferSameZone", "PreferSameNode"',
      ],
    ],
    [
      "one node port twice, and an application's protocol that is none",
      {
        type: "NodePort",
        ports: [
          { name: "a", port: 80, nodePort: 30001 },
          { name: "b", port: 81, nodePort: 30001, appProtocol: "a b" },
        ],
      },
      [
        expect.stringContaining('spec.ports[1].appProtocol: Invalid value: "a b": name part must consist of'),
        "spec.ports[1].nodePort: Duplicate value: 30001",
      ] as unknown as string[],
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
  test("neither may families, nor the port for health; a second address goes only with its policy", () => {
    const both: ServiceSpec = {
      ...http,
      type: "LoadBalancer",
      clusterIP: "10.96.0.5",
      clusterIPs: ["10.96.0.5", "::5"],
      ipFamilies: ["IPv4", "IPv6"],
      ipFamilyPolicy: "RequireDualStack",
      externalTrafficPolicy: "Local",
      healthCheckNodePort: 30002,
      loadBalancerClass: "a/b",
    };
    const problems = (change: ServiceSpec) =>
      services.validateUpdate(service({ ...both, ...change }), service(both)).map(errorText);
    expect(problems({})).toEqual([]);
    expect(problems({ ipFamilies: ["IPv6", "IPv4"], healthCheckNodePort: 30003, loadBalancerClass: "a/c" })).toEqual(
      expect.arrayContaining([
        'spec.ipFamilies[0]: Invalid value: ["IPv6","IPv4"]: may not change once set',
        'spec.loadBalancerClass: Invalid value: "a/c": may not change once set',
        "spec.healthCheckNodePort: Forbidden: field is immutable",
      ]),
    );
    const single = { clusterIPs: ["10.96.0.5"], ipFamilies: ["IPv4" as const] };
    expect(problems(single)).toEqual([
      `spec.ipFamilyPolicy: Invalid value: "RequireDualStack": must be set to 'SingleStack' when releasing the secondary clusterIP`,
      `spec.ipFamilyPolicy: Invalid value: "RequireDualStack": must be set to 'SingleStack' when releasing the secondary ipFamily`,
    ]);
    expect(problems({ ...single, ipFamilyPolicy: "SingleStack" })).toEqual([]);
  });
  const balancer: ServiceSpec = {
    ...{ type: "LoadBalancer", clusterIP: "10.96.0.5", clusterIPs: ["10.96.0.5"], ipFamilies: ["IPv4"] },
    ...{ ports: [{ port: 80, nodePort: 30001 }], loadBalancerSourceRanges: ["x"] },
  };
  const change = (spec: ServiceSpec, before = balancer) => {
    const [object, old] = [
      service(spec),
      { ...service(before), status: { loadBalancer: { ingress: [{ ip: "::1" }] } } },
    ];
    services.prepareForUpdate(object, old);
    return { ...object, problems: services.validateUpdate(object, old).map(errorText) };
  };
  test("a balancer that gives no more node ports keeps those it has, and what was wrong before", () => {
    const { spec, status, problems } = change({ ...balancer, allocateLoadBalancerNodePorts: false });
    expect([spec.ports?.[0]?.nodePort, status?.loadBalancer?.ingress?.length, problems]).toEqual([30001, 1, []]);
  });
  test("who ceases to be a balancer has no points any more, nor node ports unless some are new", () => {
    const { loadBalancerSourceRanges: _, ...rest } = balancer;
    const plain = change({ ...rest, type: "ClusterIP" });
    expect([plain.spec.ports?.[0]?.nodePort, plain.status, plain.problems]).toEqual([
      undefined,
      { loadBalancer: {} },
      [],
    ]);
    expect(change({ ...rest, type: "ClusterIP", ports: [{ port: 80, nodePort: 30002 }] }).problems).toEqual([
      "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
    ]);
  });
  test("a client that leaves out clusterIP alone changes nothing; one that says two things is told", () => {
    const { clusterIP: _, ...rest } = balancer;
    expect(change(rest).spec).toMatchObject({ clusterIP: "10.96.0.5", clusterIPs: ["10.96.0.5"] });
    expect(change({ ...balancer, clusterIPs: ["10.96.0.6"] }).problems).toEqual([
      'spec.clusterIPs[0]: Invalid value: ["10.96.0.6"]: may not change once set',
      'spec.clusterIPs: Invalid value: ["10.96.0.6"]: first value must match `clusterIP`',
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
