import { stringify } from "yaml";
import type { Resource } from "../../api/resource.ts";
import { apiVersionOf } from "../../apimachinery/object.ts";
import { failure, notAcceptable, type Status, statusOf } from "../../apimachinery/status.ts";
import type { Clock } from "../../base/clock.ts";
import type { WebSocketConnection } from "../../net/websocket/connection.ts";
import type { Answer, List, Sendable } from "../answer.ts";
import type { Form } from "./negotiate.ts";
import { protobufEvent, protobufList, protobufObject, protobufType } from "./protobuf.ts";
import { first, type HttpResponse } from "./server.ts";
import { type IncludeObject, includeObject, listTable, objectTable, partialBytes } from "./table.ts";
import { httpSink, type WatchForm, webSocketSink } from "./watch-sink.ts";

/** How one request wants its answer. */
export interface Wish {
  form: Form;
  query: URLSearchParams | undefined;
  warnings: readonly string[];
  /** Makes the connection a WebSocket, for who asks for a watch on one. */
  socket?: (() => WebSocketConnection) | undefined;
  /** For ages in Tables. */
  clock: Clock;
}

type Sent = Exclude<Answer, { type: "Connect" }>;

export async function respond(response: HttpResponse, answer: Sent, wish: Wish): Promise<void> {
  const { form, clock } = wish;
  const include = includeObject(wish.query);
  switch (answer.type) {
    case "Object": {
      const { resource, object, code } = answer;
      if (form.as === "Table" && resource)
        return sendJson(response, code, objectTable(resource, object, include, clock.now()), wish);
      if (resource === undefined) refuseTable(form, object);
      if (form.as === "PartialObjectMetadataList" && resource) throw notOfForm(resource.kind, form.as, "not a list");
      if (form.as === "PartialObjectMetadata") return sendJson(response, code, partialBytes(object), wish);
      if (isProtobuf(form)) return send(response, code, protobufObject(object), protobufType, wish);
      return sendJson(response, code, object.bytes, wish);
    }
    case "List": {
      const { resource, list } = answer;
      if (form.as === "Table") return sendJson(response, 200, listTable(resource, list, include, clock.now()), wish);
      if (form.as === "PartialObjectMetadata") throw notOfForm(resource.listKind, form.as, "a list");
      if (form.as === "PartialObjectMetadataList") {
        const items = list.items.map((item) => ({ ...item, bytes: partialBytes(item), parse: () => item.parse() }));
        const kind = { kind: "PartialObjectMetadataList", apiVersion: "meta.k8s.io/v1" };
        return sendJson(response, 200, listBytes(kind, { ...list, items }), wish);
      }
      if (isProtobuf(form)) return send(response, 200, protobufList(resource, list), protobufType, wish);
      return sendJson(
        response,
        200,
        listBytes({ kind: resource.listKind, apiVersion: apiVersionOf(resource) }, list),
        wish,
      );
    }
    case "Watch": {
      const binary = isProtobuf(form) && !wish.socket;
      const watching = binary ? protobufWatch : watchForm(answer.resource!, form, include, clock);
      if (wish.socket) return answer.watch.start(webSocketSink(wish.socket(), watching));
      response.writeHead(200, headers(binary ? `${protobufType};stream=watch` : "application/json", wish.warnings));
      response.flushHeaders?.();
      answer.watch.start(httpSink(response, watching));
      return;
    }
    case "Stream": {
      response.writeHead(200, headers(answer.contentType, wish.warnings));
      response.flushHeaders?.();
      for await (const chunk of answer.stream) if (!response.write(chunk)) await first(response, "drain", "close");
      response.end();
    }
  }
}

/** A list is a join of what the cache has. */
export function listBytes({ kind, apiVersion }: { kind: string; apiVersion: string }, list: List): Buffer {
  const { items, ...metadata } = list;
  const chunks: Buffer[] = [
    Buffer.from(`{"kind":"${kind}","apiVersion":"${apiVersion}","metadata":${JSON.stringify(metadata)},"items":[`),
  ];
  for (const [i, { bytes }] of items.entries()) {
    if (i > 0) chunks.push(comma);
    chunks.push(bytes);
  }
  chunks.push(listEnd);
  return Buffer.concat(chunks);
}

const comma = Buffer.from(",");
const listEnd = Buffer.from("]}");

const isProtobuf = (form: Form): boolean => form.as === "Object" && form.in === "protobuf";

const protobufWatch: WatchForm = { name: "protobuf", encode: protobufEvent };

function watchForm(resource: Resource, form: Form, include: IncludeObject, clock: Clock): WatchForm {
  const of = (name: string, encode: (object: Sendable) => Buffer): WatchForm => ({
    name,
    encode: ({ type, object }) =>
      jsonEvent(type, type === "BOOKMARK" || type === "ERROR" ? object.bytes : encode(object as Sendable)), // which all others carry
  });
  if (form.as === "Table") return of(`table/${include}`, (one) => objectTable(resource, one, include, clock.now()));
  if (form.as === "PartialObjectMetadata" || form.as === "PartialObjectMetadataList")
    return of("partial", partialBytes);
  return { name: "json", encode: ({ type, object }) => jsonEvent(type, object.bytes) };
}

const jsonEvent = (type: string, object: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`{"type":"${type}","object":`), object, eventEnd]);
const eventEnd = Buffer.from("}\n");

function sendJson(response: HttpResponse, code: number, json: Buffer, wish: Wish): void {
  const { form } = wish;
  if (form.as !== "Object" || form.in !== "yaml") return send(response, code, json, "application/json", wish);
  const yaml = stringify(JSON.parse(json.toString("utf8")), { version: "1.1" });
  send(response, code, Buffer.from(yaml), "application/yaml", wish);
}

function send(response: HttpResponse, code: number, bytes: Buffer, type: string, { warnings }: Wish): void {
  response.writeHead(code, { ...headers(type, warnings), "content-length": bytes.length });
  response.end(bytes);
}

/** What has no metadata has no row. Statuses pass in any form. */
function refuseTable({ as }: Form, object: Sendable): void {
  if (as !== "Table") return;
  const { kind, metadata } = object.parse();
  if (kind !== "Status" && !metadata?.name)
    throw failure(406, "NotAcceptable", `the resource ${kind} does not support being converted to a Table`);
}

const notOfForm = (kind: string, as: string, what: string) =>
  failure(406, "NotAcceptable", `you requested ${as}, but the requested object is ${what} (${kind})`);

function headers(contentType: string, warnings: readonly string[] = []): Record<string, string | string[]> {
  const list = [...new Set(warnings)]
    .slice(0, 64)
    .map((text) => `299 - "${text.replace(/[\\"]/g, "\\$&").replace(/[^\x20-\x7e]/g, "?")}"`);
  return {
    "content-type": contentType,
    "cache-control": "no-cache, private",
    ...(list.length > 0 ? { warning: list } : {}),
  };
}

/** A failure as a Status; in the middle of an answer only the connection can tell. */
export function respondError(response: HttpResponse, error: unknown, warnings: readonly string[] = []): Status {
  const status = statusOf(error);
  if (response.headersSent) {
    response.destroy();
    return status;
  }
  const bytes = Buffer.from(JSON.stringify(status));
  const retry = status.details?.retryAfterSeconds;
  response.writeHead(status.code, {
    ...headers("application/json", warnings),
    ...(retry && (status.code === 429 || status.code >= 500) ? { "retry-after": String(retry) } : {}),
    "content-length": bytes.length,
  });
  response.end(bytes);
  return status;
}

export function respondText(
  response: HttpResponse,
  code: number,
  text: string,
  contentType = "text/plain; charset=utf-8",
): void {
  response.writeHead(code, { "content-type": contentType, "x-content-type-options": "nosniff" });
  response.end(text);
}

export const unacceptable = () =>
  notAcceptable(["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]);
