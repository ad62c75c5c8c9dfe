import { type ChildProcess, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sleep, systemClock } from "../base/clock.ts";
import { StartError } from "../base/process.ts";
import { GrpcClient } from "../net/grpc-client.ts";
import { KVService, MaintenanceService } from "../proto/generated/etcdserverpb.ts";
import { peer } from "../tools/peers.ts";
import {
  dropFolder,
  endProcess,
  freePorts,
  freshFolder,
  hasEnded,
  logTail,
  startProcess,
  type Usage,
  usageOf,
} from "./process.ts";
import { PeerRelays } from "./relay.ts";

export { freePorts, scratch } from "./process.ts";

/** A store that is measured: members as processes on 127.0.0.1, the same flags for ours and for etcd. */
export interface Store {
  /** In tables: `ours`, `etcd`. */
  name: string;
  version: string;
  /** The executable and what precedes the flags. */
  command: string[];
  timers: Timers;
}

export interface Timers {
  heartbeatMs: number;
  electionMs: number;
}

export const defaultTimers: Timers = { heartbeatMs: 100, electionMs: 1000 };

/** Said of both stores, so that neither works with another's tuning. */
export const commonFlags = ["--snapshot-count=100000", `--quota-backend-bytes=${8 * 2 ** 30}`];

export function ourStore(timers: Timers): Store {
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  const commit = git("rev-parse", "--short", "HEAD");
  const changed =
    commit !== undefined && git("status", "--porcelain", "--", "etcd-raft", "net", "base", "proto") !== "";
  return {
    name: "ours",
    version: `etcd-raft ${version}${commit ? ` at ${commit}${changed ? " and changes" : ""}` : ""}`,
    command: [process.execPath, "dist/etcd-raft.mjs"],
    timers,
  };
}

function git(...args: string[]): string | undefined {
  try {
    return execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return undefined; // unpacked without its history
  }
}

/** Undefined where this machine has no etcd. */
export function debianEtcd(timers: Timers): Store | undefined {
  const path = peer("etcd");
  if (path === undefined) return undefined;
  const text = execFileSync(path, ["--version"], { encoding: "utf8" });
  return { name: "etcd", version: `etcd ${/etcd Version: (\S+)/.exec(text)?.[1]} (Debian)`, command: [path], timers };
}

/** By `--only ours|etcd|""`. */
export function storesFor(only: string, timers: Timers): Store[] {
  if (!["", "ours", "etcd"].includes(only)) throw new StartError(`flag --only is ours or etcd, not "${only}"`);
  const etcd = debianEtcd(timers);
  if (etcd === undefined && only === "etcd") throw new StartError("no etcd here: `node tools/peers.mjs` says why");
  if (etcd === undefined) console.error("bench: no etcd here, so there is nothing to compare with");
  return [ourStore(timers), ...(etcd ? [etcd] : [])].filter(({ name }) => only === "" || only === name);
}

export interface StartOptions {
  /** Kept when the cluster stops, and started from when it is there; without it a fresh one that is removed. */
  dir?: string;
  /** Put a relay before each peer port, so that a member can be cut off. */
  relays?: boolean;
  /** Three unless told. */
  members?: number;
  signal: AbortSignal;
}

export class Cluster {
  readonly store: Store;
  readonly relays: PeerRelays | undefined;
  /** `host:port` of the members' client ports. */
  readonly targets: string[];
  readonly #clients: GrpcClient[];
  readonly #peerPorts: number[];
  /** Holds the members' folders `m0`, `m1`, ... and their logs. */
  readonly dir: string;
  readonly #signal: AbortSignal;
  readonly #children: (ChildProcess | undefined)[] = [];

  /** Starts all members and waits for a leader that all of them know. */
  static async start(store: Store, options: StartOptions): Promise<Cluster> {
    const cluster = await Cluster.prepare(store, options);
    try {
      for (const i of cluster.targets.keys()) cluster.startMember(i);
      await cluster.leader();
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** All but the processes. */
  static async prepare(store: Store, options: StartOptions): Promise<Cluster> {
    const { dir, members = 3 } = options;
    const ports = await portsFor(dir, members);
    const [peers, relayPorts] = [ports.slice(members, 2 * members), ports.slice(2 * members)];
    const relays = options.relays ? await PeerRelays.start(relayPorts, peers) : undefined;
    return new Cluster(store, options, ports, relays);
  }

  private constructor(store: Store, options: StartOptions, ports: number[], relays: PeerRelays | undefined) {
    this.store = store;
    this.relays = relays;
    this.#signal = options.signal;
    const count = ports.length / 3;
    this.targets = ports.slice(0, count).map((port) => `127.0.0.1:${port}`);
    this.#peerPorts = ports.slice(count);
    this.#clients = this.targets.map((target) => new GrpcClient(target));
    this.dir = options.dir ?? freshFolder(`run-${store.name}`);
  }

  startMember(i: number): void {
    const { command, timers } = this.store;
    const listen = `http://127.0.0.1:${this.#peerPorts[i]}`;
    const advertised = (n: number) => `http://127.0.0.1:${this.#peerPorts[this.relays ? this.targets.length + n : n]}`;
    const flags = [
      `--name=m${i}`,
      `--data-dir=${this.dir}/m${i}`,
      `--listen-client-urls=http://${this.targets[i]}`,
      `--advertise-client-urls=http://${this.targets[i]}`,
      `--listen-peer-urls=${listen}`,
      `--initial-advertise-peer-urls=${advertised(i)}`,
      `--initial-cluster=${this.targets.map((_, n) => `m${n}=${advertised(n)}`).join(",")}`,
      "--initial-cluster-token=bench",
      `--heartbeat-interval=${timers.heartbeatMs}`,
      `--election-timeout=${timers.electionMs}`,
      ...commonFlags,
    ];
    const child = startProcess([...command, ...flags], this.logFile(i));
    this.#children[i] = child;
    this.relays?.setMember(i, child.pid!);
  }

  client(i: number): GrpcClient {
    return this.#clients[i]!;
  }

  runs(i: number): boolean {
    return this.#children[i] !== undefined;
  }

  /** The index of the leader that all running members name. */
  async leader(timeoutMs = 30_000): Promise<number> {
    const deadline = systemClock.monotonic() + timeoutMs;
    for (;;) {
      this.#signal.throwIfAborted();
      const states = await Promise.allSettled(
        this.#clients.map((client) => client.unary(MaintenanceService.Status, {}, { timeoutMs: 1000 })),
      );
      const leader = states.findIndex(
        (state) =>
          state.status === "fulfilled" &&
          state.value.leader !== 0n &&
          state.value.leader === state.value.header?.memberId,
      );
      const named = states.map((state) => (state.status === "fulfilled" ? state.value.leader : 0n));
      if (leader >= 0 && named.every((id) => id === named[leader])) return leader;
      const dead = this.#children.findIndex((child) => child && hasEnded(child));
      if (dead >= 0) throw new Error(`${this.store.name} member ${dead} has ended:\n${logTail(this.logFile(dead))}`);
      if (systemClock.monotonic() > deadline) {
        throw new Error(`${this.store.name}: no leader within ${timeoutMs} ms:\n${logTail(this.logFile(0))}`);
      }
      await sleep(systemClock, 50, this.#signal);
    }
  }

  /** Of the store, by a linearizable read: counts the writes that really happened. */
  async revision(i: number, timeoutMs = 10_000): Promise<number> {
    const answer = await this.#clients[i]!.unary(KVService.Range, { key: Buffer.from("r") }, { timeoutMs });
    return answer.header!.revision;
  }

  signal(i: number, name: NodeJS.Signals): void {
    this.#children[i]?.kill(name);
  }

  async end(i: number, name: NodeJS.Signals): Promise<void> {
    const child = this.#children[i];
    if (child !== undefined) await endProcess(child, name);
    this.#children[i] = undefined;
  }

  usage(): Usage[] {
    return this.#children.flatMap((child) => (child ? [usageOf(child.pid!)] : []));
  }

  logFile(i: number): string {
    return join(this.dir, `m${i}.log`);
  }

  async stop(name: NodeJS.Signals = "SIGKILL"): Promise<void> {
    for (const client of this.#clients) client.close();
    await Promise.all(this.targets.map((_, i) => this.end(i, name)));
    this.relays?.close();
    dropFolder(this.dir);
  }
}

/** A folder that is kept knows its members' addresses, so it keeps their ports, too. */
async function portsFor(dir: string | undefined, members: number): Promise<number[]> {
  if (dir === undefined) return freePorts(3 * members);
  const file = join(dir, "ports.json");
  if (existsSync(file)) return JSON.parse(readFileSync(file, "utf8")) as number[];
  const ports = await freePorts(3 * members);
  mkdirSync(dir, { recursive: true });
  writeFileSync(file, JSON.stringify(ports));
  return ports;
}
