import type { KubernetesObject } from "../../apimachinery/object.ts";
import type { ContainerPort, Pod, PodTemplateSpec } from "../generated/core-v1.ts";

/**
 * What is allowed in a Pod, and hardly meant. Source: pkg/api/pod/warnings.go. Absent: what it says of affinity, topology
 * spread, hostAliases, hostIP without hostPort, fractions of bytes, annotations for seccomp and AppArmor, projected paths,
 * and of CronJobs; what strategies say of names that are no DNS labels.
 */
export const podWarnings = (pod: Pod, old?: Pod): string[] => (old ? [] : shown(warnings(pod, ""))); // updates are many

/** Of a template, unless it is as it was. */
export function templateWarnings({ metadata, spec: { template } }: Templated, old?: KubernetesObject): string[] {
  const isNew = template !== undefined && old?.metadata.generation !== metadata.generation;
  return isNew ? shown(warnings(template, "spec.template.")) : [];
}

/** What headers have room for, and more. */
const maxWarnings = 100;
const shown = (all: Generator<string>): string[] => {
  const first: string[] = [];
  for (const one of all) if (first.push(one) === maxWarnings) break;
  return first;
};

type Templated = KubernetesObject & { spec: { template?: PodTemplateSpec } };

function* warnings({ metadata, spec = { containers: [] } }: PodTemplateSpec, at: string): Generator<string> {
  for (const key of Object.keys(spec.nodeSelector ?? {}))
    if (old.labels[key]) yield `${at}spec.nodeSelector[${key}]: deprecated since ${old.labels[key]} instead`;
  for (const key of Object.keys(metadata?.annotations ?? {}))
    if (old.annotations[key])
      yield `${at}metadata.annotations[${key}]: non-functional in ${old.annotations[key]} field instead`;
  for (const [i, volume] of (spec.volumes ?? []).entries())
    for (const key of Object.keys(volume))
      if (old.volumes[key])
        yield `${at}spec.volumes[${i}].${key.replace("eos", "eOS")}: deprecated in ${old.volumes[key]}`;
  const secrets = new Set<string>();
  for (const [i, { name = "" }] of (spec.imagePullSecrets ?? []).entries())
    if (secrets.size === secrets.add(name).size)
      yield `${at}spec.imagePullSecrets[${i}].name: duplicate name ${JSON.stringify(name)}`;
  const ports: [ContainerPort, string][] = [];
  for (const list of ["initContainers", "containers", "ephemeralContainers"] as const)
    for (const [i, { env = [], ports: own = [] }] of (spec[list] ?? []).entries()) {
      const where = `${at}spec.${list}[${i}]`;
      const names = new Set<string>();
      for (const [j, { name, value = "", valueFrom }] of env.entries()) {
        const isHiding = valueFrom || value === `$(${name})` || !value.includes(`$(${name})`);
        if (names.size === names.add(name).size && isHiding)
          yield `${where}.env[${j}]: hides previous definition of ${JSON.stringify(name)}, which may be dropped when using apply`;
      }
      for (const [j, port] of own.entries()) ports.push([port, `${where}.ports[${j}]`]);
    }
  const before = new Map<string, typeof ports>();
  for (const [port, here] of ports) {
    const { hostIP: ip = "", hostPort = 0, containerPort, protocol } = port;
    const others = before.get(`${containerPort}/${protocol}`) ?? [];
    for (const [{ hostIP: otherIp = "", hostPort: otherPort = 0 }, there] of others) {
      const isSame = ip === otherIp && hostPort === otherPort;
      if (isSame || !hostPort || !otherPort)
        yield `${here}: ${isSame ? "duplicate" : "overlapping"} port definition with ${there}`;
      else if (hostPort === otherPort && !ip !== !otherIp)
        yield `${here}: dangerously ambiguous port definition with ${there}`;
    }
    if (others.length < maxWarnings) before.set(`${containerPort}/${protocol}`, [...others, [port, here]]);
  }
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0)
    yield `${at}spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`;
}

/** Without a prototype, since keys are asked for that clients choose. */
const table = (text: string): Record<string, string | undefined> =>
  Object.assign(Object.create(null), Object.fromEntries(text.split("\n").map((line) => line.split(": "))));
const old = {
  labels: table(`beta.kubernetes.io/arch: v1.14; use "kubernetes.io/arch"
beta.kubernetes.io/os: v1.14; use "kubernetes.io/os"
failure-domain.beta.kubernetes.io/region: v1.17; use "topology.kubernetes.io/region"
failure-domain.beta.kubernetes.io/zone: v1.17; use "topology.kubernetes.io/zone"
beta.kubernetes.io/instance-type: v1.17; use "node.kubernetes.io/instance-type"`),
  annotations: table(`scheduler.alpha.kubernetes.io/critical-pod: v1.16+; use the "priorityClassName"
security.alpha.kubernetes.io/sysctls: v1.11+; use the "sysctls"
security.alpha.kubernetes.io/unsafe-sysctls: v1.11+; use the "sysctls"`),
  volumes: table(`photonPersistentDisk: v1.11, non-functional in v1.16+
gitRepo: v1.11, and disabled by default in v1.33+
scaleIO: v1.16, non-functional in v1.22+
flocker: v1.22, non-functional in v1.25+
storageos: v1.22, non-functional in v1.25+
quobyte: v1.22, non-functional in v1.25+
glusterfs: v1.25, non-functional in v1.26+
cephfs: v1.28, non-functional in v1.31+
rbd: v1.28, non-functional in v1.31+`),
};
