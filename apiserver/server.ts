import type { Resource } from "../api/resource.ts";
import { type Clock, sleep, systemClock } from "../base/clock.ts";
import type { Faults } from "../base/faults.ts";
import type { Logger } from "../base/logger.ts";
import { Counter, Gauge, Histogram, type Registry as Metrics } from "../base/metrics.ts";
import { type Rand, systemRand } from "../base/rand.ts";
import type { EtcdClient } from "../etcd-raft/client/client.ts";
import type { GrpcFront } from "../net/grpc-front.ts";
import { HealthService, healthHandlers } from "../net/grpc-health.ts";
import type { TlsMaterial } from "../net/tls.ts";
import { admissionChain } from "./admission/chain.ts";
import { type Cluster, clusterOf } from "./admission/cluster.ts";
import { admissionPlugins, type PluginOptions } from "./admission/plugins.ts";
import { checkPolicies } from "./admission/type-checking.ts";
import { ApiServicesController } from "./aggregation/controller.ts";
import { RemoteApis } from "./aggregation/remote-apis.ts";
import { Audit, type AuditSink } from "./audit/audit.ts";
import type { Policy as AuditPolicy } from "./audit/policy.ts";
import { type AuditWebhookOptions, auditWebhook } from "./audit/webhook.ts";
import { identify } from "./authn/identify.ts";
import type { Peers } from "./authn/peers.ts";
import type { Attributes } from "./authz/authorizer.ts";
import { wantedPolicy } from "./authz/bootstrap.ts";
import { escalationCheck } from "./authz/escalation.ts";
import { Chain } from "./chain.ts";
import { DefinitionsController } from "./crd/controller.ts";
import { type Converter, conversionSeconds } from "./crd/conversion.ts";
import { Definitions } from "./crd/definitions.ts";
import { wantedFlowControl } from "./flowcontrol/bootstrap.ts";
import { defaultFlowControl, FlowControl, type FlowControlOptions } from "./flowcontrol/flow-control.ts";
import { addApiService, type GrpcParts } from "./grpc/service.ts";
import { discoveryOf } from "./http/discovery.ts";
import { httpHandler } from "./http/handler.ts";
import { OpenApi } from "./http/openapi.ts";
import { type Check, Paths } from "./http/paths.ts";
import type { HttpHandler } from "./http/server.ts";
import { prefixOfResource } from "./registry/context.ts";
import { EndpointLeases } from "./registry/endpoint-leases.ts";
import { KeyLocks } from "./registry/modify.ts";
import { Registry } from "./registry/registry.ts";
import { addressRange, portRange } from "./registry/services/range.ts";
import { ServiceRanges } from "./registry/services/ranges.ts";
import { writeNamespaces, writePolicy, writeSystemObjects } from "./registry/system-objects.ts";
import { storedOf } from "./registry/versions.ts";
import type { Target } from "./request.ts";
import { ResourceTable } from "./resource-table.ts";
import { type SecurityOptions, securityOf } from "./security.ts";
import { runCompactor } from "./storage/compactor.ts";
import type { Encryption } from "./storage/encryption.ts";
import { eventLease } from "./storage/event-lease.ts";
import { progressRequester } from "./storage/progress.ts";
import { Storage } from "./storage/storage.ts";
import { WatchCache } from "./watchcache/watch-cache.ts";
import { WatchTimes } from "./watchcache/watch-times.ts";
import { Webhooks } from "./webhook-client.ts";

export interface ApiserverOptions {
  etcd: EtcdClient;
  resources: readonly Resource[];
  /** Differs: for labs whose Pods are on the loopback. */
  allowLoopbackEndpoints?: boolean;
  /** 0: never compacts. */
  compactionIntervalMs?: number | undefined;
  serviceClusterIPRange: string;
  serviceNodePortRange: string;
  tolerationSeconds: { notReady: number; unreachable: number };
  admissionPlugins?: Pick<PluginOptions, "enable" | "disable" | "imagePolicy" | "podSecurity">;
  advertise: { address: string; port: number };
  security?: SecurityOptions;
  flowControl?: FlowControlOptions;
  minRequestTimeoutMs?: number;
  /** Of values in the store. */
  encryption?: Encryption | undefined;
  audit?: { policy: AuditPolicy; log?: AuditSink | undefined; webhook?: AuditWebhookOptions | undefined } | undefined;
  /** Towards the agents. */
  kubelet: TlsMaterial | undefined;
  /** Towards aggregated APIs: the front proxy's certificate. */
  proxyClient?: { cert: Buffer; key: Buffer } | undefined;
  /** What connections to agents, Pods and webhooks suffer on request, by the address there. */
  faults?: Faults | undefined;
  metrics: Metrics;
  log: Logger;
  clock?: Clock;
  rand?: Rand;
}

/** The apiserver without its sockets: both fronts' handlers over one chain, registry, watch cache and store. */
export class Apiserver {
  readonly httpHandler: HttpHandler;
  readonly #chain: Chain;
  readonly #grpcParts: Omit<GrpcParts, "peers" | "identify">;
  readonly #callers: Parameters<typeof identify>[0];
  readonly #registry: Registry;
  readonly #options: ApiserverOptions;
  readonly #cache: WatchCache;
  readonly #ranges: ServiceRanges;
  readonly #clock: Clock;
  readonly #leases: EndpointLeases;
  readonly #apiServices: ApiServicesController;
  readonly #webhooks: Webhooks;
  readonly #sinks: AuditSink[];
  readonly #cluster: Cluster;
  #systemObjects = false;

  /** Throws RangeError for a bad address or port range, and for a plug-in that there is not. */
  constructor(options: ApiserverOptions) {
    const { etcd, resources, log, metrics, advertise, faults, clock = systemClock, rand = systemRand } = options;
    this.#options = options;
    this.#clock = clock;
    const storage = new Storage(etcd, clock, options.encryption?.byKey(resources));
    this.#cache = new WatchCache({
      etcd: {
        watch: (request, handlers) => etcd.watch(request, handlers),
        requestProgress: progressRequester(etcd),
      },
      storage,
      prefixes: resources.filter(({ virtual }) => !virtual).map(prefixOfResource),
      log,
      clock,
    });
    this.#ranges = new ServiceRanges(
      storage,
      addressRange(options.serviceClusterIPRange),
      portRange(options.serviceNodePortRange),
    );
    const table = new ResourceTable(resources);
    const below = (bound: number) => rand.below(bound);
    const webhooks = new Webhooks({ cache: this.#cache, clock, below, faults });
    this.#webhooks = webhooks;
    const convert: Converter = (client, review) => webhooks.call(client, review, conversionSeconds);
    table.addSource(new Definitions(this.#cache, convert));
    const remotes = new RemoteApis(this.#cache, below, options.proxyClient, faults);
    const cluster = clusterOf(this.#cache, storage, () => table.all);
    this.#cluster = cluster;
    const { tolerationSeconds } = options;
    const security = securityOf(options.security ?? {}, { cluster, cache: this.#cache, webhooks, clock, rand, log });
    const { authenticator, anonymous, authorizer, rbac, tokens, makers } = security;
    const plugins = admissionPlugins({
      tolerationSeconds,
      authorizer,
      callWebhook: (client, review, seconds) => webhooks.call(client, review, seconds),
      metrics,
      clock,
      rand,
      ...options.admissionPlugins,
    });
    const admission = admissionChain([escalationCheck(rbac, authorizer), ...plugins], cluster);
    const context = {
      storage,
      cache: this.#cache,
      admission,
      makers,
      ranges: this.#ranges,
      locks: new KeyLocks(),
      eventLease: eventLease(etcd, clock),
      minRequestTimeoutMs: options.minRequestTimeoutMs ?? 1800_000,
      allowLoopbackEndpoints: options.allowLoopbackEndpoints,
      watchTimes: new WatchTimes(clock),
      faults,
      clock,
      rand,
    };
    this.#registry = new Registry(context, table, options.kubelet && { tls: options.kubelet });
    this.#apiServices = new ApiServicesController(this.#registry, table, remotes, cluster, log);
    this.#leases = new EndpointLeases(this.#registry, { etcd, advertise, clock });
    const { flowControl = defaultFlowControl } = options;
    const count = (attributes: Attributes) => {
      const resource = "target" in attributes ? table.find(attributes.target) : undefined;
      return resource && !resource.virtual
        ? this.#cache.resource(prefixOfResource(storedOf(resource))).objects.size
        : 0;
    };
    const flow = new FlowControl(flowControl, { cache: this.#cache, clock, metrics, count });
    const { policy, log: auditLog, webhook } = options.audit ?? {};
    const post: Webhooks["post"] = (...given) => webhooks.post(...given);
    const sinks = [auditLog, webhook && auditWebhook(webhook, { clock, log, rand, post })];
    this.#sinks = sinks.filter((sink) => sink !== undefined);
    const audit = policy && new Audit({ policy, sinks: this.#sinks, clock, rand });
    this.#chain = new Chain(this.#registry, authorizer, audit, flow);
    const discovery = discoveryOf(table, remotes);
    const check = (name: string, missing: Check["missing"]) => ({ name, live: false, missing });
    this.#grpcParts = { chain: this.#chain, remotes, discovery, clock };
    const paths = new Paths({
      discovery,
      remotes,
      openapi: new OpenApi(table, remotes),
      metrics,
      tokens: tokens && { tokens, base: `https://${advertise.address}:${advertise.port}` },
      checks: [
        { name: "ping", live: true, missing: () => undefined },
        check("etcd", () => storage.currentRevision(etcdCheckMs).then(() => undefined, messageOf)),
        check("informer-sync", () => (this.#cache.synced ? undefined : "the watch cache is not synced")),
        check("poststarthook/start-system-namespaces-controller", () =>
          this.#systemObjects ? undefined : "not finished",
        ),
      ],
    });
    this.#callers = { authenticator, anonymous };
    this.httpHandler = httpHandler({
      chain: this.#chain,
      ...this.#callers,
      paths,
      remotes,
      hasProtobuf: (target) => table.find(target)?.custom === undefined,
      clock,
      requestTimeoutMs: flowControl.requestTimeoutMs,
      observe: observer(metrics, this.#cache, table),
    });
  }

  addTo(server: GrpcFront, peers: Peers): void {
    addApiService(server, {
      ...this.#grpcParts,
      peers,
      identify: (credentials) => identify(this.#callers, credentials, ""),
    });
    server.addService(
      HealthService,
      healthHandlers(() => this.#systemObjects && this.#cache.synced, this.#clock),
    );
  }

  /** Fills the cache and writes the system objects, however long the store takes to answer; then it is ready. */
  async start(signal: AbortSignal): Promise<void> {
    const { etcd, log, advertise, serviceClusterIPRange, resources, security } = this.#options;
    const { compactionIntervalMs: intervalMs } = this.#options;
    if (intervalMs !== 0) void runCompactor(etcd, { clock: this.#clock, log, intervalMs }, signal);
    await this.#cache.start();
    const services = resources.find(({ group, resource }) => group === "" && resource === "services")!;
    while (!signal.aborted) {
      try {
        await this.#ranges.load(() => this.#cache.resource(prefixOfResource(services)).objects.values());
        const serviceIP = addressRange(serviceClusterIPRange).toText(0);
        await writeNamespaces(this.#registry);
        await Promise.all([
          writePolicy(this.#registry, wantedPolicy()).then(() => this.#chain.policyWritten()),
          writePolicy(this.#registry, wantedFlowControl()),
          writeSystemObjects(this.#registry, { serviceIP, port: advertise.port, authentication: security?.published }),
          this.#leases.renew(),
        ]);
        this.#systemObjects = true;
        void this.#leases.run(log, signal);
        void this.#apiServices.run(signal);
        void new DefinitionsController(this.#registry, log).run(signal);
        void checkPolicies(this.#registry, this.#cluster, log, signal);
        return;
      } catch (err) {
        log.warn({ err }, "Writing the system objects failed, trying again");
        await sleep(this.#clock, retryMs, signal);
      }
    }
  }

  /**
   * Watches end at once; the own endpoint goes as soon as the store lets it. Then nobody comes any more (`closeFronts`), and
   * what was audited until then goes where it shall.
   */
  async stop(closeFronts: () => Promise<void>): Promise<void> {
    this.#cache.stop();
    await this.#leases.stop();
    await closeFronts();
    await Promise.all(this.#sinks.map((sink) => sink.close()));
    this.#webhooks.close();
  }
}

function observer(metrics: Metrics, cache: WatchCache, table: ResourceTable) {
  const registers = [metrics];
  const total = new Counter({
    name: "apiserver_request_total",
    help: "Requests by verb, resource and HTTP status code",
    labelNames: ["verb", "resource", "code"],
    registers,
  });
  const duration = new Histogram({
    name: "apiserver_request_duration_seconds",
    help: "Time to the end of the answer by verb and resource",
    labelNames: ["verb", "resource"],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  new Gauge({
    name: "apiserver_longrunning_requests",
    help: "Open watches",
    registers,
    collect() {
      this.set(cache.watcherCount);
    },
  });
  return (verb: string, target: Target, code: number, ms: number) => {
    const known = table.find(target)?.resource ?? ""; // a label must not grow with what strangers ask for
    total.inc({ verb: verb.toUpperCase(), resource: known, code: String(code) });
    duration.observe({ verb: verb.toUpperCase(), resource: known }, ms / 1000);
  };
}

const messageOf = (error: unknown) => (error as Error).message;
const retryMs = 200;
/** As upstream's health check of etcd. */
const etcdCheckMs = 2000;
