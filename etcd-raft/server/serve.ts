import type { Socket } from "node:net";
import type { Clock } from "../../base/clock.ts";
import type { Registry } from "../../base/metrics.ts";
import { GrpcFront } from "../../net/grpc-front.ts";
import { HealthService, healthHandlers } from "../../net/grpc-health.ts";
import type { TlsSource } from "../../net/tls-source.ts";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import { ElectionService } from "../../proto/generated/v3electionpb.ts";
import { LockService } from "../../proto/generated/v3lockpb.ts";
import type { Jwt } from "../auth/jwt.ts";
import { PasswordPool } from "../auth/password.ts";
import { electionHandlers, lockHandlers } from "../concurrency/services.ts";
import { jsonGateway } from "../gateway/gateway.ts";
import { none } from "../raft/types.ts";
import { callersOf } from "./access.ts";
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
import { watchServer } from "./watch-service.ts";

interface Surroundings {
  registry: Registry;
  clock: Clock;
  tls: TlsSource | undefined;
  jwt: Jwt | undefined; // none: simple tokens
}

/**
 * The client API of one member, ready to be given listening sockets: one server for https, one for http, and `http` for those
 * who speak HTTP/1.1.
 */
export function serveClients(
  member: Member,
  { flags, clientTLS, bcryptCost, progressNotifyMs }: Config,
  { registry, clock, tls, jwt }: Surroundings,
) {
  const callers = callersOf(member, { clientCertAuth: flags["client-cert-auth"], jwt });
  const passwords = new PasswordPool();
  const watch = watchServer(member, callers, progressNotifyMs);
  const kv = kvHandlers(member, callers);
  const leases = leaseHandlers(member, callers);
  const all: [Parameters<GrpcFront["addService"]>[0], Record<string, unknown>][] = [
    [{ ...pb.KVService, Put: { ...pb.KVService.Put, request: putRequestInPlace } }, kv],
    [pb.WatchService, { Watch: watch.Watch }],
    [pb.LeaseService, leases],
    [LockService, lockHandlers({ member, kv, leases })],
    [ElectionService, electionHandlers({ member, kv, leases })],
    [pb.ClusterService, clusterHandlers(member, callers)],
    [pb.MaintenanceService, maintenanceHandlers(member, callers)],
    [pb.AuthService, authHandlers(member, callers, { bcryptCost, passwords, jwt })],
    [HealthService, healthHandlers(() => member.leader !== none, member.config.clock)],
  ];
  const services = all.map(([service, handlers]) => [service, gate(member, service, handlers)] as const);
  const withServices = (server: GrpcFront) => {
    for (const [service, handlers] of services) server.addService(service, handlers as Record<string, never>);
    return server;
  };
  const byPath = new Map<string, unknown>();
  for (const [service, handlers] of services) {
    for (const [name, handler] of Object.entries(handlers)) byPath.set(service[name]!.path, handler);
  }
  const maxRequestBytes = flags["max-request-bytes"];
  const gateway = flags["enable-grpc-gateway"] ? jsonGateway(byPath, maxRequestBytes * 2) : undefined;
  const http = httpServer(member, registry, gateway);
  // HTTP/1.1 may have URLs of its own: where gRPC is served there is nothing else then.
  const separateHttp = flags["listen-client-http-urls"].length > 0;
  const http1 = separateHttp ? {} : { http1: (socket: Socket) => void http.emit("connection", socket) };
  const clientCertificates = clientTLS.requireCertificate ? ("require" as const) : ("none" as const);
  const onRefused = ({ remoteAddress }: Socket, reason: string) =>
    member.config.log.warn({ remote: remoteAddress, reason }, "Rejected a client connection");
  const [minTimeMs, timeoutMs] = [flags["grpc-keepalive-min-time"], flags["grpc-keepalive-timeout"]];
  const keepalive = { minTimeMs, intervalMs: flags["grpc-keepalive-interval"], timeoutMs, clock };
  const maxStreams = flags["max-concurrent-streams"];
  const limits = { maxMessageBytes: maxRequestBytes + 512 * 1024, maxStreams, keepalive };
  const secure = tls && withServices(new GrpcFront({ tls, clientCertificates, onRefused, ...limits, ...http1 }));
  const insecure = withServices(new GrpcFront({ ...limits, ...http1 }));
  observeMember(registry, member, {
    watchers: () => [...watch.streams].reduce((sum, { size }) => sum + size, 0),
    watchStreams: () => watch.streams.size,
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
