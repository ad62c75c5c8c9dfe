import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { askFaults, type Fault } from "../../base/faults.ts";
import { listenHere } from "../../base/outside.ts";
import { GrpcClient } from "../../net/grpc-client.ts";
import { MaintenanceService, type StatusResponse } from "../../proto/generated/etcdserverpb.ts";
import { type StoreMember, whenHealthy } from "../clients/members.ts";

/**
 * Members as processes of `dist/etcd-raft.mjs` on the loopback, each with its fault socket, made to be hurt. They have
 * an IPC channel to this process and end with it, whatever ends it.
 */
export class SoakCluster {
  readonly members: SoakMember[];
  readonly #clock: Clock;
  readonly #socketDir: string;
  /** Members that ended by themselves when nobody expected it: what they said last. */
  readonly unexpected: string[] = [];

  static async start(size: number, dir: string, flags: string[], clock: Clock): Promise<SoakCluster> {
    const cluster = new SoakCluster(await freePorts(2 * size), dir, flags, clock);
    for (const member of cluster.members) member.start();
    return cluster;
  }

  private constructor(ports: number[], dir: string, flags: string[], clock: Clock) {
    this.#clock = clock;
    this.#socketDir = mkdtempSync(join(tmpdir(), "soak-")); // socket paths must be short
    const url = (i: number) => `http://127.0.0.1:${ports[i]}`;
    const names = Array.from({ length: ports.length / 2 }, (_, i) => `m${i}`);
    const everyone = names.map((name, i) => `${name}=${url(2 * i + 1)}`).join(",");
    this.members = names.map((name, i) => {
      const [client, peer] = [url(2 * i), url(2 * i + 1)];
      const place = { name, dir: join(dir, name), socket: join(this.#socketDir, name), client, peer };
      return new SoakMember(place, this.unexpected, [
        `--listen-client-urls=${client}`,
        `--advertise-client-urls=${client}`,
        `--listen-peer-urls=${peer}`,
        `--initial-advertise-peer-urls=${peer}`,
        `--initial-cluster=${everyone}`,
        ...flags,
      ]);
    });
  }

  /** Who leads, as far as a running member says so of itself in the highest term. */
  async leader(): Promise<SoakMember | undefined> {
    const states = await Promise.all(this.members.map(async (member) => ({ member, status: await member.status() })));
    const leading = states.filter(({ status }) => status?.leader && status.leader === status.header?.memberId);
    return leading.sort((a, b) => b.status!.raftTerm - a.status!.raftTerm)[0]?.member;
  }

  /** Undoes all that was done to the members. */
  async heal(): Promise<void> {
    for (const member of this.members) member.signal("SIGCONT");
    await Promise.all(this.members.map((member) => member.clearFaults()));
    for (const member of this.members) member.start();
  }

  /** One may have ended by a fault just before it was cleared. */
  healthy(timeoutMs: number): Promise<string | undefined> {
    const again = () => {
      for (const member of this.members) member.start();
    };
    return whenHealthy(this.members, this.#clock, timeoutMs, again);
  }

  async close(): Promise<void> {
    await Promise.all(this.members.map((member) => member.close()));
    rmSync(this.#socketDir, { recursive: true, force: true });
  }
}

export class SoakMember implements StoreMember {
  readonly name: string;
  readonly dir: string;
  readonly url: string;
  readonly peerURL: string;
  readonly client: GrpcClient;
  state: "up" | "down" | "paused" = "down";
  /** It may end by itself now: its disk is full or failing. */
  mayEnd = false;
  readonly #socket: string;
  readonly #flags: string[];
  readonly #unexpected: string[];
  #process: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(
    place: { name: string; dir: string; socket: string; client: string; peer: string },
    unexpected: string[],
    flags: string[],
  ) {
    this.name = place.name;
    this.dir = place.dir;
    this.url = place.client;
    this.peerURL = place.peer;
    this.client = new GrpcClient(new URL(place.client).host, {
      channelOptions: { "grpc.max_reconnect_backoff_ms": 100 },
    });
    this.#socket = place.socket;
    this.#unexpected = unexpected;
    this.#flags = [`--name=${place.name}`, `--data-dir=${place.dir}`, `--fault-socket=${place.socket}`, ...flags];
  }

  get logFile(): string {
    return `${this.dir}.log`;
  }

  /** Nothing, if it runs. */
  start(): void {
    if (this.#process !== undefined) return;
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    const log = openSync(this.logFile, "a");
    const child = spawn(process.execPath, ["dist/etcd-raft.mjs", ...this.#flags], {
      stdio: ["ignore", log, log, "ipc"],
      detached: true, // Ctrl-C is for the soak, which ends them in its own time
    });
    closeSync(log);
    this.#process = child;
    this.state = "up";
    let asked = false;
    this.#end = () => {
      asked = true;
    };
    this.#ended = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        this.#process = undefined;
        this.state = "down";
        if (!asked && !this.mayEnd)
          this.#unexpected.push(`${this.name} ended with ${code ?? signal}: ${this.#lastWords()}`);
        resolve();
      });
    });
  }
  #end = () => {};

  #lastWords(): string {
    return readFileSync(this.logFile, "utf8").trim().split("\n").slice(-3).join(" | ");
  }

  /** Without its data, as a member that was just added to a running cluster. */
  beginAnew(): void {
    rmSync(this.dir, { recursive: true, force: true });
    if (!this.#flags.includes(existing)) this.#flags.push(existing);
  }

  /** SIGKILL, SIGTERM: resolves when it is gone. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    this.#end();
    this.#process?.kill(signal);
    await this.#ended;
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#process?.kill(signal);
    if (this.#process) this.state = signal === "SIGSTOP" ? "paused" : "up";
  }

  async fault(name: string, fault: Fault): Promise<void> {
    if (fault.type === "full-disk" || fault.type === "fail-sync") this.mayEnd = true;
    await askFaults(this.#socket, { set: name, fault });
  }

  async clearFaults(): Promise<void> {
    await askFaults(this.#socket, { clear: "*" }).catch(() => {}); // a process that ended has none
  }

  status(timeoutMs = 500): Promise<StatusResponse | undefined> {
    return this.client.unary(MaintenanceService.Status, {}, { timeoutMs }).catch(() => undefined);
  }

  async close(): Promise<void> {
    this.client.close();
    await this.end("SIGKILL");
  }
}

const existing = "--initial-cluster-state=existing";

/** All held at once before any is given back, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, () => listenHere("127.0.0.1", 0)));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
