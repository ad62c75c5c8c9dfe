import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { StartError } from "../base/process.ts";
import { Relay } from "../lab/faults/relay.ts";
import { GrpcClient } from "../net/grpc-client.ts";
import { KVService, MaintenanceService } from "../proto/generated/etcdserverpb.ts";
import { peer } from "../tools/peers.ts";
import { Child, dropFolder, freePorts, freshFolder, type Usage, until } from "./process.ts";

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

const ourProgram = "dist/etcd-raft.mjs";
export const defaultTimers: Timers = { heartbeatMs: 100, electionMs: 1000 };

/** Said of both stores, so that neither works with another's tuning. */
export const commonFlags = ["--snapshot-count=100000", `--quota-backend-bytes=${8 * 2 ** 30}`];

export function ourStore(timers: Timers): Store {
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  const git = spawnSync("git", ["describe", "--always", "--dirty"], { encoding: "utf8" }); // fails without its history
  const commit = git.status === 0 ? ` at ${git.stdout.trim()}` : "";
  return { name: "ours", version: `etcd-raft ${version}${commit}`, command: [process.execPath, ourProgram], timers };
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
  /** Put a relay before each peer port, so that a member can be cut off. */
  relays?: boolean;
  /** Three unless told. */
  members?: number;
  signal: AbortSignal;
}

export class Cluster {
  readonly store: Store;
  #relays: readonly Relay[] = [];
  /** `host:port` of the members' client ports. */
  readonly targets: string[];
  readonly #clients: GrpcClient[];
  readonly #peerPorts: number[];
  /** Holds the members' folders `m0`, `m1`, ... and their logs. */
  readonly dir: string;
  readonly #signal: AbortSignal;
  readonly #children: (Child | undefined)[] = [];

  /** Starts all members and waits for a leader that all of them know. */
  static async start(store: Store, options: StartOptions): Promise<Cluster> {
    const { members = 3 } = options;
    const ports = await freePorts(3 * members);
    const [peers, relayPorts] = [ports.slice(members, 2 * members), ports.slice(2 * members)];
    const cluster = new Cluster(store, options.signal, ports);
    const diallers = () => cluster.#children.flatMap((child, i) => (child ? [[`m${i}`, child.pid] as const] : []));
    const at = (port: number) => ({ host: "127.0.0.1", port });
    const relay = (port: number, i: number) => Relay.start(at(port), at(peers[i]!), diallers);
    try {
      if (options.relays) cluster.#relays = await Promise.all(relayPorts.map(relay));
      for (const i of cluster.targets.keys()) cluster.startMember(i);
      await cluster.leader();
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  private constructor(store: Store, signal: AbortSignal, ports: number[]) {
    this.store = store;
    this.#signal = signal;
    const count = ports.length / 3;
    this.targets = ports.slice(0, count).map((port) => `127.0.0.1:${port}`);
    this.#peerPorts = ports.slice(count);
    this.#clients = this.targets.map((target) => new GrpcClient(target));
    this.dir = freshFolder(`run-${store.name}`);
  }

  startMember(i: number): void {
    const { command, timers } = this.store;
    const peerUrl = (n: number) => `http://127.0.0.1:${this.#peerPorts[n]}`;
    const advertised = (n: number) => peerUrl(this.#relays.length > 0 ? this.targets.length + n : n);
    const flags = [
      `--name=m${i}`,
      `--data-dir=${this.dir}/m${i}`,
      `--listen-client-urls=http://${this.targets[i]}`,
      `--advertise-client-urls=http://${this.targets[i]}`,
      `--listen-peer-urls=${peerUrl(i)}`,
      `--initial-advertise-peer-urls=${advertised(i)}`,
      `--initial-cluster=${this.targets.map((_, n) => `m${n}=${advertised(n)}`).join(",")}`,
      "--initial-cluster-token=bench",
      `--heartbeat-interval=${timers.heartbeatMs}`,
      `--election-timeout=${timers.electionMs}`,
      ...commonFlags,
    ];
    this.#children[i] = new Child([...command, ...flags], join(this.dir, `m${i}.log`));
  }

  /** Nothing passes between this member and the others, and no connection is closed; without one all is whole again. */
  cutOff(member?: number): void {
    for (const [i, { faults }] of this.#relays.entries()) {
      faults.clear("*");
      if (member === undefined) continue;
      faults.set("cut", { type: "block", peer: i === member ? "*" : `m${member}`, direction: "both" });
    }
  }

  client(i: number): GrpcClient {
    return this.#clients[i]!;
  }

  runs(i: number): boolean {
    return this.#children[i] !== undefined;
  }

  /** The index of the leader that all members name. */
  async leader(limitMs = 30_000): Promise<number> {
    let found = -1;
    await until(`${this.store.name}: a leader`, { limitMs, everyMs: 50, signal: this.#signal }, async () => {
      const asked = this.#clients.map((client) => client.unary(MaintenanceService.Status, {}, { timeoutMs: 1000 }));
      const states = await Promise.all(asked.map((one) => one.catch(() => undefined)));
      const named = states[0]?.leader ?? 0n;
      found = states.findIndex((state) => state?.header?.memberId === named);
      for (const child of this.#children) child?.check();
      return named !== 0n && found >= 0 && states.every((state) => state?.leader === named);
    });
    return found;
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
    await this.#children[i]?.end(name);
    this.#children[i] = undefined;
  }

  usage(): Usage[] {
    return this.#children.flatMap((child) => (child ? [child.usage()] : []));
  }

  async stop(name: NodeJS.Signals = "SIGKILL"): Promise<void> {
    for (const client of this.#clients) client.close();
    await Promise.all(this.targets.map((_, i) => this.end(i, name)));
    for (const relay of this.#relays) relay.close();
    dropFolder(this.dir);
  }
}
