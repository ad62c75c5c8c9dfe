import type { Failover, ObjectEvent, RunEvent, SeenObject } from "./run.ts";

/** A fault as it was done, and when it was undone (or the run ended). */
export interface DoneFault {
  name: string;
  targets: string[];
  mechanism?: string;
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

/** What each fault did to the clients until some time after it was undone, or the next began; with the steps that were seen.
 * The gap is the longest in which a leader was elected, else the longest of all. */
export function failoversOf(evidence: Evidence): Failover[] {
  const { faults, acks, endMs } = evidence;
  return faults.map(({ name, targets, mechanism, atMs, untilMs }, i) => {
    const next = faults.slice(i + 1).find((one) => one.atMs > atMs)?.atMs ?? endMs;
    const until = Math.min(next, untilMs + recoveryMs);
    // Who feels it first: of a member the clients of the store, of anything else those of the API and of Services.
    const order = targets.some((target) => target.startsWith("etcd-")) ? storeFirst : apiFirst;
    const felt = order.find((kind) => acks[kind].length > 0);
    const gaps = felt ? gapsOf(acks[felt], atMs, until) : [];
    const elections = evidence.events.filter((event) => {
      return event.details["kind"] === "RoleChanged" && event.details["to"] === "leader" && event.atMs >= atMs;
    });
    const elected = (gap: Gap) => elections.find(({ atMs }) => atMs >= gap.from && atMs <= gap.to);
    const changed = gaps.filter(elected);
    const gap = longestOf(changed.length > 0 ? changed : gaps);
    const node = targets.map((target) => target.split("/")[0]!).find((target) => /^node-\d+$/.test(target));
    const whole = node !== undefined && targets.some((target) => target === node || target === `${node}/runtime`);
    const ofGap = gap ? gapSteps(evidence, gap, elected(gap)?.atMs, atMs) : [];
    const steps = whole ? nodeSteps(evidence, node, atMs, until) : ofGap;
    const what = { fault: name, target: targets.join(", "), ...(mechanism && { mechanism }) };
    return { ...what, atMs, gapMs: gap ? gap.to - gap.from : 0, steps };
  });
}

const recoveryMs = 10_000;
const storeFirst = ["store", "api", "http"] as const;
const apiFirst = ["api", "http", "store"] as const;

interface Gap {
  from: number;
  to: number;
  ended: boolean;
}

/** All that reach into the time; one that has not ended by then counts as far as it goes. */
function gapsOf(acks: readonly number[], from: number, to: number): Gap[] {
  let last = acks.findLast((at) => at <= from) ?? from;
  return [...acks.filter((at) => at > from && at <= to), to].map((at) => {
    const gap = { from: last, to: at, ended: at < to };
    last = at;
    return gap;
  });
}

function longestOf(gaps: readonly Gap[]): Gap | undefined {
  return gaps.reduce<Gap | undefined>((a, b) => (a && a.to - a.from >= b.to - b.from ? a : b), undefined);
}

/** A gap in which no election was is none of raft's: it has its two ends alone. */
function gapSteps({ events }: Evidence, gap: Gap, electedMs: number | undefined, faultMs: number): Failover["steps"] {
  const steps = [{ name: "last ack", atMs: gap.from }];
  if (electedMs !== undefined) {
    const lost = events.findLast(({ type, atMs, details }) => {
      return (
        type === "Raft" && details["kind"] === "LeaderLost" && atMs >= Math.max(faultMs, gap.from) && atMs <= electedMs
      );
    });
    if (lost) steps.push({ name: "death noticed", atMs: lost.atMs });
    steps.push({ name: "election", atMs: electedMs });
  }
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
