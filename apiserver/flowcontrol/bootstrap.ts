import type {
  FlowSchema,
  PriorityLevelConfiguration,
  ResourcePolicyRule,
  Subject,
} from "../../api/generated/flowcontrol-v1.ts";
import { FlowSchemas, PriorityLevelConfigurations } from "../../api/generated/resources.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import type { Wanted } from "../authz/bootstrap.ts";

/** Upstream's bootstrap objects: two of each kind are mandatory, the others are suggested. Names carry over as facts. */
const mandatory = ["exempt", "catch-all"];
const autoupdate = "apf.kubernetes.io/autoupdate-spec";

/** Shares, percent that may be lent, then queues and hand size; without those the level refuses. */
const limited: Record<string, [shares: number, lendable: number, queues?: number, handSize?: number]> = {
  "catch-all": [5, 0],
  system: [30, 33, 64, 6],
  "node-high": [40, 25, 64, 6],
  "leader-election": [10, 0, 16, 4],
  "workload-high": [40, 50, 128, 6],
  "workload-low": [100, 90, 128, 6],
  "global-default": [20, 50, 128, 6],
};

function levels(): PriorityLevelConfiguration[] {
  const exempt = { type: "Exempt", exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } };
  return [
    { metadata: { name: "exempt" }, spec: exempt },
    ...Object.entries(limited).map(([name, [nominalConcurrencyShares, lendablePercent, queues, handSize]]) => ({
      metadata: { name },
      spec: {
        type: "Limited",
        limited: {
          nominalConcurrencyShares,
          lendablePercent,
          limitResponse: queues
            ? { type: "Queue", queuing: { queues, handSize: handSize!, queueLengthLimit: 50 } }
            : { type: "Reject" },
        },
      },
    })),
  ];
}

const user = (name: string): Subject => ({ kind: "User", user: { name } });
const group = (name: string): Subject => ({ kind: "Group", group: { name } });
const account = (name: string): Subject => ({
  kind: "ServiceAccount",
  serviceAccount: { name, namespace: "kube-system" },
});
const everyone = [group("system:unauthenticated"), group("system:authenticated")];
const on = (verbs: string[], apiGroup: string, resources: string[], clusterScope = false): ResourcePolicyRule => ({
  verbs,
  apiGroups: [apiGroup],
  resources,
  namespaces: ["*"],
  ...(clusterScope ? { clusterScope } : {}),
});
const all = { ...on(["*"], "*", ["*"], true) };
const elections = ["get", "create", "update"];
const leases = on(elections, "coordination.k8s.io", ["leases"]);

/** Name, level, precedence, what distinguishes flows, subjects; resource rules unless it takes everything. */
const schemas: [string, string, number, "ByUser" | "ByNamespace" | "", Subject[], ResourcePolicyRule[]?][] = [
  ["exempt", "exempt", 1, "", [group("system:masters")]],
  [
    "system-leader-election",
    "leader-election",
    100,
    "ByUser",
    [user("system:kube-controller-manager"), user("system:kube-scheduler"), account("*")],
    [leases],
  ],
  [
    "endpoint-controller",
    "workload-high",
    150,
    "ByUser",
    [
      user("system:kube-controller-manager"),
      account("endpoint-controller"),
      account("endpointslicemirroring-controller"),
    ],
    [on(elections, "", ["endpoints"])],
  ],
  [
    "workload-leader-election",
    "leader-election",
    200,
    "ByUser",
    [account("*")],
    [on(elections, "", ["endpoints", "configmaps"]), leases],
  ],
  [
    "system-node-high",
    "node-high",
    400,
    "ByUser",
    [group("system:nodes")],
    [on(["*"], "", ["nodes", "nodes/status"], true), on(["*"], "coordination.k8s.io", ["leases"])],
  ],
  ["system-nodes", "system", 500, "ByUser", [group("system:nodes")]],
  ["kube-controller-manager", "workload-high", 800, "ByNamespace", [user("system:kube-controller-manager")]],
  ["kube-scheduler", "workload-high", 800, "ByNamespace", [user("system:kube-scheduler")]],
  ["kube-system-service-accounts", "workload-high", 900, "ByNamespace", [account("*")]],
  ["service-accounts", "workload-low", 9000, "ByUser", [group("system:serviceaccounts")]],
  ["global-default", "global-default", 9900, "ByUser", everyone],
  ["catch-all", "catch-all", 10_000, "ByUser", everyone],
];

function flowSchemas(): FlowSchema[] {
  const probes = { verbs: ["get"], nonResourceURLs: ["/healthz", "/readyz", "/livez"] };
  return [
    {
      metadata: { name: "probes" },
      spec: {
        priorityLevelConfiguration: { name: "exempt" },
        matchingPrecedence: 2,
        rules: [{ subjects: everyone, nonResourceRules: [probes] }],
      },
    },
    ...schemas.map(([name, level, matchingPrecedence, type, subjects, resourceRules]) => ({
      metadata: { name },
      spec: {
        priorityLevelConfiguration: { name: level },
        matchingPrecedence,
        ...(type ? { distinguisherMethod: { type } } : {}),
        rules: [
          resourceRules
            ? { subjects, resourceRules }
            : {
                subjects,
                resourceRules: [all],
                nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
              },
        ],
      },
    })),
  ];
}

/** Levels first: schemas name them. */
export function wantedFlowControl(): Wanted[] {
  const wanted =
    (type: Wanted["type"]) =>
    (object: KubernetesObject): Wanted => {
      const { metadata } = object;
      const annotated = { ...object, metadata: { ...metadata, annotations: { [autoupdate]: "true" } } };
      return { type, object: annotated, reconcile: (existing) => reconcile(existing, annotated) };
    };
  return [...levels().map(wanted(PriorityLevelConfigurations)), ...flowSchemas().map(wanted(FlowSchemas))];
}

/**
 * The spec is kept as it should be while the annotation says so: always for mandatory objects; for suggested ones that
 * carry no annotation as long as nobody has changed them.
 */
export function reconcile(existing: KubernetesObject, expected: KubernetesObject): KubernetesObject | undefined {
  const { annotations, name, generation } = existing.metadata;
  const given = annotations?.[autoupdate];
  const keep = mandatory.includes(name) || (given === undefined ? generation === 1 : given === "true");
  const annotation = String(keep);
  const next = {
    ...existing,
    ...(keep ? { spec: (expected as FlowSchema).spec } : {}),
    metadata: { ...existing.metadata, annotations: { ...annotations, [autoupdate]: annotation } },
  };
  return sameJson(next, existing) ? undefined : next;
}
