import { humanDuration, parseTime } from "../../apimachinery/time.ts";
import type { ContainerState, ContainerStatus, Pod } from "../generated/core-v1.ts";
import { ageColumn, type Column, column, nameColumn, orNone, wide } from "../kind.ts";
import { isSidecar, podCondition } from "./pod-status.ts";

/** `kubectl get pods`, computed as upstream's printers do (printPod). */
export const podColumns: Column<Pod>[] = [
  nameColumn,
  column("Ready", (pod) => summarize(pod, 0).ready, "Ready containers out of all."),
  column("Status", (pod) => summarize(pod, 0).status, "Where the Pod is in its life."),
  column("Restarts", (pod, now) => summarize(pod, now).restarts, "Restarts of its containers, and the latest."),
  ageColumn,
  column("IP", (pod) => orNone(pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP), "The Pod's address.", wide),
  column("Node", (pod) => orNone(pod.spec.nodeName), "Where it runs.", wide),
  column("Nominated Node", (pod) => orNone(pod.status?.nominatedNodeName), "Where preemption makes room.", wide),
  column("Readiness Gates", readinessGates, "Conditions that must hold besides its containers'.", wide),
];

const done = (reason: string, message: string) => [{ type: "Completed", status: "True", reason, message }];
const ends: Record<string, object[]> = {
  Succeeded: done("Succeeded", "The pod has completed successfully."),
  Failed: done("Failed", "The pod failed."),
};

export const podRowConditions = (pod: Pod): object[] | undefined => ends[pod.status?.phase ?? ""];

function readinessGates(pod: Pod): string {
  const gates = pod.spec.readinessGates ?? [];
  if (gates.length === 0) return "<none>";
  const held = gates.filter((g) => podCondition(pod, g.conditionType)?.status === "True");
  return `${held.length}/${gates.length}`;
}

interface Summary {
  ready: string;
  status: string;
  restarts: string;
}

export function summarize(pod: Pod, now: number): Summary {
  const { spec, status = {} } = pod;
  const sidecars = new Set((spec.initContainers ?? []).filter(isSidecar).map((c) => c.name));
  const total = spec.containers.length + sidecars.size;
  let ready = 0;
  let restarts = 0;
  let sidecarRestarts = 0;
  let latest = Number.NaN;
  let sidecarLatest = Number.NaN;
  let reason = status.reason || status.phase || "";
  if (podCondition(pod, "PodScheduled")?.reason === "SchedulingGated") reason = "SchedulingGated";

  let initializing = false;
  for (const [i, c] of (status.initContainerStatuses ?? []).entries()) {
    restarts += c.restartCount;
    latest = later(latest, c);
    const sidecar = sidecars.has(c.name);
    if (sidecar) {
      sidecarRestarts += c.restartCount;
      sidecarLatest = later(sidecarLatest, c);
    }
    if (initializing || c.state?.terminated?.exitCode === 0) continue;
    if (sidecar && c.started) {
      if (c.ready) ready++;
      continue;
    }
    reason = `Init:${stateReason(c.state, ["PodInitializing"]) ?? `${i}/${spec.initContainers?.length ?? 0}`}`;
    initializing = true;
  }

  if (!initializing || podCondition(pod, "Initialized")?.status === "True") {
    restarts = sidecarRestarts;
    latest = sidecarLatest;
    let running = false;
    for (const c of [...(status.containerStatuses ?? [])].reverse()) {
      restarts += c.restartCount;
      latest = later(latest, c);
      const told = stateReason(c.state, []);
      if (told !== undefined) reason = told;
      else if (c.ready && c.state?.running) {
        running = true;
        ready++;
      }
    }
    if (reason === "Completed" && running)
      reason = podCondition(pod, "Ready")?.status === "True" ? "Running" : "NotReady";
  }

  if (pod.metadata.deletionTimestamp) {
    if (status.reason === "NodeLost") reason = "Unknown";
    else if (!/^(Succeeded|Failed)$/.test(status.phase ?? "")) reason = "Terminating";
  }
  const ago = restarts > 0 && !Number.isNaN(latest) ? ` (${humanDuration(now - latest)} ago)` : "";
  return { ready: `${ready}/${total}`, status: reason, restarts: `${restarts}${ago}` };
}

/** Why a container waits or ended; `Signal:9` and `ExitCode:1` when nobody says. */
function stateReason(state: ContainerState | undefined, ignored: string[]): string | undefined {
  const { waiting, terminated } = state ?? {};
  if (waiting?.reason && !ignored.includes(waiting.reason)) return waiting.reason;
  if (!terminated) return undefined;
  return terminated.reason || (terminated.signal ? `Signal:${terminated.signal}` : `ExitCode:${terminated.exitCode}`);
}

function later(time: number, { lastState }: ContainerStatus): number {
  const finished = parseTime(lastState?.terminated?.finishedAt);
  return Number.isNaN(finished) || finished < time ? time : finished;
}
