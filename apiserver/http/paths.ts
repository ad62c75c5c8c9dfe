import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { Registry as Metrics } from "prom-client";
import type { RemoteApis } from "../aggregation/remote-apis.ts";
import type { ServiceAccountTokens } from "../authn/service-account-tokens.ts";
import type { Discovery } from "./discovery.ts";
import { header } from "./handler.ts";
import { jsonTypes, negotiate, parseMediaTypes } from "./negotiate.ts";
import type { OpenApi } from "./openapi.ts";
import type { RequestInfo } from "./request-info.ts";
import { respondText, unacceptable } from "./respond.ts";
import type { HttpRequest, HttpResponse } from "./server.ts";

/** The paths that are no resources: discovery, OpenAPI, version, health, metrics. */
export interface PathsOptions {
  discovery: () => Discovery;
  openapi: OpenApi;
  remotes: RemoteApis;
  metrics: Metrics;
  /** For OIDC discovery of our service-account tokens; `base` is our own address. */
  tokens: { tokens: ServiceAccountTokens; base: string } | undefined;
  checks: readonly Check[];
}

/** Named as `/readyz?verbose` shows it; `missing` is undefined when it is well. */
export interface Check {
  name: string;
  /** Also part of livez and healthz. */
  live: boolean;
  missing(): string | undefined | Promise<string | undefined>;
}

export class Paths {
  readonly #options: PathsOptions;

  constructor(options: PathsOptions) {
    this.#options = options;
  }

  async serve(request: HttpRequest, response: HttpResponse, info: RequestInfo & { type: "Path" }): Promise<void> {
    const path = info.path.length > 1 && info.path.endsWith("/") ? info.path.slice(0, -1) : info.path;
    if (info.method !== "GET" && info.method !== "HEAD") return respondText(response, 405, "Method Not Allowed\n");
    const health = /^\/(healthz|livez|readyz)(?:\/(.+))?$/.exec(path);
    if (health) return this.#health(response, health[1]!, health[2], info.query);
    if (path === "/version") return sendText(request, response, versionText);
    if (path === "/metrics") {
      const { metrics } = this.#options;
      return respondText(response, 200, await metrics.metrics(), metrics.contentType);
    }
    const { tokens } = this.#options;
    if (tokens !== undefined && path === "/.well-known/openid-configuration")
      return sendText(request, response, JSON.stringify(tokens.tokens.configuration(tokens.base)));
    if (tokens !== undefined && path === "/openid/v1/jwks")
      return sendText(request, response, JSON.stringify(await tokens.tokens.jwks()), "application/jwk-set+json");
    if (path.startsWith("/openapi/")) return this.#openapi(request, response, path);
    return this.#discovery(request, response, path);
  }

  async #discovery(request: HttpRequest, response: HttpResponse, path: string): Promise<void> {
    const { legacy, aggregated } = this.#options.discovery();
    const form = negotiate(header(request, "accept"));
    const grouped = aggregated.get(path);
    if (form?.as === "APIGroupDiscoveryList" && grouped !== undefined)
      return sendText(
        request,
        response,
        grouped,
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
      );
    const text = legacy.get(path) ?? (path === "" || path === "/" ? this.#rootText() : undefined);
    if (text === undefined) return respondText(response, 404, "404 page not found\n");
    if (form === undefined) throw unacceptable();
    return sendText(request, response, text);
  }

  #rootText(): string {
    const { legacy } = this.#options.discovery();
    const paths = [
      ...legacy.keys(),
      "/healthz",
      "/livez",
      "/metrics",
      "/openapi/v2",
      "/openapi/v3",
      "/readyz",
      "/version",
    ];
    return JSON.stringify({ paths: paths.sort() });
  }

  /** kubectl keeps what it has fetched and asks with its ETag; the hash is in the address, so it may keep it for ever. */
  async #openapi(request: HttpRequest, response: HttpResponse, path: string): Promise<void> {
    const { openapi } = this.#options;
    if (path === "/openapi/v2") {
      const types = parseMediaTypes(header(request, "accept") || "*/*").map(({ type }) => type);
      const wanted = types.find((type) => protobufTypes.includes(type) || jsonTypes.has(type));
      if (wanted === undefined) throw unacceptable();
      const { json, protobuf, hash } = await openapi.v2;
      const asJson = jsonTypes.has(wanted);
      const type = asJson ? "application/json" : protobufTypes[0];
      return sendText(request, response, asJson ? json : protobuf, type, `"${hash}${asJson ? "" : "-P"}"`);
    }
    if (path === "/openapi/v3") {
      const paths: Record<string, object> = {};
      for (const [name, { hash }] of await openapi.documents())
        paths[name] = { serverRelativeURL: `/openapi/v3/${name}?hash=${hash}` };
      for (const { service, discovered } of this.#options.remotes.versions)
        if (discovered?.openapiUrl)
          paths[`apis/${service.spec.group}/${service.spec.version}`] = { serverRelativeURL: discovered.openapiUrl };
      return sendText(request, response, JSON.stringify({ paths }));
    }
    const document = openapi.document(path.slice("/openapi/v3/".length));
    if (document === undefined) return respondText(response, 404, "404 page not found\n");
    return sendText(request, response, document.text, "application/json", `"${document.hash}"`);
  }

  async #health(
    response: HttpResponse,
    endpoint: string,
    only: string | undefined,
    query: URLSearchParams,
  ): Promise<void> {
    const excluded = new Set(query.getAll("exclude"));
    const own = this.#options.checks.filter(({ name, live }) => (endpoint === "readyz" || live) && !excluded.has(name));
    const checks = only === undefined ? own : own.filter(({ name }) => name === only);
    if (only !== undefined && checks.length === 0) return respondText(response, 404, "404 page not found\n");
    const results = await Promise.all(checks.map(async ({ name, missing }) => ({ name, reason: await missing() })));
    const failed = results.some(({ reason }) => reason !== undefined);
    if (!failed && !query.has("verbose")) return respondText(response, 200, "ok");
    const lines = results.map(({ name, reason }) =>
      reason === undefined ? `[+]${name} ok` : `[-]${name} failed: ${reason}`,
    );
    respondText(
      response,
      failed ? 500 : 200,
      `${lines.join("\n")}\n${endpoint} check ${failed ? "failed" : "passed"}\n`,
    );
  }
}

/** The second is how client-go spells it. */
const protobufTypes = [
  "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
  "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
];

async function sendText(
  request: HttpRequest,
  response: HttpResponse,
  text: string | Buffer,
  contentType = "application/json",
  etag?: string,
): Promise<void> {
  const cache = etag ? { etag, vary: "Accept", "cache-control": "public" } : { "cache-control": "no-cache, private" };
  if (etag !== undefined && header(request, "if-none-match") === etag) {
    response.writeHead(304, cache);
    return void response.end();
  }
  const whole = Buffer.from(text);
  const zip = whole.length > gzipFrom && /(?:^|[ ,])gzip/.test(header(request, "accept-encoding") ?? "");
  const bytes = zip ? await promisify(gzip)(whole, { level: 1 }) : whole;
  const encoding = zip ? { "content-encoding": "gzip", vary: "Accept-Encoding" } : {};
  response.writeHead(200, { ...cache, ...encoding, "content-type": contentType, "content-length": bytes.length });
  response.end(bytes);
}

/** As upstream's threshold. */
const gzipFrom = 128 * 1024;

/** kubectl and client-go need semver, and look at the minor version only. */
const versionText = JSON.stringify({
  major: "1",
  minor: "34",
  gitVersion: "v1.34.0+kubelab",
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "1970-01-01T00:00:00Z",
  goVersion: "",
  compiler: "node",
  platform: `linux/${process.arch === "x64" ? "amd64" : process.arch}`,
});
