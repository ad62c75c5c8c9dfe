import { describe, expect, test } from "vitest";
import type { Endpoints, Pod, Service } from "../../api/generated/core-v1.ts";
import { pod, service } from "../testing.ts";
import { reconcile } from "./reconcile.ts";

const backend = (name: string, options = {}) => pod(name, { node: "n1", ip: `10.0.0.${name.slice(1)}`, ...options });

function decide(service: Service | undefined, pods: Pod[], endpoints?: Endpoints) {
  return reconcile({ service, pods, endpoints });
}

function subsets(service: Service, pods: Pod[]) {
  const [action] = decide(service, pods);
  const ips = (list: { ip: string }[] = []) => list.map(({ ip }) => ip).join(" ");
  return (action!.endpoints.subsets ?? []).map(({ addresses, notReadyAddresses, ports }) => {
    return `${ips(addresses)} | ${ips(notReadyAddresses)} | ${(ports ?? []).map(({ port }) => port)}`;
  });
}

const table: { name: string; service: Service; pods: Pod[]; expected: string[] }[] = [
  {
    name: "ready and unready Pods stand apart, sorted by address",
    service: service(),
    pods: [backend("p3"), backend("p2", { ready: false }), backend("p1")],
    expected: ["10.0.0.1 10.0.0.3 | 10.0.0.2 | 8080"],
  },
  {
    name: "Pods that terminate, are done or have no address are left out",
    service: service(),
    pods: [backend("p1", { deleting: true }), backend("p2", { phase: "Failed" }), pod("p3")],
    expected: [],
  },
  {
    name: "publishNotReadyAddresses counts all as ready",
    service: service({ publishNotReadyAddresses: true }),
    pods: [backend("p1", { ready: false }), backend("p2", { deleting: true })],
    expected: ["10.0.0.1 10.0.0.2 |  | 8080"],
  },
  {
    name: "Pods with another port behind the same name are a subset of their own",
    service: service({ ports: [{ port: 80, targetPort: "http" }] }),
    pods: [
      backend("p1", { ports: [{ name: "http", containerPort: 8080 }] }),
      backend("p2", { ports: [{ name: "http", containerPort: 9090 }] }),
    ],
    expected: ["10.0.0.1 |  | 8080", "10.0.0.2 |  | 9090"],
  },
];

describe("Endpoints: reconcile", () => {
  test.each(table)("$name", ({ service, pods, expected }) => {
    expect(subsets(service, pods)).toEqual(expected);
  });

  test("what is right already is left alone, whatever the order of the Pods", () => {
    const [action] = decide(service(), [backend("p1"), backend("p2")]);
    expect(decide(service(), [backend("p2"), backend("p1")], action!.endpoints)).toEqual([]);
  });

  test("those of a deleted Service go; a Service without a selector keeps what others gave it", () => {
    const [action] = decide(service(), [backend("p1")]);
    expect(decide(undefined, [], action!.endpoints)).toMatchObject([{ type: "DeleteEndpoints" }]);
    const { selector: _, ...spec } = service().spec!;
    expect(decide({ ...service(), spec }, [], action!.endpoints)).toEqual([]);
  });
});
