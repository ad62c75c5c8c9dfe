/**
 * What can be done to a running lab, as a closed union: the body of the supervisor's `POST /v1/fault`, the arguments of
 * `kubelab fault`, and a step of an experiment's schedule. README.md tells what each one does and needs.
 *
 *     {"fault":"partition","target":"leader","peer":"others","direction":"in"}
 *     {"fault":"delay","target":"etcd-1","peer":"*","ms":80,"jitterMs":20}
 */
export type FaultRequest = Common &
  (
    | { fault: "kill" | "stop" | "pause" | "resume" | "restart" }
    | ({ fault: "partition" | "stall" } & Link)
    | ({ fault: "isolate" } & Omit<Link, "peer">)
    | ({ fault: "delay"; ms: number; jitterMs?: number } & Link)
    | ({ fault: "throttle"; bytesPerSecond: number } & Link)
    | ({ fault: "flap"; onMs: number; offMs: number } & Link)
    | ({ fault: "drop"; percent: number } & Link)
    | { fault: "slow-disk"; ms: number }
    | { fault: "fail-fsync" | "fill-disk" }
    | { fault: "wipe" }
    | { fault: "corrupt"; file?: "wal" | "snapshot" }
    | { fault: "jump"; ms: number }
    | { fault: "skew"; rate: number }
    | { fault: "cpu-pressure"; processes: number }
    | { fault: "memory-pressure"; megabytes: number }
  );

interface Common {
  /** A name or a role, or several with commas (targets.ts). */
  target: string;
  /** Decides whatever is drawn: the same seed on the same lab means the same. Without it the supervisor draws one. */
  seed?: number;
}

interface Link {
  /** Whom the target is cut off from: as `target`, or `others` and `*` for everybody else of the lab. */
  peer?: string;
  /** As the target sees it: `in` is what it would hear. Default both. */
  direction?: "in" | "out" | "both";
}

export type FaultKind = FaultRequest["fault"];

/** What a fault turned out to be. */
export interface FaultReport {
  /** `f1`, `f2`, ...: what `heal` takes. */
  id: string;
  kind: FaultKind;
  request: FaultRequest;
  /** Processes or nodes that were meant. */
  targets: string[];
  /** Those on the other side of a network fault. */
  peers: string[];
  mechanism: Mechanism;
  /** One line: what was done. */
  message: string;
  /** What `heal` does; null: it cannot be undone, and `message` says what helps. */
  undo: string | null;
  /** Milliseconds since `up`; RFC 3339; CLOCK_MONOTONIC of the machine. Taken when it had been done. */
  atMs: number;
  time: string;
  monotonicMs: number;
}

/** What acts: a signal, a hook in our own process, a relay before a member, the lab's network namespaces, nftables in them, files, child processes. */
export type Mechanism =
  | "signal"
  | "socket hooks"
  | "relay"
  | "fault socket"
  | "namespaces"
  | "nftables"
  | "files"
  | "children";

export interface HealReport extends Pick<FaultReport, "id" | "kind" | "targets"> {
  /** What was undone, or why nothing was. */
  message: string;
}

/** The caller's mistake, or what this lab cannot do: one line with the reason. */
export class FaultRefused extends Error {
  override name = "FaultRefused";
}

interface Field {
  /** What it must be, for people. */
  says: string;
  fits(given: unknown): boolean;
  required?: true;
}

const within = (min: number, max: number): Field => ({
  says: `a number from ${min} to ${max}`,
  fits: (given) => typeof given === "number" && given >= min && given <= max,
});
const number = (min: number, max: number): Field => ({ ...within(min, max), required: true });
const word = (...words: string[]): Field => ({
  says: words.join(" or "),
  fits: (given) => words.includes(String(given)),
});
const text: Field = { says: "text", fits: (given) => typeof given === "string" && given !== "" };

const link = { peer: text, direction: word("in", "out", "both") };
const ms = number(1, 3_600_000);

/** One row a kind: what it does, for people, and what it takes beside `target` and `seed`. */
export const faultKinds: Record<FaultKind, { does: string; fields: Record<string, Field> }> = {
  kill: { does: "SIGKILL; down until healed or started (a node: its containers too)", fields: {} },
  stop: { does: "SIGTERM; down until healed or started", fields: {} },
  pause: { does: "SIGSTOP", fields: {} },
  resume: { does: "SIGCONT", fields: {} },
  restart: { does: "SIGTERM, and started again", fields: {} },
  partition: { does: "nothing passes between target and peer", fields: link },
  isolate: { does: "nothing passes between target and all others", fields: { direction: link.direction } },
  stall: { does: "connections stay, nothing moves; what was sent arrives after healing", fields: link },
  delay: { does: "everything arrives later", fields: { ...link, ms, jitterMs: within(0, 3_600_000) } },
  throttle: { does: "so many bytes a second pass, one way", fields: { ...link, bytesPerSecond: number(1, 1e9) } },
  flap: { does: "a partition that comes (onMs) and goes (offMs)", fields: { ...link, onMs: ms, offMs: ms } },
  drop: { does: "so many percent of the packets are lost", fields: { ...link, percent: number(1, 100) } },
  "slow-disk": { does: "every sync of the member takes so much longer", fields: { ms } },
  "fail-fsync": { does: "every sync of the member fails (EIO): it ends", fields: {} },
  "fill-disk": { does: "the member cannot write more (ENOSPC)", fields: {} },
  corrupt: { does: "a byte of a stopped member's newest file changes", fields: { file: word("wal", "snapshot") } },
  wipe: { does: "the data of a stopped member is deleted", fields: {} },
  jump: { does: "the wall clock of the process is off by so much", fields: { ms: number(-3.2e12, 3.2e12) } },
  skew: { does: "the wall clock of the process runs at this rate", fields: { rate: number(0, 100) } },
  "cpu-pressure": { does: "so many processes on the node use a CPU each", fields: { processes: number(1, 64) } },
  "memory-pressure": { does: "so much memory of the node is in use", fields: { megabytes: number(1, 65_536) } },
};

/** Everything wrong with it, each line beginning with a field; empty when it is a FaultRequest. */
export function faultProblems(value: Record<string, unknown>): string[] {
  const { fault, target, seed, ...rest } = value;
  const kind = Object.hasOwn(faultKinds, String(fault)) ? faultKinds[fault as FaultKind] : undefined;
  if (kind === undefined) return [`fault must be one of ${Object.keys(faultKinds).join(", ")}, not ${show(fault)}`];
  const problems: string[] = [];
  if (typeof target !== "string" || target === "") problems.push("target is required: a name or a role such as leader");
  if (seed !== undefined && !Number.isSafeInteger(seed))
    problems.push(`seed must be a whole number, not ${show(seed)}`);
  for (const name of Object.keys(rest))
    if (!Object.hasOwn(kind.fields, name)) {
      const known = ["target", "seed", ...Object.keys(kind.fields)].join(", ");
      problems.push(`${name} is not known for ${fault}; allowed: ${known}`);
    }
  for (const [name, { says, fits, required }] of Object.entries(kind.fields)) {
    const given = rest[name];
    if (given === undefined && required) problems.push(`${name} is required: ${says}`);
    if (given !== undefined && !fits(given)) problems.push(`${name} must be ${says}, not ${show(given)}`);
  }
  return problems;
}

const show = (value: unknown) => JSON.stringify(value) ?? "nothing";
