import { isMap, isScalar, isSeq, LineCounter, type Node, type ParsedNode, parseDocument } from "yaml";
import { parseDuration } from "../../base/flags.ts";
import { presetNames } from "../../deploy/lab/presets.ts";
import type { LabFlags } from "../../deploy/lab/request.ts";

/**
 * An experiment as its YAML declares it (README.md has the fields). `parseExperiment` says everything that is wrong at
 * once, one line each: file, line, path, what is allowed. Durations are milliseconds here, Go's text ("300ms") there.
 */
export interface Experiment {
  description: string;
  /** As `kubelab up` takes them. `store`: `ours`, a program with etcd's flags, or `etcd://HOST:PORT,...`, `etcds://...`. */
  cluster: Pick<LabFlags, "members" | "apiservers" | "nodes" | "preset" | "mode" | "snapshotCount" | StoreFlag>;
  workload: {
    /** `rate`: requests a second of all clients together, in an open loop. Without it each asks one thing at a time. */
    store?: Partial<Record<(typeof storeClients)[number] | "rate", number>>;
    /** `demo`, or a file of manifests beside the experiment; applied and waited for before the load begins. */
    apply?: string;
    /** Requests a second (ConfigMaps), and how many watches. */
    api?: { creates?: number; updates?: number; lists?: number; watches?: number };
    /** Requests a second against the node port of a Service, over all nodes in turn. */
    http?: { service: string; rate: number };
  };
  schedule: (Step | RandomStep)[];
  duration: number;
  repetitions: number;
  seed?: number;
  expect: Partial<Record<ExpectationName, number>>;
}

type StoreFlag = "store" | "storeCafile" | "storeCertfile" | "storeKeyfile";

/** How many of each; `mixed` do all of it, and compact the store. */
const storeClients = ["writers", "readers", "transactions", "leases", "mixed", "watchers"] as const;

/** One thing to do at a time. Whatever else a fault takes stands beside it (lab/faults). `for`: until it is healed, else to the end. */
export type Step =
  | ({ kind: "fault"; at: number } & Injury)
  /** A merge patch of an object, as `kubectl patch` sends it: `deployments/web`. `{{run}}` in it is another text in each run. */
  | { kind: "patch"; at: number; patch: string; with: Record<string, unknown> }
  /** Takes a member out of the cluster with its data, and adds a new one, which is promoted once a learner has caught up. */
  | { kind: "replace"; at: number; replace: string; as?: "voter" | "learner" }
  /** What an operator does to the leader while all is well. */
  | { kind: "maintain"; at: number; maintain: "move-leader" | "defragment" | "backup" | "disarm" };

/** Every so often one of the choices, drawn from the seed by weight. */
export interface RandomStep {
  kind: "random";
  random: { from: number; until: number; every: number };
  choices: (Injury & { weight?: number })[];
}

export interface Injury {
  fault: string;
  for?: number;
  [parameter: string]: unknown;
}

/** What the supervisor is asked for. */
export function faultOf({ kind: _, at: __, for: ___, weight: ____, ...fault }: Injury): Injury {
  return fault as Injury;
}

/** name -> what is compared with the limit. */
export const expectationNames = {
  lostWrites: "acknowledged writes and objects that are gone",
  failoverMaxMs: "the longest time without an acknowledged write around a fault",
  recoveryMaxMs: "from a node's death to the first answer of what replaced its Pods",
  errorsMax: "requests that failed or whose outcome is unknown",
  p50Ms: "median latency of requests that were answered, from when they were due",
  p99Ms: "99th percentile of it",
  throughputMin: "answered requests a second",
  readyMax: "Pods of one workload ready at a time, at most",
  readyMin: "Pods of one workload ready at a time, at least, once all were",
} as const;
export type ExpectationName = keyof typeof expectationNames;

export class ExperimentError extends Error {
  override name = "ExperimentError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/** A leaf as its kind and what is allowed; fields by name, with `!` those that are required, `*` whatever else is there. */
type Shape = string | { [field: string]: Shape };

const rate = "number 0.1 10000";
const clients = "integer 0 1000";
const injury: Shape = { "fault!": "text", for: "duration", "*": "any" };
const choice: Shape = { ...injury, weight: "number 0 1000" };
const steps: Record<string, Shape> = {
  fault: { "at!": "duration", ...injury },
  random: { random: { "from!": "duration", "until!": "duration", "every!": "duration" }, "choices!": "any" },
  patch: { "at!": "duration", patch: "text", "with!": { "*": "any" } },
  replace: { "at!": "duration", replace: "text", as: "word voter learner" },
  maintain: { "at!": "duration", maintain: "word move-leader defragment backup disarm" },
};

const experiment: Shape = {
  "description!": "text",
  cluster: {
    members: "integer 1 5",
    apiservers: "integer 1 5",
    nodes: "integer 0 199",
    preset: `word ${presetNames.join(" ")}`,
    mode: "word netns host",
    snapshotCount: "integer 1 1000000000",
    store: "store",
    storeCafile: "text",
    storeCertfile: "text",
    storeKeyfile: "text",
  },
  "workload!": {
    store: { ...Object.fromEntries(storeClients.map((name) => [name, clients])), rate },
    apply: "text",
    api: { creates: rate, updates: rate, lists: rate, watches: clients },
    http: { "service!": "text", "rate!": rate },
  },
  schedule: "any",
  "duration!": "duration",
  repetitions: "integer 1 10000",
  seed: "integer 0 4294967295",
  expect: Object.fromEntries(Object.keys(expectationNames).map((name) => [name, "number 0 1000000000"])),
};

/** `checkFault`: what is wrong with the parameters of a fault; each line begins with the name of the field. */
export function parseExperiment(source: string, file: string, checkFault: (fault: Injury) => string[]): Experiment {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines });
  const reader = new Reader(file, lines);
  for (const { message, pos } of document.errors) reader.refuse(pos[0], "", message.split("\n")[0]!);
  if (reader.problems.length > 0) throw new ExperimentError(reader.problems);
  const read = reader.read(document.contents, experiment, "") as Experiment | undefined;
  const { store, storeCafile, storeCertfile, storeKeyfile } = read?.cluster ?? {};
  const [ca, cert, key] = [storeCafile, storeCertfile, storeKeyfile].map((file) => file !== undefined);
  if (String(store).startsWith("etcds:") !== ca || cert !== key || (cert && !ca))
    reader.refuse(
      (document.get("cluster", true) as ParsedNode | undefined)?.range[0] ?? 0,
      "cluster",
      "must have storeCafile, and may have storeCertfile with storeKeyfile, where store is etcds://..., and only there",
    );
  const schedule = document.get("schedule", true);
  const list = isSeq(schedule) ? (schedule.items as ParsedNode[]) : [];
  if (schedule && !isSeq(schedule))
    reader.refuse((schedule as ParsedNode).range[0], "schedule", "must be a list of steps");
  const parsed = list.map((node, i) => reader.step(node, `schedule[${i}]`, checkFault));
  for (const [i, step] of parsed.entries())
    if (read?.duration !== undefined && step && "at" in step && step.at >= read.duration)
      reader.refuse(list[i]!.range[0], `schedule[${i}].at`, "is not before the end of the experiment (`duration`)");
  const { rate, watchers: _, ...asking } = read?.workload?.store ?? {};
  if (reader.problems.length === 0 && rate !== undefined && !Object.values(asking).some((count) => count > 0))
    reader.refuse(
      (document.getIn(["workload", "store"], true) as ParsedNode).range[0],
      "workload.store",
      `has a rate, and nobody who asks: ${storeClients.slice(0, -1).join(", ")}`,
    );
  if (reader.problems.length > 0 || read === undefined) throw new ExperimentError(reader.problems);
  const { cluster = {}, expect = { lostWrites: 0 }, repetitions = 1 } = read;
  return { ...read, cluster, repetitions, expect, schedule: parsed as Experiment["schedule"] };
}

class Reader {
  readonly problems: string[] = [];
  readonly #file: string;
  readonly #lines: LineCounter;

  constructor(file: string, lines: LineCounter) {
    this.#file = file;
    this.#lines = lines;
  }

  refuse(offset: number, path: string, problem: string): undefined {
    const { line } = this.#lines.linePos(offset);
    this.problems.push(`${this.#file}:${line}: ${path}${path && " "}${problem}`);
    return undefined;
  }

  /** A step is of the kind whose name it has. */
  step(
    node: ParsedNode,
    path: string,
    checkFault: (fault: Injury) => string[],
  ): Experiment["schedule"][number] | undefined {
    const [kind, another] = Object.keys(steps).filter((kind) => isMap(node) && node.has(kind));
    if (kind === undefined || another !== undefined)
      return this.refuse(node.range[0], path, `must have one of ${Object.keys(steps).join(", ")}, and only one`);
    const before = this.problems.length;
    const step = { kind, ...(this.read(node, steps[kind]!, path) as object) } as Experiment["schedule"][number];
    if (this.problems.length > before) return undefined;
    const check = (fault: Injury, where: Node, at: string) => {
      for (const problem of checkFault(faultOf(fault))) this.refuse(where.range![0], at, problem);
    };
    if (step.kind === "fault") check(step, node, path);
    if (step.kind === "random") {
      const { random } = step;
      const choices = isMap(node) ? node.get("choices", true) : undefined;
      const read = (isSeq(choices) ? (choices.items as Node[]) : []).map((node, i) => {
        const at = `${path}.choices[${i}]`;
        const one = this.read(node, choice, at) as Injury;
        if (one) check(one, node, at);
        return one;
      });
      step.choices = read;
      if (random.every <= 0 || random.until <= random.from || read.length === 0)
        this.refuse(node.range[0], path, "must have choices, `every` above 0 and `until` after `from`");
    }
    return step;
  }

  read(node: Node | null | undefined, shape: Shape, path: string): unknown {
    const at = node?.range?.[0] ?? 0;
    if (typeof shape === "object")
      return isMap(node) ? this.#fields(node.items as never, at, shape, path) : this.refuse(at, path, "must be fields");
    const [kind, ...words] = shape.split(" ");
    if (kind === "any") return (node as ParsedNode | null)?.toJSON();
    const value = isScalar(node) ? node.value : undefined;
    const refuse = (what: string) => this.refuse(at, path, `must be ${what}, not ${JSON.stringify(value)}`);
    if (kind === "text") return typeof value === "string" ? value : refuse("text");
    if (kind === "store")
      return /^(ours$|etcds?:\/\/[^,]|\.{0,2}\/)/.test(String(value))
        ? value
        : refuse(
            "ours, the path of a program with etcd's flags (/..., ./...), or etcd://HOST:PORT,... (etcds:// for TLS)",
          );
    if (kind === "word") return words.includes(String(value)) ? value : refuse(`one of ${words.join(", ")}`);
    if (kind === "duration") {
      try {
        return parseDuration("", String(value));
      } catch {
        return refuse("a duration such as 500ms or 4s");
      }
    }
    const [min, max] = words.map(Number) as [number, number];
    const fits = typeof value === "number" && value >= min && value <= max;
    if (fits && (kind === "number" || Number.isInteger(value))) return value;
    return refuse(`${kind === "integer" ? "a whole number" : "a number"} from ${min} to ${max}`);
  }

  #fields(
    items: readonly { key: ParsedNode; value: ParsedNode | null }[],
    at: number,
    shape: { [field: string]: Shape },
    path: string,
  ): Record<string, unknown> {
    const result: Record<string, unknown> = {};
    const known = new Map(Object.entries(shape).map(([name, inner]) => [name.replace("!", ""), inner]));
    const full = (name: string) => (path === "" ? name : `${path}.${name}`);
    for (const { key, value } of items) {
      const name = String(isScalar(key) ? key.value : key);
      const inner = known.get(name) ?? shape["*"];
      if (inner === undefined)
        this.refuse(key.range[0], full(name), `is not known; allowed: ${[...known.keys()].join(", ")}`);
      else result[name] = this.read(value, inner, full(name));
    }
    for (const name of Object.keys(shape))
      if (name.endsWith("!") && !(name.slice(0, -1) in result)) this.refuse(at, full(name.slice(0, -1)), "is required");
    return result;
  }
}
