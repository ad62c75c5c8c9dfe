import { existsSync, realpathSync, rmSync } from "node:fs";
import { constants } from "node:os";
import { sleep } from "../../base/clock.ts";
import { systemRand } from "../../base/rand.ts";
import type { Parts } from "../../client/types.ts";
import { FaultDesk } from "../../lab/faults/desk.ts";
import { type Target, targetsOf } from "../../lab/faults/targets.ts";
import { removeCgroups } from "../../node-agent/runtime/cgroup.ts";
import { hostView } from "../../node-agent/runtime/skeleton.ts";
import { addressesOf, isOutside, ports } from "../lab/addresses.ts";
import { apiserverNames, endpointsOf, type LabFile } from "../lab/lab-file.ts";
import { type LabPaths, logFile, runtimeRoot, runtimeSocket } from "../lab/paths.ts";
import { isForeign, memberNames, nodeNames, type Programs, processesOf } from "../lab/processes.ts";
import type { World } from "../lab/world.ts";
import { RequestError } from "./api.ts";
import type { EventLog } from "./events.ts";
import { FaultHands } from "./fault-hands.ts";
import { leaderOf, type MemberStatus, type Members } from "./members.ts";
import { type NodesObserver, type NodesWatch, watchNodes } from "./nodes.ts";
import { ProcessManager } from "./process-manager.ts";
import { RaftEvents } from "./raft-events.ts";
import type { LabStatus } from "./status.ts";

export interface SupervisorOptions extends Parts {
  lab: LabFile;
  modeReason: string;
  paths: LabPaths;
  programs: Programs;
  world: World;
  restart: boolean;
  members: Members;
  events: EventLog;
}

/** One running lab: its processes, and what can be asked of and done to them. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #manager: ProcessManager;
  readonly faults: FaultDesk;
  readonly #hands: FaultHands;
  readonly #podCidrs = new Map<string, string>();
  readonly #nodes: NodesWatch;
  readonly #raft: RaftEvents;
  readonly #stopped = new AbortController();
  readonly #nodesReady = new Set<string>();
  #apiAnswered = false;
  #up: (() => void) | undefined;
  #refused: ((error: Error) => void) | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { lab, paths, programs, world, clock, events, log } = options;
    this.#manager = new ProcessManager({
      world,
      dist: programs.dist,
      logFile: (process) => logFile(paths, process),
      allowed: (type, host, port) =>
        type === "listen" ? isOutside(lab.slot, host) : endpointsOf(lab)?.includes(`${host}:${port}`) === true,
      restart: options.restart,
      clock,
      events,
      log,
      onRefused: (process, message) => this.#refused?.(new Error(`${process} does not start: ${message}`)),
    });
    for (const spec of processesOf(lab, paths, programs)) this.#manager.add(spec);
    this.#hands = new FaultHands({
      ...{ lab, paths, world, events, manager: this.#manager },
      leader: async () => leaderOf(await options.members.status(1000))?.name,
      podCidrOf: (node) => this.#podCidrs.get(node),
      pullPlug: (node, names) => this.#pullPlug(node, names),
    });
    this.faults = new FaultDesk(this.#hands, clock, () => systemRand.below(2 ** 32));
    events.follow(({ type, subject }) => {
      if (type === "Spawned") void this.faults.reborn(subject);
    });
    this.#raft = new RaftEvents(lab, paths, events, clock, this.#stopped.signal);
    const observer: NodesObserver = {
      onConnected: () => {
        if (!this.#apiAnswered) events.add("Ready", "apiserver", "answers");
        this.#apiAnswered = true;
        this.#lookWhetherUp();
      },
      onReady: (name, ready) => {
        events.add(ready ? "Ready" : "Info", name, ready ? "node Ready" : "node NotReady");
        if (ready) this.#nodesReady.add(name);
        this.#lookWhetherUp();
      },
      onPodCidr: (name, cidr) => void this.#route(name, cidr),
    };
    const begin = Promise.all(apiserverNames(lab).map((name) => this.#untilListening(name)));
    this.#nodes = watchNodes(options.client, clock, this.#stopped.signal, observer, begin);
  }

  /** Starts everything at once; resolves when the API answers and all nodes are Ready. */
  async up(timeoutMs: number): Promise<void> {
    const { clock, events } = this.#options;
    const ready = new Promise<void>((resolve, reject) => {
      this.#up = resolve;
      this.#refused = reject;
    });
    const cancel = clock.after(timeoutMs, () => this.#refused?.(new Error(this.#whatIsMissing(timeoutMs))));
    await this.#hands.startRelays();
    for (const name of this.#manager.names()) void this.#manager.start(name);
    void this.#awaitLeader();
    try {
      await ready;
    } finally {
      cancel();
      this.#up = undefined;
      this.#refused = undefined;
    }
    events.add("Up", "lab", "the API answers and every node is Ready");
  }

  /**
   * While a dozen processes start, asking them all the time would only slow them down: wait until they have asked for
   * their listeners. In mode `host` they open them themselves, and nobody tells.
   */
  #untilListening(process: string): Promise<void> {
    const { lab, events } = this.#options;
    if (lab.mode === "host") return Promise.resolve();
    return new Promise((resolve) => {
      const stop = events.follow(({ type, subject }) => {
        if (type !== "Listening" || subject !== process) return;
        queueMicrotask(() => stop());
        resolve();
      });
    });
  }

  async #awaitLeader(): Promise<void> {
    const { lab, members, clock, events } = this.#options;
    const first = memberNames(lab).map((name) => this.#untilListening(isForeign(lab, name) ? `${name}/relay` : name));
    if (first.length > 0) await Promise.race(first);
    while (!this.#stopped.signal.aborted) {
      const leader = leaderOf(await members.status(1000));
      if (leader) return events.add("Ready", "store", `${leader.name} leads in term ${leader.term}`);
      await sleep(clock, 50, this.#stopped.signal);
    }
  }

  async #route(node: string, cidr: string): Promise<void> {
    const { world, events } = this.#options;
    this.#podCidrs.set(node, cidr);
    if (!nodeNames(this.#options.lab).includes(node)) return; // registered by hand, or of an earlier size of the lab
    const routed = world.route(cidr, node).then(() => `Pod range ${cidr}`);
    events.add("Info", node, await routed.catch(({ message }: Error) => message));
  }

  #lookWhetherUp(): void {
    const all = nodeNames(this.#options.lab);
    if (this.#apiAnswered && all.every((name) => this.#nodesReady.has(name))) this.#up?.();
  }

  #whatIsMissing(timeoutMs: number): string {
    const late = nodeNames(this.#options.lab).filter((name) => !this.#nodesReady.has(name));
    const dead = this.#manager.status().filter(({ state, lastExit }) => state !== "Running" || lastExit !== null);
    const what = !this.#apiAnswered ? "the apiserver does not answer" : `${late.join(" and ")} did not become Ready`;
    const which = dead.map(({ name, lastExit }) => `${name} (${lastExit ?? "not running"})`).join(", ");
    return `${what} within ${timeoutMs / 1000} s${which && `; trouble with ${which}`}: see the logs in ${this.#options.paths.logs}`;
  }

  async status(): Promise<LabStatus> {
    const { lab, paths, modeReason, members } = this.#options;
    const { outside } = addressesOf(lab);
    const asked = await members.status(1000);
    const processes = this.#manager.status();
    const find = (name: string) => processes.find((process) => process.name === name);
    const belongs = (name: string) => !/^(etcd|apiserver)-/.test(name) && !name.includes("/");
    return {
      name: lab.name,
      dir: paths.dir,
      slot: lab.slot,
      mode: lab.mode,
      modeReason,
      preset: lab.preset,
      store: lab.store ?? null,
      snapshotCount: lab.snapshotCount,
      kubeconfig: paths.kubeconfig,
      members: asked.map(({ name, clientUrl, role, term, commitIndex }: MemberStatus) => {
        const { pid, state, restarts } = find(name) ?? { pid: null, state: "Elsewhere", restarts: 0 };
        const shown = state === "Elsewhere" ? role : pid === null ? "down" : state === "Stopped" ? "stopped" : role;
        const lastLeaderChange = this.#raft.lastLeaderChange(name);
        return { name, pid, clientUrl, role: shown, term, commitIndex, lastLeaderChange, restarts };
      }),
      apiservers: processes
        .filter(({ name }) => apiserverNames(lab).includes(name))
        .map(({ name, pid, restarts }, i) => ({
          name,
          url: `https://${outside.apiserver(i + 1)}:${ports.secure}`,
          grpcUrl: `https://${outside.apiserver(i + 1)}:${ports.grpc}`,
          pid,
          restarts,
        })),
      components: processes.filter(({ name }) => belongs(name)),
      nodes: nodeNames(lab).map((name, i) => ({
        name,
        address: outside.node(i + 1),
        mode: lab.mode,
        ready: this.#nodes.connected && this.#nodes.ready(name),
        processes: processes.filter((process) => process.name.startsWith(`${name}/`)),
      })),
    };
  }

  async kill(process: string, signal: string): Promise<string[]> {
    const number = signalName(signal);
    const targets = await this.#resolve(process);
    await Promise.all(
      targets.map(async ({ name, node, processes }) => {
        if (number === "SIGKILL" && node) await this.#pullPlug(name, processes);
        else await Promise.all(processes.map((each) => this.#manager.kill(each, number)));
      }),
    );
    return targets.flatMap(({ processes }) => processes);
  }

  /** A node that dies takes its containers along; without namespaces that is left to its runtime, which ends them at SIGTERM. */
  async #pullPlug(node: string, processes: string[]): Promise<void> {
    const { lab, world } = this.#options;
    const last = processes.filter((name) => lab.mode === "host" && name.endsWith("/runtime"));
    const first = processes.filter((name) => !last.includes(name));
    await Promise.all(first.map((name) => this.#manager.kill(name, "SIGKILL")));
    await this.#manager.stop(last, graceMs);
    await world.endPlace(node);
  }

  /** Starts or wakes what is meant; returns those that did not run before. */
  async start(process: string): Promise<string[]> {
    const meant = (await this.#resolve(process)).flatMap(({ processes }) => processes);
    const running = this.#manager.status().filter(({ state }) => state === "Running");
    const idle = meant.filter((name) => running.every((each) => each.name !== name));
    await Promise.all(idle.map((each) => this.#manager.start(each)));
    return idle;
  }

  /** Ends everything, those who write before those who keep. */
  async stop(): Promise<void> {
    this.#options.events.add("Stopping", "lab", "going down");
    this.#stopped.abort();
    await this.#hands.close();
    if (this.#options.lab.mode === "host") await this.#reviveRuntimes();
    const members = memberNames(this.#options.lab);
    const turnOf = (name: string) => (members.includes(name) ? 2 : name.startsWith("apiserver-") ? 1 : 0); // its relay to a store elsewhere, too
    const names = this.#manager.names();
    for (const turn of [0, 1, 2]) {
      const now = names.filter((name) => turnOf(name) === turn);
      await this.#manager.stop(now, graceMs);
    }
    this.#options.world.end();
    await this.#options.world.ended;
    this.#removeCgroups();
  }

  /** The only thing of a lab that its namespaces do not hold. */
  #removeCgroups(): void {
    const { lab, paths } = this.#options;
    const { mounts } = hostView();
    for (const node of nodeNames(lab)) {
      const rootDir = runtimeRoot(paths, node);
      if (existsSync(rootDir)) removeCgroups(mounts, realpathSync(rootDir));
    }
  }

  /** Without namespaces only a node's runtime can find its containers and end them: none may be missing for that. */
  async #reviveRuntimes(): Promise<void> {
    const { lab, clock } = this.#options;
    const dead = this.#manager.status().filter(({ name, pid }) => pid === null && name.endsWith("/runtime"));
    await Promise.all(
      dead.map(async ({ name }) => {
        const socket = runtimeSocket(lab.slot, name.slice(0, -"/runtime".length));
        rmSync(socket, { force: true });
        await this.#manager.start(name);
        for (let tries = 0; tries < 100 && !existsSync(socket); tries++) await sleep(clock, 50);
      }),
    );
  }

  async #resolve(name: string): Promise<Target[]> {
    return targetsOf(name, { ...(await this.#hands.facts(name)), rand: systemRand });
  }
}

const graceMs = 5000;

/** `KILL`, `SIGKILL` and `9` mean the same. */
export function signalName(text: string): NodeJS.Signals {
  const known = Object.entries(constants.signals);
  const upper = text.toUpperCase();
  const found = known.find(([name, number]) => name === upper || name === `SIG${upper}` || String(number) === text);
  if (found === undefined) throw new RequestError(`no signal is named ${text}`);
  return found[0] as NodeJS.Signals;
}
