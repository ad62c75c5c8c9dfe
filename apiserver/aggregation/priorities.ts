import type { APIServiceSpec } from "../../api/generated/apiregistration-v1.ts";

/** Where groups stand in discovery: upstream's priorities (pkg/controlplane/apiserver/aggregator.go and its neighbours). */
const groups: Readonly<Record<string, number>> = {
  "apiregistration.k8s.io": 20000,
  "": 18000,
  apps: 17800,
  "events.k8s.io": 17750,
  "authentication.k8s.io": 17700,
  "authorization.k8s.io": 17600,
  autoscaling: 17500,
  batch: 17400,
  "certificates.k8s.io": 17300,
  "networking.k8s.io": 17200,
  policy: 17100,
  "rbac.authorization.k8s.io": 17000,
  "storage.k8s.io": 16800,
  "admissionregistration.k8s.io": 16700,
  "apiextensions.k8s.io": 16700,
  "scheduling.k8s.io": 16600,
  "coordination.k8s.io": 16500,
  "node.k8s.io": 16300,
  "discovery.k8s.io": 16200,
  "flowcontrol.apiserver.k8s.io": 16100,
  "resource.k8s.io": 15900,
};

const versions: Readonly<Record<string, number>> = {
  "v1.": 1,
  "v2.autoscaling": 30,
  "v1.flowcontrol.apiserver.k8s.io": 21,
};

export type Priorities = Pick<APIServiceSpec, "groupPriorityMinimum" | "versionPriority">;

/** Of what we serve ourselves; custom resources come behind all that is built in. */
export function prioritiesOf(group: string, version: string): Priorities {
  const groupPriorityMinimum = groups[group];
  return groupPriorityMinimum === undefined
    ? { groupPriorityMinimum: 1000, versionPriority: 100 }
    : { groupPriorityMinimum, versionPriority: versions[`${version}.${group}`] ?? 15 };
}

export const isBuiltIn = (group: string): boolean => Object.hasOwn(groups, group);
