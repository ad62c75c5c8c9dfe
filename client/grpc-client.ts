import type { KubernetesObject, ObjectKey, ResourceType } from "../apimachinery/object.ts";
import { failure, internalError, type Status, StatusError, serviceUnavailable } from "../apimachinery/status.ts";
import type { Faults } from "../base/faults.ts";
import { type ClientTls, GrpcClient } from "../net/grpc-client.ts";
import { Code, GrpcError } from "../net/grpc-error.ts";
import { ApiService, type WatchEvent as WireEvent } from "../proto/generated/api.ts";
import type { Init, Method } from "../proto/wire.ts";
import type { CallOptions, Client, ListOptions, PatchType, WatchEvent, WatchOptions } from "./types.ts";

export interface GrpcApiClientOptions {
  /** `host:port` each. With several, all are IPv4 addresses; one is used, the next ones when it cannot be reached. */
  servers: readonly string[];
  tls?: ClientTls;
  token?: () => string; // bearer token, asked for at each call: those of service accounts are renewed
  /** The name to look for in the server's certificate; every apiserver's certificate carries `kubernetes`. */
  serverName?: string;
  /** What its connections suffer on request, by the host of the server. */
  faults?: Faults | undefined;
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
 * Failover: one channel over all servers. It tries them in order and stays with the one that answers; when that one
 * goes away, running calls fail with 503 and the next call connects anew. A server that is silently gone (a partition) is
 * noticed by keepalive pings within 4 s. Writes are never repeated here: whether a lost one took effect is for the
 * caller to find out.
 */
export function createGrpcClient(options: GrpcApiClientOptions): Client & { close(): void } {
  const { servers, tls, serverName = "kubernetes", token, faults } = options;
  const target = servers.length === 1 ? servers[0]! : `ipv4:${servers.join(",")}`;
  const grpc = new GrpcClient(target, { ...(tls && { tls, serverName }), keepaliveMs: 2000, faults });

  const metadata = () => token && { authorization: `Bearer ${token()}` };

  async function call<Q, R>(method: Method<Q, R>, request: Init<Q>, options: CallOptions = {}): Promise<R> {
    const { signal, timeoutMs = defaultTimeoutMs } = options;
    try {
      return await grpc.unary(method, request, { metadata: metadata(), signal, timeoutMs });
    } catch (error) {
      throw toStatusError(error);
    }
  }

  return {
    async get(type, key, options) {
      return parse((await call(ApiService.Get, { target: targetOf(type, key) }, options)).object);
    },

    async list<T extends KubernetesObject>(type: ResourceType<T>, options: ListOptions = {}) {
      const { namespace, labelSelector, fieldSelector, resourceVersion } = options;
      const request = { target: targetOf(type, { namespace }), labelSelector, fieldSelector, resourceVersion };
      const { object } = await call(ApiService.List, request, options);
      const list = parse<{ metadata: { resourceVersion: string }; items: T[] | null }>(object);
      return { resourceVersion: list.metadata.resourceVersion, items: list.items ?? [] };
    },

    async *watch<T extends KubernetesObject>(type: ResourceType<T>, options: WatchOptions) {
      const { namespace, labelSelector, fieldSelector, resourceVersion, signal } = options;
      const selection = { target: targetOf(type, { namespace }), labelSelector, fieldSelector };
      const request = { ...selection, resourceVersion, allowBookmarks: true };
      try {
        const stream = grpc.serverStream(ApiService.Watch, request, { metadata: metadata(), signal });
        for await (const { events } of stream) yield events.map((event) => decodeEvent<T>(event));
      } catch (error) {
        throw toStatusError(error);
      }
    },

    async create(type, object, options = {}) {
      const { subresource, fieldManager } = options;
      const target = { ...targetOf(type, { namespace: object.metadata.namespace }), subresource };
      return parse((await call(ApiService.Create, { target, object: toBytes(object), fieldManager }, options)).object);
    },

    async update(type, object, options = {}) {
      const { subresource, fieldManager } = options;
      const target = { ...targetOf(type, object.metadata), subresource };
      return parse((await call(ApiService.Update, { target, object: toBytes(object), fieldManager }, options)).object);
    },

    async patch(type, key, patch, options = {}) {
      const { subresource, fieldManager } = options;
      const target = { ...targetOf(type, key), subresource };
      const body = { contentType: contentTypes[patch.type], patch: toBytes(patch.body) };
      return parse((await call(ApiService.Patch, { target, ...body, fieldManager }, options)).object);
    },

    async delete(type, key, { signal, timeoutMs, ...options } = {}) {
      const body = { kind: "DeleteOptions", apiVersion: "v1", ...options };
      const request = { target: targetOf(type, key), options: toBytes(body) };
      await call(ApiService.Delete, request, { signal, timeoutMs });
    },

    async createSubresource(type, key, subresource, body, options) {
      const request = { target: { ...targetOf(type, key), subresource }, object: toBytes(body) };
      return parse((await call(ApiService.Create, request, options)).object);
    },

    close: () => grpc.close(),
  };
}

function targetOf(
  { group, version, resource }: ResourceType<KubernetesObject>,
  { namespace, name }: Partial<ObjectKey>,
): { group: string; version: string; resource: string; namespace: string; name: string } {
  return { group, version, resource, namespace: namespace ?? "", name: name ?? "" };
}

const toBytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

const parse = <T>(bytes: Uint8Array): T =>
  JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8")) as T;

function decodeEvent<T extends KubernetesObject>({ type, object }: WireEvent): WatchEvent<T> {
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
      throw failure(500, "InternalError", `unexpected watch event type "${type}"`);
  }
}

/**
 * The server's own Status where it sent one; else the call did not reach a server, or its answer did not reach us. Only
 * then: a connection that breaks has many codes.
 */
function toStatusError(error: unknown): unknown {
  if (!(error instanceof GrpcError)) return error;
  const status = error.trailers["kubernetes-status-bin"];
  if (status !== undefined) return new StatusError(parse<Status>(Buffer.from(status)), { cause: error });
  return refusals.has(error.code) ? internalError(error) : serviceUnavailable(error.message, error);
}

/** Said by a server that does not know us or the method: trying again soon will not help. */
const refusals: ReadonlySet<Code> = new Set([Code.Unimplemented, Code.InvalidArgument, Code.Unauthenticated]);
