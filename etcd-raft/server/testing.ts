import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { type Logger, silentLogger } from "../../base/logger.ts";
import { listenHere } from "../../base/outside.ts";
import { systemRand } from "../../base/rand.ts";
import { EtcdClient } from "../client/client.ts";
import { type Disk, nodeDisk } from "../wal/disk.ts";
import { parseConfig } from "./config.ts";
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
  const cluster = await startTestCluster(1);
  return { endpoint: cluster.endpoints[0]!, close: () => cluster.close() };
}

export interface TestCluster {
  endpoints: string[];
  /** Undefined while stopped. */
  members: (RunningMember | undefined)[];
  /** One client for all members, and one for each. */
  client: EtcdClient;
  clientOf(index: number): EtcdClient;
  leader(): Promise<number>;
  stop(index: number): Promise<void>;
  start(index: number): Promise<void>;
  close(): Promise<void>;
}

export async function startTestCluster(
  size: number,
  options: { log?: Logger; flags?: string[]; disk?: Disk; onFatal?: (error: Error) => void } = {},
): Promise<TestCluster> {
  const dir = mkdtempSync(join(tmpdir(), "etcd-raft-"));
  const ports = await freePorts(2 * size);
  const peerURL = (i: number) => `http://127.0.0.1:${ports[2 * i + 1]}`;
  const endpoints = Array.from({ length: size }, (_, i) => `http://127.0.0.1:${ports[2 * i]}`);
  const everyone = endpoints.map((_, i) => `m${i}=${peerURL(i)}`).join(",");
  const members: TestCluster["members"] = [];
  const clients: EtcdClient[] = [];
  const connect = (to: string[]) => {
    const client = new EtcdClient({ endpoints: to });
    clients.push(client);
    return client;
  };
  const start = async (i: number) => {
    const config = parseConfig([
      `--name=m${i}`,
      `--data-dir=${join(dir, `m${i}`)}`,
      `--listen-client-urls=${endpoints[i]}`,
      `--advertise-client-urls=${endpoints[i]}`,
      `--listen-peer-urls=${peerURL(i)}`,
      `--initial-advertise-peer-urls=${peerURL(i)}`,
      `--initial-cluster=${everyone}`,
      "--heartbeat-interval=20",
      "--election-timeout=200",
      ...(options.flags ?? []),
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
