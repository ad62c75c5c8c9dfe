import { describe, expect, test } from "vitest";
import { errorText } from "../apimachinery/field-error.ts";
import type { KubernetesObject } from "../apimachinery/object.ts";
import { parseSchedule } from "./batch/cron-schedule.ts";
import { make, row, told, toldOfStatus } from "./testing.ts";

describe("every problem is told, with its path", () => {
  test.each<[string, string, object, string[]]>([
    [
      "a set whose order is unknown",
      "StatefulSet",
      { podManagementPolicy: "Any", replicas: -1 },
      [
        `spec.podManagementPolicy: Invalid value: "Any": must be 'OrderedReady' or 'Parallel'`,
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
      ],
    ],
    [
      "daemons that can neither be away nor double",
      "DaemonSet",
      { updateStrategy: { rollingUpdate: { maxUnavailable: 0 } } },
      ["spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"],
    ],
    [
      "a Job whose Pods never end",
      "Job",
      { template: { spec: { containers: [{ name: "c", image: "i" }] } }, backoffLimit: -1 },
      [
        "spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0",
        'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
      ],
    ],
    [
      "a selector that the client made up",
      "Job",
      { selector: { matchLabels: { a: "b" } } },
      [
        'spec.selector: Invalid value: {"matchLabels":{"batch.kubernetes.io/controller-uid":"u","a":"b"}}: `selector` not auto-generated',
        'spec.template.metadata.labels: Invalid value: {"batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"x","controller-uid":"u","job-name":"x"}: `selector` does not match template `labels`',
      ],
    ],
    [
      "a schedule and a time zone that are none",
      "CronJob",
      { schedule: "61 * * * *", timeZone: "Mars/Base" },
      [
        'spec.schedule: Invalid value: "61 * * * *": end of range (61) above maximum (59): 61',
        'spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base',
      ],
    ],
    [
      "a limit below its floor",
      "LimitRange",
      { limits: [{ type: "Container", min: { cpu: "2" }, max: { cpu: "1" } }] },
      [
        'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
        'spec.limits[0].defaultRequest[cpu]: Invalid value: "1": min value 2 is greater than default request value 1',
        'spec.limits[0].default[cpu]: Invalid value: "2": min value 2 is greater than default value 1',
      ],
    ],
    [
      "limits of what there is not, and a ratio that no Pod can have",
      "LimitRange",
      {
        limits: [
          { type: "Nodes", max: { gpus: "1" } },
          { type: "Pod", min: { cpu: "1" }, max: { cpu: "2" }, maxLimitRequestRatio: { cpu: "3" } },
          { type: "Container", default: { "a.io/gpu": "2" }, defaultRequest: { "a.io/gpu": "1" } },
        ],
      },
      [
        'spec.limits[0].type: Invalid value: "Nodes": must be a standard limit type or fully qualified',
        'spec.limits[0].max[gpus]: Invalid value: "gpus": must be a standard resource type or fully qualified',
        'spec.limits[1].maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000',
        'spec.limits[2].defaultRequest[a.io/gpu]: Invalid value: "1": default value 2 must equal to defaultRequest value 1 in a.io/gpu',
      ],
    ],
    [
      "scopes that say nothing about what is limited",
      "ResourceQuota",
      {
        hard: { cpu: "1", things: "1" },
        scopes: ["BestEffort"],
        scopeSelector: { matchExpressions: [{ scopeName: "Terminating", operator: "In", values: [] }] },
      },
      [
        'spec.hard[things]: Invalid value: "things": must be a standard resource type or fully qualified',
        'spec.hard[things]: Invalid value: "things": must be a standard resource for quota',
        'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource',
        expect.stringContaining(
          "spec.scopeSelector.matchExpressions.operator: Invalid value: \"In\": must be 'Exists' when",
        ),
        "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
      ],
    ],
    [
      "containers that share devices, and pages that are none",
      "Pod",
      {
        containers: [
          {
            name: "c",
            image: "i",
            resources: {
              requests: { "a.io/gpu": "1", "b.io/gpu": "1500m", "hugepages-2Mi": "3Mi", gpu: "1" },
              limits: { "a.io/gpu": "2", "hugepages-2Mi": "3Mi", gpu: "1" },
            },
          },
        ],
      },
      [
        ...["limits", "requests"].flatMap((kind) => [
          `${kind}[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi`,
          `${kind}[gpu]: Invalid value: "gpu": must be a standard resource type or fully qualified`,
          `${kind}[gpu]: Invalid value: "gpu": must be a standard resource for containers`,
          ...(kind === "requests" ? ['requests[b.io/gpu]: Invalid value: "1500m": must be an integer'] : []),
        ]),
        'requests: Invalid value: "1": must be equal to a.io/gpu limit of 2',
        "limits: Required value: Limit must be set for non overcommitable resources",
      ]
        .map((text) => `spec.containers[0].resources.${text}`)
        .concat("spec.containers[0].resources: Forbidden: HugePages require cpu or memory"),
    ],
    [
      "a node with one taint twice, and half a Pod's room",
      "Node",
      {
        taints: [
          { key: "a", effect: "NoSchedule" },
          { key: "a", effect: "NoSchedule" },
          { key: "b", effect: "Never" },
        ],
      },
      [
        'metadata.taints[1]: Duplicate value: {"Key":"a","Value":"","Effect":"NoSchedule","TimeAdded":null}: taints must be unique by key and effect pair',
        'metadata.taints[2].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
      ],
    ],
    [
      "addresses of another family, and ports of one name",
      "EndpointSlice",
      {
        addressType: "IPv6",
        ports: [{ port: 1 }, { port: 2 }],
        endpoints: [{ addresses: ["10.0.0.1"], hints: { forZones: [{ name: "a" }, { name: "a" }] } }],
      },
      [
        'ports[1].name: Duplicate value: ""',
        'endpoints[0].addresses: Invalid value: "10.0.0.1": must be an IPv6 address',
        'endpoints[0].hints.forZones[1].name: Duplicate value: "a"',
      ],
    ],
    [
      "a class for a place twice",
      "StorageClass",
      {
        allowedTopologies: [
          {
            matchLabelExpressions: [
              { key: "zone", values: ["a", "a"] },
              { key: "zone", values: [] },
            ],
          },
        ],
      },
      [
        'allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "a"',
        "allowedTopologies[0].matchLabelExpressions[1].values: Required value",
        'allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: "zone"',
      ],
    ],
    [
      "a volume that is attached to nothing by nobody",
      "VolumeAttachment",
      { attacher: "", source: { persistentVolumeName: "" } },
      [
        "spec.attacher: Required value",
        "spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName",
        "spec.attacher: Required value",
        expect.stringMatching(/^spec.source.persistentVolumeName: Invalid value: "": a lowercase RFC 1123 subdomain/),
      ] as string[],
    ],
    [
      "a claim of two sources",
      "PersistentVolumeClaim",
      {
        dataSource: { kind: "PersistentVolumeClaim", name: "a" },
        dataSourceRef: { kind: "PersistentVolumeClaim", name: "b" },
        volumeAttributesClassName: "A",
      },
      [
        'spec: Invalid value: "spec.dataSource": must match dataSourceRef',
        expect.stringMatching(/^spec.volumeAttributesClassName: Invalid value: "A": a lowercase/) as string,
      ],
    ],
    [
      "a login that is no JSON",
      "Secret",
      { type: "kubernetes.io/dockerconfigjson", data: { ".dockerconfigjson": Buffer.from("[]").toString("base64") } },
      [
        'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": json: cannot unmarshal array into Go value of type map[string]interface {}',
      ],
    ],
    [
      "half a Pod",
      "ResourceQuota",
      { hard: { pods: "500m" } },
      ['spec.hard[pods]: Invalid value: "500m": must be an integer'],
    ],
    [
      "a volume of nothing",
      "PersistentVolume",
      { hostPath: undefined, accessModes: [] },
      ["spec.accessModes: Required value", "spec: Required value: must specify a volume type"],
    ],
    [
      "a claim for nothing",
      "PersistentVolumeClaim",
      { accessModes: [], resources: {} },
      [
        "spec.accessModes: Required value: at least 1 access mode is required",
        "spec.resources[storage]: Required value",
      ],
    ],
    [
      "a role without verbs over URLs of the cluster",
      "Role",
      { rules: [{ verbs: [], nonResourceURLs: ["/x"] }] },
      [
        "rules[0].verbs: Required value: verbs must contain at least one value",
        'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs',
      ],
    ],
    [
      "a binding to another kind",
      "ClusterRoleBinding",
      { roleRef: { kind: "Role", name: "" } },
      ['roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"', "roleRef.name: Required value"],
    ],
    [
      "a priority above the system's",
      "PriorityClass",
      { value: 2_000_000_000 },
      ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
    ],
    [
      "a path that climbs",
      "Ingress",
      { rules: [{ http: { paths: [{ path: "/a/../b", pathType: "Prefix", backend: {} }] } }] },
      [
        `spec.rules[0].http.paths[0].path: Invalid value: "/a/../b": must not contain '/../'`,
        `spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is required`,
      ],
    ],
    [
      "an exception outside of its block",
      "NetworkPolicy",
      { ingress: [{ from: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["11.0.0.0/16", "10.0.0.0/8"] } }, {}] }] },
      [
        'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
        'spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`',
        "spec.ingress[0].from[1]: Required value: must specify a peer",
      ],
    ],
    [
      "more than all Pods",
      "PodDisruptionBudget",
      { minAvailable: "101%" },
      ['spec.minAvailable: Invalid value: "101%": must not be greater than 100%'],
    ],
    [
      "Pods that stay, and that may be away",
      "PodDisruptionBudget",
      { minAvailable: 1, maxUnavailable: "1" },
      [
        'spec: Invalid value: {"MinAvailable":1,"Selector":{"matchLabels":{"app":"web"}},"MaxUnavailable":"1","UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set',
        expect.stringMatching(/^spec.maxUnavailable: Invalid value: "1": a valid percent string/),
      ] as string[],
    ],
    [
      "a driver of volumes that are of no kind, with tokens for a minute",
      "CSIDriver",
      { volumeLifecycleModes: ["Some"], tokenRequests: [{ audience: "a", expirationSeconds: 60 }] },
      [
        "spec.tokenRequests[0].expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes",
        'spec.volumeLifecycleModes: Unsupported value: "Some": supported values: "Persistent", "Ephemeral"',
      ],
    ],
    [
      "topology of no name",
      "CSINode",
      { drivers: [{ name: "a", nodeID: "n", topologyKeys: ["-"] }] },
      [expect.stringMatching(/^spec.drivers\[0\]: Invalid value: "-": name part must/)] as string[],
    ],
    [
      "less than nothing left",
      "CSIStorageCapacity",
      { capacity: "-1", storageClassName: "A", maximumVolumeSize: "-1" },
      [
        expect.stringMatching(/^storageClassName: Invalid value: "A"/),
        'capacity: Invalid value: "-1": must be greater than or equal to 0',
      ] as string[],
    ],
    [
      "roles of what no selector can be",
      "ClusterRole",
      { aggregationRule: { clusterRoleSelectors: [{ matchExpressions: [{ key: "a", operator: "Is" }] }] } },
      [
        'aggregationRule.clusterRoleSelectors[0].matchExpressions[0].operator: Invalid value: "Is": not a valid selector operator',
        'aggregationRule.clusterRoleSelectors[0]: Invalid value: "null": invalid label selector.',
      ],
    ],
    [
      "a priority that pushes out nobody knows whom",
      "PriorityClass",
      { preemptionPolicy: "Some" },
      ['preemptionPolicy: Unsupported value: "Some": supported values: "PreemptLowerPriority", "Never"'],
    ],
    [
      "fewer at most than at least",
      "HorizontalPodAutoscaler",
      { minReplicas: 6 },
      ["spec.maxReplicas: Invalid value: 5: must be greater than or equal to `minReplicas`"],
    ],
    [
      "a certificate for a minute",
      "CertificateSigningRequest",
      { expirationSeconds: 60, usages: ["all"], signerName: "x" },
      [
        expect.stringMatching(
          /^spec.usages\[0\]: Unsupported value: "all": supported values: "any", /,
        ) as unknown as string,
        `spec.signerName: Invalid value: "x": must be a fully qualified domain and path of the form 'example.com/signer-name'`,
        "spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 600 seconds (10 minutes)",
      ],
    ],
    [
      "a hand larger than the deck",
      "PriorityLevelConfiguration",
      { limited: { limitResponse: { type: "Queue", queuing: { queues: 2 } } } },
      ["spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (2)"],
    ],
    [
      "a webhook that nobody can call",
      "ValidatingWebhookConfiguration",
      { webhooks: [{ name: "a", sideEffects: "Some", admissionReviewVersions: ["v1"] }] },
      [
        'webhooks[0].name: Invalid value: "a": should be a domain with at least three segments separated by dots',
        'webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"',
        "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
      ],
    ],
    [
      "a policy that says nothing",
      "ValidatingAdmissionPolicy",
      { validations: [] },
      [
        "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
        "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
      ],
    ],
  ])("%s", (_, kind, change, expected) => {
    expect(told(kind, change)).toEqual(expected);
  });
});

describe("what may not change", () => {
  test.each<[string, string, object, string]>([
    [
      "a StatefulSet's service",
      "StatefulSet",
      { serviceName: "y" },
      "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
    ],
    ["a Job's completions", "Job", { completions: 9 }, "spec.completions: Invalid value: 9: field is immutable"],
    [
      "an unbound claim's size",
      "PersistentVolumeClaim",
      { resources: { requests: { storage: "2Gi" } } },
      "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
    ],
    ["a priority", "PriorityClass", { value: 1 }, "value: Forbidden: may not be changed in an update."],
    [
      "a class's provisioner",
      "StorageClass",
      { provisioner: "p" },
      "provisioner: Forbidden: updates to provisioner are forbidden.",
    ],
    [
      "a binding's role",
      "RoleBinding",
      { roleRef: { kind: "Role", name: "other" } },
      'roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"other"}: cannot change roleRef',
    ],
    [
      "the driver of attributes",
      "VolumeAttributesClass",
      { driverName: "other" },
      "driverName: Forbidden: updates to driverName are forbidden.",
    ],
    [
      "a runtime's handler",
      "RuntimeClass",
      { handler: "other" },
      'handler: Invalid value: "other": field is immutable',
    ],
  ])("%s", (_, kind, change, expected) => {
    expect(row(kind).validateUpdate(make(kind, change), make(kind)).map(errorText)).toEqual([expected]);
  });
});

describe("a status", () => {
  const replicas = "cannot be greater than status.replicas";
  test.each<[string, string, object, object, string[]]>([
    [
      "counts no more ready Pods than there are",
      "Deployment",
      { replicas: 1, readyReplicas: 2, availableReplicas: 3, collisionCount: 1 },
      { collisionCount: 2 },
      [
        `readyReplicas: Invalid value: 2: ${replicas}`,
        `availableReplicas: Invalid value: 3: ${replicas}`,
        "availableReplicas: Invalid value: 3: cannot be greater than readyReplicas",
        "collisionCount: Invalid value: 1: cannot be decremented",
      ],
    ],
    [
      "counts nothing below zero",
      "ReplicaSet",
      { replicas: 1, fullyLabeledReplicas: -1 },
      {},
      ["fullyLabeledReplicas: Invalid value: -1: must be greater than or equal to 0"],
    ],
    [
      "of a StatefulSet has its own words",
      "StatefulSet",
      { replicas: 2, availableReplicas: 1 },
      {},
      ["availableReplicas: Invalid value: 1: cannot be greater than status.readyReplicas"],
    ],
    [
      "is Active as long as nobody deletes",
      "Namespace",
      { phase: "Terminating" },
      {},
      ["Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"],
    ],
    [
      "has balancers where there are some",
      "Service",
      { loadBalancer: { ingress: [{ ip: "1.2.3.4", ipMode: "VIP" }] } },
      {},
      ["loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"],
    ],
    [
      "names hosts by their names",
      "Ingress",
      { loadBalancer: { ingress: [{ ip: "x", hostname: "1.2.3.4" }] } },
      {},
      [
        'loadBalancer.ingress[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        'loadBalancer.ingress[0].hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
      ],
    ],
    [
      "says what of a quota is used, in whole Pods",
      "ResourceQuota",
      { used: { pods: "1500m" } },
      {},
      ['used[pods]: Invalid value: "1500m": must be an integer'],
    ],
    [
      "of a node names each address once",
      "Node",
      {
        addresses: [
          { type: "InternalIP", address: "a" },
          { type: "InternalIP", address: "a" },
        ],
        capacity: { pods: "0.5" },
      },
      {},
      [
        'capacity.pods: Invalid value: "0.5": must be an integer',
        'addresses[1]: Duplicate value: {"Type":"InternalIP","Address":"a"}',
      ],
    ],
    [
      "of a Pod has one address a family, and ends once",
      "Pod",
      {
        podIPs: [{ ip: "10.0.0.1" }, { ip: "10.0.0.2" }],
        hostIPs: [{ ip: "10.0.0.3" }],
        conditions: [{ type: "my ready", status: "True" }],
        ephemeralContainerStatuses: [{ name: "e", state: { running: {} } }],
      },
      { ephemeralContainerStatuses: [{ name: "e", state: { terminated: { exitCode: 0 } } }] },
      [
        expect.stringMatching(/^conditions\[0\].Type: Invalid value: "my ready": name part must consist/) as string,
        "ephemeralContainerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state",
        'podIPs: Invalid value: [{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}]: may specify no more than one IP for each IP family',
        'hostIPs[0].ip: Invalid value: "10.0.0.3": must be equal to `hostIP`',
      ],
    ],
  ])("%s", (_, kind, status, before, expected) => {
    expect(toldOfStatus(kind, status, before)).toEqual(expected);
  });
});

describe("a gated Pod may be steered, but only narrower", () => {
  const gate = { schedulingGates: [{ name: "a.io/gate" }] };
  const onto = (...keys: string[]) => ({
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: keys.map((key) => ({ key, operator: "Exists" })) }],
        },
      },
    },
  });
  test.each<[string, object, object, string[]]>([
    ["a label more", { nodeSelector: { a: "b" } }, { nodeSelector: { a: "b", c: "d" } }, []],
    [
      "another label",
      { nodeSelector: { a: "b" } },
      { nodeSelector: { a: "c" } },
      [
        'spec.nodeSelector: Invalid value: {"a":"c"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)',
      ],
    ],
    ["a demand more", onto("a"), onto("a", "b"), []],
    ["where there was none", {}, onto("a"), []],
    [
      "another demand",
      onto("a"),
      onto("b"),
      [expect.stringContaining("only additions are allowed (no mutations or deletions)") as string],
    ],
    [
      "a gate more",
      {},
      { schedulingGates: [{ name: "a.io/gate" }, { name: "a.io/new" }] },
      ["spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'a.io/new'"],
    ],
  ])("%s", (_, before, after, expected) => {
    const [pod, old] = [after, before].map((change) => make("Pod", { ...gate, ...change }));
    expect(row("Pod").validateUpdate(pod!, old!).map(errorText)).toEqual(expected);
  });
});

test("a bound claim may ask for more", () => {
  const bound = (storage: string) => {
    const claim = make("PersistentVolumeClaim", { volumeName: "v", resources: { requests: { storage } } });
    return { ...claim, status: { phase: "Bound", capacity: { storage: "1Gi" } } } as KubernetesObject;
  };
  const { validateUpdate } = row("PersistentVolumeClaim");
  expect(validateUpdate(bound("2Gi"), bound("1Gi"))).toEqual([]);
  expect(validateUpdate(bound("1Mi"), bound("1Gi")).map(errorText)).toEqual([
    "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity",
  ]);
});

test("a DaemonSet counts the changes of its template", () => {
  const { prepareForUpdate } = row("DaemonSet");
  const old = make("DaemonSet");
  const next = structuredClone(old) as KubernetesObject & { spec: { template: { spec: { hostNetwork?: boolean } } } };
  next.spec.template.spec.hostNetwork = true;
  prepareForUpdate(next, old);
  expect([next.metadata.generation, next.metadata.annotations]).toEqual([
    2,
    { "deprecated.daemonset.template.generation": "2" },
  ]);
});

test("who asks for a certificate is not the client's to say", () => {
  expect(make("CertificateSigningRequest", { username: "admin", groups: ["system:masters"] })).not.toMatchObject({
    spec: { username: expect.anything() as unknown },
  });
});

describe("schedules", () => {
  const minutes = (text: string) => {
    const schedule = parseSchedule(text);
    return "fields" in schedule ? [...schedule.fields[0]!.values] : schedule.everyMs;
  };
  test.each<[string, number[] | number]>([
    ["5 4 * * *", [5]],
    ["10-14/2,40 * * * *", [10, 12, 14, 40]],
    ["50/5 * * * *", [50, 55]],
    ["@hourly", [0]],
    ["@every 1h30m", 5_400_000],
  ])("%s", (text, expected) => expect(minutes(text)).toEqual(expected));

  test.each<[string, string]>([
    ["* * * *", "expected exactly 5 fields, found 4: [* * * *]"],
    ["x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'],
    ["9-3 * * * *", "beginning of range (9) beyond end of range (3): 9-3"],
    ["*/0 * * * *", "step of range should be a positive number: */0"],
    ["* * 0 * *", "beginning of range (0) below minimum (1): 0"],
    ["@never", "unrecognized descriptor: @never"],
  ])("%s is refused", (text, message) => expect(() => parseSchedule(text)).toThrow(message));
});
