import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { EtcdClient } from "../client/client.ts";
import { freePorts } from "./testing.ts";

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
  start(index: number): Promise<void>;
  pid(index: number): number;
  /** What each member has logged so far. */
  logs: string[][];
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
  const everyone = endpoints.map((_, i) => `m${i}=${peerURL(i)}`).join(",");
  const processes: ChildProcess[] = [];
  const logs: string[][] = endpoints.map(() => []);
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
      `--initial-cluster=${everyone}`,
      "--heartbeat-interval=50",
      "--election-timeout=500",
      ...(typeof options.flags === "function" ? options.flags(i) : (options.flags ?? [])),
    ]);
    processes[i] = child;
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stderr }).on("line", (line) => {
        logs[i]!.push(line);
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
    start,
    pid: (index) => processes[index]!.pid!,
    logs,
    close,
  };
}
