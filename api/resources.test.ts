import { describe, expect, test } from "vitest";
import { errorText } from "../apimachinery/field-error.ts";
import type { KubernetesObject } from "../apimachinery/object.ts";
import { decodeBody } from "../apimachinery/schema/decode.ts";
import { requestPem } from "./examples.testing.ts";
import { resources } from "./resources.ts";
import { schema } from "./schema.ts";

/** Those that are stored; for second versions see apiserver/registry/versions.test.ts. */
const rows = resources().filter(({ face, virtual }) => face === undefined && !virtual);
const containers = [{ name: "c", image: "i" }];
const template = { metadata: { labels: { a: "b" } }, spec: { containers } };
const selector = { matchLabels: { a: "b" } };

const csr = Buffer.from(requestPem).toString("base64");

/** The least that each kind accepts. */
const least: Record<string, object> = {
  Pod: { spec: { containers } },
  Service: { spec: { ports: [{ port: 80 }] } },
  Deployment: { spec: { selector, template } },
  ReplicaSet: { spec: { selector, template } },
  StatefulSet: { spec: { selector, template } },
  DaemonSet: { spec: { selector, template } },
  ControllerRevision: { data: {} },
  IPAddress: { spec: { parentRef: { resource: "services", name: "s" } } },
  ServiceCIDR: { spec: { cidrs: ["10.0.0.0/16"] } },
  HorizontalPodAutoscaler: { spec: { maxReplicas: 3, scaleTargetRef: { kind: "Deployment", name: "d" } } },
  CertificateSigningRequest: { spec: { request: csr, signerName: "example.com/s", usages: ["client auth"] } },
  FlowSchema: {
    spec: {
      priorityLevelConfiguration: { name: "p" },
      rules: [
        {
          subjects: [{ kind: "User", user: { name: "u" } }],
          nonResourceRules: [{ verbs: ["get"], nonResourceURLs: ["/a"] }],
        },
      ],
    },
  },
  PriorityLevelConfiguration: { spec: { type: "Limited", limited: { limitResponse: { type: "Queue", queuing: {} } } } },
  ValidatingAdmissionPolicy: {
    spec: {
      matchConstraints: {
        resourceRules: [{ operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"] }],
      },
      validations: [{ expression: "true" }],
    },
  },
  ValidatingAdmissionPolicyBinding: { spec: { policyName: "p", validationActions: ["Deny"] } },
  RoleBinding: { roleRef: { kind: "Role", name: "r" } },
  ClusterRoleBinding: { roleRef: { kind: "ClusterRole", name: "r" } },
  StorageClass: { provisioner: "p" },
  VolumeAttributesClass: { driverName: "d", parameters: { a: "b" } },
  CSIStorageCapacity: { storageClassName: "s" },
  VolumeAttachment: { spec: { attacher: "a", nodeName: "n", source: { persistentVolumeName: "v" } } },
  RuntimeClass: { handler: "h" },
  Ingress: { spec: { defaultBackend: { service: { name: "s", port: { number: 80 } } } } },
  IngressClass: { spec: { controller: "example.com/c" } },
  ReplicationController: { spec: { template } },
  PodTemplate: { template },
  APIService: { spec: { group: "b.c", version: "v1", groupPriorityMinimum: 1000, versionPriority: 100 } },
  CustomResourceDefinition: {
    spec: {
      group: "b.c",
      scope: "Cluster",
      names: { plural: "as", kind: "A" },
      versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } }],
    },
  },
  PersistentVolume: {
    spec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], hostPath: { path: "/data" } },
  },
  PersistentVolumeClaim: { spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } } },
  Job: { spec: { template: { spec: { containers, restartPolicy: "Never" } } } },
  CronJob: {
    spec: {
      schedule: "* * * * *",
      jobTemplate: { spec: { template: { spec: { containers, restartPolicy: "Never" } } } },
    },
  },
  EndpointSlice: { addressType: "IPv4", endpoints: [{ addresses: ["10.244.0.1"] }], ports: [{ port: 80 }] },
  Endpoints: { subsets: [{ addresses: [{ ip: "10.244.0.1" }], ports: [{ port: 80 }] }] },
  ResourceClaimTemplate: { spec: { spec: {} } },
  ResourceSlice: {
    spec: { driver: "d.example.com", nodeName: "n", pool: { name: "p", generation: 1, resourceSliceCount: 1 } },
  },
  Event: { involvedObject: { namespace: "default", name: "x", kind: "Pod" } },
};

describe.each(rows.map((row) => [row.kind, row] as const))("%s", (kind, row) => {
  const make = () => {
    const body = {
      metadata: {
        name: { IPAddress: "10.0.0.1", CustomResourceDefinition: "as.b.c", APIService: "v1.b.c" }[kind] ?? "x",
        uid: "u",
        ...(row.namespaced ? { namespace: "default" } : {}),
      },
      ...least[kind],
    };
    const { object } = decodeBody(schema, Buffer.from(JSON.stringify(body)), {
      mediaType: "application/json",
      expected: row,
      validation: "Strict",
    });
    return object as unknown as KubernetesObject;
  };
  const created = () => {
    const object = make();
    row.defaults(object);
    row.prepareForCreate(object);
    return object;
  };

  test("is in the schema, with its list and the kinds of its subresources", () => {
    expect(schema.message(row.schema).isKind).toBe(true);
    expect(schema.message(`${row.schema}List`).name).toBe(row.listKind);
    expect(schema.message(row.schema).scope).toBe(row.namespaced ? "Namespaced" : "Cluster");
    for (const { kind: of } of row.subresources)
      expect(schema.kind(of.group ? `${of.group}/${of.version}` : of.version, of.kind)).toBeDefined();
  });

  test("the least it accepts is valid, and defaulting it again changes nothing", () => {
    const object = created();
    expect(row.validate(object).map(errorText)).toEqual([]);
    const again = structuredClone(object);
    row.defaults(again);
    expect(again).toEqual(object);
  });

  test("what the server made decodes strictly", () => {
    const body = Buffer.from(JSON.stringify(created()));
    expect(
      decodeBody(schema, body, { mediaType: "application/json", expected: row, validation: "Strict" }).object,
    ).toEqual({ ...created(), kind: row.kind, apiVersion: row.group ? `${row.group}/${row.version}` : row.version });
  });

  test("an update that changes nothing is valid and changes nothing", () => {
    const old = created();
    const object = structuredClone(old);
    row.prepareForUpdate(object, old);
    expect(object).toEqual(old);
    expect([...row.validateUpdate(object, old), ...row.validateStatusUpdate(object, old)]).toEqual([]);
  });

  test("a body of nothing but a name neither breaks a default nor a rule", () => {
    const object = { metadata: { name: "x" }, spec: {} } as KubernetesObject;
    row.defaults(object);
    row.prepareForCreate(object);
    row.validate(object);
    const own = row.selectableFields.filter((name) => !name.startsWith("metadata."));
    expect(Object.keys(row.fields(object)).sort()).toEqual(own.sort());
  });

  test("every cell can be printed, of a new object too", () => {
    const object = created();
    for (const column of row.columns) expect(["string", "number", "boolean"]).toContain(typeof column.cell(object, 0));
    expect(row.columns.some((c) => c.format === "name") || kind === "Event").toBe(true);
  });
});

test("storage keys are upstream's and never shared", () => {
  expect(Object.fromEntries(rows.map((r) => [r.resource, r.storagePrefix]))).toEqual({
    apiservices: "apiregistration.k8s.io/apiservices",
    configmaps: "configmaps",
    customresourcedefinitions: "apiextensions.k8s.io/customresourcedefinitions",
    ipaddresses: "ipaddresses",
    servicecidrs: "servicecidrs",
    horizontalpodautoscalers: "horizontalpodautoscalers",
    certificatesigningrequests: "certificatesigningrequests",
    mutatingwebhookconfigurations: "mutatingwebhookconfigurations",
    validatingadmissionpolicies: "validatingadmissionpolicies",
    validatingadmissionpolicybindings: "validatingadmissionpolicybindings",
    validatingwebhookconfigurations: "validatingwebhookconfigurations",
    flowschemas: "flowschemas",
    prioritylevelconfigurations: "prioritylevelconfigurations",
    ingressclasses: "ingressclasses",
    ingresses: "ingress",
    networkpolicies: "networkpolicies",
    poddisruptionbudgets: "poddisruptionbudgets",
    clusterrolebindings: "clusterrolebindings",
    clusterroles: "clusterroles",
    rolebindings: "rolebindings",
    roles: "roles",
    csidrivers: "csidrivers",
    csinodes: "csinodes",
    csistoragecapacities: "csistoragecapacities",
    storageclasses: "storageclasses",
    volumeattachments: "volumeattachments",
    volumeattributesclasses: "volumeattributesclasses",
    priorityclasses: "priorityclasses",
    runtimeclasses: "runtimeclasses",
    replicationcontrollers: "controllers",
    podtemplates: "podtemplates",
    limitranges: "limitranges",
    resourcequotas: "resourcequotas",
    persistentvolumes: "persistentvolumes",
    persistentvolumeclaims: "persistentvolumeclaims",
    cronjobs: "cronjobs",
    jobs: "jobs",
    endpoints: "services/endpoints",
    events: "events",
    namespaces: "namespaces",
    nodes: "minions",
    pods: "pods",
    secrets: "secrets",
    serviceaccounts: "serviceaccounts",
    services: "services/specs",
    controllerrevisions: "controllerrevisions",
    daemonsets: "daemonsets",
    statefulsets: "statefulsets",
    deployments: "deployments",
    replicasets: "replicasets",
    leases: "leases",
    endpointslices: "endpointslices",
    deviceclasses: "deviceclasses",
    resourceclaims: "resourceclaims",
    resourceclaimtemplates: "resourceclaimtemplates",
    resourceslices: "resourceslices",
  });
});

test("loopback endpoints are refused unless the lab lives there", () => {
  const problems = (allowLoopbackEndpoints: boolean) => {
    const row = resources({ allowLoopbackEndpoints }).find((r) => r.kind === "EndpointSlice")!;
    const slice = {
      metadata: { name: "x", namespace: "default" },
      addressType: "IPv4",
      endpoints: [{ addresses: ["127.0.0.1"] }],
    };
    return row.validate(slice as KubernetesObject).map(errorText);
  };
  expect(problems(true)).toEqual([]);
  expect(problems(false)).toEqual([
    'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
  ]);
});
