import type { IncomingMessage, ServerResponse } from "node:http";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import type { BidiHandler, CallContext, Send, StreamHandler, UnaryHandler } from "../../net/grpc-server.ts";
import { routes } from "../../proto/generated/etcd-json.ts";
import type { JsonRoute } from "../../proto/wire.ts";
import { JsonError, messageFromJson, messageToJson } from "./json.ts";

/**
 * The JSON gateway, `POST /v3/...`: the gRPC handlers for callers that speak JSON over HTTP/1.1. Paths, errors and the
 * shape of streams (`{"result": ...}` a line) are those of grpc-gateway v2, as etcd 3.6 serves them. A bidirectional
 * stream takes JSON objects one after the other in the body; watch stays open after the body's end.
 *
 * `Authorization` carries the token. A client certificate is no identity here, as in etcd.
 */
export type Gateway = ReturnType<typeof jsonGateway>;

/** `handlers`: by the path of the gRPC method; those that are not there are Unimplemented. */
export function jsonGateway(handlers: ReadonlyMap<string, unknown>, maxBodyBytes: number) {
  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? "").split("?")[0]!;
    const route = routes[path];
    try {
      if (route === undefined) throw new GrpcError(Code.NotFound, "Not Found");
      if (request.method !== "POST") throw new GrpcError(Code.Unimplemented, "Method Not Allowed");
      const handler = handlers.get(route.method.path);
      if (handler === undefined) throw new GrpcError(Code.Unimplemented, `unknown method ${route.method.path}`);
      const call = { route, request, response, context: contextOf(request, response) };
      if (route.method.kind === "bidi") await bidi(handler as AnyBidi, call);
      else await unaryOrStream(handler, call);
    } catch (error) {
      fail(response, error);
    }
  }

  async function unaryOrStream(handler: unknown, { route, request, response, context }: Call): Promise<void> {
    let body = "";
    await read(request, (chunk) => {
      body += chunk;
    });
    const message = decode(route, body === "" ? {} : parse(body));
    if (route.method.kind === "serverStream") {
      await (handler as StreamHandler<unknown, object>)(message, context, sender(route, response));
      response.end();
      return;
    }
    const answer = await (handler as UnaryHandler<unknown, object>)(message, context);
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(messageToJson(route.response, answer as Record<string, unknown>)));
  }

  async function bidi(handler: AnyBidi, { route, request, response, context }: Call): Promise<void> {
    const open = handler(context, {
      send: sender(route, response),
      end: (error) => (error === undefined ? response.end() : fail(response, error)),
    });
    const splitter = new ObjectSplitter((text) => open.onMessage(decode(route, parse(text))));
    await read(request, (chunk) => splitter.push(chunk));
    splitter.end();
    // A caller with one body has nothing more to ask and waits for answers: a watch goes on until it hangs up.
    if (route.request !== watchRequest) open.onEnd();
  }

  /** Texts of the body as they come, characters whole. */
  async function read(request: IncomingMessage, onText: (text: string) => void): Promise<void> {
    let size = 0;
    request.setEncoding("utf8");
    for await (const chunk of request) {
      size += (chunk as string).length;
      if (size > maxBodyBytes) throw new GrpcError(Code.ResourceExhausted, "http: request body too large");
      onText(chunk as string);
    }
  }

  return { serve };
}

type Call = { route: JsonRoute; request: IncomingMessage; response: ServerResponse; context: CallContext };

type AnyBidi = BidiHandler<unknown, object>;
const watchRequest = "etcdserverpb.WatchRequest";

function contextOf(request: IncomingMessage, response: ServerResponse): CallContext {
  const controller = new AbortController();
  response.on("close", () => controller.abort());
  const token = request.headers.authorization;
  return { metadata: token === undefined ? {} : { token }, peer: undefined, signal: controller.signal };
}

/** With every field set, as a handler expects it. */
function decode({ method, request }: JsonRoute, json: unknown): unknown {
  try {
    return method.request.decode(method.request.encode(messageFromJson(request, json)));
  } catch (error) {
    throw error instanceof JsonError ? new GrpcError(Code.InvalidArgument, error.message) : error;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new GrpcError(Code.InvalidArgument, (error as Error).message);
  }
}

function sender(route: JsonRoute, response: ServerResponse): Send<object> {
  const send = ((message: object) => {
    if (response.destroyed || response.writableEnded) return true;
    if (!response.headersSent) response.writeHead(200, { "content-type": "application/json" });
    const result = messageToJson(route.response, message as Record<string, unknown>);
    return response.write(`${JSON.stringify({ result })}\n`);
  }) as Send<object>;
  send.drained = () =>
    new Promise((resolve) => {
      if (response.destroyed || !response.writableNeedDrain) return resolve();
      response.once("drain", resolve);
      response.once("close", resolve);
    });
  return send;
}

function fail(response: ServerResponse, error: unknown): void {
  const { code, message } = error instanceof GrpcError ? error : new GrpcError(Code.Internal, (error as Error).message);
  const status = { code, message, details: [] };
  if (response.headersSent) {
    response.end(`${JSON.stringify({ error: status })}\n`);
    return;
  }
  if (!response.req.complete) response.setHeader("connection", "close"); // what is left of the body is not read
  response.writeHead(httpStatus[code] ?? 500, { "content-type": "application/json" });
  response.end(JSON.stringify(status));
}

/** Source: grpc-gateway, "HTTPStatusFromCode". */
const httpStatus: Partial<Record<Code, number>> = {
  [Code.Canceled]: 499,
  [Code.InvalidArgument]: 400,
  [Code.DeadlineExceeded]: 504,
  [Code.NotFound]: 404,
  [Code.AlreadyExists]: 409,
  [Code.PermissionDenied]: 403,
  [Code.Unauthenticated]: 401,
  [Code.ResourceExhausted]: 429,
  [Code.FailedPrecondition]: 400,
  [Code.Aborted]: 409,
  [Code.OutOfRange]: 400,
  [Code.Unimplemented]: 501,
  [Code.Unavailable]: 503,
};

/** Cuts a text that comes in pieces into its JSON objects. */
export class ObjectSplitter {
  readonly #onObject: (text: string) => void;
  #text = "";
  #depth = 0;
  #inString = false;
  #escaped = false;

  constructor(onObject: (text: string) => void) {
    this.#onObject = onObject;
  }

  push(chunk: string): void {
    let start = 0;
    for (let i = 0; i < chunk.length; i++) {
      const c = chunk[i];
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (c === "\\") this.#escaped = true;
        else if (c === '"') this.#inString = false;
      } else if (c === '"') this.#inString = true;
      else if (c === "{") this.#depth++;
      else if (c === "}" && --this.#depth === 0) {
        const text = this.#text + chunk.slice(start, i + 1);
        this.#text = "";
        start = i + 1;
        this.#onObject(text);
      }
    }
    this.#text += chunk.slice(start);
  }

  /** What is left is no object: it fails as one. */
  end(): void {
    if (this.#text.trim() !== "") this.#onObject(this.#text);
  }
}
