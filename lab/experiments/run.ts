import type { HistoryLine } from "../checkers/history.ts";

/**
 * A run as it lies in its folder; what writes the report, compares two runs or feeds a harness reads nothing else.
 *
 *     run.json        RunFile
 *     history.jsonl   HistoryLine: every operation of the store's clients, watches, commits, hashes
 *     calls.jsonl     Call: every request of the other workloads (API, HTTP through Services)
 *     events.jsonl    RunEvent, in the order of time
 *     objects.jsonl   ObjectEvent: what watches of the API told
 *     metrics.jsonl   MetricSample
 *     report.html     made from the above
 *
 * All times (`atMs`, `called`, `returned`, ...) are milliseconds of the runner's monotonic clock since the run began; those
 * that other machines told are shifted by the measured offset of their clocks, whose error `clocks` bounds.
 */
export interface RunFile {
  formatVersion: 1;
  experiment: string;
  description: string;
  /** The YAML as it was run, with defaults and seed filled in: running it again repeats the run. */
  source: string;
  seed: number;
  repetition: number;
  /** RFC 3339. */
  startedAt: string;
  durationMs: number;
  versions: { kubelab: string; node: string; store: string };
  /** One line: processor, memory, kernel, disk. */
  machine: string;
  lab: { mode: string; preset: string; members: string[]; nodes: string[] };
  clocks: ClockReading[];
  /** Named spans of the schedule: `before`, one a fault, `after`. Percentiles are given for each. */
  phases: Phase[];
  /** What one fault did to the clients, cut into its steps. */
  failovers: Failover[];
  expectations: Expectation[];
  violations: Violation[];
  /** `unknown`: a checker ran out of time. It counts as a failed run. */
  verdict: "passed" | "failed" | "unknown";
}

export interface ClockReading {
  machine: string;
  /** Changes when the machine is booted. */
  bootId: string;
  when: "before" | "during" | "after";
  atMs: number;
  /** What is added to that machine's monotonic clock, and how wrong it may be. */
  offsetMs: number;
  errorMs: number;
}

export interface Phase {
  name: string;
  fromMs: number;
  toMs: number;
}

/** `steps` in order, from the fault on: "last ack", "death noticed", "election", "first ack"; or a node's. */
export interface Failover {
  fault: string;
  target: string;
  /** What acted: `signal`, `socket hooks`, `namespaces`, ... */
  mechanism?: string;
  atMs: number;
  /** The longest time between two acknowledged writes around the fault. */
  gapMs: number;
  steps: { name: string; atMs: number }[];
}

export interface Expectation {
  name: string;
  limit: number | boolean;
  value: number | boolean | null;
  met: boolean;
}

export interface Violation {
  checker: string;
  message: string;
  /** Those that contradict one another, where the checker can name them. */
  operations: HistoryLine[];
}

/** A request whose effect no checker of the store's history judges. */
export interface Call {
  /** `create pods`, `list pods`, `http demo`, ... */
  kind: string;
  /** When it should have been sent (open loop). */
  intended: number;
  called: number;
  returned?: number;
  outcome: "ok" | "failed" | "unknown";
  /** Of a failed one. */
  error?: string;
  /** Of an answered create, update, delete: which object, as which it is acknowledged. */
  object?: string;
  uid?: string;
  resourceVersion?: number;
  /** Of `http`: the Pod. */
  answeredBy?: string;
}

/** `open`: a stream begins, after a list whose objects came as `listed`; they and what follows are of one resource. */
export interface ObjectEvent {
  atMs: number;
  watch: string;
  type: "open" | "listed" | "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  resourceVersion: number;
  object?: SeenObject;
}

/** What the checkers need to know of an object. */
export interface SeenObject {
  kind: string;
  /** `namespace/name`; of what has no namespace, the name. */
  name: string;
  uid: string;
  /** uid of the controller. */
  owner?: string;
  /** Is being deleted. */
  terminating?: true;
  /** Of Pods and Nodes. */
  ready?: boolean;
  /** Of Pods. */
  node?: string;
  phase?: string;
  /** Of Deployments and ReplicaSets; the latter two in Pods. */
  replicas?: number;
  surge?: number;
  unavailable?: number;
}

/** `type`: the supervisor's (`Exited`, `Spawned`, ...), `Raft`, `Fault`, `Healed`, or the runner's (`Phase`, `NodeNotReady`, ...). */
export interface RunEvent {
  atMs: number;
  machine: string;
  bootId: string;
  type: string;
  /** A process, a node, or a part of the lab. */
  subject: string;
  message: string;
  /** Of `Raft`: kind, term, life and what else it tells. Of faults: id, targets, mechanism. */
  details: Record<string, unknown>;
}

export interface MetricSample {
  atMs: number;
  subject: string;
  name: string;
  value: number;
}
