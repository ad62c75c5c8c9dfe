import { setMaxListeners } from "node:events";
import { readFileSync } from "node:fs";
import { cpus, hostname, release, totalmem } from "node:os";
import { stringify } from "yaml";
import { type Clock, sleep } from "../../base/clock.ts";
import { aborted, StartError } from "../../base/process.ts";
import { seededRand } from "../../base/rand.ts";
import { MaintenanceService } from "../../proto/generated/etcdserverpb.ts";
import { type Base, brief, type HistoryLine } from "../checkers/history.ts";
import { judge } from "../checkers/judge.ts";
import { checkKubernetes } from "../checkers/kubernetes.ts";
import { CommittedLog } from "../clients/commits.ts";
import { Load, type LoadClient } from "../clients/load.ts";
import { isOwnKey, memberHashes, readBase } from "../clients/members.ts";
import { StoreWatcher } from "../clients/watcher.ts";
import type { FaultReport } from "../faults/types.ts";
import { Recorder } from "../sim/recorder.ts";
import type { Role } from "../sim/workload.ts";
import { ApiLoad } from "./api-load.ts";
import type { DoneFault } from "./failovers.ts";
import type { Run } from "./folder.ts";
import { ObjectWatches } from "./objects.ts";
import { maintain, replaceMember } from "./operator.ts";
import { crashesOf, resultOf } from "./result.ts";
import type { ClockReading, MetricSample, RunEvent, RunFile, Violation } from "./run.ts";
import { machineOf, type RunningLab } from "./running-lab.ts";
import { deedsOf } from "./schedule.ts";
import { type Experiment, faultOf, type Injury, type Step } from "./schema.ts";
import { applyWorkload, httpUrls, patch } from "./workload.ts";

export interface RunOptions {
  name: string;
  experiment: Experiment;
  /** The experiment's YAML as data. */
  source: Record<string, unknown>;
  seed: number;
  repetition: number;
  lab: RunningLab;
  version: string;
  clock: Clock;
  signal: AbortSignal;
  say(line: string): void;
}

/**
 * One repetition: load on, faults at their times, everything healed, and judged. `problem`: it could not be run to its
 * end, or was interrupted; what was seen until then is not judged. Throws StartError when it could not begin. The lab is
 * healed and nothing of the load is left all the same.
 */
export async function runExperiment(options: RunOptions): Promise<{ run: Run; problem: string | undefined }> {
  await applyWorkload(options);
  const sick = await options.lab.healthy(30_000);
  if (sick) throw new StartError(`the store is not healthy: ${sick}`);
  const runner = new Runner(options);
  return { run: await runner.run(), problem: runner.problem };
}

class Runner {
  readonly #options: RunOptions;
  /** Counts from the beginning of the run. */
  readonly #clock: Clock;
  readonly #zero: number;
  readonly #startedAt: string;
  readonly #recorder: Recorder;
  readonly #api: ApiLoad;
  readonly #objects: ObjectWatches;
  readonly #metrics: MetricSample[] = [];
  readonly #clocks: ClockReading[] = [];
  readonly #faults: DoneFault[] = [];
  #events: RunEvent[] = [];
  readonly #violations: Violation[] = [];
  readonly #over = new AbortController();
  #lines: HistoryLine[] = [];
  #log: CommittedLog | undefined;
  problem: string | undefined;

  constructor(options: RunOptions) {
    this.#options = options;
    const { clock, lab, seed, repetition } = options;
    this.#zero = clock.monotonic();
    this.#clock = { ...clock, monotonic: () => clock.monotonic() - this.#zero };
    this.#startedAt = new Date(clock.now()).toISOString();
    this.#recorder = new Recorder(this.#clock);
    const rand = seededRand(seed + repetition);
    const stamp = this.#startedAt.replace(/\D/g, "").slice(4, 14);
    this.#api = new ApiLoad(lab.api, `experiment-${stamp}-${repetition}`, { rand, clock: this.#clock });
    this.#objects = new ObjectWatches(lab.api, this.#clock);
  }

  async run(): Promise<Run> {
    this.#readClock("before");
    const [member] = this.#options.lab.members;
    const base = member && (await readBase(member));
    if (base) this.#log = new CommittedLog(this.#clock, base, isOwnKey);
    const watchers = this.#watchers(base ? base.revision + 1 : 0);
    try {
      const { begun, ended } = await this.#underLoad(`${base?.revision ?? 0}.`);
      this.#lines = [...(base ? [base] : []), ...this.#recorder.lines]; // of a store that does not come back, too
      if (this.problem) this.#condemn("run", `no verdict: ${this.problem}`);
      else {
        if (base) await this.#judgeStore(base, watchers);
        await this.#judgeKubernetes();
      }
      this.#readClock("after");
      await this.#objects.close();
      await this.#collectEvents();
      for (const message of crashesOf(this.#events)) this.#condemn("process", message);
      return await this.#result(begun, ended);
    } finally {
      await Promise.all([this.#objects.close(), ...watchers.map((watcher) => watcher.close())]);
      await this.#api.removeNamespace();
    }
  }

  /** Resolves when all is healed and every client has its last answer. `run`: told from earlier ones in the same store. */
  async #underLoad(run: string): Promise<{ begun: number; ended: number }> {
    const { experiment, lab, say } = this.#options;
    const { workload } = experiment;
    const urls = await httpUrls(lab, experiment);
    if (workload.apply !== undefined || workload.api || workload.http)
      await Promise.race([this.#objects.followWorkloads(), aborted(this.#options.signal)]);
    if (workload.api) {
      await this.#api.makeNamespace();
      this.#objects.followConfigMaps(this.#api.namespace, workload.api.watches ?? 0);
    }
    const load = this.#load(run);
    const begun = this.#now();
    load.start(() => `${run}${Math.floor(this.#now() / 1000)}`);
    this.#api.start(workload, urls);
    const sampling = this.#sample();
    say(`load is on for ${experiment.duration / 1000} s`);
    try {
      await this.#schedule(begun);
    } finally {
      this.#over.abort();
      await this.#heal().catch((error: Error) => this.#fail(error));
      await Promise.all([load.stop(), this.#api.stop(), sampling]);
    }
    say(this.problem ? `healed; ${this.problem}` : "healed; waiting until all is well, then judging");
    return { begun, ended: this.#now() };
  }

  #at(): string {
    return `${(this.#now() / 1000).toFixed(1).padStart(6)} s  `;
  }

  #now(): number {
    return this.#clock.monotonic();
  }

  #load(run: string): Load {
    const { store = {} } = this.#options.experiment.workload;
    const { writers = 0, readers = 0, transactions = 0, leases = 0, mixed = 0, rate } = store;
    const roles = { writer: writers, reader: readers, transaction: transactions, lease: leases, mixed } as const;
    const all = Object.entries(roles).flatMap(([role, count]) =>
      Array.from({ length: count }, (_, i): LoadClient => {
        return { name: `${role}-${i + 1}`, ...(role !== "mixed" && { role: role as Role }) };
      }),
    );
    const each = rate === undefined ? {} : { rate: rate / all.length };
    const rand = seededRand(this.#options.seed + 1000 * this.#options.repetition);
    const tools = { recorder: this.#recorder, rand, clock: this.#clock };
    return new Load(
      this.#options.lab.members,
      tools,
      all.map((client) => ({ ...client, ...each })),
      run,
    );
  }

  #watchers(from: number): StoreWatcher[] {
    const { lab, seed, experiment } = this.#options;
    const kinds = [
      { key: "r", end: "\0", prevKv: true },
      { key: "r", end: "s" },
      { key: "t", end: "u", noPut: true, prevKv: true },
    ];
    const tools = { recorder: this.#recorder, rand: seededRand(seed), clock: this.#clock };
    return Array.from({ length: experiment.workload.store?.watchers ?? 0 }, (_, i) => {
      return new StoreWatcher(`w${i + 1}`, kinds[i % kinds.length]!, lab.members, tools, from);
    });
  }

  /** Everything at its time; returns at the end of the experiment, or when it failed. */
  async #schedule(begun: number): Promise<void> {
    const { experiment, seed, repetition, signal } = this.#options;
    const stop = AbortSignal.any([signal, this.#over.signal]);
    setMaxListeners(0, stop); // each deed waits for its time
    const deeds = deedsOf(experiment, seed + repetition - 1);
    const doing = deeds.map(async (deed) => {
      await sleep(this.#clock, Math.max(0, begun + deed.at - this.#now()), stop);
      if (!stop.aborted) await this.#do(deed, stop);
    });
    const all = Promise.all(doing.map((one) => one.catch((error: Error) => this.#fail(error))));
    await sleep(this.#clock, experiment.duration / 2, stop);
    this.#readClock("during");
    await sleep(this.#clock, Math.max(0, begun + experiment.duration - this.#now()), stop);
    this.#over.abort();
    await all;
    if (signal.aborted) this.problem = "interrupted";
  }

  #fail({ message }: Error): void {
    this.problem ??= message;
    this.#over.abort();
  }

  async #do(deed: Step, stop: AbortSignal): Promise<void> {
    const { lab, say, experiment } = this.#options;
    // What goes with a disk, or is soon cut off logs, is read before. A member that is away now has it later.
    if (deed.kind === "replace" || experiment.cluster.snapshotCount) await this.#log?.read(lab.members).catch(() => {});
    if (deed.kind === "patch") {
      const body = JSON.stringify(deed.with).replaceAll("{{run}}", this.#api.namespace);
      await patch(lab.api, deed.patch, JSON.parse(body) as Record<string, unknown>);
      this.#note("Patched", deed.patch, `${deed.patch} patched`);
      return say(`${this.#at()}${deed.patch} patched`);
    }
    if (deed.kind !== "fault") {
      const what = deed.kind === "replace" ? "replace" : deed.maintain;
      const done: DoneFault = { name: what, targets: [], atMs: this.#now(), untilMs: Infinity };
      this.#faults.push(done);
      const member = await (deed.kind === "replace"
        ? replaceMember(lab, deed, this.#clock)
        : maintain(lab, deed, this.#clock));
      Object.assign(done, { name: `${what} ${member}`, targets: [member], untilMs: this.#now() });
      return say(`${this.#at()}${done.name} done`);
    }
    const { id, kind, targets, mechanism, message, monotonicMs } = await this.#inject(faultOf(deed), stop);
    const done = {
      name: `${kind} ${targets.join(", ")}`,
      targets,
      mechanism,
      atMs: monotonicMs - this.#zero,
      untilMs: Infinity,
    };
    this.#faults.push(done);
    say(`${this.#at()}${message}`);
    if (deed.for === undefined) return;
    await sleep(this.#clock, deed.for, stop);
    for (const healed of await lab.supervisor.heal(id)) say(`${this.#at()}${healed.message}`);
    done.untilMs = this.#now();
  }

  /** What is refused is asked again for a while: right after a fault nobody may lead. */
  async #inject(fault: Injury, stop: AbortSignal): Promise<FaultReport> {
    const deadline = this.#now() + refusedForMs;
    for (;;) {
      try {
        return await this.#options.lab.supervisor.fault(fault as never);
      } catch (error) {
        if (this.#now() > deadline || stop.aborted) throw error;
      }
      await sleep(this.#clock, 100, stop);
    }
  }

  async #heal(): Promise<void> {
    await this.#options.lab.supervisor.heal();
    for (const fault of this.#faults) fault.untilMs = Math.min(fault.untilMs, this.#now());
  }

  async #sample(): Promise<void> {
    const { lab, say } = this.#options;
    for (let second = 1; !this.#over.signal.aborted; second++) {
      const next = this.#now() + 1000;
      this.#metrics.push(...(await lab.metrics(() => this.#now())));
      await sleep(this.#clock, Math.max(0, next - this.#now()), this.#over.signal);
      if (second % 5 > 0) continue;
      const operations = this.#recorder.lines.filter(({ type }) => type === "operation");
      say(`${this.#at()}${operations.length + this.#api.calls.length} requests`);
    }
  }

  async #judgeStore(base: Base, watchers: StoreWatcher[]): Promise<void> {
    const { lab } = this.#options;
    const unwell = await lab.healthy(healthyWithinMs);
    if (unwell)
      return this.#condemn("health", `no verdict: not healthy ${healthyWithinMs / 1000} s after the end: ${unwell}`);
    try {
      const hashes = await memberHashes(lab.members, 10_000);
      const revision = Number(/^revision (\d+)/.exec(hashes[0]!.point)![1]);
      for (const watcher of watchers)
        if (!(await watcher.comesTo(revision, 10_000)))
          this.#condemn(
            "watch",
            `watch ${watcher.name} is at ${watcher.next} and does not come to revision ${revision}`,
          );
      const lines = this.#recorder.lines.slice(); // what is heard from here on may be in nobody's log yet
      await memberHashes(lab.members, 10_000);
      await this.#log!.read(lab.members);
      const commits = this.#log!.commits((revision) => watchers[0]?.heard.get(revision));
      this.#lines = [base, ...lines, ...commits, ...hashes];
    } catch (error) {
      return this.#condemn("log", `no verdict: ${(error as Error).message}`);
    }
    const operations = this.#lines.filter((line) => line.type === "operation");
    for (const message of judge(this.#lines, { own: isOwnKey })) {
      const told = operations.filter(({ request }) => message.includes(brief(request)));
      this.#condemn(/^[\w ]+/.exec(message)![0], message, told.slice(0, 20));
    }
  }

  async #judgeKubernetes(): Promise<void> {
    const { experiment } = this.#options;
    const { calls } = this.#api;
    let final: Awaited<ReturnType<ApiLoad["final"]>> | undefined;
    if (experiment.workload.api) {
      try {
        final = await this.#api.final();
      } catch (error) {
        this.#condemn("objects", `no verdict: ${(error as Error).message}`);
      }
    }
    await this.#objects.close();
    for (const message of checkKubernetes({ objects: this.#objects.events, calls, ...(final && { final }) }))
      this.#condemn(message.split(":")[0]!, message);
  }

  #condemn(checker: string, message: string, operations: HistoryLine[] = []): void {
    this.#violations.push({ checker, message, operations });
  }

  #note(type: string, subject: string, message: string, atMs = this.#now()): void {
    const { bootId } = this.#clocks[0]!;
    this.#events.push({ atMs, machine: hostname(), bootId, type, subject, message, details: {} });
  }

  /** The runner is on the machine of the lab: one clock. How exactly it is read is what can be wrong. */
  #readClock(when: ClockReading["when"]): void {
    const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const machineMs = () => Number(process.hrtime.bigint()) / 1e6 - this.#zero;
    const before = machineMs();
    const atMs = this.#now();
    const errorMs = Math.max(Math.abs(machineMs() - atMs), Math.abs(atMs - before));
    this.#clocks.push({ machine: hostname(), bootId, when, atMs, offsetMs: 0, errorMs });
  }

  /** The supervisor's, and of what was before the run only the last of each member's state. */
  async #collectEvents(): Promise<void> {
    const machine = hostname();
    const all = (await this.#options.lab.supervisor.eventsSoFar()).map((event): RunEvent => {
      const { time: _, monotonicMs, details, ...rest } = event;
      return { ...rest, atMs: monotonicMs - this.#zero, machine, details: { ...details } };
    });
    const before = new Map<string, RunEvent>();
    for (const event of all)
      if (event.atMs < 0 && event.type === "Raft") before.set(`${event.subject} ${event.details["kind"]}`, event);
    this.#events = [...this.#events, ...before.values(), ...all.filter(({ atMs }) => atMs >= 0)];
    for (const { atMs, object } of this.#objects.events)
      if (object?.kind === "Node")
        this.#note(object.ready ? "NodeReady" : "NodeNotReady", object.name, object.ready ? "Ready" : "NotReady", atMs);
    this.#events.sort((a, b) => a.atMs - b.atMs);
  }

  async #result(begun: number, ended: number): Promise<Run> {
    const { name, experiment, source, seed, repetition, lab, version } = this.#options;
    const status = lab.members[0]?.client.unary(MaintenanceService.Status, {}, { timeoutMs: 5000 });
    const store = (await status?.catch(() => undefined))?.version ?? "unknown";
    const { mode, preset, members, nodes } = lab.status;
    const names = (all: readonly { name: string }[]) => all.map((one) => one.name);
    const seen = { history: this.#lines, calls: this.#api.calls, events: this.#events, objects: this.#objects.events };
    const faults = this.#faults.sort((a, b) => a.atMs - b.atMs);
    const file: RunFile = {
      formatVersion: 1,
      experiment: name,
      description: experiment.description,
      source: stringify({ ...source, seed, repetitions: 1, expect: experiment.expect }),
      seed,
      repetition,
      startedAt: this.#startedAt,
      durationMs: ended - begun,
      versions: {
        kubelab: version,
        node: process.version,
        store: `${lab.status.store === null ? "kubelab, as " : ""}etcd ${store}`,
      },
      machine: machineOf(cpus(), totalmem(), release()),
      lab: { mode, preset, members: names(members), nodes: names(nodes) },
      clocks: this.#clocks,
      violations: this.#violations,
      ...resultOf({ ...seen, faults, violations: this.#violations, begun, ended }, experiment.expect),
    };
    return { file, ...seen, metrics: this.#metrics };
  }
}

const healthyWithinMs = 60_000;
const refusedForMs = 5000;
