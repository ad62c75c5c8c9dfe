import http from "node:http";
import type { Server as NetServer } from "node:net";
import type { Registry } from "../../base/metrics.ts";
import { handle } from "../../base/ops-server.ts";
import { none } from "../raft/types.ts";
import type { Member } from "./member.ts";
import { clusterVersion, etcdVersion } from "./version.ts";

/** `--listen-metrics-urls`: plain HTTP `/health` and `/version` in etcd's JSON, `/livez /readyz /metrics` as all of ours. */
export function serveOps(listener: NetServer, member: Member, registry: Registry): void {
  const notReady = () =>
    member.leader === none ? "no leader" : member.published ? undefined : "not yet published to the cluster";
  const server = http.createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://member");
    const json = (code: number, body: object) => {
      response.writeHead(code, { "content-type": "application/json" });
      response.end(`${JSON.stringify(body)}\n`);
    };
    if (url.pathname === "/version") {
      json(200, { etcdserver: etcdVersion, etcdcluster: clusterVersion, storage: clusterVersion });
    } else if (url.pathname === "/health") {
      void unhealthy(member, url.searchParams.get("serializable") === "true").then((reason) =>
        json(reason ? 503 : 200, { health: reason ? "false" : "true", reason: reason ?? "" }),
      );
    } else void handle({ registry, notReady }, request, response);
  });
  listener.on("connection", (socket) => server.emit("connection", socket));
}

async function unhealthy(member: Member, serializable: boolean): Promise<string | undefined> {
  if (serializable) return undefined;
  if (member.leader === none) return "RAFT NO LEADER";
  return member.linearizable(() => undefined).catch((error: Error) => `QGET ERROR:${error.message}`);
}
