import type { TLSSocket } from "node:tls";
import { apiVersionOf } from "../../apimachinery/object.ts";
import { failure, type StatusError, serviceUnavailable, statusOf } from "../../apimachinery/status.ts";
import type { Clock } from "../../base/clock.ts";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import type { GrpcFront } from "../../net/grpc-front.ts";
import type { CallContext, Send } from "../../net/grpc-server.ts";
import {
  ApiService,
  type ObjectResponse,
  type Target as TargetMessage,
  type WatchResponse,
} from "../../proto/generated/api.ts";
import type { Init } from "../../proto/wire.ts";
import type { RemoteApis } from "../aggregation/remote-apis.ts";
import type { Answer } from "../answer.ts";
import type { Credentials } from "../authn/identify.ts";
import type { Peers } from "../authn/peers.ts";
import type { Chain } from "../chain.ts";
import { type Discovery, isCurrent } from "../http/discovery.ts";
import { listBytes } from "../http/respond.ts";
import {
  type ApiRequest,
  type Body,
  bodyTooLarge,
  type Caller,
  maxBodyBytes,
  type Options,
  pathOf,
  type Target,
  type User,
  type Verb,
} from "../request.ts";
import type { WatchSink } from "../watchcache/watcher.ts";

/**
 * The gRPC front (proto/kubelab/api/v1): the same authentication and chain as REST, with metadata for headers. Objects are
 * the JSON bytes that REST would send; a failure carries its Status in the trailer `kubernetes-status-bin`; the events of
 * a turn travel in one message.
 */
export interface GrpcParts {
  chain: Chain;
  peers: Peers;
  identify(credentials: Credentials): Promise<{ user: User; caller: Caller }>;
  remotes: RemoteApis;
  discovery: () => Discovery;
  clock: Clock;
}

export function addApiService(
  server: GrpcFront,
  { chain, peers, identify, remotes, discovery, clock }: GrpcParts,
): void {
  /** The APIResourceList of a version of a group. */
  const resourcesOf = ({ group, version }: Target, path: string): Answer & { type: "Object" } => {
    const remote = remotes.version(group, version);
    if (remote && !isCurrent(remote)) throw serviceUnavailable("service unavailable");
    const list = { kind: "APIResourceList", apiVersion: "v1", groupVersion: `${group}/${version}` };
    const text = remote
      ? JSON.stringify({ ...list, resources: remote.discovered!.resources })
      : discovery().legacy.get(path);
    if (text === undefined) throw failure(404, "NotFound", "the server could not find the requested resource");
    const object = { bytes: Buffer.from(text), parse: () => JSON.parse(text) };
    return { type: "Object", code: 200, resource: undefined, object };
  };

  const call = async (
    context: CallContext,
    verb: Verb,
    target: TargetMessage | undefined,
    options: Options,
    body?: Body,
  ): Promise<Answer> => {
    const { metadata, rawMetadata, socket } = context;
    try {
      const peer = peers.of(socket as TLSSocket);
      const { user, caller } = await identify({ peer, headers: metadata, rawHeaders: rawMetadata! });
      if (body && body.bytes.length > maxBodyBytes) throw bodyTooLarge();
      const request: ApiRequest = {
        user,
        caller,
        verb,
        target: targetOf(target),
        options,
        body,
        signal: context.signal,
        warnings: [],
        userAgent: componentOf(user.name),
      };
      const { group, version, resource } = request.target;
      if (verb === "get" && resource === "" && version !== "") {
        const path = pathOf(request.target);
        return await chain.handlePath(request, { method: "GET", path }, () => resourcesOf(request.target, path));
      }
      const remote = remotes.version(group, version)?.service;
      if (remote) return await chain.handlePath(request, request, () => remotes.ask(remote, request, clock));
      return await chain.handle(request);
    } catch (error) {
      throw toGrpcError(error);
    }
  };
  const unary = async (...parameters: Parameters<typeof call>): Promise<Init<ObjectResponse>> => ({
    object: objectOf(await call(...parameters)),
  });

  server.addService(ApiService, {
    Get: ({ target, ...options }, context) => unary(context, "get", target, given(options)),
    List: ({ target, limit, ...options }, context) =>
      unary(context, "list", target, given({ ...options, limit: limit ? String(limit) : "" })),
    Create: ({ target, object, ...options }, context) =>
      unary(context, "create", target, writeOptions(options), json(object)),
    Update: ({ target, object, ...options }, context) =>
      unary(context, "update", named(target, object), writeOptions(options), json(object)),
    Patch: ({ target, patch, contentType, force, ...rest }, context) => {
      const options = { ...writeOptions(rest), ...(force ? { force: "true" } : {}) };
      return unary(context, "patch", target, options, { contentType, bytes: asBuffer(patch) });
    },
    Delete: ({ target, options }, context) => unary(context, "delete", target, {}, json(options)),
    DeleteCollection: ({ target, options, ...selectors }, context) =>
      unary(context, "deletecollection", target, given(selectors), json(options)),
    Watch: async ({ target, allowBookmarks, timeoutSeconds, ...options }, context, send) => {
      const answer = await call(context, "watch", target, {
        ...given(options),
        allowWatchBookmarks: String(allowBookmarks),
        ...(timeoutSeconds ? { timeoutSeconds: String(timeoutSeconds) } : {}),
      });
      if (answer.type !== "Watch") throw new GrpcError(Code.Internal, "not a watch");
      await new Promise<void>((resolve) => answer.watch.start(grpcSink(send, context.signal, resolve)));
    },
  });
}

function grpcSink(send: Send<Init<WatchResponse>>, signal: AbortSignal, done: () => void): WatchSink {
  const sink: WatchSink = {
    send(frames) {
      const room = send({ events: frames.map(({ type, object }) => ({ type, object: object.bytes })) });
      if (!room) void send.drained().then(() => sink.onDrain?.());
      return room;
    },
    end: done,
  };
  const close = () => {
    sink.onClose?.();
    done();
  };
  if (signal.aborted) queueMicrotask(close);
  else signal.addEventListener("abort", close, { once: true });
  return sink;
}

/** Field managers have upstream's names: `kube-scheduler`, `kubelet`. */
const componentOf = (user: string): string =>
  user.startsWith("system:node:") ? "kubelet" : user.replace(/^system:/, "");

function objectOf(answer: Answer): Uint8Array {
  if (answer.type === "Object") return answer.object.bytes;
  if (answer.type === "List") {
    const { resource, list } = answer;
    return listBytes({ kind: resource.listKind, apiVersion: apiVersionOf(resource) }, list);
  }
  throw new GrpcError(Code.Unimplemented, "only objects and lists travel over this front");
}

function targetOf(target: TargetMessage | undefined): Target {
  const { group = "", version = "", resource = "", namespace = "", name = "", subresource = "" } = target ?? {};
  return { group, version, resource, namespace, name, subresource };
}

/** An update may leave the name to the object. */
function named(target: TargetMessage | undefined, object: Uint8Array): TargetMessage | undefined {
  if (target === undefined || target.name !== "") return target;
  try {
    const { metadata } = JSON.parse(asBuffer(object).toString("utf8")) as { metadata?: { name?: unknown } };
    return { ...target, name: typeof metadata?.name === "string" ? metadata.name : "" };
  } catch {
    return target; // decoding tells what is wrong
  }
}

/** Empty means not given. */
function given(options: Record<string, string>): Options {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== "")) as Options;
}

function writeOptions({ dryRun, fieldManager }: { dryRun: string; fieldManager: string }): Options {
  return { ...given({ fieldManager }), ...(dryRun ? { dryRun: [dryRun] } : {}) };
}

const json = (bytes: Uint8Array): Body => ({ contentType: "application/json", bytes: asBuffer(bytes) });

const asBuffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const codes: Record<string, Code> = {
  BadRequest: Code.InvalidArgument,
  Invalid: Code.InvalidArgument,
  Unauthorized: Code.Unauthenticated,
  Forbidden: Code.PermissionDenied,
  NotFound: Code.NotFound,
  AlreadyExists: Code.AlreadyExists,
  Conflict: Code.Aborted,
  Expired: Code.OutOfRange,
  Gone: Code.OutOfRange,
  TooManyRequests: Code.ResourceExhausted,
  RequestEntityTooLarge: Code.ResourceExhausted,
  Timeout: Code.DeadlineExceeded,
  ServiceUnavailable: Code.Unavailable,
  MethodNotAllowed: Code.Unimplemented,
};

function toGrpcError(error: unknown): GrpcError {
  if (error instanceof GrpcError) return error;
  const status = statusOf(error as StatusError);
  return new GrpcError(codes[status.reason ?? ""] ?? Code.Internal, status.message ?? "", {
    trailers: { "kubernetes-status-bin": Buffer.from(JSON.stringify(status)) },
    cause: error,
  });
}
