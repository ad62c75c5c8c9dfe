import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { services } from "../../../api/core/service.ts";
import type { Service, ServiceSpec } from "../../../api/generated/core-v1.ts";
import { errorText } from "../../../apimachinery/field-error.ts";
import { type Allocations, allocate } from "./allocate.ts";
import { addressRange, Bitmap, portRange } from "./range.ts";

const service = (spec: ServiceSpec): Service => ({ metadata: { name: "web", namespace: "default" }, spec });
const state = (ips: number[] = [], ports: number[] = []): Allocations => ({
  ips: { range: addressRange("10.96.0.0/16"), taken: new Bitmap().with(ips, true), last: 0 },
  ports: { range: portRange("30000-32767"), taken: new Bitmap().with(ports, true), last: 0 },
});
const port = (nodePort?: number, number = 80, protocol: "TCP" | "UDP" = "TCP") => ({
  port: number,
  protocol,
  ...(nodePort ? { nodePort } : {}),
});

describe("ranges", () => {
  test.each([
    ["10.96.0.0/12", 0, "10.96.0.1"],
    ["10.96.0.0/12", 254, "10.96.0.255"],
    ["10.96.77.0/12", 0, "10.96.0.1"],
    ["192.168.1.0/30", 1, "192.168.1.2"],
  ])("address %s + %d is %s", (cidr, offset, text) => {
    const range = addressRange(cidr);
    assert.equal(range.toText(offset), text);
    assert.equal(range.toOffset(text), offset);
  });

  test.each(["10.96.0.0", "10.96.0.0/11", "10.96.0.0/31", "fd00::/64", "10.96.0.256/16"])("%s is refused", (cidr) => {
    assert.throws(() => addressRange(cidr), RangeError);
  });

  test("neither network nor broadcast address is in a range", () => {
    const range = addressRange("10.0.0.0/30");
    assert.deepEqual(["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3"].map(range.toOffset), [-1, 0, 1, -1]);
  });

  test("a bitmap is upstream's big-endian number", () => {
    const bitmap = new Bitmap().with([0, 9], true);
    assert.equal(Buffer.from(bitmap.toBase64(), "base64").toString("hex"), "0201");
    assert.ok(Bitmap.fromBase64(bitmap.toBase64()).has(9));
    assert.equal(bitmap.with([9, 0], false).toBase64(), "");
  });

  test("free numbers are given out above the reserved ones, round and round, then below", () => {
    const range = { ...portRange("1-40"), reserved: 38 };
    assert.equal(new Bitmap().next(range, 0), 38);
    assert.equal(new Bitmap().with([38], true).next(range, 38), 39);
    assert.equal(new Bitmap().with([39], true).next(range, 39), 38);
    assert.equal(new Bitmap().with([38, 39], true).next(range, 39), 0);
    assert.equal(new Bitmap().with(Array(40).keys(), true).next(range, 39), -1);
  });
});

describe("a Service gets", () => {
  test.each<[string, ServiceSpec, Partial<ServiceSpec>]>([
    ["an address", { type: "ClusterIP" }, { clusterIP: "10.96.1.1", clusterIPs: ["10.96.1.1"], ipFamilies: ["IPv4"] }],
    ["the address that it asks for", { type: "ClusterIP", clusterIP: "10.96.0.10" }, { clusterIP: "10.96.0.10" }],
    ["none when it is headless", { type: "ClusterIP", clusterIP: "None" }, { clusterIP: "None", clusterIPs: ["None"] }],
    [
      "none when it is a name",
      { type: "ExternalName", externalName: "x" },
      { type: "ExternalName", externalName: "x" },
    ],
    [
      "both families when it has neither address nor selector",
      { clusterIP: "None" },
      { ipFamilies: ["IPv4", "IPv6"], ipFamilyPolicy: "RequireDualStack" },
    ],
    [
      "a port for health",
      { type: "LoadBalancer", externalTrafficPolicy: "Local", ports: [port()] },
      { ports: [port(30086)], healthCheckNodePort: 30087 },
    ],
    [
      "no node port that it does not ask for, when it says so",
      { type: "LoadBalancer", allocateLoadBalancerNodePorts: false, ports: [port(), port(30000, 81)] },
      { ports: [port(), port(30000, 81)] },
    ],
    ["a node port", { type: "NodePort", ports: [port()] }, { ports: [port(30086)] }],
    ["the node port that it asks for", { type: "NodePort", ports: [port(30000)] }, { ports: [port(30000)] }],
    [
      "one node port for TCP and UDP of one port",
      { type: "NodePort", ports: [port(), port(undefined, 80, "UDP")] },
      { ports: [port(30086), port(30086, 80, "UDP")] },
    ],
  ])("%s", (_name, spec, expected) => {
    const result = allocate(undefined, service(spec), state());
    assert.deepEqual(result.errors, []);
    for (const [field, value] of Object.entries(expected))
      assert.deepEqual(result.service.spec![field as keyof ServiceSpec], value);
  });

  test.each<[string, ServiceSpec, string]>([
    [
      "an address outside the range",
      { clusterIP: "1.2.3.4" },
      'spec.clusterIPs: Invalid value: ["1.2.3.4"]: failed to allocate IP 1.2.3.4: the provided IP (1.2.3.4) is not in the valid range. The range of valid IPs is 10.96.0.0/16',
    ],
    [
      "a taken address",
      { clusterIP: "10.96.0.1" },
      'spec.clusterIPs: Invalid value: ["10.96.0.1"]: failed to allocate IP 10.96.0.1: provided IP is already allocated',
    ],
    [
      "a node port outside the range",
      { type: "NodePort", ports: [port(80)] },
      "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767",
    ],
    [
      "a taken node port",
      { type: "NodePort", ports: [port(30001)] },
      "spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated",
    ],
    [
      "no address at all",
      { clusterIP: "x" },
      'spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
    ],
    [
      "a family that the cluster has not",
      { ipFamilies: ["IPv6"] },
      'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
    ],
    [
      "two families",
      { ipFamilyPolicy: "RequireDualStack" },
      'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services',
    ],
    [
      "two families in one stack",
      { ipFamilyPolicy: "SingleStack", ipFamilies: ["IPv4", "IPv6"] },
      `spec.ipFamilyPolicy: Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified`,
    ],
    [
      "two families whose policy nobody gave",
      { ipFamilies: ["IPv4", "IPv6"] },
      `spec.ipFamilyPolicy: Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified`,
    ],
    [
      "an address of a family that the cluster has not",
      { clusterIP: "fd00::1" },
      'spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster',
    ],
    [
      "a node port that another port has",
      { type: "NodePort", ports: [port(30005, 80), port(30005, 81, "UDP")] },
      "spec.ports[1].nodePort: Invalid value: 30005: provided port is already allocated",
    ],
    [
      "a taken node port of a balancer that gives none",
      { type: "LoadBalancer", allocateLoadBalancerNodePorts: false, ports: [port(30001)] },
      "spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated",
    ],
  ])("an error for %s", (_name, spec, text) => {
    assert.deepEqual(allocate(undefined, service(spec), state([0], [1])).errors.map(errorText), [text]);
  });
});

test("a taken port for health is the server's failure", () => {
  const spec: ServiceSpec = { type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: 30001 };
  assert.throws(
    () => allocate(undefined, service(spec), state([], [1])),
    /failed to allocate requested HealthCheck NodePort 30001: provided port is already allocated/,
  );
});

describe("an update of a Service", () => {
  const free: ServiceSpec = { clusterIP: "None", clusterIPs: ["None"], ipFamilies: ["IPv4", "IPv6"] };
  const families = (change: Partial<ServiceSpec>) => {
    const [previous, wanted] = [
      { ...free, ipFamilyPolicy: "RequireDualStack" as const },
      { ...free, ...change },
    ];
    const result = allocate(service(previous), service(wanted), state());
    return result.errors.length ? result.errors.map(errorText) : result.service.spec!.ipFamilies;
  };
  test("to one stack leaves the first family; to one family needs that", () => {
    assert.deepEqual(families({ ipFamilyPolicy: "SingleStack" }), ["IPv4"]);
    assert.deepEqual(families({ ipFamilyPolicy: "RequireDualStack", ipFamilies: ["IPv4"] }), [
      `spec.ipFamilyPolicy: Invalid value: "RequireDualStack": must be 'SingleStack' to release the secondary IP family`,
    ]);
  });
  test("gives each new port a node port of its own", () => {
    const wanted = service({ ...old.spec, ports: [port(30005), port(undefined, 80, "UDP")] });
    assert.deepEqual(
      allocate(old, wanted, taken()).service.spec!.ports!.map(({ nodePort }) => nodePort),
      [30005, 30086],
    );
  });

  const old = service({ type: "NodePort", clusterIP: "10.96.0.10", clusterIPs: ["10.96.0.10"], ports: [port(30005)] });
  const taken = () => state([9], [5]);

  test.each<[string, ServiceSpec | undefined, number[], number[]]>([
    ["keeps what the client leaves out", { type: "NodePort", ports: [port()] }, [9], [5]],
    ["gives node ports back with the type", { type: "ClusterIP", ports: [port(30005)] }, [9], []],
    ["gives all back when it becomes a name", { type: "ExternalName", externalName: "x" }, [], []],
    ["moves to another node port", { type: "NodePort", ports: [port(30006)] }, [9], [6]],
    ["gives all back when it is deleted", undefined, [], []],
  ])("%s", (_name, spec, ips, ports) => {
    const wanted = spec && service(spec);
    if (wanted) services.prepareForUpdate(wanted, old);
    const result = allocate(old, wanted, taken());
    assert.deepEqual(result.errors, []);
    assert.deepEqual(
      [...Array(300).keys()].filter((offset) => result.ips.has(offset)),
      ips,
    );
    assert.deepEqual(
      [...Array(300).keys()].filter((offset) => result.ports.has(offset)),
      ports,
    );
  });

  test("of no kind changes its arguments", () => {
    const before = JSON.stringify(old);
    const state = taken();
    allocate(old, service({ type: "ExternalName", externalName: "x" }), state);
    assert.equal(JSON.stringify(old), before);
    assert.ok(state.ips.taken.has(9));
  });
});
