import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "../../base/clock.ts";
import type { Registry } from "../../base/metrics.ts";
import { GrpcFront, type Keepalive } from "../../net/grpc-front.ts";
import { HealthService, healthHandlers } from "../../net/grpc-health.ts";
import type { TlsSource } from "../../net/tls-source.ts";
import {
  AuthService,
  ClusterService,
  KVService,
  LeaseService,
  MaintenanceService,
  WatchService,
} from "../../proto/generated/etcdserverpb.ts";
import { ElectionService } from "../../proto/generated/v3electionpb.ts";
import { LockService } from "../../proto/generated/v3lockpb.ts";
import type { Jwt } from "../auth/jwt.ts";
import { PasswordPool } from "../auth/password.ts";
import { electionHandlers, lockHandlers } from "../concurrency/services.ts";
import { Gateway } from "../gateway/gateway.ts";
import { none } from "../raft/types.ts";
import { Callers } from "./access.ts";
import { authHandlers } from "./auth-service.ts";
import { clusterHandlers } from "./cluster-service.ts";
import type { Config } from "./config.ts";
import { gate } from "./gate.ts";
import { kvHandlers } from "./kv-service.ts";
import { leaseHandlers } from "./lease-service.ts";
import { maintenanceHandlers } from "./maintenance-service.ts";
import type { Member } from "./member.ts";
import { observeMember } from "./observed.ts";
import { httpServer } from "./ops.ts";
import { putRequestInPlace } from "./plain-put.ts";
import { WatchServer } from "./watch-service.ts";

/** The client API of one member, ready to be given listening sockets; one server for https, one for http. */
export interface ClientServer {
  secure: GrpcFront | undefined;
  insecure: GrpcFront;
  /** What speaks HTTP/1.1 to clients. */
  http: Server;
  close(): Promise<void>;
}

export function serveClients(
  member: Member,
  { flags, clientTLS, bcryptCost, progressNotifyMs }: Config,
  /** No `jwt`: simple tokens. */
  { registry, clock, tls, jwt }: { registry: Registry; clock: Clock; tls: TlsSource | undefined; jwt: Jwt | undefined },
): ClientServer {
  const callers = new Callers(member, { clientCertAuth: flags["client-cert-auth"], jwt });
  const passwords = new PasswordPool();
  const watch = new WatchServer(member, callers, progressNotifyMs);
  const kv = kvHandlers(member, callers);
  const leases = leaseHandlers(member, callers);
  const all: [Parameters<GrpcFront["addService"]>[0], Record<string, unknown>][] = [
    [{ ...KVService, Put: { ...KVService.Put, request: putRequestInPlace } }, kv],
    [WatchService, { Watch: watch.Watch }],
    [LeaseService, leases],
    [LockService, lockHandlers(member, kv, leases)],
    [ElectionService, electionHandlers(member, kv, leases)],
    [ClusterService, clusterHandlers(member, callers)],
    [MaintenanceService, maintenanceHandlers(member, callers)],
    [AuthService, authHandlers(member, callers, { bcryptCost, passwords, jwt })],
    [HealthService, healthHandlers(() => member.leader !== none, member.config.clock)],
  ];
  const services = all.map(([service, handlers]) => {
    return [service, gate(member, service, handlers)] as const;
  });
  const withServices = (server: GrpcFront) => {
    for (const [service, handlers] of services) server.addService(service, handlers as Record<string, never>);
    return server;
  };
  const byPath = new Map<string, unknown>();
  for (const [service, handlers] of services) {
    for (const [name, handler] of Object.entries(handlers)) byPath.set(service[name]!.path, handler);
  }
  const maxRequestBytes = flags["max-request-bytes"];
  const gateway = flags["enable-grpc-gateway"] ? new Gateway(byPath, maxRequestBytes * 2) : undefined;
  const http = httpServer(member, registry, gateway);
  // HTTP/1.1 may have URLs of its own: where gRPC is served there is nothing else then.
  const separateHttp = flags["listen-client-http-urls"].length > 0;
  const http1 = separateHttp ? {} : { http1: (socket: Socket) => void http.emit("connection", socket) };
  const clientCertificates = clientTLS.requireCertificate ? ("require" as const) : ("none" as const);
  const onRefused = ({ remoteAddress }: Socket, reason: string) =>
    member.config.log.warn({ remote: remoteAddress, reason }, "Rejected a client connection");
  const keepalive: Keepalive = {
    minTimeMs: flags["grpc-keepalive-min-time"],
    intervalMs: flags["grpc-keepalive-interval"],
    timeoutMs: flags["grpc-keepalive-timeout"],
    clock,
  };
  const maxStreams = flags["max-concurrent-streams"];
  const limits = { maxMessageBytes: maxRequestBytes + 512 * 1024, maxStreams, keepalive };
  const secure = tls && withServices(new GrpcFront({ tls, clientCertificates, onRefused, ...limits, ...http1 }));
  const insecure = withServices(new GrpcFront({ ...limits, ...http1 }));
  observeMember(registry, member, {
    watchers: () => watch.watcherCount,
    watchStreams: () => watch.streamCount,
    calls: () => [...(secure?.calls ?? []), ...insecure.calls],
  });
  return {
    secure,
    insecure,
    http,
    async close() {
      await Promise.all([secure?.close(closeGraceMs), insecure.close(closeGraceMs), passwords.close()]);
    },
  };
}

const closeGraceMs = 100;
