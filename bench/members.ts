import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { assert } from "../base/assert.ts";
import { sleep, systemClock } from "../base/clock.ts";
import { StartError } from "../base/process.ts";
import { GrpcClient } from "../net/grpc-client.ts";
import { KVService, MaintenanceService } from "../proto/generated/etcdserverpb.ts";
import { peer } from "../tools/peers.ts";
import { PeerRelays } from "./relay.ts";

/** A store that is measured: three members as processes on 127.0.0.1, the same flags for ours and for etcd. */
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

export const scratch = resolve(".cache/bench");

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

export interface Usage {
  pssMb: number;
  rssMb: number;
  cpuSeconds: number;
}

export interface StartOptions {
  /** Kept when the cluster stops, and started from when it is there; without it a fresh one that is removed. */
  dir?: string;
  /** Put a relay before each peer port, so that a member can be cut off. */
  relays?: boolean;
  signal: AbortSignal;
}

/** What still runs if this process ends in any way but by SIGKILL. */
const running = new Set<Cluster>();
process.on("exit", () => {
  for (const cluster of running) cluster.killNow();
});

export class Cluster {
  readonly store: Store;
  readonly relays: PeerRelays | undefined;
  /** `host:port` of the members' client ports. */
  readonly targets: string[];
  readonly #clients: GrpcClient[];
  readonly #peerPorts: number[];
  readonly #dir: string;
  readonly #keepDir: boolean;
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
    const ports = await portsFor(options.dir);
    const relays = options.relays ? await PeerRelays.start(ports.slice(6), ports.slice(3, 6)) : undefined;
    return new Cluster(store, options, ports, relays);
  }

  private constructor(store: Store, options: StartOptions, ports: number[], relays: PeerRelays | undefined) {
    this.store = store;
    this.relays = relays;
    this.#signal = options.signal;
    this.targets = ports.slice(0, 3).map((port) => `127.0.0.1:${port}`);
    this.#peerPorts = ports.slice(3);
    this.#clients = this.targets.map((target) => new GrpcClient(target));
    mkdirSync(scratch, { recursive: true });
    this.#keepDir = options.dir !== undefined;
    this.#dir = options.dir ?? mkdtempSync(join(scratch, `run-${store.name.replaceAll(/\W+/g, "-")}-`));
    mkdirSync(this.#dir, { recursive: true });
    running.add(this);
  }

  startMember(i: number): void {
    const { command, timers } = this.store;
    const listen = `http://127.0.0.1:${this.#peerPorts[i]}`;
    const advertised = (n: number) => `http://127.0.0.1:${this.#peerPorts[this.relays ? 3 + n : n]}`;
    const log = openSync(join(this.#dir, `m${i}.log`), "a");
    const flags = [
      `--name=m${i}`,
      `--data-dir=${this.#dir}/m${i}`,
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
    const child = spawn(command[0]!, [...command.slice(1), ...flags], { stdio: ["ignore", log, log] });
    closeSync(log);
    child.on("error", () => {}); // seen as a member that does not run
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
      const dead = this.#children.findIndex((child) => child && (child.exitCode !== null || child.signalCode !== null));
      if (dead >= 0) throw new Error(`${this.store.name} member ${dead} has ended:\n${this.logTail(dead)}`);
      if (systemClock.monotonic() > deadline) {
        throw new Error(`${this.store.name}: no leader within ${timeoutMs} ms:\n${this.logTail(0)}`);
      }
      await sleep(systemClock, 50, this.#signal);
    }
  }

  /** Of the store, by a linearizable read: counts the writes that really happened. */
  async revision(i: number): Promise<number> {
    const answer = await this.#clients[i]!.unary(KVService.Range, { key: Buffer.from("r") }, { timeoutMs: 10_000 });
    return answer.header!.revision;
  }

  signal(i: number, name: NodeJS.Signals): void {
    this.#children[i]?.kill(name);
  }

  /** Resolves when the process is gone; SIGKILL follows when it does not go within 20 s. */
  async end(i: number, name: NodeJS.Signals): Promise<void> {
    const child = this.#children[i];
    if (child === undefined) return;
    await new Promise<void>((done) => {
      if (child.exitCode !== null || child.signalCode !== null) return done();
      const cancel = systemClock.after(20_000, () => child.kill("SIGKILL"));
      child.once("exit", () => {
        cancel();
        done();
      });
      child.kill(name);
    });
    this.#children[i] = undefined;
  }

  usage(): Usage[] {
    return this.#children.flatMap((child) => (child ? [usageOf(child.pid!)] : []));
  }

  logTail(i: number): string {
    const file = join(this.#dir, `m${i}.log`);
    return existsSync(file) ? readFileSync(file, "utf8").slice(-1500) : "";
  }

  async stop(name: NodeJS.Signals = "SIGKILL"): Promise<void> {
    for (const client of this.#clients) client.close();
    await Promise.all(this.targets.map((_, i) => this.end(i, name)));
    this.killNow();
  }

  killNow(): void {
    running.delete(this);
    for (const child of this.#children) child?.kill("SIGKILL");
    this.relays?.close();
    if (!this.#keepDir) rmSync(this.#dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Ticks are hundredths of a second on every Linux that Node runs on. */
const ticksPerSecond = 100;

export function usageOf(pid: number): Usage {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const mb = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1]) / 1024;
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return { pssMb: mb("Pss"), rssMb: mb("Rss"), cpuSeconds: (Number(stat[11]) + Number(stat[12])) / ticksPerSecond };
}

/** A folder that is kept knows its members' addresses, so it keeps their ports, too. */
async function portsFor(dir: string | undefined): Promise<number[]> {
  if (dir === undefined) return freePorts(9);
  const file = join(dir, "ports.json");
  if (existsSync(file)) return JSON.parse(readFileSync(file, "utf8")) as number[];
  const ports = await freePorts(9);
  mkdirSync(dir, { recursive: true });
  writeFileSync(file, JSON.stringify(ports));
  return ports;
}

/** Ports of 127.0.0.1 that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => new Promise((done) => server.once("listening", done))));
  const ports = servers.map((server) => {
    const address = server.address();
    assert(address !== null && typeof address === "object", "a TCP server has a port");
    return address.port;
  });
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}
