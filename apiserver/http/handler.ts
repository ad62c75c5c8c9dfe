import { StatusError, statusOf, timeout } from "../../apimachinery/status.ts";
import type { Clock } from "../../base/clock.ts";
import { parseDuration } from "../../base/flags.ts";
import type { RemoteApis } from "../aggregation/remote-apis.ts";
import type { Authenticator } from "../authn/authenticator.ts";
import { identify } from "../authn/identify.ts";
import type { Chain } from "../chain.ts";
import { isStream } from "../flowcontrol/flow-control.ts";
import { type ApiRequest, type Body, bodyTooLarge, maxBodyBytes, type Target, type Verb } from "../request.ts";
import { connect } from "../streams/connect.ts";
import { type Form, negotiate } from "./negotiate.ts";
import type { Paths } from "./paths.ts";
import { parseRequest, type RequestInfo } from "./request-info.ts";
import { respond, respondError, respondText, unacceptable } from "./respond.ts";
import type { HttpHandler, HttpRequest, HttpResponse } from "./server.ts";
import { acceptWebSocket, hasOrigin, isWebSocket, protocolsOf } from "./web-socket.ts";

export interface HandlerOptions {
  chain: Chain;
  authenticator: Authenticator;
  /** Whether who has no credential is system:anonymous there; where health is told he is. */
  anonymous(path: string): boolean;
  paths: Paths;
  remotes: RemoteApis;
  /** Not of custom resources. */
  hasProtobuf(target: Target): boolean;
  clock: Clock;
  /** For all but watches and streams; `?timeout=` may ask for less. */
  requestTimeoutMs: number;
  /** Told at the end of each request that is not a watch. */
  observe(verb: string, target: Target, code: number, ms: number): void;
}

/** One HTTP request from the socket to the chain and back. Every failure ends as a Status. */
export function httpHandler(options: HandlerOptions): HttpHandler {
  const { chain, paths, remotes, clock, observe } = options;
  return async (request, response) => {
    const start = clock.monotonic();
    const info = parseRequest(request.method, request.url);
    const warnings: string[] = [];
    const deadline = new Deadline(clock, Math.min(options.requestTimeoutMs, timeoutOf(info)));
    let code = 200;
    try {
      if (info.type === "Bad") respondText(response, info.code, badTexts[info.code]);
      else {
        const identity = await asker(options, request, response, info);
        const remote = remotes.of(info);
        const pass = remote && (() => remotes.serve(remote, identity.user, request, response));
        if (pass) code = await chain.handlePath(identity, info, pass);
        else if (info.type === "Resource")
          code = await serveResource(options, request, response, info, identity, warnings, deadline);
        else
          await chain.handlePath(identity, info, async () => {
            await paths.serve(request, response, info);
            return response.statusCode;
          });
      }
    } catch (error) {
      code = respondError(response, error, warnings).code;
    } finally {
      deadline.cancel();
    }
    if (info.type === "Resource" && info.verb !== "watch")
      observe(info.verb, info.target, code, clock.monotonic() - start);
  };
}

const badTexts = { 400: "Bad Request\n", 404: "404 page not found\n", 405: "Method Not Allowed\n" };

async function asker(options: HandlerOptions, request: HttpRequest, response: HttpResponse, info: NotBad) {
  const userAgent = header(request, "user-agent");
  const path = info.type === "Path" ? info.path : request.url.split("?", 1)[0]!;
  const { user, caller } = await identify(options, request, path).catch((error: unknown) => {
    const { address } = request.peer;
    const sourceIPs = address ? [address] : [];
    options.chain.unauthenticated(info, { uri: request.url, sourceIPs, userAgent }, error);
    throw error;
  });
  return Object.assign(answering(response), { user, caller: { ...caller, uri: request.url }, userAgent });
}

type NotBad = Exclude<RequestInfo, { type: "Bad" }>;

async function serveResource(
  options: HandlerOptions,
  request: HttpRequest,
  response: HttpResponse,
  info: RequestInfo & { type: "Resource" },
  identity: Awaited<ReturnType<typeof asker>>,
  warnings: string[],
  deadline: Deadline,
): Promise<number> {
  const { chain, clock, hasProtobuf } = options;
  const { subresource } = info.target;
  const form: Form | undefined =
    subresource === "log" || subresource === "proxy"
      ? { as: "Object" }
      : negotiate(header(request, "accept"), () => hasProtobuf(info.target));
  if (form === undefined) throw unacceptable();
  const body =
    withBody.has(info.verb) && subresource !== "proxy" ? await deadline.within(readBody(request)) : undefined;
  const { verb, target, options: query } = info;
  const apiRequest: ApiRequest = Object.assign(identity, { verb, target, options: query, body, warnings });
  if (verb === "watch" && isWebSocket(request) && !hasOrigin(request)) {
    respondText(response, 403, "");
    return 403;
  }
  const isLong = verb === "watch" || isStream(target);
  const answer = await (isLong ? chain.handle(apiRequest) : deadline.within(chain.handle(apiRequest)));
  if (answer.type === "Connect") {
    const code = await connect(answer.location, request, response).catch((error: unknown) => {
      answer.answered?.(statusOf(error).code);
      throw error;
    });
    answer.answered?.(code);
    return code;
  }
  const socket = isWebSocket(request) ? () => acceptWebSocket(request, protocolsOf(request)[0]) : undefined;
  await respond(response, answer, { form, query: query.query, warnings, socket, clock });
  return answer.type === "Object" ? answer.code : 200;
}

/** What a request tells its answer's headers, and hears of its end. */
function answering(response: HttpResponse): Required<Pick<ApiRequest, "signal" | "classified">> {
  let controller: AbortController | undefined; // few requests ask for it, and it is not cheap
  return {
    get signal() {
      if (controller !== undefined) return controller.signal;
      const made = new AbortController();
      controller = made;
      response.on("close", () => made.abort());
      return made.signal;
    },
    classified(flowSchema, priorityLevel) {
      response.setHeader("x-kubernetes-pf-flowschema-uid", flowSchema);
      response.setHeader("x-kubernetes-pf-prioritylevel-uid", priorityLevel);
    },
  };
}

/** By `?timeout=`, in Go's text; none, or none that can be read, asks for nothing. */
function timeoutOf(info: RequestInfo): number {
  const text = info.type === "Resource" ? info.options.query?.get("timeout") : undefined;
  if (!text) return Number.POSITIVE_INFINITY;
  try {
    return parseDuration("timeout", text) || Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** The time that a request has, its body included. What it has begun to write may still happen. */
class Deadline {
  readonly #over: Promise<never>;
  readonly cancel: () => void;

  constructor(clock: Clock, timeoutMs: number) {
    let expire = () => {};
    this.#over = new Promise<never>((_, reject) => {
      expire = () => reject(timeout("request did not complete within the allotted timeout"));
    });
    this.#over.catch(() => {}); // told to who waits
    this.cancel = clock.after(timeoutMs, expire);
  }

  within<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#over]);
  }
}

const withBody = new Set<Verb>(["create", "update", "patch", "delete", "deletecollection"]);

async function readBody(request: HttpRequest): Promise<Body> {
  if (Number(header(request, "content-length") ?? 0) > maxBodyBytes) throw bodyTooLarge();
  const bytes = await request.body(maxBodyBytes).catch((cause: unknown) => {
    throw new StatusError({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", code: 400 }, { cause });
  });
  if (bytes === undefined) throw bodyTooLarge();
  return { contentType: header(request, "content-type") ?? "", bytes };
}

export function header({ headers }: Pick<HttpRequest, "headers">, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(",") : value;
}
