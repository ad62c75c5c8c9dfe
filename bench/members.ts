import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sleep, systemClock } from "../base/clock.ts";
import { GrpcClient } from "../net/grpc-client.ts";
import { KVService, MaintenanceService } from "../proto/generated/etcdserverpb.ts";

/** Three members of one store as processes on 127.0.0.1, the same flags for ours and for etcd: no TLS, fsync on. */
export interface Store {
  name: string;
  /** The executable and what precedes the flags. */
  command: string[];
  /** First client port; peers follow at +10. */
  port: number;
}

export interface RunningStore {
  leaderUrl: string;
  /** Of the store, by a linearizable read: counts the writes that really happened. */
  revision(): Promise<number>;
  put(key: string, value: Uint8Array): Promise<void>;
  /** PSS of the members in MB. */
  memoryMb(): number[];
  stop(): Promise<void>;
}

export async function startMembers({ name, command, port }: Store): Promise<RunningStore> {
  const dir = mkdtempSync(join(tmpdir(), `kubelab-bench-${name}-`));
  const ids = [1, 2, 3];
  const cluster = ids.map((i) => `m${i}=http://127.0.0.1:${port + 10 + i}`).join(",");
  const children = ids.map((i) => {
    const log = openSync(join(dir, `m${i}.log`), "a");
    const flags = [
      `--name=m${i}`,
      `--data-dir=${dir}/m${i}`,
      `--listen-client-urls=http://127.0.0.1:${port + i}`,
      `--advertise-client-urls=http://127.0.0.1:${port + i}`,
      `--listen-peer-urls=http://127.0.0.1:${port + 10 + i}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${port + 10 + i}`,
      `--initial-cluster=${cluster}`,
      `--initial-cluster-token=${name}`,
      "--heartbeat-interval=100",
      "--election-timeout=1000",
    ];
    return spawn(command[0]!, [...command.slice(1), ...flags], { stdio: ["ignore", log, log] });
  });
  const clients = ids.map((i) => new GrpcClient(`127.0.0.1:${port + i}`));
  const stop = async () => {
    for (const client of clients) client.close();
    await Promise.all(children.map(end));
    rmSync(dir, { recursive: true });
  };
  try {
    const leader = await findLeader(clients);
    const client = clients[leader]!;
    return {
      leaderUrl: `http://127.0.0.1:${port + 1 + leader}`,
      revision: async () => (await client.unary(KVService.Range, { key: Buffer.from("r") })).header!.revision,
      put: async (key, value) => void (await client.unary(KVService.Put, { key: Buffer.from(key), value })),
      memoryMb: () => children.map((child) => pssMb(child.pid!)),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function findLeader(clients: GrpcClient[]): Promise<number> {
  const deadline = systemClock.monotonic() + 20_000;
  for (;;) {
    const states = await Promise.allSettled(
      clients.map((client) => client.unary(MaintenanceService.Status, {}, { timeoutMs: 1000 })),
    );
    const leader = states.findIndex(
      (state) =>
        state.status === "fulfilled" &&
        state.value.leader !== 0n &&
        state.value.leader === state.value.header?.memberId,
    );
    if (leader >= 0 && states.every(({ status }) => status === "fulfilled")) return leader;
    if (systemClock.monotonic() > deadline) throw new Error("no leader within 20 s");
    await sleep(systemClock, 100);
  }
}

export function pssMb(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1]) / 1024;
}

function end(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return void resolve();
    child.once("exit", () => resolve());
    child.kill("SIGKILL");
  });
}
