import { apiServices, availability } from "../../api/apiregistration/api-service.ts";
import type { APIService } from "../../api/generated/apiregistration-v1.ts";
import type { Resource } from "../../api/resource.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { StatusError } from "../../apimachinery/status.ts";
import type { RequestInfo } from "../http/request-info.ts";
import { respondText } from "../http/respond.ts";
import type { HttpRequest, HttpResponse } from "../http/server.ts";
import { prefixOfResource } from "../registry/context.ts";
import type { User } from "../request.ts";
import { connect } from "../streams/connect.ts";
import type { WatchCache } from "../watchcache/watch-cache.ts";
import { endpointOf } from "../webhook-client.ts";

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
  #seen = -1;
  #all: readonly APIService[] = [];
  #versions: readonly RemoteVersion[] = [];
  readonly #discovered = new Map<string, Discovered>();

  constructor(
    cache: WatchCache,
    below: (bound: number) => number,
    identity: { cert: Buffer; key: Buffer } | undefined,
  ) {
    this.#cache = cache;
    this.#below = below;
    this.#identity = identity;
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

  /** Who is asked for this; undefined: ourselves. */
  of(info: RequestInfo): APIService | undefined {
    const { versions } = this;
    if (versions.length === 0 || info.type === "Bad") return undefined;
    const [, group, version] =
      info.type === "Resource"
        ? ["", info.target.group, info.target.version]
        : (/^\/(?:openapi\/v3\/)?apis\/([^/]+)\/([^/]+)\/?$/.exec(info.path) ?? []);
    return versions.find(({ service: { spec } }) => spec.group === group && spec.version === version)?.service;
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
    return { ...endpointOf(this.#cache, service!, this.#below), path, prefix: "", tls, headers: remoteUser(user) };
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
