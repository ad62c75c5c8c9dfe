import { readFileSync } from "node:fs";
import https from "node:https";
import { dirname, resolve } from "node:path";
import { LRUCache } from "lru-cache";
import type { Service } from "../api/generated/core-v1.ts";
import type { EndpointSlice } from "../api/generated/discovery-v1.ts";
import { EndpointSlices, Services } from "../api/generated/resources.ts";
import { parseYaml } from "../apimachinery/schema/yaml.ts";
import type { Clock } from "../base/clock.ts";
import type { Faults } from "../base/faults.ts";
import { faultyAgent } from "../net/faulty-link.ts";
import { registryRoot } from "./storage/storage.ts";
import { exchange } from "./streams/dial.ts";
import type { WatchCache } from "./watchcache/watch-cache.ts";

/** Where a webhook or an aggregated API is: by URL, or a Service of which a ready endpoint is dialled. */
export interface ClientConfig {
  url?: string;
  service?: { namespace: string; name: string; port?: number; path?: string };
  /** PEM in base64; the system's authorities without it. */
  caBundle?: string;
  /** Whom we are to it, when a file says so: PEM in base64, or a bearer token. */
  credentials?: { cert?: string | undefined; key?: string | undefined; token?: string | undefined };
}

export interface Address {
  host: string;
  port: number;
}

/** A ready endpoint of a Service's port, each in turn. Throws an Error in upstream's words. */
export function endpointOf(
  cache: WatchCache,
  { namespace, name, port = 443 }: NonNullable<ClientConfig["service"]>,
  below: (bound: number) => number,
): Address {
  const stored = cache
    .resource(`${registryRoot}services/specs/`)
    .objects.get(`${registryRoot}services/specs/${namespace}/${name}`);
  const service = stored?.parse() as Service | undefined;
  if (service === undefined) throw new Error(`${Services.resource} ${JSON.stringify(name)} not found`);
  if (service.spec.type === "ExternalName") return { host: service.spec.externalName!, port };
  const servicePort = service.spec.ports?.find((one) => one.port === port);
  if (servicePort === undefined) throw new Error(`no service port ${port} found for service ${JSON.stringify(name)}`);
  const ready = [...readyEndpoints(cache, namespace, name, servicePort.name ?? "")];
  const addresses = ready.map((one) => ({ host: one.endpoint.addresses[0]!, port: one.port }));
  if (addresses.length === 0) throw new Error(`no endpoints available for service ${JSON.stringify(name)}`);
  return addresses[below(addresses.length)]!;
}

/** The ready endpoints of what the Service calls `portName`, by its EndpointSlices. */
export function* readyEndpoints(
  cache: Pick<WatchCache, "resource">,
  namespace: string,
  service: string,
  portName: string,
): Generator<{ endpoint: EndpointSlice["endpoints"][0]; port: number }> {
  const prefix = `${registryRoot}${EndpointSlices.resource}/`;
  for (const one of cache.resource(prefix).under(`${prefix}${namespace}/`)) {
    const { metadata, ports, endpoints } = one.parse() as EndpointSlice;
    if (metadata.labels?.["kubernetes.io/service-name"] !== service) continue;
    const port = ports?.find(({ name = "" }) => name === portName)?.port;
    if (port === undefined) continue;
    for (const endpoint of endpoints ?? []) if (endpoint.conditions?.ready !== false) yield { endpoint, port };
  }
}

interface WebhookParts {
  cache: WatchCache;
  clock: Clock;
  below: (bound: number) => number;
  faults?: Faults | undefined;
}

/** POSTs to webhooks, over connections that are kept for the next call as client-go keeps them. */
export class Webhooks {
  readonly #agent: https.Agent;
  readonly #from: WebhookParts;

  constructor(from: WebhookParts) {
    this.#from = from;
    const agent = new https.Agent({ keepAlive: true, maxFreeSockets: 25, timeout: 90_000 });
    this.#agent = faultyAgent(agent, from.faults);
  }

  /** The answer's JSON. Throws an Error in upstream's words. */
  async call(config: ClientConfig, body: object, timeoutSeconds: number): Promise<unknown> {
    return JSON.parse(await this.post(config, JSON.stringify(body), timeoutSeconds)) as unknown;
  }

  async post(config: ClientConfig, body: string, timeoutSeconds: number): Promise<string> {
    const { url: given, service, caBundle, credentials: { cert, key, token } = {} } = config;
    const { cache, clock, below } = this.#from;
    const url = new URL(
      given ?? `https://${service!.name}.${service!.namespace}.svc:${service!.port ?? 443}${service!.path ?? "/"}`,
    );
    url.searchParams.set("timeout", `${timeoutSeconds}s`);
    const address = service ? endpointOf(cache, service, below) : { host: url.hostname, port: Number(url.port || 443) };
    const bytes = Buffer.from(body);
    const options = {
      ...address,
      method: "POST",
      path: url.pathname + url.search,
      servername: /^[\d.]+$|:/.test(url.hostname) ? "" : url.hostname,
      headers: {
        host: url.host,
        "content-type": "application/json",
        accept: "application/json",
        "content-length": bytes.length,
        ...(token ? { authorization: `Bearer ${token}` } : {}),
      },
      agent: this.#agent,
      ...(caBundle ? { ca: Buffer.from(caBundle, "base64") } : {}),
      ...(cert && key ? { cert: Buffer.from(cert, "base64"), key: Buffer.from(key, "base64") } : {}),
    };
    const limits = { clock, timeoutMs: timeoutSeconds * 1000, maxBytes: maxAnswerBytes };
    const post = (): ReturnType<typeof exchange> => {
      const call = https.request(options);
      return exchange(call, limits, bytes).catch((error: NodeJS.ErrnoException) => {
        // Kept open by us, closed by the other side meanwhile: nobody has heard us.
        if (call.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE")) return post();
        throw new Error(`Post ${JSON.stringify(url.href)}: ${error.message}`, { cause: error });
      });
    };
    const { code, text } = await post();
    if (code >= 200 && code < 300) return text;
    throw new Error(`the server responded with the status code ${code}: ${text.slice(0, 200)}`);
  }

  close(): void {
    this.#agent.destroy();
  }
}

/**
 * Where a webhook is, from a file in the form of a kubeconfig: server, authority, and the client certificate or token of
 * the current context. Throws RangeError when it names no https server.
 */
export function webhookOf(file: string): ClientConfig {
  const config = parseYaml(readFileSync(file, "utf8")).value as Kubeconfig;
  const context = config.contexts?.find(({ name }) => name === config["current-context"])?.context;
  const cluster = config.clusters?.find(({ name }) => name === context?.cluster)?.cluster;
  const user = config.users?.find(({ name }) => name === context?.user)?.user ?? {};
  const url = cluster?.["server"];
  if (!url?.startsWith("https://")) throw new RangeError(`${file}: the current context names no https server`);
  const pem = (of: Record<string, string>, name: string): string | undefined =>
    of[`${name}-data`] ?? (of[name] && readFileSync(resolve(dirname(file), of[name])).toString("base64"));
  const caBundle = pem(cluster!, "certificate-authority");
  const credentials = { cert: pem(user, "client-certificate"), key: pem(user, "client-key"), token: user["token"] };
  return { url, ...(caBundle ? { caBundle } : {}), credentials };
}

interface Kubeconfig {
  clusters?: { name: string; cluster: Record<string, string> }[];
  users?: { name: string; user: Record<string, string> }[];
  contexts?: { name: string; context: { cluster: string; user: string } }[];
  "current-context"?: string;
}

/** Answers are kept for as long as they say, by the JSON of the question. */
export function remembering<Q, A>(clock: Clock, ask: (question: Q) => Promise<{ value: A; ms: number }>) {
  const known = new LRUCache<string, { value: A; until: number }>({ max: 4096 });
  return async (question: Q): Promise<A> => {
    const key = JSON.stringify(question);
    const found = known.get(key);
    if (found !== undefined && clock.monotonic() < found.until) return found.value;
    const { value, ms } = await ask(question);
    if (ms > 0) known.set(key, { value, until: clock.monotonic() + ms });
    return value;
  };
}

const maxAnswerBytes = 64 * 1024 * 1024;
