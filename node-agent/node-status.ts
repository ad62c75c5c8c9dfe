import type { Node, NodeCondition, NodeStatus } from "../api/generated/core-v1.ts";
import { formatTime } from "../apimachinery/time.ts";
import type { RuntimeCondition } from "../proto/generated/runtime.v1.ts";
import type { Machine, Resources } from "./machine.ts";

/** What a node says of itself. Pure. */
export interface NodeFacts {
  name: string;
  ip: string;
  mode: string;
  port: number;
  machine: Machine;
  runtime: { name: string; version: string };
}

export interface NodeHealth {
  resources: Resources;
  /** Undefined: the runtime does not answer. */
  runtime: RuntimeCondition[] | undefined;
  podCidr: string | undefined;
}

/** The Kubernetes that this agent speaks. */
export const kubeletVersion = "v1.34.0";

export function newNode(facts: NodeFacts): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: facts.name, labels: nodeLabels(facts), annotations: { "kubelab.dev/mode": facts.mode } },
    spec: {},
    status: machineStatus(facts),
  };
}

export function nodeLabels({ name, machine }: NodeFacts): Record<string, string> {
  return {
    "kubernetes.io/hostname": name,
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": machine.architecture,
    "beta.kubernetes.io/os": "linux",
    "beta.kubernetes.io/arch": machine.architecture,
  };
}

/** Capacity, addresses and nodeInfo. Differs: nothing is reserved, so allocatable is all there is. */
export function machineStatus({ name, ip, port, machine, runtime }: NodeFacts): NodeStatus {
  const capacity = {
    cpu: String(machine.cpus),
    memory: `${Math.floor(machine.memoryBytes / 1024)}Ki`,
    "ephemeral-storage": `${Math.floor(machine.diskBytes / 1024)}Ki`,
    pods: "110",
  };
  return {
    capacity,
    allocatable: capacity,
    addresses: [
      { type: "InternalIP", address: ip },
      { type: "Hostname", address: name },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
    nodeInfo: {
      machineID: machine.machineId,
      systemUUID: machine.systemUuid,
      bootID: machine.bootId,
      kernelVersion: machine.kernelVersion,
      osImage: machine.osImage,
      containerRuntimeVersion: `${runtime.name}://${runtime.version}`,
      kubeletVersion,
      kubeProxyVersion: "",
      operatingSystem: "linux",
      architecture: machine.architecture,
    },
  };
}

/** Upstream's default hard eviction thresholds. */
const minMemoryBytes = 100 * 2 ** 20;
/** Differs: upstream's 10 % of the disk would stop a lab on many a well-filled laptop. */
const minDiskBytes = 500 * 2 ** 20;
const minInodesShare = 0.01;
const minPids = 100;

/** The four conditions of a node, without times. */
export function nodeConditions({ resources, runtime, podCidr }: NodeHealth): NodeCondition[] {
  const pressure = (type: string, is: boolean, no: [string, string], yes: [string, string]): NodeCondition => {
    const [reason, message] = is ? yes : no;
    return { type, status: is ? "True" : "False", reason, message };
  };
  return [
    pressure(
      "MemoryPressure",
      resources.memoryBytes < minMemoryBytes,
      ["KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
      ["KubeletHasInsufficientMemory", "kubelet has insufficient memory available"],
    ),
    pressure(
      "DiskPressure",
      resources.diskBytes < minDiskBytes || resources.inodesShare < minInodesShare,
      ["KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
      ["KubeletHasDiskPressure", "kubelet has disk pressure"],
    ),
    pressure(
      "PIDPressure",
      resources.pids < minPids,
      ["KubeletHasSufficientPID", "kubelet has sufficient PID available"],
      ["KubeletHasInsufficientPID", "kubelet has insufficient PID available"],
    ),
    readyCondition(runtime, podCidr),
  ];
}

function readyCondition(runtime: RuntimeCondition[] | undefined, podCidr: string | undefined): NodeCondition {
  const not = (message: string): NodeCondition => {
    return { type: "Ready", status: "False", reason: "KubeletNotReady", message };
  };
  if (runtime === undefined) return not("container runtime is down");
  const broken = runtime.find(({ type, status }) => type === "RuntimeReady" && !status);
  if (broken) return not(`container runtime not ready: ${conditionText(broken)}`);
  const waiting = { type: "NetworkReady", status: false, reason: "NetworkPluginNotReady" };
  const network = runtime.find(({ type, status }) => type === "NetworkReady" && !status);
  const missing = network ?? (podCidr === undefined ? { ...waiting, message: "node has no podCIDR" } : undefined);
  if (missing) return not(`container runtime network not ready: ${conditionText(missing)}`);
  return { type: "Ready", status: "True", reason: "KubeletReady", message: "kubelet is posting ready status" };
}

function conditionText({ type, status, reason, message }: RuntimeCondition): string {
  return `${type}=${status} reason:${reason} message:${message}`;
}

/** Conditions with times: a transition is dated when the status changes. */
export function datedConditions(
  wanted: readonly NodeCondition[],
  old: readonly NodeCondition[],
  nowMs: number,
): NodeCondition[] {
  const now = formatTime(nowMs);
  return wanted.map((condition) => {
    const same = old.find(({ type, status }) => type === condition.type && status === condition.status);
    return { ...condition, lastHeartbeatTime: now, lastTransitionTime: same?.lastTransitionTime ?? now };
  });
}
