import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { sleep, systemClock } from "../../base/clock.ts";
import { type Logger, silentLogger } from "../../base/logger.ts";
import { listenHere } from "../../base/outside.ts";
import { systemRand } from "../../base/rand.ts";
import { EtcdClient } from "../client/client.ts";
import { type Disk, nodeDisk } from "../wal/disk.ts";
import { parseConfig } from "./config.ts";
import type { HistoryEvent } from "./history.ts";
import { type RunningMember, startMember } from "./start.ts";

/**
 * Members for tests, in this process, over real sockets on the loopback without TLS, with real files in a temporary
 * directory.
 *
 *     const store = await startTestMember();
 *     const etcd = new EtcdClient({ endpoints: [store.endpoint] });
 *     ...
 *     etcd.close();
 *     await store.close();
 */
export async function startTestMember(): Promise<{ endpoint: string; close(): Promise<void> }> {
  const foreign = process.env["KUBELAB_STORE_BINARY"]; // of `npm run swap-matrix`
  if (foreign) return startForeignMember(foreign);
  const cluster = await startTestCluster(1);
  return { endpoint: cluster.endpoints[0]!, close: () => cluster.close() };
}

/** A program with etcd's flags in a member's place, as soon as it leads. */
async function startForeignMember(program: string): Promise<{ endpoint: string; close(): Promise<void> }> {
  const dir = mkdtempSync(join(tmpdir(), "foreign-member-"));
  const [endpoint, peerUrl] = (await freePorts(2)).map((port) => `http://127.0.0.1:${port}`) as [string, string];
  const flags = [`--data-dir=${dir}`, `--listen-client-urls=${endpoint}`, `--advertise-client-urls=${endpoint}`];
  const peers = [`--listen-peer-urls=${peerUrl}`, `--initial-advertise-peer-urls=${peerUrl}`];
  const cluster = `--initial-cluster=default=${peerUrl}`;
  const child = spawn(program, [...flags, ...peers, cluster], { stdio: "ignore" });
  const gone = once(child, "exit");
  const leads = () =>
    fetch(`${endpoint}/health`).then(
      ({ ok }) => ok,
      () => false,
    ); // changes no revision
  while (!(await leads())) {
    if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}`);
    await sleep(systemClock, 20);
  }
  const close = async () => {
    child.kill("SIGKILL");
    await gone;
    rmSync(dir, { recursive: true, force: true });
  };
  return { endpoint, close };
}

export interface TestCluster {
  endpoints: string[];
  /** Undefined while stopped. */
  members: (RunningMember | undefined)[];
  /** One client for all members, and one for each. */
  client: EtcdClient;
  clientOf(index: number): EtcdClient;
  leader(): Promise<number>;
  peerURL(index: number): string;
  /** Addresses for one more member, which `start` lets join once it was added. Returns its index. */
  reserve(): Promise<number>;
  stop(index: number): Promise<void>;
  start(index: number): Promise<void>;
  close(): Promise<void>;
}

export async function startTestCluster(
  size: number,
  options: {
    log?: Logger;
    flags?: string[] | ((i: number) => string[]);
    disk?: Disk;
    onFatal?: (error: Error) => void;
  } = {},
): Promise<TestCluster> {
  const dir = mkdtempSync(join(tmpdir(), "etcd-raft-"));
  const ports = await freePorts(2 * size);
  const peerURL = (i: number) => `http://127.0.0.1:${ports[2 * i + 1]}`;
  const nameAt = (url: string) => `m${ports.findIndex((_, i) => peerURL(i) === url)}=${url}`;
  const endpoints = Array.from({ length: size }, (_, i) => `http://127.0.0.1:${ports[2 * i]}`);
  const everyone = endpoints.map((_, i) => `m${i}=${peerURL(i)}`).join(",");
  const members: TestCluster["members"] = [];
  const clients: EtcdClient[] = [];
  const connect = (to: string[]) => {
    const client = new EtcdClient({ endpoints: to });
    clients.push(client);
    return client;
  };
  /** As the cluster knows it now, for one that joins. */
  const known = () => {
    const running = members.find((other) => other?.member.isLeader) ?? members.find(Boolean);
    return [...running!.member.applier.members.values()].flatMap(({ peerURLs }) => peerURLs.map(nameAt)).join(",");
  };
  const start = async (i: number) => {
    const config = parseConfig([
      `--name=m${i}`,
      `--data-dir=${join(dir, `m${i}`)}`,
      `--listen-client-urls=${endpoints[i]}`,
      `--advertise-client-urls=${endpoints[i]}`,
      `--listen-peer-urls=${peerURL(i)}`,
      `--initial-advertise-peer-urls=${peerURL(i)}`,
      ...(i < size
        ? [`--initial-cluster=${everyone}`]
        : [`--initial-cluster=${known()}`, "--initial-cluster-state=existing"]),
      "--heartbeat-interval=20",
      "--election-timeout=200",
      ...(typeof options.flags === "function" ? options.flags(i) : (options.flags ?? [])),
    ]);
    members[i] = await startMember(config, {
      clock: systemClock,
      rand: systemRand,
      disk: options.disk ?? nodeDisk,
      log: options.log ?? silentLogger,
      onFatal:
        options.onFatal ??
        ((error) => {
          throw error;
        }),
    });
  };
  await Promise.all(endpoints.map((_, i) => start(i)));
  const each: EtcdClient[] = [];
  return {
    endpoints,
    members,
    peerURL,
    async reserve() {
      ports.push(...(await freePorts(2)));
      return endpoints.push(`http://127.0.0.1:${ports.at(-2)}`) - 1;
    },
    client: connect(endpoints),
    clientOf(index) {
      each[index] ??= connect([endpoints[index]!]);
      return each[index];
    },
    async leader() {
      await Promise.all(members.map((running) => running?.member.waitForLeader(10_000)));
      return members.findIndex((running) => running?.member.isLeader);
    },
    async stop(index) {
      const running = members[index];
      members[index] = undefined;
      await running?.close();
    },
    start,
    async close() {
      for (const client of clients) client.close();
      await Promise.all(members.map((running) => running?.close()));
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** All held at once before any is given back, so that they differ. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, () => listenHere("127.0.0.1", 0)));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/**
 * Members as real processes of `dist/etcd-raft.mjs` (build it first), for tests that kill them. `kill` ends one with any
 * signal and waits; `start` brings it back on the same data.
 */
export interface ProcessCluster {
  endpoints: string[];
  client: EtcdClient;
  clientOf(index: number): EtcdClient;
  /** Index of the member that leads, as the members themselves say. */
  leader(): Promise<number>;
  /** Resolves with the exit code, or null after a signal. */
  kill(index: number, signal: NodeJS.Signals): Promise<number | null>;
  /** Resolves with the exit code once it has ended by itself. */
  ended(index: number): Promise<number | null>;
  /** For SIGSTOP and SIGCONT. */
  signal(index: number, signal: NodeJS.Signals): void;
  start(index: number): Promise<void>;
  pid(index: number): number;
  peerURL(index: number): string;
  /** Addresses for one more member, which `start` lets join once it was added. Returns its index. */
  reserve(): Promise<number>;
  /** What each member has logged so far. */
  logs: string[][];
  /** The first line of a member's log that says `text`, also in earlier lives. */
  logged(index: number, text: string): Promise<string>;
  /** The first event of this life of a member that fits (`/debug/raft/events`). */
  event(index: number, kind: HistoryEvent["kind"], fits?: (event: HistoryEvent) => boolean): Promise<HistoryEvent>;
  close(): Promise<void>;
}

export interface ProcessClusterOptions {
  /** Flags for every member, or for each. */
  flags?: string[] | ((index: number) => string[]);
  scheme?: "http" | "https";
  clientTLS?: ConstructorParameters<typeof EtcdClient>[0]["tls"];
}

export async function startProcessCluster(size: number, options: ProcessClusterOptions = {}): Promise<ProcessCluster> {
  const dir = mkdtempSync(join(tmpdir(), "etcd-raft-"));
  const ports = await freePorts(2 * size);
  const scheme = options.scheme ?? "http";
  const peerURL = (i: number) => `${scheme}://127.0.0.1:${ports[2 * i + 1]}`;
  const endpoints = Array.from({ length: size }, (_, i) => `${scheme}://127.0.0.1:${ports[2 * i]}`);
  const everyone = () => endpoints.map((_, i) => `m${i}=${peerURL(i)}`).join(",");
  const processes: ChildProcess[] = [];
  const logs: string[][] = endpoints.map(() => []);
  const lines = new EventEmitter<Record<`${number}`, [string]>>();
  const clients: EtcdClient[] = [];
  const connect = (to: string[]) => {
    const client = new EtcdClient({ endpoints: to, ...(options.clientTLS ? { tls: options.clientTLS } : {}) });
    clients.push(client);
    return client;
  };
  const start = async (i: number) => {
    const child = spawn(process.execPath, [
      "dist/etcd-raft.mjs",
      `--name=m${i}`,
      `--data-dir=${join(dir, `m${i}`)}`,
      `--listen-client-urls=${endpoints[i]}`,
      `--advertise-client-urls=${endpoints[i]}`,
      `--listen-peer-urls=${peerURL(i)}`,
      `--initial-advertise-peer-urls=${peerURL(i)}`,
      `--initial-cluster=${everyone()}`,
      `--initial-cluster-state=${i < size ? "new" : "existing"}`,
      "--heartbeat-interval=50",
      "--election-timeout=500",
      ...(typeof options.flags === "function" ? options.flags(i) : (options.flags ?? [])),
    ]);
    processes[i] = child;
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stderr }).on("line", (line) => {
        logs[i]!.push(line);
        lines.emit(`${i}`, line);
        if (line.includes("ready to serve client requests")) resolve();
      });
      child.once("exit", (code) =>
        reject(new Error(`member ${i} exited with ${code}: ${logs[i]!.slice(-5).join("\n")}`)),
      );
    });
  };
  const kill: ProcessCluster["kill"] = async (i, signal) => {
    const child = processes[i]!;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const gone = once(child, "exit");
    child.kill(signal);
    return (await gone)[0] as number | null;
  };
  const close = async () => {
    for (const client of clients) client.close();
    await Promise.all(processes.map((_, i) => kill(i, "SIGKILL")));
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await Promise.all(endpoints.map((_, i) => start(i)));
  } catch (error) {
    await close();
    throw error;
  }
  const each: EtcdClient[] = [];
  const clientOf = (index: number) => {
    each[index] ??= connect([endpoints[index]!]);
    return each[index];
  };
  return {
    endpoints,
    client: connect(endpoints),
    clientOf,
    async leader() {
      const deadline = performance.now() + 20_000;
      while (performance.now() < deadline) {
        for (const [i, child] of processes.entries()) {
          if (child.exitCode !== null || child.signalCode !== null) continue;
          const status = await clientOf(i)
            .status({ timeoutMs: 1000 })
            .catch(() => undefined);
          if (status?.leader && status.leader === status.header?.memberId) return i;
        }
      }
      throw new Error("no member leads");
    },
    kill,
    ended: async (index) => (await once(processes[index]!, "exit"))[0] as number | null,
    signal: (index, signal) => void processes[index]!.kill(signal),
    start,
    pid: (index) => processes[index]!.pid!,
    peerURL,
    async reserve() {
      ports.push(...(await freePorts(2)));
      logs.push([]);
      return endpoints.push(`${scheme}://127.0.0.1:${ports.at(-2)}`) - 1;
    },
    logs,
    logged: (index, text) =>
      within(30_000, `member ${index} says "${text}"`, (found, signal) => {
        const look = (line: string) => line.includes(text) && found(line);
        lines.on(`${index}`, look);
        signal.addEventListener("abort", () => lines.off(`${index}`, look));
        logs[index]!.find(look);
      }),
    event: (index, kind, fits = () => true) =>
      within(30_000, `${kind} at member ${index}`, (found, signal) => {
        const url = `${endpoints[index]}/debug/raft/events?follow=true`;
        const { get } = scheme === "https" ? https : http;
        get(url, { agent: false, signal, ...options.clientTLS }, (response) => {
          createInterface({ input: response })
            .on("line", (line) => {
              const event = JSON.parse(line) as HistoryEvent;
              if (event.kind === kind && fits(event)) found(event);
            })
            .on("error", () => {}); // ours, when it is found or too late; else the deadline tells
        }).on("error", () => {});
      }),
    close,
  };
}

/** Waits for what an event brings; the deadline is for hangs. The signal tells when to stop listening. */
export async function within<T>(
  ms: number,
  what: string,
  listen: (found: (value: T) => void, signal: AbortSignal) => void,
): Promise<T> {
  const stop = new AbortController();
  try {
    return await new Promise<T>((resolve, reject) => {
      const cancel = systemClock.after(ms, () => reject(new Error(`not within ${ms / 1000} s: ${what}`)));
      stop.signal.addEventListener("abort", cancel);
      listen(resolve, stop.signal);
    });
  } finally {
    stop.abort();
  }
}
