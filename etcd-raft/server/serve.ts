import type { Registry } from "../../base/metrics.ts";
import { GrpcFront } from "../../net/grpc-front.ts";
import type { TlsMaterial } from "../../net/tls.ts";
import {
  ClusterService,
  KVService,
  LeaseService,
  MaintenanceService,
  WatchService,
} from "../../proto/generated/etcdserverpb.ts";
import { none } from "../raft/types.ts";
import { HealthService, healthHandlers } from "./health-service.ts";
import { kvHandlers } from "./kv-service.ts";
import { leaseHandlers } from "./lease-service.ts";
import { clusterHandlers, maintenanceHandlers } from "./maintenance-service.ts";
import type { Member } from "./member.ts";
import { observeMember } from "./metrics.ts";
import { WatchServer } from "./watch-service.ts";

/** The client API of one member, ready to be given listening sockets; one server for https, one for http. */
export interface ClientServer {
  secure: GrpcFront | undefined;
  insecure: GrpcFront;
  close(): Promise<void>;
}

export function serveClients(
  member: Member,
  options: {
    tls: TlsMaterial | undefined;
    clientCertAuth: boolean;
    maxRequestBytes: number;
    progressNotifyMs: number;
    registry: Registry;
  },
): ClientServer {
  const watch = new WatchServer(member, options.progressNotifyMs);
  observeMember(options.registry, member, () => watch.watcherCount);
  const withServices = (server: GrpcFront) => {
    server.addService(KVService, kvHandlers(member));
    server.addService(WatchService, { Watch: watch.Watch });
    server.addService(LeaseService, leaseHandlers(member));
    server.addService(ClusterService, clusterHandlers(member));
    server.addService(MaintenanceService, maintenanceHandlers(member));
    server.addService(
      HealthService,
      healthHandlers(() => member.leader !== none),
    );
    return server;
  };
  const clientCertificates = options.clientCertAuth ? ("require" as const) : ("request" as const);
  const maxMessageBytes = options.maxRequestBytes + 512 * 1024;
  const secure = options.tls && withServices(new GrpcFront({ tls: options.tls, clientCertificates, maxMessageBytes }));
  const insecure = withServices(new GrpcFront({ maxMessageBytes }));
  return {
    secure,
    insecure,
    async close() {
      await Promise.all([secure?.close(closeGraceMs), insecure.close(closeGraceMs)]);
    },
  };
}

const closeGraceMs = 100;
