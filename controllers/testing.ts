import type { Deployment, ReplicaSet } from "../api/generated/apps-v1.ts";
import type { Node, Pod, PodCondition, Service, Taint, Toleration } from "../api/generated/core-v1.ts";
import { Deployments, ReplicaSets } from "../api/generated/resources.ts";
import { controllerRef } from "./ownership.ts";

/** Objects for tests, with what the server would have filled in. */
export const nowMs = Date.parse("2026-01-01T12:00:00Z");
const created = "2026-01-01T10:00:00Z";

export interface PodOptions {
  labels?: Record<string, string>;
  phase?: NonNullable<Pod["status"]>["phase"];
  ready?: boolean;
  readySince?: string;
  node?: string;
  ip?: string;
  deleting?: boolean;
  owner?: ReplicaSet;
  createdAt?: string;
  restarts?: number;
  annotations?: Record<string, string>;
  tolerations?: Toleration[];
  ports?: NonNullable<Pod["spec"]["containers"][0]["ports"]>;
}

export function pod(name: string, options: PodOptions = {}): Pod {
  const { labels = { app: "web" }, phase = "Running", ready = true, node, ip, owner, restarts = 0 } = options;
  const condition: PodCondition = {
    type: "Ready",
    status: ready ? "True" : "False",
    lastTransitionTime: options.readySince ?? created,
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: "default",
      uid: `uid-${name}`,
      resourceVersion: "1",
      creationTimestamp: options.createdAt ?? created,
      labels,
      ...(options.annotations && { annotations: options.annotations }),
      ...(options.deleting && { deletionTimestamp: created, deletionGracePeriodSeconds: 30 }),
      ...(owner && { ownerReferences: [controllerRef(ReplicaSets, owner)] }),
    },
    spec: {
      containers: [{ name: "c", image: "kubelab/echo", ...(options.ports && { ports: options.ports }) }],
      ...(node && { nodeName: node }),
      ...(options.tolerations && { tolerations: options.tolerations }),
    },
    status: {
      phase,
      conditions: [condition],
      containerStatuses: [{ name: "c", image: "", imageID: "", ready, restartCount: restarts }],
      ...(ip && { podIP: ip }),
    },
  };
}

export function replicaSet(
  name: string,
  replicas: number,
  more: Partial<ReplicaSet> & { image?: string } = {},
): ReplicaSet {
  const { image = "kubelab/echo", ...rest } = more;
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: {
      name,
      namespace: "default",
      uid: `uid-${name}`,
      resourceVersion: "1",
      generation: 1,
      creationTimestamp: created,
      labels: { app: "web" },
      ...rest.metadata,
    },
    spec: {
      replicas,
      selector: { matchLabels: { app: "web" } },
      template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "c", image }] } },
      ...rest.spec,
    },
    ...(rest.status && { status: rest.status }),
  };
}

export function deployment(replicas: number, spec: Partial<Deployment["spec"]> & { image?: string } = {}): Deployment {
  const { image = "kubelab/echo", ...rest } = spec;
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: {
      name: "web",
      namespace: "default",
      uid: "uid-web",
      resourceVersion: "1",
      generation: 1,
      creationTimestamp: created,
    },
    spec: {
      replicas,
      selector: { matchLabels: { app: "web" } },
      template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "c", image }] } },
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%", maxUnavailable: "25%" } },
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      ...rest,
    },
  };
}

/** A ReplicaSet as its Deployment's controller would have made it. */
export function ownedReplicaSet(
  owner: Deployment,
  name: string,
  options: { replicas: number; image?: string; revision?: number; available?: number; createdAt?: string },
): ReplicaSet {
  const { replicas, image, revision = 1, available = replicas, createdAt = created } = options;
  const base = replicaSet(name, replicas, { ...(image && { image }) });
  return {
    ...base,
    metadata: {
      ...base.metadata,
      creationTimestamp: createdAt,
      annotations: {
        "deployment.kubernetes.io/revision": String(revision),
        "deployment.kubernetes.io/desired-replicas": String(owner.spec.replicas),
        "deployment.kubernetes.io/max-replicas": String(owner.spec.replicas),
      },
      ownerReferences: [controllerRef(Deployments, owner)],
    },
    status: { replicas, readyReplicas: available, availableReplicas: available, observedGeneration: 1 },
  };
}

export function service(spec: Partial<NonNullable<Service["spec"]>> = {}): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "default", uid: "uid-service" },
    spec: { selector: { app: "web" }, clusterIP: "10.96.0.5", ports: [{ port: 80, targetPort: 8080 }], ...spec },
  };
}

export function node(name: string, options: { ready?: "True" | "False" | "Unknown"; taints?: Taint[] } = {}): Node {
  const { ready = "True", taints } = options;
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, uid: `uid-${name}`, resourceVersion: "1", creationTimestamp: created },
    spec: { ...(taints && { taints }) },
    status: { conditions: [{ type: "Ready", status: ready, lastTransitionTime: created }] },
  };
}
