import { apiServices, availability } from "../../api/apiregistration/api-service.ts";
import type { APIService } from "../../api/generated/apiregistration-v1.ts";
import type { Resource } from "../../api/resource.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { failure, type Status, StatusError, serviceUnavailable } from "../../apimachinery/status.ts";
import type { Clock } from "../../base/clock.ts";
import type { Faults } from "../../base/faults.ts";
import type { Answer } from "../answer.ts";
import type { RequestInfo } from "../http/request-info.ts";
import { respondText } from "../http/respond.ts";
import type { HttpRequest, HttpResponse } from "../http/server.ts";
import { prefixOfResource } from "../registry/context.ts";
import { type ApiRequest, pathOf, type User } from "../request.ts";
import { connect } from "../streams/connect.ts";
import { dial, dialText, exchange } from "../streams/dial.ts";
import type { WatchCache } from "../watchcache/watch-cache.ts";
import { endpointOf } from "../webhook-client.ts";
import { remoteWatch } from "./remote-watch.ts";

export const apiServicesPrefix = prefixOfResource(apiServices as unknown as Resource);

/** A group and version that another server serves, as discovery shows it. */
export interface RemoteVersion {
  service: APIService;
  /** What it said when it was last asked; undefined: not yet. */
  discovered: Discovered | undefined;
}

export interface Discovered {
  /** Of its APIResourceList. */
  resources: readonly LegacyResource[];
  /** Of its OpenAPI v3 document, when it has one. */
  openapiUrl: string | undefined;
  /** Its OpenAPI v2 document, JSON. */
  openapiV2: string | undefined;
}

export interface LegacyResource {
  name: string;
  singularName: string;
  namespaced: boolean;
  kind: string;
  group?: string;
  version?: string;
  verbs: string[];
  shortNames?: string[];
  categories?: string[];
}

/**
 * The groups that Services serve (APIService with spec.service), as the watch cache has them, and the way to them: what
 * is asked of one goes to a ready endpoint with the front-proxy certificate and headers that say who asks.
 */
export class RemoteApis {
  readonly #cache: WatchCache;
  readonly #below: (bound: number) => number;
  readonly #identity: { cert: Buffer; key: Buffer } | undefined;
  readonly #faults: Faults | undefined;
  #seen = -1;
  #all: readonly APIService[] = [];
  #versions: readonly RemoteVersion[] = [];
  readonly #discovered = new Map<string, Discovered>();

  constructor(
    cache: WatchCache,
    below: (bound: number) => number,
    identity: { cert: Buffer; key: Buffer } | undefined,
    faults: Faults | undefined,
  ) {
    this.#cache = cache;
    this.#below = below;
    this.#identity = identity;
    this.#faults = faults;
  }

  /** The same array for as long as nothing changes, as `versions` is. */
  get all(): readonly APIService[] {
    if (this.#cache.revision === 0) return this.#all;
    const { changes, objects } = this.#cache.resource(apiServicesPrefix);
    if (changes !== this.#seen) {
      this.#seen = changes;
      this.#all = Array.from(objects.values(), (stored) => stored.parse() as APIService);
      const remote = this.#all.filter(({ spec }) => spec.service);
      const uids = new Set(remote.map(({ metadata }) => metadata.uid));
      for (const uid of this.#discovered.keys()) if (!uids.has(uid)) this.#discovered.delete(uid);
      if (remote.length + this.#versions.length > 0)
        this.#versions = remote.map((service) => {
          return { service, discovered: this.#discovered.get(service.metadata.uid!) };
        });
    }
    return this.#all;
  }

  get versions(): readonly RemoteVersion[] {
    void this.all;
    return this.#versions;
  }

  discover({ metadata }: APIService, discovered: Discovered): void {
    if (sameJson(discovered, this.#discovered.get(metadata.uid!))) return;
    this.#discovered.set(metadata.uid!, discovered);
    this.#seen = -1;
  }

  version(group: string | undefined, version: string | undefined): RemoteVersion | undefined {
    return this.versions.find(({ service: { spec } }) => spec.group === group && spec.version === version);
  }

  /** Who is asked for this; undefined: ourselves. */
  of(info: RequestInfo): APIService | undefined {
    if (this.versions.length === 0 || info.type === "Bad") return undefined;
    const [, group, version] =
      info.type === "Resource"
        ? ["", info.target.group, info.target.version]
        : (/^\/(?:openapi\/v3\/)?apis\/([^/]+)\/([^/]+)\/?$/.exec(info.path) ?? []);
    return this.version(group, version)?.service;
  }

  /** Throws an Error without an endpoint. */
  location({ spec }: APIService, user: User, path: string, verify = true) {
    const { service, caBundle, insecureSkipTLSVerify = false } = spec;
    const tls = {
      ...this.#identity,
      ...(caBundle ? { ca: Buffer.from(caBundle, "base64") } : {}),
      servername: `${service!.name}.${service!.namespace}.svc`,
      rejectUnauthorized: verify && !insecureSkipTLSVerify,
    };
    const headers = remoteUser(user);
    return { ...endpointOf(this.#cache, service!, this.#below), path, prefix: "", tls, headers, faults: this.#faults };
  }

  /** What came over gRPC, sent on as a request of REST. Throws what the other server says. */
  async ask(service: APIService, request: ApiRequest, clock: Clock): Promise<Answer & { code: number }> {
    const { user, verb, target, options, body, signal } = request;
    const query = Object.entries({ ...options, ...(verb === "watch" ? { watch: "true" } : {}) }).flatMap(
      ([key, values]) => [values].flat().map((value) => [key, String(value)] as [string, string]),
    );
    let location: ReturnType<RemoteApis["location"]>;
    try {
      if (availability(service)?.status !== "True") throw new Error("not available");
      location = this.location(service, user, `${pathOf(target)}?${new URLSearchParams(query)}`);
    } catch (cause) {
      throw serviceUnavailable("service unavailable", cause);
    }
    const sent = body && { "content-type": body.contentType, "content-length": String(body.bytes.length) };
    const headers = { accept: "application/json", ...sent, ...location.headers };
    const call = dial(location, { method: methods[verb], headers, signal });
    const limits = { clock, timeoutMs: askMs, maxBytes: maxAnswerBytes, streams: verb === "watch" };
    const { code, text, stream } = await exchange(call, limits, body?.bytes).catch((error: Error) => {
      throw serviceUnavailable(`error trying to reach service: ${dialText(location, error)}`, error);
    });
    if (stream) return { type: "Watch", code, resource: undefined, watch: remoteWatch(stream, maxAnswerBytes) };
    const bytes = Buffer.from(text);
    const parse = () => JSON.parse(text) as KubernetesObject;
    if (code >= 200 && code < 300) return { type: "Object", code, resource: undefined, object: { bytes, parse } };
    if (!text.startsWith("{")) throw failure(code, "", text);
    throw new StatusError(parse() as unknown as Status);
  }

  async serve(service: APIService, user: User, request: HttpRequest, response: HttpResponse): Promise<number> {
    const unavailable = (text: string) => {
      respondText(response, 503, `${text}\n`);
      return 503;
    };
    if (availability(service)?.status !== "True") return unavailable("service unavailable");
    let location: ReturnType<RemoteApis["location"]>;
    try {
      location = this.location(service, user, request.url);
    } catch {
      return unavailable("service unavailable");
    }
    return connect(location, request, response).catch((error: unknown) => {
      if (!(error instanceof StatusError) || response.headersSent) throw error;
      return unavailable(error.message);
    });
  }
}

const methods = {
  get: "GET",
  list: "GET",
  watch: "GET",
  create: "POST",
  update: "PUT",
  patch: "PATCH",
  delete: "DELETE",
  deletecollection: "DELETE",
};
const askMs = 30_000;
const maxAnswerBytes = 64 * 1024 * 1024;

/** Who asks, in the headers that --requestheader-* names by default; bytes of UTF-8 as Node sends them. */
export function remoteUser({ name, uid, groups, extra = {} }: User): Record<string, string | string[]> {
  const bytes = (text: string) => Buffer.from(text).toString("latin1");
  const headers: Record<string, string | string[]> = { "x-remote-user": bytes(name) };
  if (uid) headers["x-remote-uid"] = bytes(uid);
  if (groups.length > 0) headers["x-remote-group"] = groups.map(bytes);
  for (const [key, values] of Object.entries(extra))
    headers[`x-remote-extra-${encodeURIComponent(key).replace(/[()]/g, escape)}`] = values.map(bytes);
  return headers;
}
