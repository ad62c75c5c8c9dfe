import assert from "node:assert/strict";
import { describe, test } from "vitest";
import type { Target, User } from "../request.ts";
import { authorize } from "./authorize.ts";

const user = (name: string, ...groups: string[]): User => ({ name, groups: [...groups, "system:authenticated"] });
const admin = user("kubernetes-admin", "system:masters");
const manager = user("system:kube-controller-manager");
const scheduler = user("system:kube-scheduler");
const proxy = user("system:kube-proxy");
const node = user("system:node:n1", "system:nodes");

/** `apps/deployments/scale ns/name`, "" for what is not there. */
function target(text: string): Target {
  const [path, where = ""] = text.split(" ");
  const parts = path!.split("/");
  const group = parts[0]!.includes(".") || parts[0] === "apps" ? parts.shift()! : "";
  const [namespace = "", name = ""] = where.split("/");
  return { group, version: "v1", resource: parts[0]!, subresource: parts[1] ?? "", namespace, name };
}

const may = (who: User, verb: string, what: string) =>
  authorize({ user: who, verb, target: target(what) }) === undefined;

describe.each<[string, User, [verb: string, what: string][], [verb: string, what: string][]]>([
  [
    "system:masters",
    admin,
    [
      ["delete", "namespaces /default"],
      ["create", "pods/binding a/b"],
      ["get", "x.y/zs"],
    ],
    [],
  ],
  [
    "the controller-manager",
    manager,
    [
      ["watch", "apps/deployments"],
      ["create", "apps/replicasets ns/a"],
      ["create", "pods ns/a"],
      ["update", "apps/deployments/status ns/a"],
      ["update", "namespaces/finalize ns/ns"],
      ["deletecollection", "secrets ns"],
      ["create", "coordination.k8s.io/leases kube-system/kube-controller-manager"],
      ["update", "coordination.k8s.io/leases kube-system/kube-controller-manager"],
    ],
    [
      ["create", "secrets ns/a"],
      ["create", "pods/binding ns/a"],
      ["create", "nodes /n1"],
    ],
  ],
  [
    "the scheduler",
    scheduler,
    [
      ["watch", "pods"],
      ["list", "nodes"],
      ["create", "pods/binding ns/a"],
      ["patch", "pods/status ns/a"],
      ["create", "events ns/e"],
      ["update", "coordination.k8s.io/leases kube-system/kube-scheduler"],
    ],
    [
      ["create", "pods ns/a"],
      ["get", "secrets ns/s"],
      ["update", "nodes /n1"],
      ["update", "coordination.k8s.io/leases kube-system/kube-controller-manager"],
      ["update", "coordination.k8s.io/leases other/kube-scheduler"],
    ],
  ],
  [
    "a node",
    node,
    [
      ["create", "nodes /n1"],
      ["patch", "nodes/status /n1"],
      ["get", "nodes /n2"],
      ["patch", "pods/status ns/a"],
      ["update", "coordination.k8s.io/leases kube-node-lease/n1"],
    ],
    [
      ["patch", "nodes/status /n2"],
      ["delete", "nodes /n1"],
      ["create", "pods ns/a"],
      ["list", "secrets ns"],
      ["get", "secrets ns/a"],
      ["update", "coordination.k8s.io/leases kube-node-lease/n2"],
      ["update", "coordination.k8s.io/leases kube-system/n1"],
      ["get", "coordination.k8s.io/leases kube-system/kube-scheduler"],
    ],
  ],
  [
    "the proxy",
    proxy,
    [
      ["watch", "services"],
      ["list", "discovery.k8s.io/endpointslices"],
      ["get", "nodes /n1"],
    ],
    [
      ["get", "pods ns/a"],
      ["get", "secrets ns/s"],
      ["update", "services ns/s"],
    ],
  ],
  [
    "anyone else",
    user("jane"),
    [],
    [
      ["get", "pods ns/a"],
      ["list", "namespaces"],
    ],
  ],
])("%s", (_name, who, allowed, denied) => {
  test.each(allowed.map(([verb, what]) => [`${verb} ${what}`, verb, what] as const))("may %s", (_text, verb, what) => {
    assert.ok(may(who, verb, what));
  });
  test.each(denied.map(([verb, what]) => [`${verb} ${what}`, verb, what] as const))(
    "may not %s",
    (_text, verb, what) => {
      assert.ok(!may(who, verb, what));
    },
  );
});

test.each<[string, Parameters<typeof authorize>[0], string]>([
  [
    "a resource in a namespace",
    { user: user("u"), verb: "get", target: target("pods ns/x") },
    'User "u" cannot get resource "pods" in API group "" in the namespace "ns"',
  ],
  [
    "a subresource at the cluster scope",
    { user: user("u"), verb: "patch", target: target("nodes/status /x") },
    'User "u" cannot patch resource "nodes/status" in API group "" at the cluster scope',
  ],
  ["a path", { user: user("u"), verb: "get", path: "/metrics" }, 'User "u" cannot get path "/metrics"'],
])("a denial names %s", (_name, attributes, text) => {
  assert.equal(authorize(attributes), text);
});

test.each([
  ["spec.nodeName=n1", true],
  ["status.phase!=Running,spec.nodeName==n1", true],
  ["spec.nodeName=n2", false],
  ["spec.nodeName!=n1", false],
  ["", false],
])("a node may watch Pods selected by %j: %s", (fieldSelector, expected) => {
  const attributes = { user: node, verb: "watch", target: target("pods"), fieldSelector };
  assert.equal(authorize(attributes) === undefined, expected);
});

test.each([
  ["an environment variable", { containers: [{ env: [{ valueFrom: { secretKeyRef: { name: "s" } } }] }] }, true],
  ["all variables at once", { initContainers: [{ envFrom: [{ secretRef: { name: "s" } }] }] }, true],
  ["a volume", { volumes: [{ secret: { secretName: "s" } }] }, true],
  ["a projected volume", { volumes: [{ projected: { sources: [{ secret: { name: "s" } }] } }] }, true],
  ["a pull secret", { imagePullSecrets: [{ name: "s" }] }, true],
  ["a ConfigMap of the same name", { volumes: [{ configMap: { name: "s" } }] }, false],
  ["another Secret", { volumes: [{ secret: { secretName: "t" } }] }, false],
])("a node and a Secret in %s of its Pod", (_name, spec, expected) => {
  const attributes = { user: node, verb: "get", target: target("secrets ns/s") };
  assert.equal(authorize(attributes, () => [{ spec }]) === undefined, expected);
});
