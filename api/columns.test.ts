import { describe, expect, test } from "vitest";
import type { KubernetesObject } from "../apimachinery/object.ts";
import { resources } from "./resources.ts";
import { make, row } from "./testing.ts";

/** Columns of upstream's printers (pkg/printers/internalversion), `:type` unless text, `!format`, `*` with `-o wide`. */
const layouts = `
Binding: Name!name
ComponentStatus: Name!name Status Message Error
ConfigMap: Name!name Data Age
Endpoints: Name!name Endpoints Age
Event: Last_Seen Type Reason Object Subobject* Source* Message First_Seen* Count* Name!name*
LimitRange: Name!name Created_At:date
Namespace: Name!name Status Age
Node: Name!name Status Roles Age Version Internal-IP* External-IP* OS-Image* Kernel-Version* Container-Runtime*
PersistentVolumeClaim: Name!name Status Volume Capacity Access_Modes StorageClass VolumeAttributesClass Age VolumeMode*
PersistentVolume: Name!name Capacity Access_Modes Reclaim_Policy Status Claim StorageClass VolumeAttributesClass Reason Age VolumeMode*
Pod: Name!name Ready Status Restarts Age IP* Node* Nominated_Node* Readiness_Gates*
PodTemplate: Name!name Containers Images Pod_Labels
ReplicationController: Name!name Desired:integer Current:integer Ready:integer Age Containers* Images* Selector*
ResourceQuota: Name!name Request Limit Age
Secret: Name!name Type Data Age
ServiceAccount: Name!name Secrets Age
Service: Name!name Type Cluster-IP External-IP Port(s) Age Selector*
APIService: Name!name Service Available Age
ControllerRevision: Name!name Controller Revision Age
DaemonSet: Name!name Desired:integer Current:integer Ready:integer Up-to-date:integer Available:integer Node_Selector Age Containers* Images* Selector*
Deployment: Name!name Ready Up-to-date Available Age Containers* Images* Selector*
ReplicaSet: Name!name Desired:integer Current:integer Ready:integer Age Containers* Images* Selector*
StatefulSet: Name!name Ready Age Containers* Images*
CronJob: Name!name Schedule Timezone Suspend:boolean Active:integer Last_Schedule Age Containers* Images* Selector*
Job: Name!name Status Completions Duration Age Containers* Images* Selector*
HorizontalPodAutoscaler: Name!name Reference Targets MinPods MaxPods Replicas Age
CertificateSigningRequest: Name!name Age SignerName Requestor RequestedDuration Condition
IngressClass: Name!name Controller Parameters Age
Ingress: Name!name Class Hosts Address Ports Age
IPAddress: Name!name ParentRef
NetworkPolicy: Name!name Pod-Selector Age
ServiceCIDR: Name!name CIDRs Age
PodDisruptionBudget: Name!name Min_Available Max_Unavailable Allowed_Disruptions:integer Age
ClusterRoleBinding: Name!name Role Age Users* Groups* ServiceAccounts*
ClusterRole: Name!name Created_At:date
RoleBinding: Name!name Role Age Users* Groups* ServiceAccounts*
Role: Name!name Created_At:date
CSIDriver: Name!name AttachRequired:boolean PodInfoOnMount:boolean StorageCapacity:boolean TokenRequests RequiresRepublish:boolean Modes Age
CSINode: Name!name Drivers:integer Age
CSIStorageCapacity: Name!name StorageClassName Capacity
StorageClass: Name!name Provisioner ReclaimPolicy VolumeBindingMode AllowVolumeExpansion Age
VolumeAttachment: Name!name Attacher!name PV Node Attached:boolean Age
VolumeAttributesClass: Name!name DriverName Age
PriorityClass: Name!name Value:integer Global-Default:boolean Age PreemptionPolicy
RuntimeClass: Name!name Handler Age
MutatingWebhookConfiguration: Name!name Webhooks:integer Age
ValidatingAdmissionPolicy: Name!name Validations:integer ParamKind Age
ValidatingAdmissionPolicyBinding: Name!name PolicyName ParamRef Age
ValidatingWebhookConfiguration: Name!name Webhooks:integer Age
CustomResourceDefinition: Name!name Created_At:date
FlowSchema: Name!name PriorityLevel MatchingPrecedence DistinguisherMethod Age MissingPL
PriorityLevelConfiguration: Name!name Type NominalConcurrencyShares Queues HandSize QueueLengthLimit Age
Lease: Name!name Holder Age
EndpointSlice: Name!name AddressType Ports Endpoints Age
DeviceClass: Name!name Age
ResourceClaim: Name!name State Age
ResourceClaimTemplate: Name!name Age
ResourceSlice: Name!name Node Driver Pool Age
`.trim();

test("every kind has upstream's columns, in order, with type, format and priority", () => {
  const reviews = resources().filter(({ kind }) => kind.endsWith("Review"));
  for (const { columns } of reviews) expect(columns.map((c) => c.name)).toEqual(["Name", "Created At"]);
  const lines = resources()
    .filter((r) => !reviews.includes(r))
    .map(({ kind, columns }) => {
      const texts = columns.map(({ name, type, format, priority }) =>
        [name.replace(" ", "_"), type !== "string" && `:${type}`, format && `!${format}`, priority > 0 && "*"]
          .filter(Boolean)
          .join(""),
      );
      return `${kind}: ${texts.join(" ")}`;
    });
  expect([...new Set(lines)].join("\n")).toBe(layouts);
});

const now = Date.parse("2026-01-02T00:00:00Z");
const ago = (ms: number) => new Date(now - ms).toISOString().replace(".000", "");
const minute = 60_000;

/** The kind's own cells of an example that is changed; names and ages are left out. */
const cells = (
  kind: string,
  { metadata = {}, status, ...change }: Record<string, object | string | number | boolean>,
) => {
  const made = make(kind, change) as KubernetesObject & { status?: object };
  Object.assign(made.metadata, { creationTimestamp: ago(0) }, metadata);
  if (status) made.status = status as object;
  const told = row(kind).columns.map((c) => [c.name, c.cell(made, now)] as const);
  return Object.fromEntries(told.filter(([name]) => name !== "Age"));
};
const gone = { metadata: { deletionTimestamp: ago(0) } };
const condition = (type: string, status = "True") => ({ type, status });
const lb = (...ingress: object[]) => ({ status: { loadBalancer: { ingress } } });

describe("cells", () => {
  test.each<[string, string, Parameters<typeof cells>[1], object]>([
    [
      "a Job that ended, and what it took",
      "Job",
      {
        completions: 3,
        status: {
          succeeded: 3,
          startTime: ago(9 * minute),
          completionTime: ago(minute),
          conditions: [condition("Complete")],
        },
      },
      { Status: "Complete", Completions: "3/3", Duration: "8m" },
    ],
    [
      "a Job that runs several Pods",
      "Job",
      { completions: undefined as never, parallelism: 4, status: { startTime: ago(5000) } },
      { Status: "Running", Completions: "0/1 of 4", Duration: "5s" },
    ],
    [
      "a failed Job that goes",
      "Job",
      { ...gone, status: { conditions: [condition("Failed")] } },
      { Status: "Failed", Duration: "" },
    ],
    [
      "a suspended Job that goes",
      "Job",
      { ...gone, status: { conditions: [condition("Suspended")] } },
      { Status: "Terminating" },
    ],
    [
      "a suspended Job",
      "Job",
      { status: { conditions: [condition("Complete", "False"), condition("Suspended")] } },
      { Status: "Suspended" },
    ],
    [
      "a Job about to fail",
      "Job",
      { status: { conditions: [condition("FailureTarget")] } },
      { Status: "FailureTarget" },
    ],
    [
      "a CronJob that never ran",
      "CronJob",
      { timeZone: undefined as never },
      { Timezone: "<none>", Suspend: "False", Active: 0, "Last Schedule": "<none>", Selector: "<none>" },
    ],
    [
      "a CronJob that runs",
      "CronJob",
      { suspend: true, timeZone: "Etc/UTC", status: { active: [{}], lastScheduleTime: ago(3 * minute) } },
      { Timezone: "Etc/UTC", Suspend: "True", Active: 1, "Last Schedule": "3m" },
    ],
    ["Endpoints without subsets", "Endpoints", { subsets: [] as object }, { Endpoints: "<none>" }],
    [
      "Endpoints of which none is ready",
      "Endpoints",
      { subsets: [{ notReadyAddresses: [{ ip: "10.0.0.1" }], ports: [{ port: 1 }] }] as object },
      { Endpoints: "" },
    ],
    [
      "Endpoints of two ports and IPv6",
      "Endpoints",
      { subsets: [{ addresses: [{ ip: "::2" }, { ip: "10.0.0.1" }], ports: [{ port: 1 }, { port: 2 }] }] as object },
      { Endpoints: "[::2]:1,10.0.0.1:1,[::2]:2 + 1 more..." },
    ],
    [
      "Endpoints without ports",
      "Endpoints",
      { subsets: [{ addresses: [{ ip: "10.0.0.1" }] }] as object },
      { Endpoints: "10.0.0.1" },
    ],
    [
      "a slice with ports of names and any port",
      "EndpointSlice",
      { ports: [{ name: "a", port: 1 }, { name: "b" }, {}] as object, endpoints: [] as object },
      { Ports: "1,b,", Endpoints: "<unset>" },
    ],
    [
      "more hosts than three",
      "Ingress",
      { rules: ["a.b", "", "c.d", "e.f", "g.h"].map((host) => ({ host })) as object },
      { Hosts: "a.b,c.d,e.f + 2 more..." },
    ],
    [
      "three hosts and a rule without",
      "Ingress",
      { rules: ["a.b", "c.d", "e.f", ""].map((host) => ({ host })) as object },
      { Hosts: "a.b,c.d,e.f + 1 more..." },
    ],
    [
      "no host, and certificates",
      "Ingress",
      { rules: [{}] as object, tls: [{}] as object, ingressClassName: undefined as never },
      { Class: "<none>", Hosts: "*", Ports: "80, 443", Address: "" },
    ],
    [
      "a balanced Ingress",
      "Ingress",
      lb({ hostname: "b.example" }, { ip: "10.0.0.9" }, { ip: "10.0.0.9" }),
      { Address: "10.0.0.9,b.example" },
    ],
    [
      "a balancer before it has an address, and what stands before it",
      "Service",
      { type: "LoadBalancer", externalIPs: ["1.2.3.4"] as object, ...lb() },
      { "External-IP": "1.2.3.4" },
    ],
    [
      "a balancer of addresses and external ones",
      "Service",
      {
        type: "LoadBalancer",
        externalIPs: ["1.2.3.4"] as object,
        ...lb({ ip: "9.9.9.9" }, { ip: "10.0.0.9", hostname: "no" }),
      },
      { "External-IP": "10.0.0.9,9.9.9.9,1.2.3.4" },
    ],
    [
      "a component that says nothing of its health",
      "ComponentStatus",
      {},
      { Status: "Unknown", Message: "", Error: "" },
    ],
    [
      "a component that is ill",
      "ComponentStatus",
      { conditions: [{ type: "Healthy", status: "False", error: "e" }] as object },
      { Status: "Unhealthy", Error: "e" },
    ],
    [
      "the default class of storage",
      "StorageClass",
      { metadata: { annotations: { "storageclass.kubernetes.io/is-default-class": "true" } } },
      { Name: "x (default)", ReclaimPolicy: "Delete", VolumeBindingMode: "Immediate", AllowVolumeExpansion: false },
    ],
    [
      "the default class of attributes",
      "VolumeAttributesClass",
      { metadata: { annotations: { "volumeattributesclass.alpha.kubernetes.io/is-default-class": "true" } } },
      { Name: "x (default)" },
    ],
    [
      "an Event of the newer kind",
      "Event",
      {
        involvedObject: { kind: "Pod" },
        eventTime: ago(5 * minute),
        firstTimestamp: undefined as never,
        lastTimestamp: undefined as never,
        count: undefined as never,
        source: {},
        reportingComponent: "",
        reportingInstance: "n1",
        message: " a\n",
      },
      { "Last Seen": "5m", "First Seen": "5m", Count: 1, Object: "pod", Source: ", n1", Message: "a" },
    ],
    [
      "an Event of a series",
      "Event",
      {
        firstTimestamp: ago(9 * minute),
        lastTimestamp: ago(8 * minute),
        series: { count: 7, lastObservedTime: ago(minute) },
      },
      { "Last Seen": "60s", "First Seen": "9m", Count: 7 },
    ],
    [
      "a node without conditions",
      "Node",
      { unschedulable: true, status: {} },
      {
        Status: "Unknown,SchedulingDisabled",
        Roles: "<none>",
        "Internal-IP": "<none>",
        "OS-Image": "<unknown>",
        Version: "",
      },
    ],
    [
      "a node's roles",
      "Node",
      {
        metadata: {
          labels: { "node-role.kubernetes.io/worker": "", "kubernetes.io/role": "db", "node-role.kubernetes.io/": "" },
        },
        status: { conditions: [condition("Ready", "Unknown")] },
      },
      { Status: "NotReady", Roles: "db,worker" },
    ],
    [
      "a volume that goes",
      "PersistentVolume",
      {
        ...gone,
        claimRef: { namespace: "n", name: "c" },
        accessModes: ["ReadWriteOncePod", "ReadWriteMany", "ReadWriteOnce", "ReadOnlyMany"] as object,
      },
      {
        Status: "Terminating",
        Claim: "n/c",
        "Access Modes": "RWO,ROX,RWX,RWOP",
        VolumeAttributesClass: "<unset>",
        VolumeMode: "Filesystem",
      },
    ],
    [
      "a claim that waits",
      "PersistentVolumeClaim",
      { status: { phase: "Pending", capacity: { storage: "1Gi" } } },
      { Status: "Pending", Capacity: "", "Access Modes": "", VolumeMode: "Filesystem" },
    ],
    [
      "a claim that is bound",
      "PersistentVolumeClaim",
      { volumeName: "v", status: { phase: "Bound" } },
      { Volume: "v", Capacity: "0" },
    ],
    [
      "a request that was denied and issued, and failed",
      "CertificateSigningRequest",
      {
        expirationSeconds: 7200,
        status: { certificate: "eA==", conditions: ["Approved", "Denied", "Failed"].map((type) => ({ type })) },
      },
      { Condition: "Denied,Failed,Issued", RequestedDuration: "120m" },
    ],
    [
      "a budget of neither",
      "PodDisruptionBudget",
      { minAvailable: undefined as never, maxUnavailable: undefined as never },
      { "Min Available": "N/A", "Max Unavailable": "N/A", "Allowed Disruptions": 0 },
    ],
    [
      "what a quota limits stands by itself",
      "ResourceQuota",
      { status: { hard: { pods: "4", "limits.cpu": "2", cpu: "1" }, used: { pods: "1" } } },
      { Request: "cpu: 0/1, pods: 1/4", Limit: "limits.cpu: 0/2" },
    ],
    [
      "whom a binding is for",
      "RoleBinding",
      {
        roleRef: { kind: "Role", name: "r" },
        subjects: [
          { kind: "User", name: "u" },
          { kind: "User", name: "v" },
          { kind: "ServiceAccount", namespace: "n", name: "s" },
        ] as object,
      },
      { Role: "Role/r", Users: "u, v", Groups: "", ServiceAccounts: "n/s" },
    ],
    [
      "a policy's parameters by labels",
      "ValidatingAdmissionPolicyBinding",
      { paramRef: { selector: { matchLabels: { a: "b" } } } },
      {
        ParamRef: "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{},}",
      },
    ],
    [
      "a policy's parameter by name",
      "ValidatingAdmissionPolicyBinding",
      { paramRef: { name: "p" } },
      { ParamRef: "*/p" },
    ],
    [
      "a schema whose level is missing",
      "FlowSchema",
      { status: { conditions: [condition("Dangling")] } },
      { MissingPL: "True", DistinguisherMethod: "ByUser" },
    ],
    [
      "a level without queues",
      "PriorityLevelConfiguration",
      { type: "Exempt", limited: undefined as never },
      { NominalConcurrencyShares: "<none>", Queues: "<none>", HandSize: "<none>", QueueLengthLimit: "<none>" },
    ],
    ["a claim of devices that goes before it got any", "ResourceClaim", { ...gone, status: {} }, { State: "deleted" }],
    [
      "a claim of devices in use",
      "ResourceClaim",
      { status: { allocation: {}, reservedFor: [{}] } },
      { State: "allocated,reserved" },
    ],
    [
      "a driver's tokens",
      "CSIDriver",
      { tokenRequests: [{ audience: "a" }, { audience: "b" }] as object },
      { TokenRequests: "a,b", Modes: "Persistent" },
    ],
    [
      "whose revision it is",
      "ControllerRevision",
      {
        metadata: {
          ownerReferences: [{ apiVersion: "apps/v1", kind: "StatefulSet", name: "web", controller: true }] as object,
        },
      },
      { Controller: "statefulset.apps/web" },
    ],
    [
      "metrics, of which two are shown",
      "HorizontalPodAutoscaler",
      {
        metrics: [
          { type: "Object", object: { target: { averageValue: "5" } } },
          { type: "ContainerResource", containerResource: { name: "cpu", target: {} } },
          {},
        ] as object,
        minReplicas: 2,
        status: { currentMetrics: [{ object: { current: { averageValue: "3" } } }] },
      },
      { Targets: "3/5 (avg), cpu: <unknown>/<auto> + 1 more...", MinPods: "2" },
    ],
  ])("%s", (_, kind, change, expected) => expect(cells(kind, change)).toMatchObject(expected));

  test.each([
    ...[
      [-2500, "<invalid>"],
      [-1500, "0s"],
      [119_000, "119s"],
      [120_000, "2m"],
      [599_000, "9m59s"],
      [600_000, "10m"],
    ],
    ...[
      [179 * minute, "179m"],
      [3 * 60 * minute, "3h"],
      [485 * minute, "8h"],
      [2885 * minute, "2d"],
      [192 * 60 * minute, "8d"],
    ],
    ...[
      [730 * 1440 * minute, "2y"],
      [800 * 1440 * minute, "2y70d"],
      [3000 * 1440 * minute, "8y"],
    ],
  ] as [number, string][])("an age of %d ms is %s", (ms, text) => {
    const column = row("Pod").columns.find(({ name }) => name === "Age")!;
    expect(column.cell({ metadata: { name: "p", creationTimestamp: ago(ms) } }, now)).toBe(text);
  });
});
