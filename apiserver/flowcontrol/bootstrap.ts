import { everything, mandatoryLevels, mandatorySchemas } from "../../api/flowcontrol/mandatory.ts";
import type { FlowSchema, PriorityLevelConfiguration, Subject } from "../../api/generated/flowcontrol-v1.ts";
import { FlowSchemas, PriorityLevelConfigurations } from "../../api/generated/resources.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import type { Wanted } from "../authz/bootstrap.ts";

/** Upstream's suggested objects; the mandatory ones are the kinds' own. Names carry over as facts. */
const autoupdate = "apf.kubernetes.io/autoupdate-spec";

/** Shares, percent that may be lent, then queues and hand size; without those the level refuses. */
const limited: Record<string, [shares: number, lendable: number, queues?: number, handSize?: number]> = {
  system: [30, 33, 64, 6],
  "node-high": [40, 25, 64, 6],
  "leader-election": [10, 0, 16, 4],
  "workload-high": [40, 50, 128, 6],
  "workload-low": [100, 90, 128, 6],
  "global-default": [20, 50, 128, 6],
};

function levels(): PriorityLevelConfiguration[] {
  return [
    ...Object.entries(mandatoryLevels).map(([name, spec]) => ({ metadata: { name }, spec })),
    ...Object.entries(limited).map(([name, [nominalConcurrencyShares, lendablePercent, queues, handSize]]) => {
      const queuing = { queues: queues!, handSize: handSize!, queueLengthLimit: 50 };
      const limitResponse = queues ? { type: "Queue", queuing } : { type: "Reject" };
      return {
        metadata: { name },
        spec: { type: "Limited", limited: { nominalConcurrencyShares, lendablePercent, limitResponse } },
      };
    }),
  ];
}

/**
 * A line a schema: name, level, precedence, what distinguishes flows, subjects (`g:` a group, `u:` a user, `sa:` an account
 * in kube-system), and behind a bar its rules, as verbs, group and resources; without, it takes everything.
 */
const schemas = `
probes exempt 2 - g:system:unauthenticated,g:system:authenticated | get url /healthz,/readyz,/livez
system-leader-election leader-election 100 ByUser u:system:kube-controller-manager,u:system:kube-scheduler,sa:* | get,create,update coordination.k8s.io leases
endpoint-controller workload-high 150 ByUser u:system:kube-controller-manager,sa:endpoint-controller,sa:endpointslicemirroring-controller | get,create,update core endpoints
workload-leader-election leader-election 200 ByUser sa:* | get,create,update core endpoints,configmaps; get,create,update coordination.k8s.io leases
system-node-high node-high 400 ByUser g:system:nodes | * core nodes,nodes/status cluster; * coordination.k8s.io leases
system-nodes system 500 ByUser g:system:nodes
kube-controller-manager workload-high 800 ByNamespace u:system:kube-controller-manager
kube-scheduler workload-high 800 ByNamespace u:system:kube-scheduler
kube-system-service-accounts workload-high 900 ByNamespace sa:*
service-accounts workload-low 9000 ByUser g:system:serviceaccounts
global-default global-default 9900 ByUser g:system:unauthenticated,g:system:authenticated`;

function flowSchemaOf(line: string): FlowSchema {
  const [head, rules = ""] = line.split(" | ") as [string, string?];
  const [name, level, precedence, type, subjects] = head.split(" ") as [string, string, string, string, string];
  const lists = rules
    .split("; ")
    .filter(Boolean)
    .map((rule) => rule.split(" ").map((word) => word.split(",")));
  const resourceRules = lists.flatMap(([verbs, group, resources, cluster]) => {
    if (group![0] === "url") return [];
    const apiGroups = group!.map((name) => (name === "core" ? "" : name));
    return { verbs, apiGroups, resources, namespaces: ["*"], ...(cluster ? { clusterScope: true } : {}) };
  });
  const nonResourceRules = lists.flatMap(([verbs, group, nonResourceURLs]) =>
    group![0] === "url" ? { verbs, nonResourceURLs } : [],
  );
  const rule = {
    subjects: subjects.split(",").map(subjectOf),
    ...(rules ? {} : everything),
    ...(resourceRules.length > 0 ? { resourceRules } : {}),
    ...(nonResourceRules.length > 0 ? { nonResourceRules } : {}),
  };
  return {
    metadata: { name },
    spec: {
      priorityLevelConfiguration: { name: level },
      matchingPrecedence: Number(precedence),
      ...(type === "-" ? {} : { distinguisherMethod: { type } }),
      rules: [rule],
    },
  } as FlowSchema;
}

function subjectOf(text: string): Subject {
  const name = text.slice(text.indexOf(":") + 1);
  if (text.startsWith("g:")) return { kind: "Group", group: { name } };
  if (text.startsWith("u:")) return { kind: "User", user: { name } };
  return { kind: "ServiceAccount", serviceAccount: { name, namespace: "kube-system" } };
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
  const mandatory = Object.entries(mandatorySchemas).map(
    ([name, spec]) => ({ metadata: { name }, spec }) as FlowSchema,
  );
  const flowSchemas = [...mandatory, ...schemas.trim().split("\n").map(flowSchemaOf)];
  return [...levels().map(wanted(PriorityLevelConfigurations)), ...flowSchemas.map(wanted(FlowSchemas))];
}

/**
 * The spec is kept as it should be while the annotation says so: always for mandatory objects; for suggested ones that
 * carry no annotation as long as nobody has changed them.
 */
export function reconcile(existing: KubernetesObject, expected: KubernetesObject): KubernetesObject | undefined {
  const { annotations, name, generation } = existing.metadata;
  const given = annotations?.[autoupdate];
  const keep = name in mandatoryLevels || (given === undefined ? generation === 1 : given === "true");
  const annotation = String(keep);
  const next = {
    ...existing,
    ...(keep ? { spec: (expected as FlowSchema).spec } : {}),
    metadata: { ...existing.metadata, annotations: { ...annotations, [autoupdate]: annotation } },
  };
  return sameJson(next, existing) ? undefined : next;
}
