import type { Failover, ObjectEvent, RunEvent, SeenObject } from "./run.ts";

/** A fault as it was done, and when it was undone (or the run ended). */
export interface DoneFault {
  name: string;
  targets: string[];
  atMs: number;
  untilMs: number;
}

export interface Evidence {
  faults: readonly DoneFault[];
  /** When something was acknowledged; ascending. */
  acks: Record<"store" | "api" | "http", readonly number[]>;
  events: readonly RunEvent[];
  objects: readonly ObjectEvent[];
  /** Answers of Services: when, and by which Pod. */
  answers: readonly { atMs: number; by: string }[];
  endMs: number;
}

/** What each fault did to the clients, until the next fault began; with the steps that were seen of it. */
export function failoversOf(evidence: Evidence): Failover[] {
  const { faults, acks, endMs } = evidence;
  return faults.map(({ name, targets, atMs }, i) => {
    const until = faults.slice(i + 1).find((next) => next.atMs > atMs)?.atMs ?? endMs;
    // Who feels it first: of a member the clients of the store, of anything else those of the API and of Services.
    const order = targets.some((target) => target.startsWith("etcd-")) ? storeFirst : apiFirst;
    const felt = order.find((kind) => acks[kind].length > 0);
    const gap = felt && longestGap(acks[felt], atMs, until);
    const node = targets.map((target) => target.split("/")[0]!).find((target) => /^node-\d+$/.test(target));
    const whole = node !== undefined && targets.some((target) => target === node || target === `${node}/runtime`);
    const steps = whole ? nodeSteps(evidence, node, atMs, until) : storeSteps(evidence, gap, atMs);
    return { fault: name, target: targets.join(", "), atMs, gapMs: gap ? gap.to - gap.from : 0, steps };
  });
}

const storeFirst = ["store", "api", "http"] as const;
const apiFirst = ["api", "http", "store"] as const;

/** Of those that reach into the time: one that has not ended by then counts as far as it goes. */
function longestGap(acks: readonly number[], from: number, to: number): Gap {
  let last = acks.findLast((at) => at <= from) ?? from;
  let longest: Gap = { from: last, to: last, ended: true };
  for (const at of [...acks.filter((at) => at > from && at <= to), to]) {
    if (at - last > longest.to - longest.from) longest = { from: last, to: at, ended: at < to };
    last = at;
  }
  return longest;
}
interface Gap {
  from: number;
  to: number;
  ended: boolean;
}

/** A gap in which no election was is none of raft's: it has its two ends alone. */
function storeSteps({ events }: Evidence, gap: Gap | undefined, faultMs: number): Failover["steps"] {
  if (gap === undefined) return [];
  const elected = events.find(({ type, atMs, details: { kind, to } }) => {
    return type === "Raft" && kind === "RoleChanged" && to === "leader" && atMs >= gap.from && atMs <= gap.to;
  });
  const lost = events.findLast(({ type, atMs, details }) => {
    return type === "Raft" && details["kind"] === "LeaderLost" && atMs >= faultMs && atMs <= (elected?.atMs ?? 0);
  });
  const steps = [{ name: "last ack", atMs: gap.from }];
  if (lost) steps.push({ name: "death noticed", atMs: lost.atMs });
  if (elected) steps.push({ name: "election", atMs: elected.atMs });
  if (gap.ended) steps.push({ name: "first ack", atMs: gap.to });
  return steps;
}

/** What stood on the node, and the Pods of the same owners that came in its place elsewhere. */
function nodeSteps({ objects, answers }: Evidence, node: string, from: number, to: number): Failover["steps"] {
  const lost = new Set<string>();
  const owners = new Set<string>();
  for (const { object, atMs, type } of objects) {
    if (atMs > from || object?.kind !== "Pod" || object.node !== node) continue;
    if (type === "DELETED") lost.delete(object.uid);
    else lost.add(object.uid);
    if (object.owner) owners.add(object.owner);
  }
  const steps = [{ name: "node dead", atMs: from }];
  let last = from;
  const first = (name: string, test: (object: SeenObject) => boolean | undefined): SeenObject | undefined => {
    const found = objects.find(({ atMs, object }) => atMs >= last && atMs <= to && object && test(object));
    if (found === undefined) return undefined;
    last = found.atMs;
    steps.push({ name, atMs: last });
    return found.object;
  };
  const instead = (object: SeenObject) =>
    object.kind === "Pod" && !lost.has(object.uid) && owners.has(object.owner ?? "") && object.node !== node;
  first("NotReady", ({ kind, name, ready }) => kind === "Node" && name === node && ready === false);
  if (!first("evicted", ({ kind, uid, terminating }) => kind === "Pod" && lost.has(uid) && terminating)) return steps;
  if (!first("bound", (object) => instead(object) && object.node !== undefined)) return steps;
  const running = first("Running", (object) => instead(object) && object.phase === "Running" && object.ready);
  if (running === undefined) return steps;
  const answer = answers.find(({ atMs, by }) => atMs >= last && atMs <= to && running.name.endsWith(`/${by}`));
  if (answer) steps.push({ name: "first answer", atMs: answer.atMs });
  return steps;
}
