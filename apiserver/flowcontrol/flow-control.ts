import { createHash } from "node:crypto";
import type { FlowSchema, PriorityLevelConfiguration } from "../../api/generated/flowcontrol-v1.ts";
import { FlowSchemas } from "../../api/generated/resources.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { type StatusError, tooManyRequests } from "../../apimachinery/status.ts";
import type { Clock } from "../../base/clock.ts";
import { Counter, Gauge, Histogram, type Registry as Metrics } from "../../base/metrics.ts";
import { type Attributes, isSuperuser } from "../authz/authorizer.ts";
import type { ApiRequest } from "../request.ts";
import { registryRoot } from "../storage/storage.ts";
import type { WatchCache } from "../watchcache/watch-cache.ts";
import { wantedFlowControl } from "./bootstrap.ts";
import { adjustmentPeriodMs, type Bounds, boundsOf, currentLimits, Demand } from "./borrowing.ts";
import { classify, distinguisher, inPrecedence, seatsOf } from "./classify.ts";
import { FairQueues, type Waiter } from "./queues.ts";

/**
 * How much is done at once, and who waits (upstream's priority and fairness, KEP-1040; without it, upstream's plain
 * limits of what is in flight). Runs what `queues.ts` and `classify.ts` decide. Watches hold their seat until they have
 * begun; what streams holds none.
 *
 * Differs: a refusal is a Status, not plain text.
 */
export interface FlowControlOptions {
  /** `--enable-priority-and-fairness` */
  fair: boolean;
  maxRequestsInFlight: number;
  maxMutatingRequestsInFlight: number;
  /** A request waits at most a quarter of it. */
  requestTimeoutMs: number;
}

export const defaultFlowControl: FlowControlOptions = {
  fair: true,
  maxRequestsInFlight: 400,
  maxMutatingRequestsInFlight: 200,
  requestTimeoutMs: 60_000,
};

interface Level {
  object: PriorityLevelConfiguration;
  /** Undefined: exempt. */
  queues: FairQueues<Request> | undefined;
  bounds: Bounds;
  demand: Demand;
}

interface Request extends Waiter {
  start(): void;
}

type FlowRequest = Pick<ApiRequest, "classified" | "signal">;

export class FlowControl {
  readonly #options: FlowControlOptions;
  readonly #cache: Pick<WatchCache, "resource" | "revision">;
  readonly #clock: Clock;
  readonly #count: (attributes: Attributes) => number;
  readonly #metrics: ReturnType<typeof metricsOf>;
  readonly #inFlight = { mutating: 0, readOnly: 0 };
  #seen = "";
  #schemas: FlowSchema[] = [];
  #levels = new Map<string, Level>();
  #adjustedMs: number;

  /** `count`: objects of the resource that a list is about. */
  constructor(
    options: FlowControlOptions,
    context: {
      cache: Pick<WatchCache, "resource" | "revision">;
      clock: Clock;
      metrics: Metrics;
      count(attributes: Attributes): number;
    },
  ) {
    this.#options = options;
    this.#cache = context.cache;
    this.#clock = context.clock;
    this.#adjustedMs = context.clock.monotonic();
    this.#count = (attributes) => context.count(attributes);
    this.#metrics = metricsOf(context.metrics, this.#inFlight, () => [...this.#levels.values()]);
  }

  /** Resolves when the request may go on; the function returned gives its seats back. Throws 429. */
  async begin(attributes: Attributes, request: FlowRequest): Promise<() => void> {
    if ("target" in attributes && isStream(attributes.target)) return () => {};
    const kind = readOnly.has(attributes.verb) ? "readOnly" : "mutating";
    if (!this.#options.fair) this.#refuseOverLimit(kind, attributes);
    this.#inFlight[kind]++;
    try {
      const release = this.#options.fair ? await this.#fairly(attributes, request) : undefined;
      return () => {
        this.#inFlight[kind]--;
        release?.();
      };
    } catch (error) {
      this.#inFlight[kind]--;
      throw error;
    }
  }

  #refuseOverLimit(kind: "readOnly" | "mutating", { user }: Attributes): void {
    const { maxRequestsInFlight, maxMutatingRequestsInFlight } = this.#options;
    const limit = kind === "readOnly" ? maxRequestsInFlight : maxMutatingRequestsInFlight;
    if (limit > 0 && this.#inFlight[kind] >= limit && !isSuperuser(user)) throw tooMany();
  }

  async #fairly(attributes: Attributes, request: FlowRequest): Promise<() => void> {
    this.#refresh();
    const schema = classify(this.#schemas, attributes) ?? this.#schemas.at(-1)!;
    this.#adjust();
    const { queues, object, demand } =
      this.#levels.get(schema.spec.priorityLevelConfiguration.name) ?? this.#levels.get("catch-all")!;
    request.classified?.(schema.metadata.uid ?? "", object.metadata.uid ?? "");
    const labels = { flow_schema: schema.metadata.name, priority_level: object.metadata.name };
    const { dispatched, rejected, waited, executed } = this.#metrics;
    const began = this.#clock.monotonic();
    const seconds = () => (this.#clock.monotonic() - began) / 1000;
    if (queues === undefined) {
      dispatched.inc(labels);
      return () => executed.observe(labels, seconds());
    }
    let start = () => {};
    const waiter: Request = { width: this.#width(attributes), start: () => start() };
    const arrival = queues.arrive(waiter, () => hashOf(labels.flow_schema, distinguisher(schema, attributes)));
    const noteDemand = () => demand.set(queues.demand, this.#clock.monotonic());
    noteDemand();
    const refuse = (reason: string) => {
      rejected.inc({ ...labels, reason });
      waited.observe({ ...labels, execute: "false" }, seconds());
      return tooMany();
    };
    if (arrival === "queue-full" || arrival === "concurrency-limit") throw refuse(arrival);
    if (arrival === "wait")
      await new Promise<void>((resolve, reject) => {
        const giveUp = (reason: string) => {
          if (!queues.abandon(waiter)) return;
          cancel();
          noteDemand();
          reject(refuse(reason));
          startNext(queues); // those behind a wide one may fit
        };
        const gone = () => giveUp("cancelled");
        const cancelTimer = this.#clock.after(this.#options.requestTimeoutMs / 4, () => giveUp("time-out"));
        const { signal } = request;
        const cancel = () => {
          cancelTimer();
          signal.removeEventListener("abort", gone);
        };
        signal.addEventListener("abort", gone, { once: true });
        start = () => {
          cancel();
          resolve();
        };
        if (signal.aborted) gone();
      });
    dispatched.inc(labels);
    waited.observe({ ...labels, execute: "true" }, seconds());
    return () => {
      executed.observe(labels, seconds());
      queues.finished(waiter);
      noteDemand();
      startNext(queues);
      this.#adjust();
    };
  }

  /** Lends and borrows seats. Whoever comes or goes first after the period does it: where nobody does, nobody waits. */
  #adjust(): void {
    const now = this.#clock.monotonic();
    if (now - this.#adjustedMs < adjustmentPeriodMs) return;
    this.#adjustedMs = now;
    const limited = [...this.#levels.values()].filter(({ queues }) => queues !== undefined);
    const limits = currentLimits(limited.map(({ bounds, demand }) => ({ ...bounds, ...demand.take(now) })));
    for (const [i, { queues }] of limited.entries()) {
      queues!.limit = limits[i]!;
      startNext(queues!);
    }
  }

  /** A list costs as much as it has objects to look through. */
  #width(attributes: Attributes): number {
    if (attributes.verb !== "list") return 1;
    return Math.min(maxSeats, Math.max(1, Math.ceil(this.#count(attributes) / objectsPerSeat)));
  }

  /** The objects of the cache, and the bootstrap ones as long as they are not there. */
  #refresh(): void {
    const [schemas, levels] = kinds.map((kind) =>
      this.#cache.revision > 0 ? this.#cache.resource(`${registryRoot}${kind}/`) : undefined,
    );
    const seen = `${schemas?.changes},${levels?.changes}`;
    if (seen === this.#seen) return;
    this.#seen = seen;
    const defaults = wantedFlowControl();
    const merged = <T extends KubernetesObject>(cache: typeof schemas, resource: string) => {
      const own = [...(cache?.objects.values() ?? [])].map((stored) => stored.parse());
      const missing = defaults.filter(
        ({ type, object: { metadata } }) =>
          type.resource === resource && !own.some((object) => object.metadata.name === metadata.name),
      );
      // One that an operator has deleted stays away, but the mandatory ones are always there.
      const needed = missing.filter(({ object }) => own.length === 0 || mandatory.has(object.metadata.name));
      return [...own, ...needed.map(({ object }) => object)] as T[];
    };
    this.#schemas = inPrecedence(merged<FlowSchema>(schemas, kinds[0]));
    const wanted = merged<PriorityLevelConfiguration>(levels, kinds[1]);
    const { maxRequestsInFlight, maxMutatingRequestsInFlight } = this.#options;
    const server = maxRequestsInFlight + maxMutatingRequestsInFlight;
    const seats = seatsOf(wanted, server);
    const before = this.#levels;
    const now = this.#clock.monotonic();
    this.#levels = new Map(
      wanted.map((object) => {
        const { name } = object.metadata;
        const bounds = boundsOf(object, seats.get(name)!, server);
        const { queues, demand } = levelOf(object, bounds.nominal, before.get(name), now);
        return [name, { object, queues, demand, bounds }];
      }),
    );
  }
}

/** Queues of a level that did not change stay; those of one that did run empty beside the new ones. */
function levelOf(
  { spec }: PriorityLevelConfiguration,
  nominal: number,
  known: Level | undefined,
  nowMs: number,
): Pick<Level, "queues" | "demand"> {
  const { type, limited } = spec;
  if (type === "Exempt") return { queues: undefined, demand: new Demand(nowMs) };
  if (known?.queues?.nominal === nominal && JSON.stringify(known.object.spec) === JSON.stringify(spec)) return known;
  const { queues = 64, handSize = 8, queueLengthLimit = 50 } = limited?.limitResponse.queuing ?? {};
  const queuing = limited?.limitResponse.type === "Queue" ? { queues, handSize, queueLengthLimit } : undefined;
  return { queues: new FairQueues(nominal, queuing), demand: new Demand(nowMs) };
}

function startNext(queues: FairQueues<Request>): void {
  for (const waiter of queues.next()) waiter.start();
}

const hashOf = (schema: string, flow: string): bigint =>
  createHash("sha256").update(`${schema.length}:${schema}${flow}`).digest().readBigUInt64LE();

const tooMany = (): StatusError => tooManyRequests("Too many requests, please try again later.", 1);

function metricsOf(metrics: Metrics, inFlight: { mutating: number; readOnly: number }, levels: () => Level[]) {
  const registers = [metrics];
  const labelNames = ["priority_level", "flow_schema"];
  const name = (rest: string) => `apiserver_flowcontrol_${rest}`;
  const gauge = (rest: string, help: string, value: (queues: FairQueues<Request>) => number) =>
    new Gauge({
      name: name(rest),
      help,
      labelNames: ["priority_level"],
      registers,
      collect() {
        for (const { object, queues } of levels())
          if (queues) this.set({ priority_level: object.metadata.name }, value(queues));
      },
    });
  gauge("nominal_limit_seats", "Seats of the level by its shares", (queues) => queues.nominal);
  gauge("current_limit_seats", "Seats of the level with what is lent and borrowed", (queues) => queues.limit);
  gauge("current_executing_seats", "Seats taken", (queues) => queues.seats);
  gauge("current_executing_requests", "Requests that run", (queues) => queues.executing);
  gauge("current_inqueue_requests", "Requests that wait", (queues) => queues.waiting);
  new Gauge({
    name: "apiserver_current_inflight_requests",
    help: "Requests in flight by kind, those that wait included",
    labelNames: ["request_kind"],
    registers,
    collect() {
      for (const kind of ["mutating", "readOnly"] as const) this.set({ request_kind: kind }, inFlight[kind]);
    },
  });
  const buckets = [0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30];
  const labelled = (rest: string, help: string, ...more: string[]) => {
    return { name: name(rest), help, labelNames: [...labelNames, ...more], registers };
  };
  return {
    dispatched: new Counter(labelled("dispatched_requests_total", "Requests let through")),
    rejected: new Counter(labelled("rejected_requests_total", "Requests refused", "reason")),
    waited: new Histogram({ ...labelled("request_wait_duration_seconds", "Time in a queue", "execute"), buckets }),
    executed: new Histogram({ ...labelled("request_execution_seconds", "Time from the arrival to the end"), buckets }),
  };
}

const kinds = [FlowSchemas.resource, "prioritylevelconfigurations"] as const;
const mandatory = new Set(["exempt", "catch-all"]);
const readOnly = new Set(["get", "list", "watch", "head", "options"]);
/** What lasts as long as both sides like: neither seat nor deadline. */
export const isStream = ({ subresource }: { subresource: string }): boolean => streams.has(subresource);
const streams = new Set(["log", "exec", "attach", "portforward", "proxy"]);
/** As upstream. */
const objectsPerSeat = 100;
const maxSeats = 10;
