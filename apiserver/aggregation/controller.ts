import { apiServices, availability, availableLocally } from "../../api/apiregistration/api-service.ts";
import type { APIService } from "../../api/generated/apiregistration-v1.ts";
import type { EndpointSlice } from "../../api/generated/discovery-v1.ts";
import { APIServices, EndpointSlices, Services } from "../../api/generated/resources.ts";
import type { Resource } from "../../api/resource.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { isNotFound } from "../../apimachinery/status.ts";
import { formatTime } from "../../apimachinery/time.ts";
import type { Logger } from "../../base/logger.ts";
import type { Cluster } from "../admission/cluster.ts";
import { definitionsPrefix } from "../crd/definitions.ts";
import { remove } from "../registry/delete.ts";
import { onChange } from "../registry/on-change.ts";
import type { Registry } from "../registry/registry.ts";
import { ensure, systemChange, systemWrite } from "../registry/system-objects.ts";
import type { ResourceTable } from "../resource-table.ts";
import { registryRoot } from "../storage/storage.ts";
import { dial, dialText, exchange, hostOf, timeoutText } from "../streams/dial.ts";
import { type Finding, missing, passed } from "./available.ts";
import { isBuiltIn, prioritiesOf } from "./priorities.ts";
import { apiServicesPrefix, type Discovered, type RemoteApis } from "./remote-apis.ts";

/**
 * Registers every group and version that we serve as an APIService, and tells of each whether it is available: a server
 * behind a Service is asked for its discovery when something about it has changed, every 30 s, and sooner while it fails.
 * Differs: one of ours that somebody deletes is registered again at once, not at the next start.
 */
export class ApiServicesController {
  readonly #registry: Registry;
  readonly #table: ResourceTable;
  readonly #remotes: RemoteApis;
  readonly #cluster: Cluster;
  readonly #log: Logger;
  /** By uid. */
  #probes = new Map<string, Probe>();
  #seen: readonly unknown[] = [];

  constructor(registry: Registry, table: ResourceTable, remotes: RemoteApis, cluster: Cluster, log: Logger) {
    this.#registry = registry;
    this.#table = table;
    this.#remotes = remotes;
    this.#cluster = cluster;
    this.#log = log;
  }

  run(signal: AbortSignal): Promise<void> {
    const prefixes = [
      apiServicesPrefix,
      definitionsPrefix,
      `${registryRoot}services/specs/`,
      `${registryRoot}${EndpointSlices.resource}/`,
    ];
    return onChange(
      this.#registry.context,
      { prefixes, log: this.#log, what: "APIServices" },
      () => this.#sync(),
      signal,
    );
  }

  /** When to ask the next server again. */
  async #sync(): Promise<number | undefined> {
    const { clock } = this.#registry.context;
    const { all } = this.#remotes;
    const seen = [all, this.#table.all];
    if (seen.some((one, i) => one !== this.#seen[i])) await this.#register(all);
    this.#seen = seen;
    const remote = all.filter(({ spec }) => spec.service);
    const probes = new Map<string, Probe>();
    await Promise.all(
      remote.map(async (service) => {
        const uid = service.metadata.uid!;
        const probe = await this.#look(service, this.#probes.get(uid));
        probes.set(uid, probe);
        await this.#tell(service, probe.finding);
      }),
    );
    this.#probes = probes;
    const due = Math.min(...Array.from(probes.values(), (probe) => probe.due));
    return remote.length === 0 ? undefined : Math.max(0, due - clock.monotonic());
  }

  async #register(all: readonly APIService[]): Promise<void> {
    const wanted = new Map<string, APIService>();
    for (const { group, version } of this.#table.all) {
      if (group === APIServices.group) continue;
      const managed = isBuiltIn(group) ? "onstart" : "true";
      const name = `${version}.${group}`;
      const spec = { group, version, ...prioritiesOf(group, version) };
      wanted.set(name, { metadata: { name, labels: { [managedLabel]: managed } }, spec, status: {} });
    }
    for (const service of all) {
      const { name, labels = {} } = service.metadata;
      const own = wanted.get(name);
      wanted.delete(name);
      if (!service.spec.service) await this.#tell(service, availableLocally(""));
      if (labels[managedLabel] === undefined) continue;
      if (own === undefined)
        await remove({ context: this.#registry.context, resource, target: targetOf(name) }, {}, systemWrite()).catch(
          unlessGone,
        );
      else if (!sameJson(own.spec, service.spec))
        await this.#change(service, "", (object) => void Object.assign(object, { spec: own.spec }));
    }
    await Promise.all(Array.from(wanted.values(), (own) => ensure(this.#registry, APIServices, own, false)));
  }

  async #look(service: APIService, known: Probe | undefined): Promise<Probe> {
    const { clock } = this.#registry.context;
    const reference = service.spec.service!;
    const behind = this.#cluster.get(Services, reference);
    const slices = this.#cluster
      .list<EndpointSlice>(EndpointSlices, reference.namespace)
      .filter(({ metadata }) => metadata.labels?.["kubernetes.io/service-name"] === reference.name);
    const of = JSON.stringify([service.spec, behind?.spec, slices.map(({ endpoints, ports }) => [endpoints, ports])]);
    if (known?.of === of && known.due > clock.monotonic()) return known;
    const finding = missing(reference, behind, slices) ?? (await this.#ask(service));
    const failures = finding === passed ? 0 : known?.of === of ? known.failures + 1 : 1;
    const wait = failures === 0 ? resyncMs : Math.min(resyncMs, firstRetryMs * 2 ** failures);
    return { of, finding, failures, due: clock.monotonic() + wait };
  }

  /** Five at once, as one of its endpoints may be ill; one good answer is enough. */
  async #ask(service: APIService): Promise<Finding> {
    const { group, version } = service.spec;
    const path = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
    const attempts = Array.from({ length: 5 }, () => this.#get(service, path));
    try {
      const { resources } = JSON.parse(await Promise.any(attempts)) as Discovered;
      const index = await this.#get(service, "/openapi/v3").then(JSON.parse, () => undefined);
      const openapiUrl = index?.paths?.[path.slice(1)]?.serverRelativeURL as string | undefined;
      const openapiV2 = await this.#get(service, "/openapi/v2").catch(() => undefined);
      this.#remotes.discover(service, { resources: resources ?? [], openapiUrl, openapiV2 });
      return passed;
    } catch (error) {
      const last = error instanceof AggregateError ? (error.errors.at(-1) as Error) : (error as Error);
      return { status: "False", reason: "FailedDiscoveryCheck", message: last.message };
    }
  }

  async #get(service: APIService, path: string): Promise<string> {
    const location = this.#remotes.location(service, aggregator, path, false);
    const url = `https://${hostOf(location)}${path}`;
    const headers = { accept: "application/json", ...location.headers };
    const limits = { clock: this.#registry.context.clock, timeoutMs: discoveryMs, maxBytes: maxAnswerBytes };
    const { code, text } = await exchange(dial(location, { method: "GET", headers }), limits).catch((error: Error) => {
      const cause = error.message === timeoutText ? error.message : dialText(location, error);
      throw new Error(`failing or missing response from ${url}: Get ${JSON.stringify(url)}: ${cause}`);
    });
    if (code < 200 || code >= 300)
      throw new Error(`failing or missing response from ${url}: bad status from ${url}: ${code}`);
    return text;
  }

  async #tell(service: APIService, { status, reason, message }: Finding): Promise<void> {
    const before = availability(service);
    if (before?.status === status && before.reason === reason && before.message === message) return;
    const now = formatTime(this.#registry.context.clock.now());
    await this.#change(service, "status", (object) => {
      const old = availability(object);
      const lastTransitionTime = old?.status === status ? (old.lastTransitionTime ?? now) : now;
      const others = object.status?.conditions?.filter((one) => one !== old) ?? [];
      const condition = { type: "Available", status, lastTransitionTime, reason: reason!, message: message! };
      object.status = { ...object.status, conditions: [...others, condition] };
    });
  }

  #change({ metadata }: APIService, subresource: string, change: (object: APIService) => void): Promise<void> {
    const target = { ...targetOf(metadata.name), subresource };
    return systemChange(this.#registry, resource, target, metadata.uid, change);
  }
}

/** What was found of a server when it and its Service were like `of`, and when to look again. */
interface Probe {
  of: string;
  finding: Finding;
  failures: number;
  due: number;
}

const resource = apiServices as unknown as Resource;
const targetOf = (name: string) => ({ ...APIServices, namespace: "", name, subresource: "" });

function unlessGone(error: unknown): void {
  if (!isNotFound(error)) throw error;
}

const managedLabel = "kube-aggregator.kubernetes.io/automanaged";
/** Whoever it is behind, it may not say no. */
const aggregator = { name: "system:kube-aggregator", groups: ["system:masters"] };
const discoveryMs = 5000;
const resyncMs = 30_000;
const firstRetryMs = 250;
const maxAnswerBytes = 16 * 1024 * 1024;
