import { describe, expect, test } from "vitest";
import type { Pod, Service } from "../../api/generated/core-v1.ts";
import type { EndpointSlice } from "../../api/generated/discovery-v1.ts";
import { pod, service } from "../testing.ts";
import { maxEndpointsPerSlice, reconcile } from "./reconcile.ts";

const backend = (name: string, options = {}) => pod(name, { node: "n1", ip: `10.0.0.${name.slice(1)}`, ...options });

function decide(service: Service, pods: Pod[], slices: EndpointSlice[] = []) {
  return reconcile({ service, pods, slices, zones: new Map([["n1", "zone-a"]]) });
}

/** Does what the actions say, as the server would. */
function apply(slices: EndpointSlice[], service: Service, pods: Pod[]): EndpointSlice[] {
  let result = [...slices];
  for (const { type, slice } of decide(service, pods, slices)) {
    const stored = { ...slice, metadata: { ...slice.metadata, name: slice.metadata.name || `s${++created}` } };
    result = result.filter(({ metadata }) => metadata.name !== stored.metadata.name);
    if (type !== "DeleteSlice") result.push(stored);
  }
  return result;
}

let created = 0;
const addresses = (slices: EndpointSlice[]) => slices.flatMap(({ endpoints }) => endpoints.flatMap((e) => e.addresses));

describe("EndpointSlice: reconcile", () => {
  test("a ready Pod is an endpoint with its node, zone and name", () => {
    const [slice] = apply([], service(), [backend("p1")]);
    expect(slice).toMatchObject({
      metadata: {
        generateName: "web-",
        labels: {
          "kubernetes.io/service-name": "web",
          "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        },
        ownerReferences: [{ kind: "Service", name: "web", uid: "uid-service", controller: true }],
      },
      addressType: "IPv4",
      ports: [{ name: "", port: 8080, protocol: "TCP" }],
      endpoints: [
        {
          addresses: ["10.0.0.1"],
          conditions: { ready: true, serving: true, terminating: false },
          nodeName: "n1",
          zone: "zone-a",
          targetRef: { kind: "Pod", namespace: "default", name: "p1", uid: "uid-p1" },
        },
      ],
    });
  });

  const conditions: { name: string; pod: Pod; service?: Service; expected: object | undefined }[] = [
    {
      name: "not ready: listed, to be passed over",
      pod: backend("p1", { ready: false }),
      expected: { ready: false, serving: false, terminating: false },
    },
    {
      name: "terminating but ready: serves its last requests, gets no new ones",
      pod: backend("p1", { deleting: true }),
      expected: { ready: false, serving: true, terminating: true },
    },
    {
      name: "publishNotReadyAddresses: ready in any case",
      pod: backend("p1", { ready: false, deleting: true }),
      service: service({ publishNotReadyAddresses: true }),
      expected: { ready: true, serving: false, terminating: true },
    },
    { name: "without an address: not listed", pod: pod("p1", { node: "n1" }), expected: undefined },
    { name: "done: not listed", pod: backend("p1", { phase: "Succeeded" }), expected: undefined },
  ];
  test.each(conditions)("a Pod $name", ({ pod, service: of = service(), expected }) => {
    expect(apply([], of, [pod])[0]!.endpoints[0]?.conditions).toEqual(expected);
  });

  test("a named port is each Pod's own: Pods that differ are in different slices, Pods without it in one without ports", () => {
    const named = service({ ports: [{ name: "web", port: 80, targetPort: "http" }] });
    const withPort = (name: string, containerPort: number) =>
      backend(name, { ports: [{ name: "http", containerPort, protocol: "TCP" }] });
    const slices = apply([], named, [withPort("p1", 8080), withPort("p2", 9090), backend("p3")]);
    expect(
      slices.map(({ ports, endpoints }) => [
        ports!.map(({ port }) => port),
        addresses([{ endpoints } as EndpointSlice]),
      ]),
    ).toEqual([
      [[8080], ["10.0.0.1"]],
      [[9090], ["10.0.0.2"]],
      [[], ["10.0.0.3"]],
    ]);
  });

  test("at most 100 endpoints are in a slice, and nothing moves when one Pod changes", () => {
    const many = Array.from({ length: 250 }, (_, i) => backend(`p${i}`));
    const slices = apply([], service(), many);
    expect(slices.map(({ endpoints }) => endpoints.length)).toEqual([100, 100, 50]);
    many[120] = backend("p120", { ready: false });
    const actions = decide(service(), many, slices);
    expect(actions.map(({ type, slice }) => `${type} ${slice.metadata.name}`)).toEqual([
      `UpdateSlice ${slices[1]!.metadata.name}`,
    ]);
  });

  test("new endpoints fill the room in slices, and empty slices go", () => {
    let pods = Array.from({ length: 150 }, (_, i) => backend(`p${i}`));
    let slices = apply([], service(), pods);
    pods = [...pods, ...Array.from({ length: 50 }, (_, i) => backend(`q${i}`))];
    slices = apply(slices, service(), pods);
    expect(slices.map(({ endpoints }) => endpoints.length)).toEqual([maxEndpointsPerSlice, maxEndpointsPerSlice]);
    slices = apply(slices, service(), pods.slice(0, 100));
    expect(slices.length).toBe(1);
  });

  test("without Pods one empty slice stays; without a selector none", () => {
    let slices = apply([], service(), [backend("p1")]);
    slices = apply(slices, service(), []);
    expect(slices).toMatchObject([{ endpoints: [], ports: [] }]);
    expect(decide(service(), [], slices)).toEqual([]);
    const { selector: _, ...spec } = service().spec!;
    expect(apply(slices, { ...service(), spec }, [])).toEqual([]);
  });

  test("a headless Service says so, and gives Pods their host names", () => {
    const headless = service({ clusterIP: "None" });
    const own = backend("p1");
    const [slice] = apply([], headless, [{ ...own, spec: { ...own.spec, hostname: "db-0", subdomain: "web" } }]);
    expect(slice!.metadata.labels).toMatchObject({ "service.kubernetes.io/headless": "" });
    expect(slice!.endpoints[0]!.hostname).toBe("db-0");
  });
});
