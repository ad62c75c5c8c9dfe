import { readFileSync } from "node:fs";
import type { Server as HttpServer } from "node:http";
import type { AddressInfo, Server as NetServer, Socket } from "node:net";
import { type Clock, sleep } from "../../base/clock.ts";
import { Faults, faultyClock, serveFaults } from "../../base/faults.ts";
import type { Logger } from "../../base/logger.ts";
import { createRegistry } from "../../base/metrics.ts";
import { listenHere, listenOutside } from "../../base/outside.ts";
import { StartError } from "../../base/process.ts";
import type { Rand } from "../../base/rand.ts";
import { tlsAcceptor } from "../../net/tls-source.ts";
import { loadJwt } from "../auth/jwt.ts";
import type { Disk } from "../wal/disk.ts";
import { faultyDisk } from "../wal/faulty-disk.ts";
import { autoCompact } from "./auto-compaction.ts";
import { addressOf, idText } from "./cluster.ts";
import type { Config } from "./config.ts";
import { checkAtStart, watchCorruption } from "./corruption.ts";
import { watchDisk } from "./disk-space.ts";
import { faultyTransport } from "./faulty-transport.ts";
import { handOver } from "./in-service.ts";
import { askMembers, joinCluster } from "./join.ts";
import { createMetrics } from "./metrics.ts";
import { openMember } from "./open-member.ts";
import { httpServer } from "./ops.ts";
import { serveClients } from "./serve.ts";
import { openTls } from "./tls-config.ts";
import { probePeers } from "./traffic.ts";
import { type PeerTransportOptions, Transport } from "./transport.ts";

export interface Machine {
  clock: Clock;
  rand: Rand;
  disk: Disk;
  log: Logger;
  onFatal(error: Error): void;
}

export type RunningMember = Awaited<ReturnType<typeof startMember>>;

/** A whole member: listeners, WAL, raft, services. Nothing stays open if it throws. */
export async function startMember(config: Config, machine: Machine) {
  const { flags } = config;
  const listeners: NetServer[] = [];
  const take = async (flag: string, listening: Promise<NetServer>) => {
    const listener = await opened(flag, listening);
    listeners.push(listener);
    return { listener, begin: held(listener) };
  };
  const listen = async (flag: string, url: string) => {
    const { host, port } = addressOf(url);
    const taken = await take(flag, listenHere(host, port));
    return { ...taken, secure: url.startsWith("https:"), url };
  };
  let onRemoved = () => {};
  const removed = new Promise<void>((resolve) => {
    onRemoved = resolve;
  });
  const jwt = config.jwt && loadJwt(config.jwt, (file) => readFileSync(file));
  for (const warning of config.warnings) machine.log.warn({}, warning);
  if (config.jwt?.unknown.length) machine.log.warn({ keys: config.jwt.unknown }, "unknown JWT options");
  let faultSocket: { close(): void } | undefined;
  try {
    const clientTLS = await openTls(config.clientTLS, `${config.dataDir}/fixtures/client`, machine.log);
    const peerTLS = await openTls(config.peerTLS, `${config.dataDir}/fixtures/peer`, machine.log);
    type Listening = "client" | "peer" | "metrics" | "client-http";
    const all = (flag: `listen-${Listening}-urls`) => Promise.all(flags[flag].map((url) => listen(flag, url)));
    const clients = await all("listen-client-urls");
    const peers = await all("listen-peer-urls");
    const metricsPages = await all("listen-metrics-urls");
    const clientHttp = await all("listen-client-http-urls");
    const { outside: at } = config;
    const outside = at && (await take("listen-outside", listenOutside(at.host, at.port)));
    const faults = flags["fault-socket"] === undefined ? undefined : new Faults();
    if (faults) faultSocket = await serveFaults(checkedPath(flags["fault-socket"]!), faults);
    const registry = createRegistry();
    const metrics = createMetrics(registry);
    const serveCounted = (listener: NetServer, front: { serve(listener: NetServer): void }) => {
      listener.on("connection", (socket) => metrics.clientTraffic.add(socket, ""));
      front.serve(listener);
    };
    const requireClientCertificate = config.peerTLS.requireCertificate;
    let transport: Transport | undefined;
    let nameOf: (id: bigint) => string = () => "";
    const member = await openMember({
      dataDir: config.dataDir,
      walDir: flags["wal-dir"],
      name: flags.name,
      peerURLs: config.peerURLs,
      async bootstrap() {
        const local = config.cluster();
        if (flags["initial-cluster-state"] === "new") return { ...local, joins: false };
        return { ...(await joinCluster(local, (url) => askMembers(url, peerTLS))), joins: true };
      },
      strictReconfigCheck: flags["strict-reconfig-check"],
      onRemoved: () => onRemoved(),
      advertiseClientURLs: config.advertiseClientURLs,
      heartbeatMs: flags["heartbeat-interval"],
      electionMs: flags["election-timeout"],
      maxRequestBytes: flags["max-request-bytes"],
      maxTxnOps: flags["max-txn-ops"],
      snapshotCount: flags["snapshot-count"],
      snapshotCatchupEntries: flags["snapshot-catchup-entries"],
      preVote: flags["pre-vote"],
      hasten: flags["initial-election-tick-advance"],
      compactionBatch: flags["compaction-batch-limit"],
      tokenTtlMs: 1000 * flags["auth-token-ttl"],
      quotaBytes: flags["quota-backend-bytes"],
      transport: (options) => {
        const real = (to: PeerTransportOptions) => {
          transport = new Transport({ ...to, tls: peerTLS, requireClientCertificate, traffic: metrics.peerTraffic });
          return transport;
        };
        const namesOf = (id: bigint) => [idText(id), nameOf(id)];
        return faults ? faultyTransport(options, faults, namesOf, real) : real(options);
      },
      metrics,
      ...machine,
      clock: faults ? faultyClock(machine.clock, faults) : machine.clock,
      eventClock: machine.clock,
      disk: faults ? faultyDisk(machine.disk, faults, machine.clock) : machine.disk,
    });
    nameOf = (id) => member.applier.members.get(id)?.name ?? "";
    faults?.onChange((set) => {
      const all = [...set.values()].map((fault) => Object.values(fault).join(" "));
      member.history.server({ kind: "FaultsChanged", faults: all });
    });
    for (const { begin, secure } of peers) begin((listener) => transport!.serve(listener, secure));
    if (config.corruption.atStart) {
      await checkAtStart(member, peerTLS).catch(async (error: Error) => {
        await member.close();
        throw error;
      });
    }
    const server = serveClients(member, config, { registry, clock: machine.clock, tls: clientTLS, jwt });
    const overHttp = ({ begin, secure }: (typeof metricsPages)[number], http: HttpServer) => {
      const accept = (socket: Socket) => void http.emit("connection", socket);
      const { requireCertificate } = config.clientTLS;
      const rules = { requestCert: requireCertificate, rejectUnauthorized: requireCertificate };
      const take = secure ? tlsAcceptor(clientTLS!, rules, { accept, refused: () => {} }) : accept;
      begin((listener) => listener.on("connection", (socket) => take(socket.on("error", () => socket.destroy()))));
    };
    const pages = httpServer(member, registry);
    for (const listener of metricsPages) overHttp(listener, pages);
    for (const listener of clientHttp) overHttp(listener, server.http);
    for (const { begin, secure } of clients)
      begin((listener) => serveCounted(listener, secure ? server.secure! : server.insecure));
    outside?.begin((listener) => serveCounted(listener, server.secure ?? server.insecure));
    member.start();
    const beside = [
      watchDisk(member),
      probePeers(member),
      watchCorruption(member, config.corruption),
      autoCompact(config.autoCompaction, member, machine.clock, machine.log),
    ];
    return {
      member,
      removed, // resolves if the member is removed from its cluster: it is to be closed, and not to be started again
      /** Where clients are served, with the ports that were given for 0. */
      clientURLs: clients.map(({ listener, url }) =>
        url.replace(/:\d+$/, `:${(listener.address() as AddressInfo).port}`),
      ),
      async close() {
        for (const stop of beside) stop();
        for (const listener of listeners) listener.close();
        await handOver(member);
        // Clients go elsewhere now, not when the last snapshot is written; what they wait for is answered first.
        const served = server.close();
        await Promise.race([served, sleep(machine.clock, answerMs)]);
        await member.close();
        faultSocket?.close();
        for (const http of [pages, server.http]) http.close().closeAllConnections(); // with the timer that looks after them
        await served;
      },
    };
  } catch (error) {
    for (const listener of listeners) listener.close();
    faultSocket?.close();
    throw error;
  }
}

const answerMs = 50; // less than the connections are left for: who still waits is told that the member stops

/**
 * Addresses are taken before the WAL is touched, so that a taken one leaves nothing behind. Who connects before we serve
 * is kept until then: an event without a listener would lose the connection for good.
 */
export function held(listener: NetServer): (serve: (listener: NetServer) => void) => void {
  const sockets: Socket[] = [];
  const hold = (socket: Socket) => void sockets.push(socket.on("error", () => socket.destroy()));
  listener.on("connection", hold);
  return (serve) => {
    listener.off("connection", hold);
    serve(listener);
    for (const socket of sockets) if (!socket.destroyed) listener.emit("connection", socket);
  };
}

async function opened(flag: string, listener: Promise<NetServer>): Promise<NetServer> {
  try {
    return await listener;
  } catch (error) {
    throw new StartError(`--${flag}: ${(error as Error).message}`, { cause: error });
  }
}

/** The kernel's `sun_path` holds 107 bytes and a zero; Node silently cuts longer paths. */
function checkedPath(path: string): string {
  if (Buffer.byteLength(path) <= 107) return path;
  throw new StartError(`--fault-socket: unix socket path is longer than 107 bytes: ${path}`);
}
