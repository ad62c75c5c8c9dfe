import type { Call, ObjectEvent, SeenObject } from "../experiments/run.ts";
import { group } from "./replay.ts";

/**
 * What Kubernetes promises, looked at from outside: by watches of Deployments, ReplicaSets and Pods (each from a list on),
 * by the calls of clients, and by what is there at the end. Watches are streams of their own: what one tells may come
 * before what another told earlier. So a rule about several kinds holds for what was known within the last `slackMs`.
 */
export interface KubernetesHistory {
  objects: readonly ObjectEvent[];
  calls: readonly Call[];
  /** What a list at the end gave of what clients created, by `Call.object`; absent: it was not asked. */
  final?: ReadonlyMap<string, { uid: string; resourceVersion: number }>;
}

export function checkKubernetes({ objects, calls, final }: KubernetesHistory): string[] {
  return [
    ...checkWatchOrder(objects),
    ...checkBindings(objects),
    ...checkRollouts(objects),
    ...(final ? checkObjects(calls, final) : []),
  ];
}

/** The resourceVersions that a watch tells increase, from that of its list on. */
function* checkWatchOrder(objects: readonly ObjectEvent[]): Iterable<string> {
  const last = new Map<string, number>();
  for (const { watch, type, resourceVersion, object } of objects) {
    if (type === "listed") continue;
    const before = last.get(watch) ?? 0;
    const fine = type === "BOOKMARK" || type === "open" ? resourceVersion >= before : resourceVersion > before;
    const told = object ? `${type} ${object.name}` : type;
    if (!fine) yield `watch order: ${watch} tells ${told} at ${resourceVersion} after ${before}`;
    last.set(watch, Math.max(before, resourceVersion));
  }
}

/** A Pod is bound once; a name goes to another Pod only when the one before is gone. */
function* checkBindings(objects: readonly ObjectEvent[]): Iterable<string> {
  const nodes = new Map<string, string>();
  const names = new Map<string, string>(); // of each watch
  for (const { watch, type, object } of objects) {
    if (type === "open") for (const key of [...names.keys()]) if (key.startsWith(`${watch} `)) names.delete(key);
    if (object?.kind !== "Pod") continue;
    const { name, uid, node } = object;
    const bound = nodes.get(uid);
    if (node !== undefined) nodes.set(uid, node);
    if (bound !== undefined && bound !== node)
      yield `two nodes: Pod ${name} was bound to ${bound} and is on ${node ?? "none"}`;
    const key = `${watch} ${name}`;
    const holder = names.get(key);
    if (holder !== undefined && holder !== uid) yield `two Pods: ${name} is ${uid} while ${holder} is not gone`;
    if (type === "DELETED") names.delete(key);
    else names.set(key, uid);
  }
}

interface Workload {
  name: string;
  asked: { atMs: number; most: number; least: number }[]; // what was asked for, and since when
  pods: Map<string, SeenObject>;
  hurtMs: number; // when a Pod was last found not ready, or gone without being told to go
}

/**
 * While a Deployment rolls: never more Pods than asked plus surge, and no ready Pod is taken away when fewer than asked
 * minus unavailable are left. Pods that die by themselves are nobody's decision: for a while after one nothing is said.
 */
function* checkRollouts(objects: readonly ObjectEvent[]): Iterable<string> {
  const workloads = new Map<string, Workload>();
  const owners = new Map<string, string>();
  for (const { atMs, type, object } of objects) {
    if (object?.kind === "ReplicaSet" && object.owner) owners.set(object.uid, object.owner);
    if (object?.kind === "Deployment" && object.replicas !== undefined) {
      const { uid, name, replicas, surge = 0, unavailable = 0 } = object;
      const workload: Workload = workloads.get(uid) ?? { name, asked: [], pods: new Map(), hurtMs: -slackMs };
      workloads.set(uid, workload);
      workload.asked.push({ atMs, most: replicas + surge, least: replicas - unavailable });
    }
    if (object?.kind !== "Pod" || !object.owner) continue;
    const workload = workloads.get(owners.get(object.owner) ?? "");
    if (workload === undefined) continue;
    const { pods, name } = workload;
    const before = pods.get(object.uid);
    if (type === "DELETED") pods.delete(object.uid);
    else pods.set(object.uid, object);
    const lately = workload.asked.filter((_, i, all) => (all[i + 1]?.atMs ?? atMs) >= atMs - slackMs);
    const alive = [...pods.values()].filter((pod) => !pod.terminating);
    const ready = alive.filter((pod) => pod.ready);
    const most = Math.max(...lately.map((one) => one.most));
    const least = Math.min(...lately.map((one) => one.least));
    if (type === "ADDED" && before === undefined && alive.length > most)
      yield `surge: ${name} has ${alive.length} Pods, ${most} are allowed, when ${object.name} comes`;
    if (object.ready && !before?.ready && ready.length > most)
      yield `surge: ${name} has ${ready.length} Pods ready, ${most} are allowed, with ${object.name}`;
    const taken = before?.ready && !before.terminating && object.terminating;
    if (!taken && before?.ready && !before.terminating && (!object.ready || type === "DELETED")) workload.hurtMs = atMs;
    if (taken && ready.length < least && atMs > workload.hurtMs + slackMs)
      yield `availability: ${name} has ${ready.length} Pods available, ${least} must be, without ${object.name}`;
  }
}

/** What was acknowledged is there, as it was acknowledged or later; what was deleted is not. */
function* checkObjects(calls: readonly Call[], final: NonNullable<KubernetesHistory["final"]>): Iterable<string> {
  const changes = calls.filter(({ kind, object }) => object && /^(create|update|delete) /.test(kind));
  const asked = group(changes, ({ object }) => object!);
  for (const [name, all] of asked) {
    const there = final.get(name);
    const deletes = all.filter(({ kind, outcome }) => kind.startsWith("delete ") && outcome !== "failed");
    const acknowledged = all.filter(({ kind, outcome }) => outcome === "ok" && !kind.startsWith("delete "));
    const latest = Math.max(0, ...acknowledged.map(({ resourceVersion = 0 }) => resourceVersion));
    if (there === undefined) {
      if (acknowledged.length > 0 && deletes.length === 0)
        yield `lost object: ${name} was acknowledged at ${latest} and is not there`;
    } else if (deletes.some(({ outcome }) => outcome === "ok")) {
      yield `undead object: the deletion of ${name} was acknowledged, and it is there`;
    } else if (there.resourceVersion < latest) {
      yield `lost object: ${name} was acknowledged at ${latest} and is at ${there.resourceVersion}`;
    } else if (acknowledged.some(({ uid }) => uid !== there.uid)) {
      yield `lost object: ${name} was acknowledged as ${acknowledged[0]!.uid} and is ${there.uid}`;
    } else if (all.every(({ kind, outcome }) => !kind.startsWith("create ") || outcome === "failed")) {
      yield `phantom object: the creation of ${name} was refused, and it is there`;
    }
  }
}

const slackMs = 2000;
