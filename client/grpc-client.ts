import type { KubernetesObject, ObjectKey, ResourceType } from "../apimachinery/object.ts";
import { internalError, type Status, StatusError, serviceUnavailable } from "../apimachinery/status.ts";
import { type ClientTls, GrpcClient } from "../net/grpc-client.ts";
import { Code, GrpcError } from "../net/grpc-error.ts";
import { ApiService } from "../proto/generated/api.ts";
import type { CallOptions, Client, DeleteOptions, PatchType, WatchEvent } from "./types.ts";

export interface GrpcApiClientOptions {
  /** `host:port` each. With several, all are IPv4 addresses; one is used, the next ones when it cannot be reached. */
  servers: readonly string[];
  tls?: ClientTls;
  /** Bearer token, asked for at each call: those of service accounts are renewed. */
  token?: () => string;
  /** The name to look for in the server's certificate; every apiserver's certificate carries `kubernetes`. */
  serverName?: string;
}

const defaultTimeoutMs = 10_000;

const contentTypes: Record<PatchType, string> = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
};

/**
 * The API over gRPC (`proto/kubelab/api/v1`): objects as the JSON bytes that REST would send.
 *
 * Failover: one channel over all servers. grpc-js tries them in order and stays with the one that answers; when that one
 * goes away, running calls fail with 503 and the next call connects anew. A server that is silently gone (a partition) is
 * noticed by keepalive pings within 4 s. Writes are never repeated here: whether a lost one took effect is for the
 * caller to find out.
 */
export function createGrpcClient({ servers, tls, serverName = "kubernetes", token }: GrpcApiClientOptions): Client & {
  close(): void;
} {
  const target = servers.length === 1 ? servers[0]! : `ipv4:${servers.join(",")}`;
  const grpc = new GrpcClient(target, {
    ...(tls && { tls, serverName }),
    channelOptions: { "grpc.keepalive_time_ms": 2000, "grpc.keepalive_timeout_ms": 2000 },
  });

  const metadata = () => (token ? { metadata: { authorization: `Bearer ${token()}` } } : {});
  const deadline = ({ signal, timeoutMs = defaultTimeoutMs }: MaybeOptions = {}) => {
    return { ...metadata(), ...(signal && { signal }), timeoutMs };
  };

  async function call<R>(start: () => Promise<R>): Promise<R> {
    try {
      return await start();
    } catch (error) {
      throw toStatusError(error);
    }
  }

  return {
    get: (type, key, options) =>
      call(async () => {
        const request = { target: targetOf(type, key) };
        return parse((await grpc.unary(ApiService.Get, request, deadline(options))).object);
      }),

    list: <T extends KubernetesObject>(
      type: ResourceType<T>,
      { namespace, labelSelector, fieldSelector, resourceVersion, ...options }: Parameters<Client["list"]>[1] = {},
    ) =>
      call(async () => {
        const request = { target: targetOf(type, { namespace }), labelSelector, fieldSelector, resourceVersion };
        const { object } = await grpc.unary(ApiService.List, request, deadline(options));
        const list = parse<{ metadata: { resourceVersion: string }; items: T[] | null }>(object);
        return { resourceVersion: list.metadata.resourceVersion, items: list.items ?? [] };
      }),

    async *watch<T extends KubernetesObject>(type: ResourceType<T>, options: Parameters<Client["watch"]>[1]) {
      const { namespace, labelSelector, fieldSelector, resourceVersion, signal } = options;
      const request = {
        target: targetOf(type, { namespace }),
        labelSelector,
        fieldSelector,
        resourceVersion,
        allowBookmarks: true,
      };
      try {
        const stream = grpc.serverStream(ApiService.Watch, request, { ...metadata(), ...(signal && { signal }) });
        for await (const { events } of stream) yield events.map((event) => decodeEvent<T>(event));
      } catch (error) {
        throw toStatusError(error);
      }
    },

    create: (type, object, { subresource, fieldManager, ...options } = {}) =>
      call(async () => {
        const { namespace } = object.metadata;
        const target = { ...targetOf(type, { namespace }), subresource };
        const request = { target, object: toBytes(object), fieldManager };
        return parse((await grpc.unary(ApiService.Create, request, deadline(options))).object);
      }),

    update: (type, object, { subresource, fieldManager, ...options } = {}) =>
      call(async () => {
        const target = { ...targetOf(type, object.metadata), subresource };
        const request = { target, object: toBytes(object), fieldManager };
        return parse((await grpc.unary(ApiService.Update, request, deadline(options))).object);
      }),

    patch: (type, key, patch, { subresource, fieldManager, ...options } = {}) =>
      call(async () => {
        const request = {
          target: { ...targetOf(type, key), subresource },
          contentType: contentTypes[patch.type],
          patch: toBytes(patch.body),
          fieldManager,
        };
        return parse((await grpc.unary(ApiService.Patch, request, deadline(options))).object);
      }),

    delete: (type, key, { signal, timeoutMs, ...options }: DeleteOptions = {}) =>
      call(async () => {
        const body = { kind: "DeleteOptions", apiVersion: "v1", ...options };
        const request = { target: targetOf(type, key), options: toBytes(body) };
        await grpc.unary(ApiService.Delete, request, deadline({ signal, timeoutMs }));
      }),

    createSubresource: (type, key, subresource, body, options) =>
      call(async () => {
        const request = { target: { ...targetOf(type, key), subresource }, object: toBytes(body) };
        return parse((await grpc.unary(ApiService.Create, request, deadline(options))).object);
      }),

    close: () => grpc.close(),
  };
}

function targetOf(
  { group, version, resource }: ResourceType<KubernetesObject>,
  { namespace, name }: Partial<ObjectKey>,
): { group: string; version: string; resource: string; namespace: string; name: string } {
  return { group, version, resource, namespace: namespace ?? "", name: name ?? "" };
}

type MaybeOptions = { [K in keyof CallOptions]?: CallOptions[K] | undefined };

function toBytes(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

function parse<T>(bytes: Uint8Array): T {
  return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8")) as T;
}

function decodeEvent<T extends KubernetesObject>({
  type,
  object,
}: {
  type: string;
  object: Uint8Array;
}): WatchEvent<T> {
  switch (type) {
    case "ADDED":
    case "MODIFIED":
    case "DELETED":
      return { type, object: parse<T>(object) };
    case "BOOKMARK":
      return { type, resourceVersion: parse<T>(object).metadata.resourceVersion! };
    case "ERROR":
      throw new StatusError(parse<Status>(object));
    default:
      throw new StatusError(
        parse<Status>(toBytes({ ...unexpected, message: `unexpected watch event type "${type}"` })),
      );
  }
}

const unexpected = { kind: "Status", apiVersion: "v1", status: "Failure", reason: "InternalError", code: 500 };

/**
 * The server's own Status where it sent one; else the call did not reach a server, or its answer did not reach us. Only
 * then: what grpc-js makes of a connection that breaks has many codes.
 */
function toStatusError(error: unknown): unknown {
  if (!(error instanceof GrpcError)) return error;
  const status = error.trailers["kubernetes-status-bin"];
  if (status !== undefined) return new StatusError(parse<Status>(Buffer.from(status)), { cause: error });
  return refusals.has(error.code) ? internalError(error) : serviceUnavailable(error.message, error);
}

/** Said by a server that does not know us or the method: trying again soon will not help. */
const refusals: ReadonlySet<Code> = new Set([Code.Unimplemented, Code.InvalidArgument, Code.Unauthenticated]);
