import assert from "node:assert/strict";
import { describe, test } from "vitest";
import type { Pod } from "../../api/generated/core-v1.ts";
import type { ClusterRole, RoleBinding } from "../../api/generated/rbac-v1.ts";
import type { Target, User } from "../request.ts";
import { type Attributes, forbiddenRequest, inOrder, superusers } from "./authorizer.ts";
import { reconcileBinding, reconcileRole } from "./bootstrap.ts";
import { bootstrapPolicy } from "./bootstrap-policy.ts";
import { refuseEscalation } from "./escalation.ts";
import { nodeAuthorizer } from "./node.ts";
import { RbacAuthorizer, RbacIndex, type RbacObjects } from "./rbac.ts";

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

function authorizerOf(pods: object[] = [], more: Partial<RbacObjects> = {}) {
  const policy = bootstrapPolicy();
  const index = new RbacIndex({
    clusterRoles: [...policy.clusterRoles, ...(more.clusterRoles ?? [])],
    roles: [...policy.roles, ...(more.roles ?? [])],
    clusterRoleBindings: [...policy.clusterRoleBindings, ...(more.clusterRoleBindings ?? [])],
    roleBindings: [...policy.roleBindings, ...(more.roleBindings ?? [])],
  });
  const rbac = new RbacAuthorizer(() => index);
  const none = () => undefined;
  const nodeOf = (_namespace: string, name: string) => (name === "theirs" ? "n2" : undefined);
  const lookup = { podsOf: () => pods as Pod[], nodeOf, volume: none, volumeAttachment: none };
  return { rbac, authorizer: inOrder([superusers, nodeAuthorizer(lookup), rbac]) };
}

const { authorizer } = authorizerOf();
const decide = (attributes: Attributes, by = authorizer) => {
  const decision = by.authorize(attributes);
  assert.ok(!(decision instanceof Promise));
  return decision;
};
const may = (who: User, verb: string, what: string) =>
  decide({ user: who, verb, target: target(what) }).type === "Allow";

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
      ["create", "nodes /n1"],
      ["create", "rbac.authorization.k8s.io/clusterroles"],
      ["escalate", "rbac.authorization.k8s.io/roles ns/r"],
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
      ["get", "pods ns/gone"],
      ["update", "coordination.k8s.io/leases kube-node-lease/n1"],
    ],
    [
      ["get", "pods ns/theirs"],
      ["get", "resource.k8s.io/resourceclaims ns/c"],
      ["list", "resource.k8s.io/resourceclaims ns"],
      ["delete", "nodes /n1"],
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

test.each<[string, Attributes, string]>([
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
  assert.ok(forbiddenRequest(attributes, decide(attributes)).message.endsWith(`forbidden: ${text}`));
});

test.each([
  ["spec.nodeName=n1", true],
  ["status.phase!=Running,spec.nodeName==n1", true],
  ["spec.nodeName=n2", false],
  ["spec.nodeName!=n1", false],
  ["", false],
])("a node may watch Pods selected by %j: %s", (fieldSelector, expected) => {
  const attributes = { user: node, verb: "watch", target: target("pods"), fieldSelector };
  assert.equal(decide(attributes).type === "Allow", expected);
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
  const { authorizer } = authorizerOf([{ spec }]);
  assert.equal(decide(attributes, authorizer).type === "Allow", expected);
  const nameless = user("system:node:", "system:nodes");
  assert.equal(decide({ ...attributes, user: nameless }, authorizer).type, "NoOpinion");
});

test.each([
  ["names", { spec: { nodeName: "n1", resourceClaims: [{ name: "r", resourceClaimName: "c" }] } }],
  [
    "had made",
    { spec: { nodeName: "n1" }, status: { resourceClaimStatuses: [{ name: "r", resourceClaimName: "c" }] } },
  ],
])("a node reads a ResourceClaim that its Pod %s", (_name, pod) => {
  const attributes = { user: node, verb: "get", target: target("resource.k8s.io/resourceclaims ns/c") };
  assert.equal(decide(attributes, authorizerOf([pod]).authorizer).type, "Allow");
});

const rule = (verbs: string, group: string, resources: string, ...resourceNames: string[]) => ({
  verbs: verbs.split(","),
  apiGroups: [group],
  resources: resources.split(","),
  ...(resourceNames.length > 0 ? { resourceNames } : {}),
});
const rbacGroup = "rbac.authorization.k8s.io";
const role = (name: string, namespace: string, ...rules: ReturnType<typeof rule>[]) => ({
  metadata: { name, namespace },
  rules,
});
const binding = (name: string, namespace: string, roleKind: string, roleName: string, ...users: string[]) => ({
  metadata: { name, namespace },
  roleRef: { apiGroup: rbacGroup, kind: roleKind, name: roleName },
  subjects: users.map((user) => ({ kind: "User", apiGroup: rbacGroup, name: user })),
});
const account = (name: string, namespace?: string) => ({
  kind: "ServiceAccount",
  name,
  ...(namespace ? { namespace } : {}),
});

describe("rules", () => {
  const roles = [
    role("all", "ns", rule("*", "*", "*")),
    role("named", "ns", rule("get,create,list", "", "pods", "one")),
    role("scales", "ns", rule("update", "apps", "*/scale")),
    role("logs", "ns", rule("get", "", "pods/log")),
  ];
  const roleBindings = [
    binding("all", "ns", "Role", "all", "anna"),
    binding("named", "ns", "Role", "named", "nora"),
    binding("scales", "ns", "Role", "scales", "sven"),
    binding("logs", "ns", "Role", "logs", "lena"),
    binding("gone", "ns", "Role", "gone", "gerd"),
    { ...binding("sa", "ns", "Role", "all"), subjects: [account("own"), account("other", "b")] },
  ];
  const { authorizer } = authorizerOf([], { roles, roleBindings });
  test.each<[string, string, string, string, boolean]>([
    ["everything in the namespace of the binding", "anna", "delete", "x.y/zs ns/a", true],
    ["nothing in another", "anna", "get", "pods other/a", false],
    ["nothing at the cluster scope", "anna", "list", "pods", false],
    ["a named object", "nora", "get", "pods ns/one", true],
    ["no other object", "nora", "get", "pods ns/two", false],
    ["no create, which has no name", "nora", "create", "pods ns", false],
    ["no whole list", "nora", "list", "pods ns", false],
    ["a subresource of all resources", "sven", "update", "apps/deployments/scale ns/d", true],
    ["not the resources themselves", "sven", "update", "apps/deployments ns/d", false],
    ["a subresource", "lena", "get", "pods/log ns/p", true],
    ["not what it is of", "lena", "get", "pods ns/p", false],
    ["an account of the binding's namespace", "system:serviceaccount:ns:own", "get", "pods ns/p", true],
    ["an account of another", "system:serviceaccount:b:other", "get", "pods ns/p", true],
    ["not its namesake", "system:serviceaccount:b:own", "get", "pods ns/p", false],
  ])("allow %s", (_name, who, verb, what, expected) => {
    assert.equal(decide({ user: user(who), verb, target: target(what) }, authorizer).type === "Allow", expected);
  });

  test("a decision says whose it was, and what is missing", () => {
    const ask = (who: string) =>
      decide({ user: user(who), verb: "get", target: target("pods ns/p") }, authorizer).reason;
    assert.equal(ask("anna"), 'RBAC: allowed by RoleBinding "all/ns" of Role "all" to User "anna"');
    assert.equal(
      ask("system:serviceaccount:ns:own"),
      'RBAC: allowed by RoleBinding "sa/ns" of Role "all" to ServiceAccount "own/ns"',
    );
    assert.equal(ask("gerd"), 'RBAC: role.rbac.authorization.k8s.io "gone" not found');
    assert.equal(
      decide({ user: admin, verb: "get", path: "/metrics" }, authorizerOf().rbac as never).reason,
      'RBAC: allowed by ClusterRoleBinding "cluster-admin" of ClusterRole "cluster-admin" to Group "system:masters"',
    );
  });
});

describe("nobody gives away more than he has", () => {
  const resource = (name: string) => ({ group: rbacGroup, version: "v1", resource: name }) as never;
  const { rbac, authorizer } = authorizerOf([], {
    roles: [
      role("pods", "ns", rule("get,list", "", "pods,secrets")),
      role("may-escalate", "ns", rule("escalate", rbacGroup, "roles")),
      role("may-bind", "ns", rule("bind", rbacGroup, "clusterroles", "edit")),
    ],
    roleBindings: [
      binding("p", "ns", "Role", "pods", "paul"),
      binding("e", "ns", "Role", "may-escalate", "emma"),
      binding("b", "ns", "Role", "may-bind", "bert"),
    ],
  });
  const write = (who: User, kind: string, object: object, oldObject?: object) =>
    refuseEscalation(rbac, authorizer, { user: who, resource: resource(kind), object, oldObject } as never);

  test("a role may hold what its writer holds", async () => {
    await write(user("paul"), "roles", role("r", "ns", rule("get", "", "pods", "one"), rule("list", "", "secrets")));
  });

  test("what is missing is told, verbs joined", async () => {
    await assert.rejects(
      write(user("paul"), "roles", role("r", "ns", rule("get,delete,patch", "", "pods"), rule("*", "", "nodes"))),
      {
        message:
          'roles.rbac.authorization.k8s.io "r" is forbidden: user "paul" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n' +
          '{APIGroups:[""], Resources:["nodes"], Verbs:["*"]}\n' +
          '{APIGroups:[""], Resources:["pods"], Verbs:["delete" "patch"]}',
      },
    );
  });

  test("escalate, bind and system:masters may", async () => {
    await write(user("emma"), "roles", role("r", "ns", rule("*", "*", "*")));
    await write(user("bert"), "rolebindings", binding("x", "ns", "ClusterRole", "edit", "eve"));
    await write(admin, "clusterroles", role("r", "", rule("*", "*", "*")));
  });

  test("a binding gives what its role holds, and its role must be there", async () => {
    await write(user("paul"), "rolebindings", binding("x", "ns", "Role", "pods", "eve"));
    await assert.rejects(
      write(user("bert"), "rolebindings", binding("x", "ns", "ClusterRole", "cluster-admin", "eve")),
      {
        message: /^rolebindings.rbac.authorization.k8s.io "x" is forbidden: user "bert" .* not currently held/s,
      },
    );
    await assert.rejects(write(user("paul"), "rolebindings", binding("x", "ns", "Role", "none", "eve")), {
      message: 'role.rbac.authorization.k8s.io "none" not found',
    });
  });

  test("only who may do all may aggregate", async () => {
    const aggregate = { ...role("r", ""), aggregationRule: { clusterRoleSelectors: [{}] } };
    await assert.rejects(write(user("paul"), "clusterroles", aggregate), {
      message: /must have cluster-admin privileges to use the aggregationRule$/,
    });
  });

  test("the garbage collector may take finalizers off", async () => {
    const old = role("r", "ns", rule("*", "*", "*"));
    await write(user("gc"), "roles", { ...old, metadata: { ...old.metadata, finalizers: [] } }, old);
  });
});

describe("the default roles", () => {
  const { clusterRoles, clusterRoleBindings } = bootstrapPolicy();
  const find = <T extends { metadata: { name: string } }>(list: T[], name: string) =>
    structuredClone(list.find(({ metadata }) => metadata.name === name)!);

  test("are labelled, and aggregate", () => {
    const edit = find(clusterRoles, "edit");
    assert.deepEqual(edit.metadata.labels, {
      "kubernetes.io/bootstrapping": "rbac-defaults",
      "rbac.authorization.k8s.io/aggregate-to-admin": "true",
    });
    assert.deepEqual(edit.aggregationRule, {
      clusterRoleSelectors: [{ matchLabels: { "rbac.authorization.k8s.io/aggregate-to-edit": "true" } }],
    });
  });

  test("are left alone when they are as they should be", () => {
    for (const one of clusterRoles)
      assert.equal(reconcileRole(structuredClone(one), one), undefined, one.metadata.name);
    for (const one of clusterRoleBindings) assert.equal(reconcileBinding(structuredClone(one), one), undefined);
  });

  test("get back what is missing, keep what was added, and stay as they are when told so", () => {
    const expected: ClusterRole = find(clusterRoles, "system:kube-dns");
    const existing = { ...expected, rules: [rule("list", "", "services"), rule("get", "", "pods")] };
    assert.deepEqual(reconcileRole(existing, expected)!.rules, [
      ...existing.rules,
      ...["endpoints:list", "endpoints:watch", "services:watch"].map((text) => {
        const [resource, verb] = text.split(":");
        return rule(verb!, "", resource!);
      }),
    ]);
    const annotations = { "rbac.authorization.kubernetes.io/autoupdate": "false" };
    assert.equal(
      reconcileRole({ ...existing, metadata: { name: "system:kube-dns", annotations } }, expected),
      undefined,
    );
  });

  test("are bound again to whom they were taken from", () => {
    const expected = find(clusterRoleBindings, "system:node-proxier") as RoleBinding;
    const other = { kind: "User", name: "eve" };
    assert.deepEqual(reconcileBinding({ ...expected, subjects: [other] }, expected)!.subjects, [
      other,
      { kind: "User", apiGroup: rbacGroup, name: "system:kube-proxy" },
    ]);
  });
});
