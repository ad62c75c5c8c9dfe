import { isPodTerminal, isSidecar, qosClass } from "../api/core/pod-status.ts";
import type {
  Container,
  ContainerState,
  ContainerStateTerminated,
  ContainerStatus,
  Pod,
  PodCondition,
  PodStatus,
} from "../api/generated/core-v1.ts";
import { formatTime } from "../apimachinery/time.ts";
import type { ContainerInfo, PodRuntime } from "./cri-runtime.ts";
import { isUp, knownStatus, latestByName } from "./pod-actions.ts";

/**
 * The PodStatus that an agent reports: phase, conditions and container statuses, from the Pod's spec, what the runtime
 * has and what the probes say. Pure. Conditions come without times; `status-patch.ts` knows when they changed.
 */
export interface StatusInput {
  pod: Pod;
  runtime: PodRuntime;
  /** Why a container that should run does not, by name. */
  waiting: ReadonlyMap<string, { reason: string; message: string }>;
  /** What the startup and readiness probes of a running container say; true without a probe. */
  isStarted(id: string): boolean;
  isReady(id: string): boolean;
  hostIP: string;
  nowMs: number;
  /** Nothing of the Pod runs or will run again. */
  over: boolean;
  /** The Pod failed as a whole. */
  failed: { reason: string; message: string } | undefined;
}

/** The conditions this agent owns; others (readiness gates, DisruptionTarget) belong to whoever wrote them. */
export const ownedConditions = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

export function podStatus(input: StatusInput): PodStatus {
  const { pod, runtime, hostIP, nowMs } = input;
  // Told when nothing runs any more: a failed Pod's resources are free for others.
  const failed = runtime.containers.some(isUp) ? undefined : input.failed;
  const spec = pod.spec!;
  const latest = latestByName(runtime.containers);
  const initContainerStatuses = (spec.initContainers ?? []).map((c) => containerStatus(c, true, latest, input));
  const containerStatuses = spec.containers.map((c) => containerStatus(c, false, latest, input));
  const phase = failed
    ? "Failed"
    : isPodTerminal(pod)
      ? pod.status!.phase!
      : phaseOf(input, initContainerStatuses, containerStatuses);
  const sandbox = runtime.sandboxes.find(({ ready }) => ready);
  const networked = sandbox !== undefined && (spec.hostNetwork === true || sandbox.ips.length > 0);
  const ips = spec.hostNetwork ? [hostIP] : (sandbox?.ips ?? []);
  const podIPs = ips.length > 0 ? ips.map((ip) => ({ ip })) : pod.status?.podIPs;
  const reason = failed?.reason ?? pod.status?.reason;
  const message = failed?.message ?? pod.status?.message;
  return {
    ...(pod.metadata.generation !== undefined && { observedGeneration: pod.metadata.generation }),
    phase,
    conditions: conditionsOf(pod, phase, networked, initContainerStatuses, containerStatuses),
    ...(reason !== undefined && { reason }),
    ...(message !== undefined && { message }),
    hostIP,
    hostIPs: [{ ip: hostIP }],
    ...(podIPs?.[0] !== undefined && { podIP: podIPs[0].ip, podIPs }),
    startTime: pod.status?.startTime ?? formatTime(nowMs),
    ...(initContainerStatuses.length > 0 && { initContainerStatuses }),
    containerStatuses,
    qosClass: pod.status?.qosClass ?? qosClass(spec),
  };
}

type Phase = NonNullable<PodStatus["phase"]>;

function containerStatus(
  container: Container,
  init: boolean,
  latest: ReadonlyMap<string, ContainerInfo>,
  input: StatusInput,
): ContainerStatus {
  const { pod, runtime } = input;
  const last = latest.get(container.name);
  const known = knownStatus(pod, container.name);
  const previous = runtime.containers.find((c) => c.name === container.name && c !== last && c.state === "exited");
  const { state, lastState } = statesOf(container, init, last, previous, known, input);
  const running = last !== undefined && state.running !== undefined;
  const started = running && input.isStarted(last.id);
  const ready =
    init && !isSidecar(container) ? state.terminated?.exitCode === 0 : started && input.isReady(last?.id ?? "");
  return {
    name: container.name,
    state,
    lastState,
    ready,
    restartCount: last?.restartCount ?? known?.restartCount ?? 0,
    image: container.image ?? "",
    imageID: last?.imageId ?? known?.imageID ?? "",
    ...(last
      ? { containerID: `${runtime.runtimeName}://${last.id}` }
      : known?.containerID
        ? { containerID: known.containerID }
        : {}),
    started: init && !isSidecar(container) && !running ? false : started,
  };
}

function statesOf(
  container: Container,
  init: boolean,
  last: ContainerInfo | undefined,
  previous: ContainerInfo | undefined,
  known: ContainerStatus | undefined,
  { pod, runtime, waiting, over }: StatusInput,
): { state: ContainerState; lastState: ContainerState } {
  const before = previous ? { terminated: terminated(previous, runtime) } : (known?.lastState ?? {});
  if (last !== undefined && isUp(last))
    return { state: { running: { startedAt: formatTime(last.startedAtMs) } }, lastState: before };
  const why = over ? undefined : waiting.get(container.name);
  if (last?.state === "exited") {
    const ended = { terminated: terminated(last, runtime) };
    return why ? { state: { waiting: whyText(why) }, lastState: ended } : { state: ended, lastState: before };
  }
  if (last === undefined && (known?.state?.terminated || known?.state?.running)) {
    // It ran, but the runtime has lost it.
    const lost: ContainerStateTerminated = known.state.terminated ?? {
      exitCode: 137,
      reason: "ContainerStatusUnknown",
      message: "The container could not be located when the pod was terminated",
    };
    const runsAgain = !over && (pod.spec!.restartPolicy ?? "Always") !== "Never" && !isPodTerminal(pod);
    if (!runsAgain) return { state: { terminated: lost }, lastState: known.lastState ?? {} };
    return { state: { waiting: whyText(why ?? { reason: "ContainerCreating" }) }, lastState: { terminated: lost } };
  }
  const initializing = !init && (pod.spec!.initContainers ?? []).length > 0;
  const creating = { reason: initializing || init ? "PodInitializing" : "ContainerCreating" };
  return { state: { waiting: whyText(why ?? creating) }, lastState: before };
}

function whyText({ reason, message = "" }: { reason: string; message?: string }) {
  return { reason, ...(message !== "" && { message }) };
}

function terminated(container: ContainerInfo, { runtimeName }: PodRuntime): ContainerStateTerminated {
  const { exitCode, reason, message, startedAtMs, finishedAtMs } = container;
  return {
    exitCode,
    reason: reason || (exitCode === 0 ? "Completed" : "Error"),
    ...(message !== "" && { message }),
    ...(startedAtMs > 0 && { startedAt: formatTime(startedAtMs) }),
    ...(finishedAtMs > 0 && { finishedAt: formatTime(finishedAtMs) }),
    containerID: `${runtimeName}://${container.id}`,
  };
}

function phaseOf(input: StatusInput, inits: ContainerStatus[], containers: ContainerStatus[]): Phase {
  const { pod, over } = input;
  const policy = pod.spec!.restartPolicy ?? "Always";
  const sidecar = new Set((pod.spec!.initContainers ?? []).filter(isSidecar).map(({ name }) => name));
  const running = containers.filter(({ state }) => state?.running).length;
  const succeeded = containers.filter(({ state }) => state?.terminated?.exitCode === 0).length;
  const stopped = containers.filter(
    ({ state, lastState }) => !state?.running && (state?.terminated ?? lastState?.terminated),
  ).length;
  const fresh = containers.length - running - stopped;
  for (const init of inits.filter(({ name }) => !sidecar.has(name))) {
    if (containers.some(({ state, lastState }) => state?.running || state?.terminated || lastState?.terminated)) break;
    const exit = init.state?.terminated;
    if (exit?.exitCode === 0) continue;
    return (exit !== undefined && policy === "Never") || (over && exit !== undefined) ? "Failed" : "Pending";
  }
  if (over && running === 0 && stopped > 0) return succeeded === containers.length ? "Succeeded" : "Failed";
  if (fresh > 0) return "Pending";
  if (running > 0) return "Running";
  if (policy === "Always") return "Running";
  if (succeeded === containers.length) return "Succeeded";
  return policy === "Never" ? "Failed" : "Running";
}

function conditionsOf(
  pod: Pod,
  phase: Phase,
  networked: boolean,
  inits: ContainerStatus[],
  containers: ContainerStatus[],
): PodCondition[] {
  const spec = pod.spec!;
  const no = (type: string, reason: string, message = ""): PodCondition => ({
    type,
    status: "False",
    reason,
    ...(message !== "" && { message }),
  });
  const yes = (type: string, reason = ""): PodCondition => ({ type, status: "True", ...(reason !== "" && { reason }) });
  const pending = inits.filter((status, i) =>
    isSidecar(spec.initContainers![i]!) ? !status.started : status.state?.terminated?.exitCode !== 0,
  );
  // Init containers that are gone by the time the others run have done their work.
  const past = containers.some(({ state, lastState }) => state?.running || state?.terminated || lastState?.terminated);
  const done = phase === "Succeeded" ? "PodCompleted" : phase === "Failed" ? "PodFailed" : undefined;
  const unready = [
    ...inits.filter((status, i) => isSidecar(spec.initContainers![i]!) && !status.ready),
    ...containers.filter(({ ready }) => !ready),
  ].map(({ name }) => name);
  const unreadyText = `containers with unready status: [${unready.join(" ")}]`;
  const closed = (spec.readinessGates ?? []).flatMap(({ conditionType: gate }) => {
    const found = pod.status?.conditions?.find(({ type }) => type === gate);
    if (found === undefined) return [`corresponding condition of pod readiness gate "${gate}" does not exist.`];
    if (found.status === "True") return [];
    return [`the status of pod readiness gate "${gate}" is not "True", but ${found.status}`];
  });
  const containersReady = (type: string) =>
    done !== undefined ? no(type, done) : unready.length > 0 ? no(type, "ContainersNotReady", unreadyText) : yes(type);
  const initialized = () =>
    phase === "Succeeded"
      ? yes("Initialized", "PodCompleted")
      : pending.length > 0 && !past
        ? no(
            "Initialized",
            "ContainersNotInitialized",
            `containers with incomplete status: [${pending.map(({ name }) => name).join(" ")}]`,
          )
        : yes("Initialized");
  const ready = containersReady("Ready");
  return [
    { type: "PodReadyToStartContainers", status: networked ? "True" : "False" },
    initialized(),
    ready.status === "True" && closed.length > 0 ? no("Ready", "ReadinessGatesNotReady", closed.join(", ")) : ready,
    containersReady("ContainersReady"),
    yes("PodScheduled"),
  ];
}
