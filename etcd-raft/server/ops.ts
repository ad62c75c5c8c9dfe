import http from "node:http";
import type { Registry } from "../../base/metrics.ts";
import { handle } from "../../base/ops-server.ts";
import type { Gateway } from "../gateway/gateway.ts";
import { idText } from "./cluster.ts";
import { versionOf } from "./downgrade.ts";
import { healthPage } from "./health-pages.ts";
import type { HistoryEvent } from "./history.ts";
import type { Member } from "./member.ts";
import { etcdVersion } from "./version.ts";

/**
 * What a member says over HTTP/1.1: `/health /livez /readyz` (`health-pages.ts`), `/version` in etcd's JSON, `/metrics`,
 * `/debug/raft/events` (`serveEvents`), and on the client port the JSON gateway under `/v3/`.
 */
export function httpServer(member: Member, registry: Registry, gateway?: Gateway): http.Server {
  const server = http.createServer((request, response) => {
    const [, path = "", query] = /^([^?]*)\??(.*)/s.exec(request.url ?? "/") ?? []; // it may be no URL
    const search = new URLSearchParams(query);
    for (const [name, value] of anyOrigin) response.setHeader(name, value);
    if (request.method === "OPTIONS") return void response.writeHead(200).end();
    if (gateway && path.startsWith("/v3/")) {
      void gateway.serve(request, response);
    } else if (path === "/debug/raft/events") {
      serveEvents(member, search, response);
    } else if (path === "/version") {
      if (!onlyGet(request, response)) return;
      const version = versionOf(member.applier.downgrade);
      const body = { etcdserver: etcdVersion, etcdcluster: version, storage: version };
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    } else {
      const page = healthPage(member, path, search);
      if (page === undefined) void handle({ registry, notReady: () => undefined }, request, response);
      else if (onlyGet(request, response)) {
        void page.then(({ code, body }) => {
          member.config.metrics[code === 200 ? "healthSuccess" : "healthFailures"].inc();
          response.writeHead(code, { ...plainText, "x-content-type-options": "nosniff" });
          response.end(body);
        });
      }
    }
  });
  server.emit("listening"); // it is given its connections: so that it bounds how long each may take, and can close them
  return server;
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
    const { name } = member.config;
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

const plainText = { "content-type": "text/plain; charset=utf-8" };
const maxUnreadBytes = 1 << 20;

/** Of etcd's default `--cors=*`. */
const anyOrigin = new Map([
  ["Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE"],
  ["Access-Control-Allow-Origin", "*"],
  ["Access-Control-Allow-Headers", "accept, content-type, authorization"],
]);

function onlyGet({ method }: http.IncomingMessage, response: http.ServerResponse): boolean {
  if (method === "GET") return true;
  response.writeHead(405, { allow: "GET", ...plainText });
  response.end("Method Not Allowed\n");
  return false;
}
