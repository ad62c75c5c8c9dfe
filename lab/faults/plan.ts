import type { Fault } from "../../base/faults.ts";
import type { Rand } from "../../base/rand.ts";
import { type Cast, type Target, targetsOf } from "./targets.ts";
import { FaultRefused, type FaultRequest, type Mechanism } from "./types.ts";

/** The lab as a fault sees it. */
export interface Facts extends Omit<Cast, "rand"> {
  mode: "netns" | "host";
  /** Members are called through relays, which take the network faults instead of them. */
  relayed: boolean;
  running: (process: string) => boolean;
  /** The network that a process lives in: its own, or its node's. */
  placeOf: (process: string) => string;
  /** Of places, inside the lab. */
  addressOf: (place: string) => string;
  /** Range of a node's Pods, once it has one. */
  podCidrOf: (node: string) => string | undefined;
  /** Why packets cannot be dropped in the lab's namespaces; undefined: they can. */
  noNftables: string | undefined;
  freeMegabytes: number;
}

/** One thing to do, and how it is undone (desk.ts). Two faults may need the same: it stays until neither does. */
export type Deed =
  | { type: "Signal"; process: string; signal: Signal }
  | { type: "PullPlug"; node: string; processes: string[] }
  | { type: "Restart"; process: string }
  /** A fault in a process of ours, over its fault socket. */
  | { type: "Hook"; process: string; fault: Fault }
  | { type: "Relay"; member: string; fault: Fault }
  /** What `place` sends to `address` gets a hardware address that nobody has: it vanishes, and nobody is told. */
  | { type: "Unreach"; place: string; address: string }
  | { type: "Blackhole"; place: string; cidr: string }
  /** Loses so many percent of what `place` sends to `address`. */
  | { type: "Lose"; place: string; address: string; percent: number }
  | { type: "Corrupt"; member: string; file: "wal" | "snapshot"; at: number; bits: number }
  | { type: "Wipe"; member: string }
  | { type: "Press"; place: string; what: "cpu" | "memory"; amount: number };

type Signal = "SIGKILL" | "SIGTERM" | "SIGSTOP" | "SIGCONT";

/** The same deed of two faults is one. */
export const keyOf = (deed: Deed): string => JSON.stringify(deed);

export interface Plan {
  targets: string[];
  peers: string[];
  mechanism: Mechanism;
  message: string;
  undo: string | null;
  deeds: Deed[];
  /** Of `flap`. */
  period?: { onMs: number; offMs: number };
}

/** Decides whom and what; throws FaultRefused with the reason when it cannot be done in this lab. */
export function planFault(request: FaultRequest, facts: Facts, rand: Rand): Plan {
  const targets = targetsOf(request.target, { ...facts, rand });
  const names = targets.map(({ name }) => name);
  const plan = (mechanism: Mechanism, message: string, undo: string | null, deeds: Deed[]): Plan => ({
    ...{ targets: names, peers: [], mechanism, message, undo, deeds },
  });
  const all = targets.flatMap(({ processes }) => processes);
  const who = names.join(", ");
  const signal = (name: Signal, undo: string | null, plugs = false) => {
    const one = (process: string): Deed => ({ type: "Signal", process, signal: name });
    const deeds = targets.flatMap(({ name: node, node: whole, processes }): Deed[] =>
      plugs && whole ? [{ type: "PullPlug", node, processes }] : processes.map(one),
    );
    return plan("signal", `${name} sent to ${who}`, undo, deeds);
  };
  const hooks = (fault: Fault, message: string) => {
    if (fault.type !== "clock") needMembers(names, facts);
    const deeds = all.map((process): Deed => ({ type: "Hook", process, fault }));
    return plan("fault socket", message, "cleared in the process", deeds);
  };
  const press = (what: "cpu" | "memory", amount: number, message: string) => {
    const where = facts.mode === "netns" ? who : `the machine, which in mode host is ${names.join(" and ")}`;
    const deeds = names.map((place): Deed => ({ type: "Press", place, what, amount }));
    return plan("children", `${message} on ${where}`, "the processes end", deeds);
  };
  const noNode = targets.find(({ node }) => !node);
  if (request.fault.endsWith("-pressure") && noNode) throw new FaultRefused(`${noNode.name} is not a node`);
  switch (request.fault) {
    case "kill":
      return signal("SIGKILL", "started again", true);
    case "stop":
      return signal("SIGTERM", "started again");
    case "pause":
      return signal("SIGSTOP", "SIGCONT");
    case "resume":
      return signal("SIGCONT", null);
    case "restart": {
      const deeds = all.map((process): Deed => ({ type: "Restart", process }));
      return plan("signal", `${who} restarted`, null, deeds);
    }
    case "partition":
    case "isolate":
    case "stall":
    case "flap":
    case "delay":
    case "throttle":
    case "drop":
      return planLink(request, targets, facts, rand);
    case "slow-disk":
      return hooks({ type: "slow-sync", ms: request.ms }, `every sync of ${who} takes ${request.ms} ms longer`);
    case "fail-fsync":
      return hooks({ type: "fail-sync" }, `every sync of ${who} fails with EIO`);
    case "fill-disk":
      return hooks({ type: "full-disk" }, `what makes a file of ${who} longer fails with ENOSPC`);
    case "jump":
      return hooks({ type: "clock", offsetMs: request.ms, rate: 1 }, `the clock of ${who} is ${request.ms} ms off`);
    case "skew":
      return hooks({ type: "clock", offsetMs: 0, rate: request.rate }, `the clock of ${who} runs at ${request.rate}`);
    case "corrupt":
    case "wipe": {
      needMembers(names, facts);
      const alive = names.filter((name) => facts.running(name));
      if (alive.length > 0) throw new FaultRefused(`${alive.join(", ")} runs: \`kubelab kill ${alive[0]}\` first`);
      const done = request.fault === "wipe" ? `the data of ${who} is deleted` : `a byte of ${who} was changed`;
      const deeds = names.map((member): Deed => {
        if (request.fault === "wipe") return { type: "Wipe", member };
        return { type: "Corrupt", member, file: request.file ?? "wal", at: rand.next(), bits: 1 + rand.below(255) };
      });
      return plan("files", `${done}; this cannot be undone: ${whatHelps}`, null, deeds);
    }
    case "cpu-pressure":
      return press("cpu", request.processes, `${request.processes} processes use a CPU each`);
    case "memory-pressure": {
      const [sum, most] = [request.megabytes * names.length, Math.floor((facts.freeMegabytes * 3) / 4)];
      if (sum > most)
        throw new FaultRefused(`${sum} MB is more than three quarters of the memory that is free, ${most} MB`);
      return press("memory", request.megabytes, `${request.megabytes} MB are in use`);
    }
  }
}

const whatHelps = "take the member out of the cluster (etcdctl member remove), add it anew (member add), then start it";

function needMembers(names: string[], { members }: Facts): void {
  const other = names.find((name) => !members.includes(name));
  if (other !== undefined)
    throw new FaultRefused(`${other} is not a member of the store: it takes no faults of the disk`);
}

type LinkRequest = FaultRequest & {
  fault: "partition" | "isolate" | "stall" | "flap" | "delay" | "throttle" | "drop";
  peer?: string;
};

function planLink(request: LinkRequest, targets: Target[], facts: Facts, rand: Rand): Plan {
  const { peer = "others", direction = "both", fault } = request;
  const mine = new Set(targets.flatMap(({ processes }) => processes));
  const others = peer === "others" || peer === "*" ? everybodyElse(mine, facts) : targetsOf(peer, { ...facts, rand });
  const peers = others.filter(({ processes }) => !processes.some((process) => mine.has(process)));
  if (peers.length === 0) throw new FaultRefused(`${request.target} has no other side in ${peer}`);
  const ways = targets.flatMap((a) =>
    peers.flatMap((b): [Target, Target][] => [
      ...(direction === "in" ? [] : [[a, b] as [Target, Target]]),
      ...(direction === "out" ? [] : [[b, a] as [Target, Target]]),
    ]),
  );
  const [mechanism, deeds] = deedsOf(request, ways, [...targets, ...peers], facts);
  const side = (list: Target[]) => list.map(({ name }) => name).join(", ");
  const arrow = { both: "<->", in: "<-", out: "->" }[direction];
  return {
    targets: targets.map(({ name }) => name),
    peers: peers.map(({ name }) => name),
    mechanism,
    message: `${effect(request)}: ${side(targets)} ${arrow} ${side(peers)}${unreached(mechanism, facts, [...targets, ...peers])}`,
    undo: "everything passes again",
    deeds,
    ...(fault === "flap" ? { period: { onMs: request.onMs, offMs: request.offMs } } : {}),
  };
}

/** Pods have no hooks, and the report says so. */
function unreached(mechanism: Mechanism, { mode }: Facts, all: Target[]): string {
  if (mechanism !== "socket hooks" || !all.some(({ node }) => node)) return "";
  return `; of what Pods ask for themselves ${mode === "host" ? "nothing" : "only what passes their node's proxy"}`;
}

function effect(request: LinkRequest): string {
  switch (request.fault) {
    case "delay":
      return `delayed by ${request.ms} ms${request.jitterMs ? ` and up to ${request.jitterMs} ms more` : ""}`;
    case "throttle":
      return `at most ${request.bytesPerSecond} bytes a second`;
    case "flap":
      return `cut for ${request.onMs} ms, whole for ${request.offMs} ms, in turn`;
    case "drop":
      return `${request.percent} % of the packets dropped`;
    case "stall":
      return "stalled";
    default:
      return "cut";
  }
}

/** Whole machines where there are some: their Pods belong to them. */
function everybodyElse(mine: Set<string>, { processes, nodes }: Facts): Target[] {
  const onNodes = nodes.map((name) => ({
    ...{ name, node: true, processes: processes.filter((each) => each.startsWith(`${name}/`)) },
  }));
  const alone = processes.filter((name) => !onNodes.some((node) => node.processes.includes(name)));
  return [...alone.map((name) => ({ name, node: false, processes: [name] })), ...onNodes].filter(
    (target) => !target.processes.some((process) => mine.has(process)),
  );
}

/**
 * Packets where the lab has networks of its own and whole places are meant; else the bytes and messages in our own
 * processes, which alone can be late.
 */
function deedsOf(request: LinkRequest, ways: [Target, Target][], all: Target[], facts: Facts): [Mechanism, Deed[]] {
  const { fault } = request;
  const shared = all.find(({ name, node }) => !node && facts.placeOf(name) !== name);
  if (fault === "drop") {
    if (facts.mode === "host")
      throw new FaultRefused("packets are dropped in the lab's own networks: mode host has none");
    if (facts.noNftables !== undefined) throw new FaultRefused(facts.noNftables);
    if (shared) throw new FaultRefused(`${shared.name} shares the network of its node: name the node instead`);
    const { percent } = request;
    const lose = ([a, b]: [Target, Target]): Deed => {
      return { type: "Lose", place: a.name, address: facts.addressOf(b.name), percent };
    };
    return ["nftables", ways.map(lose)];
  }
  const slow = fault === "delay" || fault === "throttle";
  if (facts.mode === "netns" && !slow && shared === undefined)
    return [
      "namespaces",
      ways.flatMap(([a, b]): Deed[] => {
        const cidr = b.node ? facts.podCidrOf(b.name) : undefined;
        return [
          { type: "Unreach", place: a.name, address: facts.addressOf(b.name) },
          ...(cidr === undefined ? [] : [{ type: "Blackhole", place: a.name, cidr } as const]),
        ];
      }),
    ];
  const deeds = ways.flatMap(([a, b]) =>
    a.processes.flatMap((from) => b.processes.flatMap((to) => hooksOf(request, from, to, facts))),
  );
  const sides = all.map(({ name }) => name).join(", ");
  if (deeds.length === 0)
    throw new FaultRefused(`nothing with a socket hook connects ${sides} with one another: none of them calls another`);
  return [deeds.some(({ type }) => type === "Relay") ? "relay" : "socket hooks", deeds];
}

/** Of one way. Between members the sender takes it, else who has called the other. A relay sees who dialled. */
function hooksOf(request: LinkRequest, from: string, to: string, facts: Facts): Deed[] {
  const isMember = (name: string) => facts.members.includes(name);
  const hook = (process: string, direction: "in" | "out") => (peer: string) => {
    return { type: "Hook", process, fault: faultOf(request, peer, direction) } as const;
  };
  const relay = (member: string, peer: string, direction: "in" | "out"): Deed[] =>
    isMember(member) ? [{ type: "Relay", member, fault: faultOf(request, peer, direction) }] : [];
  if (facts.relayed && [from, to].every((name) => isMember(name) || isApiserver(name)))
    return [...relay(to, from, "in"), ...relay(from, to, "out")];
  if (isMember(from) && isMember(to)) return [hook(from, "out")(to)];
  return [...called(from, to, facts).map(hook(from, "out")), ...called(to, from, facts).map(hook(to, "in"))];
}

/** Where `caller` calls `other`: an address, of Pods a range. Those of a node are its runtime's. */
function called(caller: string, other: string, { members, placeOf, addressOf, podCidrOf }: Facts): string[] {
  const [program, node] = [other.replace(/.*\//, ""), placeOf(other)];
  const calls = members.includes(other)
    ? isApiserver(caller)
    : isApiserver(other)
      ? /^(scheduler|controller-manager|balancer|.*\/agent|(.*\/)?proxy)$/.test(caller)
      : program === "agent" && isApiserver(caller);
  if (calls) return [addressOf(node)];
  const callsPods = program === "runtime" && (isApiserver(caller) || /(^|\/)proxy$/.test(caller));
  return callsPods ? [podCidrOf(node) ?? []].flat() : [];
}

const isApiserver = (name: string) => /^apiserver-\d+$/.test(name);

function faultOf(request: LinkRequest, peer: string, direction: "in" | "out"): Fault {
  const way = { peer, direction };
  switch (request.fault) {
    case "delay":
      return { type: "delay", ...way, ms: request.ms, jitterMs: request.jitterMs ?? 0 };
    case "throttle":
      return { type: "throttle", ...way, bytesPerSecond: request.bytesPerSecond };
    case "stall":
      return { type: "stall", ...way };
    default:
      return { type: "block", ...way };
  }
}
