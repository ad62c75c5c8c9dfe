import http from "node:http";
import type { Registry } from "../../base/metrics.ts";
import { handle } from "../../base/ops-server.ts";
import type { Gateway } from "../gateway/gateway.ts";
import { none } from "../raft/types.ts";
import { alarmNames } from "./alarms.ts";
import { idText } from "./cluster.ts";
import { versionOf } from "./downgrade.ts";
import type { HistoryEvent } from "./history.ts";
import type { Member } from "./member.ts";
import { etcdVersion } from "./version.ts";

/**
 * What a member says over HTTP/1.1: `/health` and `/version` in etcd's JSON, `/livez /readyz /metrics` as all of ours,
 * `/debug/raft/events` (`serveEvents`), and on the client port the JSON gateway under `/v3/`.
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
    } else if (url.pathname === "/debug/raft/events") {
      serveEvents(member, url.searchParams, response);
    } else if (url.pathname === "/version") {
      const version = versionOf(member.applier.downgrade);
      json(200, { etcdserver: etcdVersion, etcdcluster: version, storage: version });
    } else if (url.pathname === "/health") {
      void unhealthy(member, url.searchParams).then((reason) =>
        json(reason ? 503 : 200, { health: reason ? "false" : "true", reason: reason ?? "" }),
      );
    } else void handle({ registry, notReady }, request, response);
  });
}

/**
 * `GET /debug/raft/events?since=SEQ`: `{member, id, life, oldest, last, events}`, those after SEQ that are kept. Another
 * `life` than at the last time: the member was restarted, begin at 0. `follow=true`: one event a line, and those that come;
 * who does not read them is cut off.
 */
function serveEvents(member: Member, query: URLSearchParams, response: http.ServerResponse): void {
  const since = query.get("since") ?? "0";
  const json = { "content-type": "application/json" };
  if (!/^\d{1,15}$/.test(since)) {
    response.writeHead(400, json);
    response.end(`${JSON.stringify({ error: `since is a number, not "${since.slice(0, 100)}"` })}\n`);
    return;
  }
  const { history } = member;
  const events = history.since(Number(since));
  if (query.get("follow") !== "true") {
    const { name } = member.config.cluster.self;
    const oldest = history.since(0)[0]?.seq ?? 0;
    response.writeHead(200, json);
    response.end(
      `${JSON.stringify({ member: name, id: idText(member.id), life: history.life, oldest, last: history.lastSeq, events })}\n`,
    );
    return;
  }
  response.writeHead(200, { "content-type": "application/x-ndjson" });
  response.flushHeaders();
  const tell = (event: HistoryEvent) => {
    response.write(`${JSON.stringify(event)}\n`);
    if (response.writableLength > maxUnreadBytes) response.destroy();
  };
  for (const event of events) tell(event);
  response.on("close", history.follow(tell));
}

const maxUnreadBytes = 1 << 20;

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
