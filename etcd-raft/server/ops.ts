import http from "node:http";
import type { Registry } from "../../base/metrics.ts";
import { handle } from "../../base/ops-server.ts";
import type { Gateway } from "../gateway/gateway.ts";
import { none } from "../raft/types.ts";
import { alarmNames } from "./alarms.ts";
import type { Member } from "./member.ts";
import { clusterVersion, etcdVersion } from "./version.ts";

/**
 * What a member says over HTTP/1.1: `/health` and `/version` in etcd's JSON, `/livez /readyz /metrics` as all of ours, and
 * on the client port the JSON gateway under `/v3/`.
 */
export function httpServer(member: Member, registry: Registry, gateway?: Gateway): http.Server {
  const notReady = () =>
    member.leader === none ? "no leader" : member.published ? undefined : "not yet published to the cluster";
  return http.createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://member");
    const json = (code: number, body: object) => {
      response.writeHead(code, { "content-type": "application/json" });
      response.end(`${JSON.stringify(body)}\n`);
    };
    if (gateway && url.pathname.startsWith("/v3/")) {
      void gateway.serve(request, response);
    } else if (url.pathname === "/version") {
      json(200, { etcdserver: etcdVersion, etcdcluster: clusterVersion, storage: clusterVersion });
    } else if (url.pathname === "/health") {
      void unhealthy(member, url.searchParams).then((reason) =>
        json(reason ? 503 : 200, { health: reason ? "false" : "true", reason: reason ?? "" }),
      );
    } else void handle({ registry, notReady }, request, response);
  });
}

/** `exclude=NOSPACE`: that alarm does not count. `serializable=true`: this member may be cut off. */
async function unhealthy(member: Member, query: URLSearchParams): Promise<string | undefined> {
  const excluded = query.getAll("exclude").flatMap((names) => names.split(","));
  const alarms = member.applier.alarms.list().map(({ alarm }) => alarmNames[alarm]!);
  const alarm = alarms.find((name) => !excluded.includes(name));
  if (alarm !== undefined) return `ALARM ${alarm}`;
  if (query.get("serializable") === "true") return undefined;
  if (member.leader === none) return "RAFT NO LEADER";
  return member.linearizable(() => undefined).catch((error: Error) => `RANGE ERROR:${error.message}`);
}
