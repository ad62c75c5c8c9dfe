import assert from "node:assert/strict";
import "reflect-metadata";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import { describe, test } from "vitest";
import type { PersistentVolumeClaim, Pod, PodSpec } from "../../api/generated/core-v1.ts";
import {
  CSIDrivers,
  LimitRanges,
  Namespaces,
  Nodes,
  PersistentVolumeClaims,
  PersistentVolumes,
  Pods,
  PriorityClasses,
  RuntimeClasses,
  ServiceAccounts,
  StorageClasses,
} from "../../api/generated/resources.ts";
import { systemClock } from "../../base/clock.ts";
import { systemRand } from "../../base/rand.ts";
import type { Attributes, Plugin } from "./chain.ts";
import type { Cluster } from "./cluster.ts";
import { defaultStorageClass, persistentVolumeClaimResize } from "./default-classes.ts";
import { limitRanger } from "./limit-ranger.ts";
import { nodeRestriction } from "./node-restriction.ts";
import { alwaysPullImages, extendedResourceToleration } from "./off-by-default.ts";
import { podSecurity, podSecurityOf } from "./pod-security.ts";
import { violations } from "./pod-security-checks.ts";
import { priority } from "./priority.ts";
import { runtimeClass } from "./runtime-class.ts";
import { serviceAccount } from "./service-account.ts";
import { storageObjectInUseProtection } from "./storage-object-in-use-protection.ts";
import { attributes, clusterWith } from "./testing.ts";

const pod = (spec: object = {}, container: object = {}): Pod => ({
  metadata: { name: "x" },
  spec: { containers: [{ name: "c", image: "i", ...container }], ...spec } as PodSpec,
});

/** Runs both phases; the text of the refusal, or undefined. */
async function refusal(plugin: Plugin, given: Attributes, cluster: Cluster): Promise<string | undefined> {
  try {
    await plugin.mutate?.(given, cluster);
    await plugin.validate?.(given, cluster);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

describe("LimitRanger", () => {
  const range = (...limits: object[]) =>
    clusterWith([LimitRanges, { metadata: { name: "l", namespace: "ns" }, spec: { limits } }]);
  const asks = (requests?: object, limits?: object) => pod({}, { resources: { requests, limits } });

  test("a container gets the defaults that it does not name, and an annotation says so", async () => {
    const given = asks({ cpu: "10m" });
    const item = {
      type: "Container",
      default: { cpu: "1", memory: "1Gi" },
      defaultRequest: { cpu: "100m", memory: "5Mi" },
    };
    assert.equal(await refusal(limitRanger, attributes("pods", given), range(item)), undefined);
    assert.deepEqual(given.spec.containers[0]!.resources, {
      requests: { cpu: "10m", memory: "5Mi" },
      limits: { cpu: "1", memory: "1Gi" },
    });
    assert.deepEqual(given.metadata.annotations, {
      "kubernetes.io/limit-ranger":
        "LimitRanger plugin set: memory request for container c; cpu, memory limit for container c",
    });
  });

  test.each<[string, object, Pod, string | undefined]>([
    ["within", { type: "Container", max: { cpu: "1" } }, asks({ cpu: "1" }, { cpu: "1" }), undefined],
    [
      "too much",
      { type: "Container", max: { cpu: "1" } },
      asks({}, { cpu: "2" }),
      "maximum cpu usage per Container is 1, but limit is 2",
    ],
    [
      "no limit",
      { type: "Container", max: { cpu: "1" } },
      asks(),
      "maximum cpu usage per Container is 1.  No limit is specified",
    ],
    [
      "too little",
      { type: "Container", min: { cpu: "1" } },
      asks({ cpu: "10m" }),
      "minimum cpu usage per Container is 1, but request is 10m",
    ],
    [
      "several",
      { type: "Pod", min: { cpu: "1", memory: "1Gi" } },
      asks({ cpu: "10m" }),
      "[minimum cpu usage per Pod is 1, but request is 10m, minimum memory usage per Pod is 1Gi.  No request is specified]",
    ],
    [
      "a ratio",
      { type: "Container", maxLimitRequestRatio: { cpu: "2" } },
      asks({ cpu: "100m" }, { cpu: "300m" }),
      "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
    ],
  ])("%s", async (_name, item, given, expected) => {
    const text = expected && `pods "x" is forbidden: ${expected}`;
    assert.equal(await refusal(limitRanger, attributes("pods", given), range(item)), text);
  });

  test("no Pod is resized beyond it", async () => {
    const resized = attributes("pods", asks({}, { cpu: "2" }), { subresource: "resize", operation: "UPDATE" });
    const text = await refusal(limitRanger, resized, range({ type: "Container", max: { cpu: "1" } }));
    assert.equal(text, 'pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2');
  });

  test("a claim may be too large", async () => {
    const claim = { metadata: { name: "x" }, spec: { resources: { requests: { storage: "2Gi" } } } };
    assert.equal(
      await refusal(
        limitRanger,
        attributes("persistentvolumeclaims", claim),
        range({ type: "PersistentVolumeClaim", max: { storage: "1Gi" } }),
      ),
      'persistentvolumeclaims "x" is forbidden: maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi',
    );
  });
});

describe("Priority", () => {
  const classes = clusterWith(
    [PriorityClasses, { metadata: { name: "high" }, value: 1000, preemptionPolicy: "Never" }],
    [PriorityClasses, { metadata: { name: "usual" }, value: 5, globalDefault: true }],
  );
  test.each<[string, object, Cluster, object | string]>([
    [
      "a class gives its number",
      { priorityClassName: "high" },
      classes,
      { priorityClassName: "high", priority: 1000, preemptionPolicy: "Never" },
    ],
    [
      "without one the default's",
      {},
      classes,
      { priorityClassName: "usual", priority: 5, preemptionPolicy: "PreemptLowerPriority" },
    ],
    [
      "without any it is 0",
      {},
      clusterWith(),
      { priorityClassName: undefined, priority: 0, preemptionPolicy: "PreemptLowerPriority" },
    ],
    ["a class that is not there", { priorityClassName: "no" }, classes, "no PriorityClass with name no was found"],
    [
      "another number",
      { priority: 7 },
      classes,
      "the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 5 from the given PriorityClass name",
    ],
  ])("%s", async (_name, spec, cluster, expected) => {
    const given = pod(spec);
    const text = await refusal(priority, attributes("pods", given), cluster);
    if (typeof expected === "string") return assert.equal(text, `pods "x" is forbidden: ${expected}`);
    const { priorityClassName, priority: value, preemptionPolicy } = given.spec;
    assert.deepEqual({ priorityClassName, priority: value, preemptionPolicy }, expected);
  });

  test("there is one default", async () => {
    const other = { metadata: { name: "x" }, value: 1, globalDefault: true };
    assert.match(
      (await refusal(priority, attributes("priorityclasses", other), classes))!,
      /PriorityClass usual is already marked as default/,
    );
  });
});

describe("ServiceAccount", () => {
  const account = (more: object = {}) =>
    clusterWith([ServiceAccounts, { metadata: { name: "default", namespace: "ns" }, ...more }]);
  const plugin = serviceAccount({ ...systemClock, after: (_ms, fn) => systemClock.after(0, fn) }, systemRand);

  test("a Pod runs as default and takes over its pull secrets", async () => {
    const given = pod();
    assert.equal(
      await refusal(plugin, attributes("pods", given), account({ imagePullSecrets: [{ name: "s" }] })),
      undefined,
    );
    assert.equal(given.spec.serviceAccountName, "default");
    assert.deepEqual(given.spec.imagePullSecrets, [{ name: "s" }]);
  });

  test.each<[string, object, object, boolean]>([
    ["its token is mounted", {}, {}, true],
    ["unless the account says no", {}, { automountServiceAccountToken: false }, false],
    ["or the Pod", { automountServiceAccountToken: false }, { automountServiceAccountToken: true }, false],
  ])("%s", async (_name, spec, more, expected) => {
    const given = pod(spec);
    assert.equal(await refusal(plugin, attributes("pods", given), account(more)), undefined);
    const [mount] = given.spec.containers[0]!.volumeMounts ?? [];
    assert.equal(mount?.mountPath, expected ? "/var/run/secrets/kubernetes.io/serviceaccount" : undefined);
    assert.equal(given.spec.volumes?.[0]?.name, mount?.name);
    if (mount) assert.match(mount.name, /^kube-api-access-[a-z0-9]{5}$/);
  });

  test("not as one that is not there", async () => {
    assert.equal(
      await refusal(plugin, attributes("pods", pod({ serviceAccountName: "no" })), account()),
      'pods "x" is forbidden: error looking up service account ns/no: serviceaccount "no" not found',
    );
    assert.match(
      (await refusal(plugin, attributes("pods", pod()), clusterWith()))!,
      /serviceaccount "default" not found/,
    );
  });

  test("only the account's Secrets where that is enforced", async () => {
    const metadata = {
      name: "default",
      namespace: "ns",
      annotations: { "kubernetes.io/enforce-mountable-secrets": "true" },
    };
    const given = pod({ volumes: [{ name: "v", secret: { secretName: "s" } }] });
    assert.equal(
      await refusal(plugin, attributes("pods", given), account({ metadata })),
      'pods "x" is forbidden: volume with secret.secretName="s" is not allowed because service account default does not reference that secret',
    );
    assert.equal(
      await refusal(plugin, attributes("pods", given), account({ metadata, secrets: [{ name: "s" }] })),
      undefined,
    );
  });
});

describe("RuntimeClass", () => {
  const cluster = clusterWith([
    RuntimeClasses,
    {
      metadata: { name: "r" },
      handler: "h",
      overhead: { podFixed: { cpu: "1" } },
      scheduling: { nodeSelector: { a: "b" } },
    },
  ]);
  test.each<[string, object, object | string]>([
    [
      "overhead and nodes are taken over",
      { runtimeClassName: "r" },
      { overhead: { cpu: "1" }, nodeSelector: { a: "b" } },
    ],
    ["a missing class", { runtimeClassName: "q" }, 'pod rejected: RuntimeClass "q" not found'],
    [
      "overhead without one",
      { overhead: { cpu: "1" } },
      "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
    ],
    [
      "other overhead",
      { runtimeClassName: "r", overhead: { cpu: "2" } },
      "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
    ],
    [
      "other nodes",
      { runtimeClassName: "r", nodeSelector: { a: "c" } },
      "conflict: runtimeClass.scheduling.nodeSelector[a] = b; pod.spec.nodeSelector[a] = c",
    ],
  ])("%s", async (_name, spec, expected) => {
    const given = pod(spec);
    const text = await refusal(runtimeClass, attributes("pods", given), cluster);
    if (typeof expected === "string") return assert.equal(text, `pods "x" is forbidden: ${expected}`);
    const { overhead, nodeSelector } = given.spec;
    assert.deepEqual({ overhead, nodeSelector }, expected);
  });
});

test.each([
  ["persistentvolumes", "", "kubernetes.io/pv-protection"],
  ["persistentvolumeclaims", "", "kubernetes.io/pvc-protection"],
  ["persistentvolumeclaims", "status", undefined],
  ["pods", "", undefined],
])("StorageObjectInUseProtection: %s/%s get %s, once", async (resource, subresource, expected) => {
  const object = { metadata: { name: "x", finalizers: ["own"] } };
  const given = attributes(resource, object, { subresource });
  await refusal(storageObjectInUseProtection, given, clusterWith());
  await refusal(storageObjectInUseProtection, given, clusterWith());
  assert.deepEqual(object.metadata.finalizers, expected ? ["own", expected] : ["own"]);
});

describe("classes of storage", () => {
  const isDefault = { "storageclass.kubernetes.io/is-default-class": "true" };
  const cluster = clusterWith(
    [StorageClasses, { metadata: { name: "a", creationTimestamp: "2020-01-01T00:00:00Z", annotations: isDefault } }],
    [StorageClasses, { metadata: { name: "b", creationTimestamp: "2021-01-01T00:00:00Z", annotations: isDefault } }],
    [StorageClasses, { metadata: { name: "c" }, allowVolumeExpansion: true }],
  );
  const claim = (size: string, storageClassName?: string): PersistentVolumeClaim => ({
    metadata: { name: "x" },
    spec: { resources: { requests: { storage: size } }, storageClassName: storageClassName! },
    status: { phase: "Bound" },
  });

  test("the newest default is taken, if none is named", async () => {
    const [open, named] = [claim("1Gi"), claim("1Gi", "")];
    await refusal(defaultStorageClass, attributes("persistentvolumeclaims", open), cluster);
    await refusal(defaultStorageClass, attributes("persistentvolumeclaims", named), cluster);
    assert.deepEqual([open.spec!.storageClassName, named.spec!.storageClassName], ["b", ""]);
  });

  test.each([
    ["c", undefined],
    ["a", "only dynamically provisioned pvc can be resized"],
  ])("a claim of class %s grows: %s", async (name, expected) => {
    const more = { operation: "UPDATE" as const, oldObject: claim("1Gi", name) };
    const text = await refusal(
      persistentVolumeClaimResize,
      attributes("persistentvolumeclaims", claim("2Gi", name), more),
      cluster,
    );
    assert.equal(text?.includes(expected!), expected === undefined ? undefined : true);
  });
});

const nobody = { authorize: () => ({ type: "NoOpinion" as const, reason: "" }) };

describe("NodeRestriction", () => {
  const user = { name: "system:node:n1", groups: ["system:nodes"] };
  const owner = { apiVersion: "v1", kind: "Node", name: "n1", uid: "u1", controller: true };
  const mirror = (nodeName: string, spec = {}, ...ownerReferences: object[]): Pod => ({
    ...pod({ nodeName, ...spec }),
    metadata: {
      name: "x",
      annotations: { "kubernetes.io/config.mirror": "y" },
      ownerReferences: (ownerReferences.length > 0 ? ownerReferences : [owner]) as never,
    },
  });
  const own = (spec: object, ...owners: object[]) => attributes("pods", mirror("n1", spec, ...owners), { user });
  const mounts = (source: object) => own({ volumes: [{ name: "v", ...source }] });
  const change = (resource: string, subresource: string, object: object, oldObject: object) =>
    attributes(resource, object, { user, subresource, operation: "UPDATE", oldObject: oldObject as never });
  const bound = { ...pod({ nodeName: "n1" }), metadata: { name: "x" } };
  const named = (name: string, more = {}) => ({ metadata: { name }, ...more });
  const node = (...taints: object[]) => ({ metadata: { name: "n1" }, spec: { taints } });
  const labelled = (labels: object) => ({ metadata: { name: "n1", labels } }) as never;
  const elsewhere = clusterWith(
    [Pods, { ...pod({ nodeName: "n2" }), metadata: { name: "x", namespace: "ns" } }],
    [Nodes, { metadata: { name: "n1", uid: "u1" } }],
  );

  test.each<[string, Attributes, string | undefined]>([
    ["a mirror Pod of its own", attributes("pods", mirror("n1"), { user }), undefined],
    ["of another", attributes("pods", mirror("n2"), { user }), "can only create pods with spec.nodeName set to itself"],
    ["a Pod that is none", attributes("pods", pod({ nodeName: "n1" }), { user }), "can only create mirror pods"],
    ["one of two owners", own({}, owner, owner), "with a single owner reference set to itself"],
    ["one of another's", own({}, { ...owner, name: "n2" }), "with an owner reference set to itself"],
    [
      "one that it does not control",
      own({}, { ...owner, controller: false }),
      "with a controller owner reference set to itself",
    ],
    [
      "one that holds it",
      own({}, { ...owner, blockOwnerDeletion: true }),
      "must not set blockOwnerDeletion on an owner reference",
    ],
    ["one of an earlier Node", own({}, { ...owner, uid: "u0" }), "node n1 UID mismatch: expected u0 got u1"],
    [
      "a Secret that it could not read before",
      mounts({ secret: { secretName: "s" } }),
      "can not create pods that reference secrets",
    ],
    [
      "a Secret inside a projection",
      mounts({ projected: { sources: [{ secret: { name: "s" } }] } }),
      "can not create pods that reference secrets",
    ],
    [
      "a Secret in its environment",
      own({ containers: [{ name: "c", env: [{ name: "e", valueFrom: { secretKeyRef: { name: "s", key: "k" } } }] }] }),
      "can not create pods that reference secrets",
    ],
    ["a pull Secret", own({ imagePullSecrets: [{ name: "s" }] }), "can not create pods that reference secrets"],
    ["a ConfigMap", mounts({ configMap: { name: "s" } }), "can not create pods that reference configmaps"],
    ["an account", own({ serviceAccountName: "a" }), "can not create pods that reference a service account"],
    [
      "a claim",
      mounts({ persistentVolumeClaim: { claimName: "c" } }),
      "can not create pods that reference persistentvolumeclaims",
    ],
    [
      "a claim that would be made for it",
      mounts({ ephemeral: { volumeClaimTemplate: { spec: {} } } }),
      "can not create pods that reference persistentvolumeclaims",
    ],
    [
      "a bundle",
      mounts({ projected: { sources: [{ clusterTrustBundle: { name: "b", path: "p" } }] } }),
      "can not create pods that reference clustertrustbundles",
    ],
    ["a device", own({ resourceClaims: [{ name: "r" }] }), "can not create pods that reference resourceclaims"],
    ["the spec of its Pod", change("pods", "", bound, bound), "can only create and delete mirror pods"],
    ["the status of its Pod", change("pods", "status", { ...bound, status: { phase: "Failed" } }, bound), undefined],
    [
      "labels by way of the status",
      change("pods", "status", { ...bound, metadata: { name: "x", labels: { a: "b" } } }, bound),
      "cannot update labels through pod status",
    ],
    [
      "claims by way of the status",
      change("pods", "status", { ...bound, status: { resourceClaimStatuses: [{ name: "r" }] } }, bound),
      "cannot update resource claim statues",
    ],
    [
      "the scheduler's part",
      attributes("pods", named("x"), { user, subresource: "binding" }),
      "only 'status' and 'eviction' are allowed",
    ],
    [
      "a claim's capacity",
      change("persistentvolumeclaims", "status", named("c", { status: { capacity: { storage: "1" } } }), named("c")),
      undefined,
    ],
    [
      "a claim's phase",
      change("persistentvolumeclaims", "status", named("c", { status: { phase: "Lost" } }), named("c")),
      "is not allowed to update fields other than status.capacity and status.conditions",
    ],
    ["a claim's spec", change("persistentvolumeclaims", "", named("c"), named("c")), "may only update PVC status"],
    [
      "another's CSINode",
      attributes("csinodes", named("n2"), { user, name: "" }),
      "can only access CSINode with the same name as the requesting node",
    ],
    [
      "another's devices",
      attributes("resourceslices", named("s", { spec: { nodeName: "n2" } }), { user }),
      "can only create ResourceSlice with the same NodeName as the requesting node",
    ],
    ["its own devices", attributes("resourceslices", named("s", { spec: { nodeName: "n1" } }), { user }), undefined],
    [
      "an owner of its Node, whose end would be its own",
      attributes(
        "nodes",
        { metadata: { name: "n1", ownerReferences: [owner] } },
        {
          user,
          name: "n1",
          operation: "UPDATE",
          oldObject: node(),
        },
      ),
      "is not allowed to modify ownerReferences",
    ],
    [
      "where its agent's configuration comes from",
      attributes("nodes", named("n1", { spec: { configSource: { configMap: {} } } }), { user, name: "n1" }),
      "is not allowed to create pods with a non-nil configSource",
    ],
    [
      "the eviction of another's Pod",
      attributes("pods", { metadata: { name: "x" } }, { user, subresource: "eviction" }),
      "can only evict pods with spec.nodeName set to itself",
    ],
    [
      "the eviction of what is gone",
      attributes("pods", { metadata: { name: "gone" } }, { user, name: "gone", subresource: "eviction" }),
      'pods "gone" not found',
    ],
    [
      "its taints",
      attributes("nodes", node(), {
        user,
        name: "n1",
        operation: "UPDATE",
        oldObject: node({ key: "k", effect: "NoSchedule" }),
      }),
      "is not allowed to modify taints",
    ],
    [
      "labels that steer Pods to a new Node",
      attributes(
        "nodes",
        labelled({ "kubernetes.io/os": "linux", "node-role.kubernetes.io/x": "", "a.k8s.io/b": "" }),
        {
          user,
          name: "n1",
        },
      ),
      "is not allowed to set the following labels: a.k8s.io/b, node-role.kubernetes.io/x",
    ],
    [
      "a label that isolates its Node, taken away",
      attributes("nodes", labelled({}), {
        user,
        name: "n1",
        operation: "UPDATE",
        oldObject: labelled({ "example.com.node-restriction.kubernetes.io/a": "b" }),
      }),
      "is not allowed to modify labels: example.com.node-restriction.kubernetes.io/a",
    ],
    [
      "its own labels",
      attributes("nodes", labelled({ "node.kubernetes.io/x": "y", "example.com/a": "b", plain: "" }), {
        user,
        name: "n1",
        operation: "UPDATE",
        oldObject: labelled({ "topology.kubernetes.io/zone": "z" }),
      }),
      undefined,
    ],
    [
      "anything else of its Node",
      attributes("nodes", node(), { user, name: "n1", operation: "UPDATE", oldObject: node() }),
      undefined,
    ],
  ])("%s", async (_name, given, expected) => {
    const text = await refusal(nodeRestriction(nobody), given, elsewhere);
    if (expected === undefined) return assert.equal(text, undefined);
    assert.ok(text?.endsWith(expected), text);
  });
});

describe("NodeRestriction: a node asks for a token", () => {
  const user = { name: "system:node:n1", groups: ["system:nodes"] };
  const metadata = { name: "p", namespace: "ns", uid: "u" };
  const sources = [{ serviceAccountToken: { path: "t" } }, { serviceAccountToken: { path: "v", audience: "vault" } }];
  const volumes = [
    { name: "a", projected: { sources } },
    { name: "b", csi: { driver: "inline" } },
    { name: "c", persistentVolumeClaim: { claimName: "claim" } },
    { name: "d", ephemeral: {} },
  ];
  const claim = (name: string, volumeName: string) => ({ metadata: { name, namespace: "ns" }, spec: { volumeName } });
  const volume = (name: string, driver: string) => ({ metadata: { name }, spec: { csi: { driver } } });
  const driver = (name: string) => ({ metadata: { name }, spec: { tokenRequests: [{ audience: `for ${name}` }] } });
  const cluster = clusterWith(
    [Pods, { metadata, spec: { nodeName: "n1", volumes } }],
    [Pods, { metadata: { ...metadata, name: "theirs" }, spec: { nodeName: "n2" } }],
    [PersistentVolumeClaims, claim("claim", "one")],
    [PersistentVolumeClaims, claim("p-d", "two")],
    [PersistentVolumes, volume("one", "claimed")],
    [PersistentVolumes, volume("two", "made")],
    ...["inline", "claimed", "made", "other"].map((name) => [CSIDrivers, driver(name)] as never),
  );
  const may = (allowed: string) => ({
    authorize: ({ verb, target }: never) =>
      verb === "request-serviceaccounts-token-audience" && (target as { resource: string }).resource === allowed
        ? { type: "Allow" as const, reason: "" }
        : nobody.authorize(),
  });
  const no = (audience: string) =>
    `audience "${audience}" not found in pod spec volume, system:node:n1 is not authorized to request tokens for this audience`;
  test.each<[string, string[], object, string]>([
    ["of a volume", [], {}, ""],
    ["for whom a volume names", ["vault"], {}, ""],
    ["for the driver of a volume", ["for inline"], {}, ""],
    ["for that of a claim", ["for claimed"], {}, ""],
    ["for that of a volume of its own", ["for made"], {}, ""],
    ["for another driver", ["for other"], {}, no("for other")],
    ["for anyone", ["bank"], {}, no("bank")],
    ["for whom it is allowed by a role", ["pulls"], {}, ""],
    ["for two at once", ["vault", "for inline"], {}, "node may only request 0 or 1 audiences"],
    ["of another's Pod", [], { name: "theirs" }, "node requested token bound to a pod scheduled on a different node"],
    ["of no Pod", [], { kind: "Secret" }, "node requested token not bound to a pod"],
    ["of a Pod of that name", [], { uid: "" }, "node requested token with a pod binding without a uid"],
  ])("%s", async (_name, audiences, reference, expected) => {
    const boundObjectRef = { apiVersion: "v1", kind: "Pod", name: "p", uid: "u", ...reference };
    const request = { spec: { audiences, boundObjectRef } };
    const given = attributes("serviceaccounts", request, { user, subresource: "token" });
    const text = (await refusal(nodeRestriction(may("pulls") as never), given, cluster)) ?? "";
    assert.equal(text, expected && `serviceaccounts "x" is forbidden: ${expected}`);
  });
});

test.each([
  ["n1", "kubernetes.io/kubelet-serving", ""],
  ["n2", "kubernetes.io/kubelet-serving", "can only create a node CSR with CN=system:node:n1"],
  ["n2", "kubernetes.io/kube-apiserver-client-kubelet", "can only create a node CSR with CN=system:node:n1"],
  ["n2", "example.com/other", ""],
  [undefined, "kubernetes.io/kubelet-serving", "unable to parse csr: "],
])("NodeRestriction: a node asks for a certificate of %s by %s", async (name, signerName, expected) => {
  const signingAlgorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(signingAlgorithm, true, ["sign", "verify"]);
  const wanted = { name: `CN=system:node:${name}`, keys, signingAlgorithm };
  const made = await x509.Pkcs10CertificateRequestGenerator.create(wanted);
  const request = Buffer.from(name ? made.toString("pem") : "x").toString("base64");
  const user = { name: "system:node:n1", groups: ["system:nodes"] };
  const given = attributes("certificatesigningrequests", { metadata: {}, spec: { signerName, request } }, { user });
  const text = (await refusal(nodeRestriction(nobody), given, clusterWith())) ?? "";
  assert.ok(expected ? text.includes(expected) : text === "", text);
});

test("plug-ins that are off: images are always pulled, devices tolerate their taint", async () => {
  const given = pod({}, { resources: { requests: { "x.com/gpu": "1", cpu: "1" } } });
  await refusal(alwaysPullImages, attributes("pods", given), clusterWith());
  await refusal(extendedResourceToleration, attributes("pods", given), clusterWith());
  assert.equal(given.spec.containers[0]!.imagePullPolicy, "Always");
  assert.deepEqual(given.spec.tolerations, [{ key: "x.com/gpu", operator: "Exists", effect: "NoSchedule" }]);
});

describe("Pod Security Standards", () => {
  const good = {
    securityContext: {
      runAsNonRoot: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      seccompProfile: { type: "RuntimeDefault" },
    },
  };
  test.each<[string, "baseline" | "restricted", Pod, string]>([
    ["a plain Pod keeps baseline", "baseline", pod(), ""],
    ["a careful one keeps restricted", "restricted", pod({}, good), ""],
    [
      "a plain one violates restricted",
      "restricted",
      pod(),
      'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
    ],
    [
      "host namespaces",
      "baseline",
      pod({ hostNetwork: true, hostPID: true }),
      "host namespaces (hostNetwork=true, hostPID=true)",
    ],
    [
      "host ports",
      "baseline",
      pod({}, { ports: [{ hostPort: 80 }, { hostPort: 81 }] }),
      'hostPort (container "c" uses hostPorts 80, 81)',
    ],
    [
      "privileged",
      "baseline",
      pod({}, { securityContext: { privileged: true } }),
      'privileged (container "c" must not set securityContext.privileged=true)',
    ],
    [
      "capabilities",
      "baseline",
      pod({}, { securityContext: { capabilities: { add: ["NET_ADMIN", "CHOWN"] } } }),
      'non-default capabilities (container "c" must not include "NET_ADMIN" in securityContext.capabilities.add)',
    ],
    [
      "host paths",
      "baseline",
      pod({ volumes: [{ name: "v", hostPath: { path: "/" } }] }),
      'hostPath volumes (volume "v")',
    ],
    [
      "the same, restricted",
      "restricted",
      pod({ volumes: [{ name: "v", hostPath: { path: "/" } }] }, good),
      'restricted volume types (volume "v" uses restricted volume type "hostPath")',
    ],
    [
      "root",
      "restricted",
      pod({ securityContext: { runAsUser: 0 } }, good),
      "runAsUser=0 (pod must not set runAsUser=0)",
    ],
    [
      "SELinux",
      "baseline",
      pod({ securityContext: { seLinuxOptions: { type: "t", role: "r" } } }),
      'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "t"; role may not be set)',
    ],
    [
      "seccomp",
      "baseline",
      pod(
        { securityContext: { seccompProfile: { type: "Unconfined" } } },
        { securityContext: { seccompProfile: { type: "Unconfined" } } },
      ),
      'seccompProfile (pod and container "c" must not set securityContext.seccompProfile.type to "Unconfined")',
    ],
    [
      "sysctls",
      "baseline",
      pod({ securityContext: { sysctls: [{ name: "a" }, { name: "kernel.shm_rmid_forced" }] } }),
      "forbidden sysctls (a)",
    ],
    [
      "probes",
      "baseline",
      pod({}, { livenessProbe: { httpGet: { host: "h", port: 1 } } }),
      'probe or lifecycle host (container "c" uses probe or lifecycle host "h")',
    ],
  ])("%s", (_name, level, given, expected) => {
    const found = violations(given, level, Number.POSITIVE_INFINITY).map(([reason, what]) => `${reason} (${what})`);
    assert.equal(found.join(", "), expected);
  });

  test("an older version asks for less", () => {
    assert.deepEqual(
      violations(pod(), "restricted", 20).map(([reason]) => reason),
      ["allowPrivilegeEscalation != false", "runAsNonRoot != true", "seccompProfile"],
    );
  });
});

describe("PodSecurity", () => {
  const key = "pod-security.kubernetes.io/";
  const namespace = (labels: object) => clusterWith([Namespaces, { metadata: { name: "ns", labels } }]);
  const privileged = pod({}, { securityContext: { privileged: true } });
  const why = 'privileged (container "c" must not set securityContext.privileged=true)';

  test("enforces, audits and warns as the labels say", async () => {
    const given = attributes("pods", privileged);
    assert.equal(
      await refusal(
        podSecurity(),
        given,
        namespace({ [`${key}enforce`]: "baseline", [`${key}enforce-version`]: "v1.30", [`${key}audit`]: "baseline" }),
      ),
      `pods "x" is forbidden: violates PodSecurity "baseline:v1.30": ${why}`,
    );
    assert.equal(
      given.auditAnnotations.get(`${key}audit-violations`),
      `would violate PodSecurity "baseline:latest": ${why}`,
    );
    const warned = attributes("pods", privileged);
    assert.equal(await refusal(podSecurity(), warned, namespace({ [`${key}warn`]: "baseline" })), undefined);
    assert.deepEqual(warned.warnings, [`would violate PodSecurity "baseline:latest": ${why}`]);
  });

  test("a template is only warned of", async () => {
    const given = attributes("deployments", { metadata: { name: "x" }, spec: { template: { spec: privileged.spec } } });
    assert.equal(
      await refusal(podSecurity(), given, namespace({ [`${key}enforce`]: "baseline", [`${key}warn`]: "baseline" })),
      undefined,
    );
    assert.deepEqual(given.warnings, [`would violate PodSecurity "baseline:latest": ${why}`]);
  });

  test("a Namespace's labels are checked, and Pods that would violate them are told of", async () => {
    const labelled = (labels: Record<string, string>) => ({ metadata: { name: "ns", labels } });
    const wrong = attributes("namespaces", labelled({ [`${key}enforce`]: "none" }), { name: "ns" });
    assert.equal(
      await refusal(podSecurity(), wrong, clusterWith()),
      'Namespace "ns" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "none": must be one of privileged, baseline, restricted',
    );
    const stricter = attributes("namespaces", labelled({ [`${key}enforce`]: "baseline" }), {
      name: "ns",
      operation: "UPDATE",
      oldObject: labelled({}),
    });
    const pods = ["b", "a"].map((name): [typeof Pods, unknown] => [
      Pods,
      { ...privileged, metadata: { name, namespace: "ns" } },
    ]);
    assert.equal(await refusal(podSecurity(), stricter, clusterWith(...pods)), undefined);
    assert.deepEqual(stricter.warnings, [
      'existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest"',
      "a (and 1 other pod): privileged",
    ]);
  });

  const config = {
    apiVersion: "pod-security.admission.config.k8s.io/v1",
    kind: "PodSecurityConfiguration",
    defaults: { enforce: "baseline", "enforce-version": "v1.30", warn: "restricted" },
    exemptions: { usernames: ["admin"], namespaces: ["ns2"], runtimeClasses: ["kata"] },
  };
  const configured = (configuration: object) => {
    const dir = mkdtempSync(join(tmpdir(), "pod-security-"));
    try {
      writeFileSync(join(dir, "config.yaml"), JSON.stringify({ plugins: [{ name: "PodSecurity", configuration }] }));
      return podSecurityOf(join(dir, "config.yaml"));
    } finally {
      rmSync(dir, { recursive: true });
    }
  };

  test.each<[string, object, object, Partial<Attributes>, string | undefined]>([
    ["has defaults for what a Namespace does not say", {}, {}, {}, `violates PodSecurity "baseline:v1.30": ${why}`],
    ["which it may say otherwise", { [`${key}enforce`]: "privileged" }, {}, {}, undefined],
    ["exempts users", {}, {}, { user: { name: "admin", groups: [] } }, undefined],
    ["and Namespaces", {}, {}, { namespace: "ns2" }, undefined],
    ["and runtime classes", {}, { runtimeClassName: "kata" }, {}, undefined],
  ])("a file %s", async (_name, labels, spec, more, expected) => {
    const given = attributes("pods", { ...privileged, spec: { ...privileged.spec, ...spec } }, more);
    const told = await refusal(podSecurity(configured(config)), given, namespace(labels));
    assert.equal(told, expected && `pods "x" is forbidden: ${expected}`);
    const exempt = { user: more.user && "user", namespace: more.namespace && "namespace" };
    const by = exempt.user ?? exempt.namespace ?? ("runtimeClassName" in spec ? "runtimeClass" : undefined);
    assert.equal(given.auditAnnotations.get(`${key}exempt`), by);
    assert.equal(given.warnings.length, expected === undefined && by === undefined ? 1 : 0, "warned by the default");
  });

  test("a file may leave out what its keys say", () => {
    const exemptions = { usernames: null, namespaces: ["ns2"] };
    assert.deepEqual(configured({ ...config, defaults: null, exemptions }), {
      defaults: {},
      exemptions: { usernames: [], namespaces: ["ns2"], runtimeClasses: [] },
    });
  });

  test.each<[string, object, RegExp]>([
    ["another kind", { ...config, kind: "Pod" }, /no kind "Pod" is registered for version "pod-security/],
    [
      "a level that there is not",
      { ...config, defaults: { audit: "x" } },
      /: defaults.audit: Invalid value: "x": must be one of privileged, baseline, restricted$/,
    ],
    [
      "nor such a version",
      { ...config, defaults: { "warn-version": "1" } },
      /: defaults.warn-version: Invalid value: "1": must be "latest" or "v1.x"$/,
    ],
    [
      "a misspelt field",
      { ...config, defaults: { enfroce: "x" } },
      /strict decoding error: unknown field "defaults.enfroce"$/,
    ],
    [
      "a name twice",
      { ...config, exemptions: { usernames: ["a", "a"] } },
      /: exemptions.usernames\[1\]: Duplicate value: "a"$/,
    ],
    ["no name", { ...config, exemptions: { usernames: [""] } }, /: exemptions.usernames\[0\]: Required value$/],
    [
      "what cannot be a Namespace",
      { ...config, exemptions: { namespaces: ["A"] } },
      /: exemptions.namespaces\[0\]: Invalid value: "A": a lowercase RFC 1123 label/,
    ],
  ])("%s is refused", (_name, configuration, message) => {
    assert.throws(
      () => configured(configuration),
      (error: Error) => error instanceof RangeError && message.test(error.message),
    );
  });
});
