import { describe, expect, test } from "vitest";
import { errorText } from "../../apimachinery/field-error.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { make, row, type Told, told, toldOfStatus } from "../testing.ts";

const cidrText = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
const block = {
  awsElasticBlockStore: undefined,
  hostPath: undefined,
  local: undefined,
  csi: undefined,
  nfs: undefined,
};

describe("every problem is told, in upstream's order", () => {
  test.each<Told>([
    [
      "a node's range that begins with zeros, by its older name",
      "Node",
      { podCIDR: "010.0.0.0/24", podCIDRs: ["x"] },
      [],
    ],
    ["a range that is none", "Node", { podCIDRs: ["x"] }, [`spec.podCIDRs[0]: Invalid value: "x": ${cidrText}`]],
    [
      "a disk of Google's without a name, by upstream's",
      "PersistentVolume",
      { ...block, gcePersistentDisk: { pdName: "" } },
      ["spec.persistentDisk.pdName: Required value"],
    ],
    [
      "a volume of two sources, with less than nothing, that is on no nodes",
      "PersistentVolume",
      {
        ...block,
        nfs: { server: "s", path: "p" },
        hostPath: { path: "/a" },
        capacity: { storage: "-1" },
        nodeAffinity: {},
      },
      [
        "spec.capacity[storage]: Invalid value: -1: must be a valid resource quantity",
        'spec.capacity[storage]: Invalid value: "-1": must be greater than zero',
        "spec.nodeAffinity.required: Required value: must specify required node constraints",
        "spec.nfs: Forbidden: may not specify more than 1 volume type",
      ],
    ],
    [
      "a volume of no size",
      "PersistentVolume",
      { ...block, hostPath: { path: "/a" }, capacity: undefined, accessModes: ["ReadWriteOncePod", "X"] },
      [
        'spec.accessModes: Unsupported value: "X": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"',
        "spec.capacity: Required value",
        'spec.capacity: Unsupported value: null: supported values: "storage"',
      ],
    ],
    [
      "a scope that is none",
      "ResourceQuota",
      {
        hard: { "a.io/x": "1" },
        scopeSelector: { matchExpressions: [{ scopeName: "X", operator: "In", values: ["a"] }] },
      },
      ['spec.scopeSelector.matchExpressions.scopeName: Invalid value: "X": unsupported scope'],
    ],
    [
      "a scope that says nothing of a resource",
      "ResourceQuota",
      {
        hard: { services: "1" },
        scopeSelector: { matchExpressions: [{ scopeName: "BestEffort", operator: "Exists" }] },
      },
      [
        'spec.scopeSelector.matchExpressions: Invalid value: {"MatchExpressions":[{"ScopeName":"BestEffort","Operator":"Exists","Values":null}]}: unsupported scope applied to resource',
      ],
    ],
    [
      "addresses that IPv6 writes in another way",
      "EndpointSlice",
      { addressType: "IPv6", endpoints: [{ addresses: ["2001:DB8::1", "fe80::1", "::ffff:1.2.3.4"] }] },
      [
        'endpoints[0].addresses[0]: Invalid value: "2001:DB8::1": must be in canonical form ("2001:db8::1")',
        'endpoints[0].addresses[1]: Invalid value: "fe80::1": may not be in the link-local range (169.254.0.0/16, fe80::/10)',
        'endpoints[0].addresses[2]: Invalid value: "::ffff:1.2.3.4": must not be an IPv4-mapped IPv6 address',
      ],
    ],
    ["a name that fits into a path", "Event", { metadata: { name: "A_b", namespace: "default" } }, []],
  ])("%s", (_, kind, change, expected) => expect(told(kind, change)).toEqual(expected));
});

describe("of a status", () => {
  test.each<[string, string, object, object, string[]]>([
    [
      "points are looked at one by one",
      "Service",
      { loadBalancer: { ingress: [{ ip: "x" }, { ipMode: "VIP", hostname: "a" }] } },
      { type: "LoadBalancer" },
      [
        'loadBalancer.ingress[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        "loadBalancer.ingress[0].ipMode: Required value: must be specified when `ip` is set",
        "loadBalancer.ingress[1].ipMode: Forbidden: may not be specified when `ip` is not set",
      ],
    ],
    [
      "a claim grows in storage alone",
      "PersistentVolumeClaim",
      { allocatedResources: { cpu: "1", storage: "-1" }, allocatedResourceStatuses: { "a b": "NodeResizePending" } },
      {},
      [
        expect.stringContaining('allocatedResourceStatus: Invalid value: "a b": name part must consist') as string,
        'allocatedResources: Unsupported value: "cpu": supported values: "storage"',
        "allocatedResources[storage]: Invalid value: -1: must be a valid resource quantity",
      ],
    ],
  ])("%s", (_, kind, status, spec, expected) => expect(toldOfStatus(kind, status, {}, spec)).toEqual(expected));
  test("the time of a volume's phase changes with it", () => {
    const { prepareForStatusUpdate } = row("PersistentVolume");
    const [was, now] = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"];
    const of = (status: object) => ({ ...make("PersistentVolume"), status }) as KubernetesObject & { status: object };
    const put = (status: object) => {
      const volume = of(status);
      prepareForStatusUpdate(volume, of({ phase: "Available", lastPhaseTransitionTime: was }), now);
      return volume.status;
    };
    expect(put({ phase: "Bound" })).toEqual({ phase: "Bound", lastPhaseTransitionTime: now });
    expect(put({ phase: "Available" })).toEqual({ phase: "Available", lastPhaseTransitionTime: was });
  });
});

describe("a change", () => {
  const on = (key: string) => ({
    nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ key, operator: "Exists" }] }] } },
  });
  const bound = { phase: "Bound", currentVolumeAttributesClassName: "c" };
  const annotated = (name: string) => ({
    metadata: { name: "x", annotations: { "volume.beta.kubernetes.io/storage-class": name } },
  });
  const fixedSpec =
    "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
  const vacText = "is forbidden when status.currentVolumeAttributesClassName is not nil";
  const subsets = { subsets: [{ addresses: [{ ip: "x" }] }] };
  const endpoints = { endpoints: [{ addresses: ["x"] }] };
  const claim = (spec: object, more: object = {}) => ({ ...make("PersistentVolumeClaim", spec), ...more });
  const volume = (spec: object) => make("PersistentVolume", spec);
  const node = (spec: object) => make("Node", spec);
  test.each<[string, string, object, object, string[]]>([
    [
      "may not name other nodes",
      "PersistentVolume",
      volume(on("a")),
      volume(on("b")),
      [
        'nodeAffinity: Invalid value: {"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"b","operator":"Exists"}]}]}}: field is immutable, except for updating from beta label to GA',
      ],
    ],
    [
      "may take back attributes that were never given",
      "PersistentVolumeClaim",
      claim({ volumeAttributesClassName: "c" }, { status: { phase: "Bound" } }),
      claim({}, { status: { phase: "Bound" } }),
      [],
    ],
    ...(["nil", "empty string"] as const).map((what): [string, string, object, object, string[]] => [
      `may not take those back that were: to ${what}`,
      "PersistentVolumeClaim",
      claim({ volumeAttributesClassName: "c" }, { status: bound }),
      claim(what === "nil" ? {} : { volumeAttributesClassName: "" }, { status: bound }),
      [`spec.volumeAttributesClassName: Forbidden: update to ${what} ${vacText}`],
    ]),
    [
      "may make of an annotation what it is now",
      "PersistentVolumeClaim",
      claim({ storageClassName: undefined }, annotated("a")),
      claim({ storageClassName: "a" }, { metadata: { name: "x" } }),
      [],
    ],
    [
      "may not make something else of it",
      "PersistentVolumeClaim",
      claim({ storageClassName: undefined }, annotated("a")),
      claim({ storageClassName: "b" }, annotated("a")),
      [fixedSpec],
    ],
    [
      "may ask for less of what has no size yet",
      "PersistentVolumeClaim",
      claim({ resources: { requests: { storage: "2Gi" } } }, { status: { phase: "Bound" } }),
      claim({ resources: { requests: { storage: "1Gi" } } }, { status: { phase: "Bound" } }),
      [],
    ],
    [
      "may not give a quota scopes",
      "ResourceQuota",
      make("ResourceQuota", { scopes: ["BestEffort"], hard: {} }),
      make("ResourceQuota", { hard: {} }),
      ["spec.scopes: Invalid value: null: field is immutable"],
    ],
    [
      "may not give a node another number outside",
      "Node",
      node({ externalID: "a" }),
      node({ externalID: "b" }),
      ["spec.externalID: Forbidden: may not be updated"],
    ],
    ["may leave addresses that are none", "Endpoints", make("Endpoints", subsets), make("Endpoints", subsets), []],
    [
      "may leave them in slices, too",
      "EndpointSlice",
      make("EndpointSlice", { addressType: "IPv4", ...endpoints }),
      make("EndpointSlice", { addressType: "IPv4", ...endpoints }),
      [],
    ],
  ])("%s", (_, kind, before, after, expected) => {
    const meta = { name: "x", ...(row(kind).namespaced ? { namespace: "default" } : {}) };
    const at = (object: object) =>
      ({ ...object, metadata: { ...(object as KubernetesObject).metadata, ...meta } }) as KubernetesObject;
    expect(row(kind).validateUpdate(at(after), at(before)).map(errorText)).toEqual(expected);
  });
});

describe("what is added, and what is dropped", () => {
  test.each<[string, string, object, object]>([
    ["a node's ranges have two names", "Node", { podCIDR: "10.0.0.0/24" }, { podCIDRs: ["10.0.0.0/24"] }],
    ["either way", "Node", { podCIDRs: ["10.0.0.0/24"] }, { podCIDR: "10.0.0.0/24" }],
    ["nobody hears of settings", "Node", { configSource: { configMap: {} } }, { configSource: undefined }],
    [
      "a volume's source has what a Pod's has",
      "PersistentVolume",
      { rbd: { image: "i", monitors: [] }, azureDisk: { diskName: "d", diskURI: "u" } },
      {
        rbd: { pool: "rbd", user: "admin", keyring: "/etc/ceph/keyring" },
        azureDisk: { cachingMode: "ReadWrite", kind: "Shared", fsType: "ext4", readOnly: false },
      },
    ],
    [
      "a source that only the newer name may have is none",
      "PersistentVolumeClaim",
      { dataSource: { apiGroup: "a.io", kind: "K", name: "n" } },
      { dataSource: undefined, dataSourceRef: undefined },
    ],
    [
      "a snapshot may have both",
      "PersistentVolumeClaim",
      { dataSource: { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name: "n" } },
      { dataSourceRef: { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name: "n" } },
    ],
    [
      "a source elsewhere is behind a gate",
      "PersistentVolumeClaim",
      { dataSourceRef: { kind: "PersistentVolumeClaim", name: "n", namespace: "o" } },
      { dataSourceRef: undefined },
    ],
    [
      "limits of nothing stay so",
      "LimitRange",
      { limits: [{ type: "Container" }] },
      { limits: [{ type: "Container" }] },
    ],
  ])("%s", (_, kind, change, expected) => {
    const { spec } = make(kind, change) as KubernetesObject & { spec: Record<string, unknown> };
    for (const [key, value] of Object.entries(expected))
      expect(spec[key]).toEqual(
        typeof value === "object" && !Array.isArray(value) ? expect.objectContaining(value as object) : value,
      );
  });
  test("an account knows secrets by name alone, and a namespace is Active", () => {
    const account = { metadata: { name: "x" }, secrets: [{ name: "a", kind: "Secret", uid: "u" }] };
    row("ServiceAccount").prepareForCreate(account);
    expect(account.secrets).toEqual([{ name: "a" }]);
    const space = { metadata: { name: "a" } } as KubernetesObject;
    row("Namespace").defaults(space);
    expect(space).toMatchObject({ status: { phase: "Active" } });
  });
});
