import {
  KVService,
  LeaseKeepAliveRequest,
  LeaseService,
  PutRequest,
  RangeRequest,
  TxnRequest,
  WatchRequest,
  WatchService,
} from "../../proto/generated/etcdserverpb.ts";
import type { Init } from "../../proto/wire.ts";
import { keyMark, type LoadJob, type LoadResult, stampMark } from "../load/job.ts";
import { runLoad } from "../load/start.ts";
import type { Cluster } from "../members.ts";
import { preload } from "../preload.ts";
import { percentiles, rate, type Sample } from "../results.ts";

/** What is measured, each on the same running cluster of one store. All load goes to the leader unless a case says else. */
export interface Context {
  cluster: Cluster;
  leader: number;
  measureMs: number;
  warmupMs: number;
  valueSize: number;
  /** The same for both stores in a round. */
  seed: number;
  /** Puts and ranges a second that both stores can take with 1000 in flight; unknown in the first round. */
  capacity: { put: number; range: number } | undefined;
  signal: AbortSignal;
}

export interface Case {
  /** `WORKLOAD/...`, as `--workload` knows it. */
  id: string;
  title: string;
  /** Undefined when it has to wait for `capacity`. */
  run(context: Context): Promise<Sample[] | undefined>;
}

export const workloads = ["put", "range", "serializable", "txn", "scan", "watch", "lease", "open"] as const;
export const workloadOf = ({ id }: Case): (typeof workloads)[number] => /^\w+/.exec(id)![0] as "put";

const inFlights = [1, 10, 100, 1000];
/** As many as a benchmark with 1000 clients over shared connections has. */
const maxConnections = 16;
/** There before every run, and what single reads read. */
const preloadedKeys = 10_000;
const putKeys = 100_000;
const openLoads = [0.25, 0.5, 0.75];
const leases = 200;

const key = (text: string) => Buffer.from(text);
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");

export function cases(): Case[] {
  return [
    ...inFlights.map((n): Case => closed(`put/${n}`, `put, ${n} in flight`, n, putJob)),
    ...inFlights.map((n) => closed(`range/${n}`, `linearizable read, ${n} in flight`, n, readJob(false))),
    ...inFlights.map((n) => closed(`serializable/${n}`, `serializable read, ${n} in flight`, n, readJob(true))),
    ...[10, 1000].map((n) => closed(`txn/${n}`, `txn (compare, put), ${n} in flight`, n, txnJob)),
    ...[1000, 10_000].map((n) => closed(`scan/${n}`, `range of ${n} keys, 10 in flight`, 10, scanJob(n))),
    fanOut,
    watchLatency,
    leaseKeepAlive,
    ...openLoads.map((share): Case => open("put", share)),
    ...openLoads.map((share): Case => open("range", share)),
  ];
}

/**
 * Fills the keys that are read, and puts that count nowhere: both stores are measured warm. One at a time ours needs some
 * 6,000 until V8 compiles nothing any more (README.md has what the first ones take).
 */
export async function prepare(context: Context): Promise<void> {
  const { cluster, leader, valueSize, signal } = context;
  await preload(cluster, leader, { prefix: "many/", keys: preloadedKeys, valueSize, signal });
  await load(context, { ...putJob(context, 100), arrivals: { type: "closed", inFlight: 100 }, measureMs: 1000 });
  const single = { arrivals: { type: "closed", inFlight: 1 } as const, measureMs: 7 * context.measureMs };
  await load(context, { ...putJob(context, 1), ...single });
}

type Request = Pick<LoadJob, "path" | "bodies" | "keys"> & Partial<LoadJob> & { writes?: boolean };
type MakeRequest = (context: Context, inFlight: number) => Request;

export const putTo =
  (prefix: string, keys: number): MakeRequest =>
  ({ valueSize }) => ({
    path: KVService.Put.path,
    bodies: [base64(PutRequest.encode({ key: key(`${prefix}${keyMark}`), value: Buffer.alloc(valueSize, "v") }))],
    keys,
    writes: true,
  });
const putJob = putTo("put/", putKeys);

export const readJob =
  (serializable: boolean): MakeRequest =>
  ({ valueSize }) => ({
    path: KVService.Range.path,
    bodies: [base64(RangeRequest.encode({ key: key(`many/${keyMark}`), serializable }))],
    keys: preloadedKeys,
    minReplyBytes: valueSize,
  });

/** What Kubernetes does to update an object, with a comparison that holds. */
const txnJob: MakeRequest = ({ valueSize }) => {
  const name = key(`many/${keyMark}`);
  const request: Init<TxnRequest> = {
    compare: [{ key: name, target: 0, result: 1, version: 0 }], // VERSION GREATER 0
    success: [{ requestPut: { key: name, value: Buffer.alloc(valueSize, "w") } }],
    failure: [{ requestRange: { key: name } }],
  };
  return { path: KVService.Txn.path, bodies: [base64(TxnRequest.encode(request))], keys: preloadedKeys, writes: true };
};

const scanJob =
  (keys: number): MakeRequest =>
  ({ valueSize }) => ({
    path: KVService.Range.path,
    bodies: [base64(RangeRequest.encode({ key: key("many/"), rangeEnd: key("many0"), limit: keys }))],
    keys: 1,
    minReplyBytes: keys * valueSize,
  });

function closed(id: string, title: string, inFlight: number, make: MakeRequest): Case {
  return {
    id,
    title,
    async run(context) {
      const job = { ...make(context, inFlight), arrivals: { type: "closed", inFlight } as const };
      const result = await load(context, job);
      const cores = { id, title, metric: "load cores", unit: "cores", value: result.cores };
      return [rate(id, title, result.perSecond), ...percentiles(id, title, result.latency), cores];
    },
  };
}

/** Requests come when they are due, at a share of what the slower store can take in a closed loop. */
function open(op: "put" | "range", share: number): Case {
  const id = `open-${op}/${share * 100}`;
  return {
    id,
    title: `${op} at ${share * 100} % of the slower one's most`,
    async run(context) {
      if (context.capacity === undefined) return undefined;
      const perSecond = Number((context.capacity[op] * share).toPrecision(2));
      const make = op === "put" ? putJob : readJob(false);
      const arrivals = { type: "open", perSecond } as const;
      const result = await load(context, { ...make(context, 1000), arrivals });
      const title = `${op}, ${perSecond} due a second`;
      return [
        ...percentiles(id, title, result.latency, ["p50", "p99", "p99.9"]),
        ...percentiles(id, title, result.lateness, ["p50", "p99"], "late "),
      ];
    },
  };
}

const watchStreams = { count: 10, watchers: 100 };

export function watchJob({ cluster, valueSize }: Context, streams: number, watchersPerStream: number): Request {
  const put: Init<PutRequest> = { key: key("watched"), value: Buffer.from(stampMark.padEnd(valueSize, "v")) };
  return {
    path: KVService.Put.path,
    bodies: [base64(PutRequest.encode(put))],
    keys: 1,
    writes: true,
    connections: 1,
    watch: {
      targets: cluster.targets,
      streams,
      watchersPerStream,
      path: WatchService.Watch.path,
      create: base64(WatchRequest.encode({ createRequest: { key: key("watched") } })),
    },
  };
}

/** 10 streams of 100 watchers over the three members, as etcd's own benchmark has them. */
const fanOut: Case = {
  id: "watch/fan-out",
  title: "1 writer, 1000 watchers",
  async run(context) {
    const { id, title } = this;
    const request = watchJob(context, watchStreams.count, watchStreams.watchers);
    const fast = await load(context, { ...request, arrivals: { type: "closed", inFlight: 1 } });
    const paced = await load(context, { ...request, arrivals: { type: "open", perSecond: 20 } });
    const slow = `${title}, 20 puts due a second`;
    return [
      rate(id, title, fast.events!.perSecond, "events/s"),
      ...percentiles("watch/fan-out-paced", slow, paced.events!.latency),
    ];
  },
};

const watchLatency: Case = {
  id: "watch/latency",
  title: "from a put to its event, 1 watcher a member, 500 puts due a second",
  async run(context) {
    const request = watchJob(context, 3, 1);
    const result = await load(context, { ...request, arrivals: { type: "open", perSecond: 500 } });
    return percentiles(this.id, this.title, result.events!.latency, ["p50", "p99", "p99.9"]);
  },
};

const leaseKeepAlive: Case = {
  id: "lease/keepalive",
  title: "lease keepalive on long streams, 100 in flight",
  async run(context) {
    const client = context.cluster.client(context.leader);
    const grants = await Promise.all(
      Array.from({ length: leases }, () => client.unary(LeaseService.LeaseGrant, { TTL: 600 }, { timeoutMs: 30_000 })),
    );
    const result = await load(context, {
      path: LeaseService.LeaseKeepAlive.path,
      bodies: grants.map(({ ID }) => base64(LeaseKeepAliveRequest.encode({ ID }))),
      keys: 1,
      streaming: true,
      arrivals: { type: "closed", inFlight: 100 },
    });
    await Promise.all(grants.map(({ ID }) => client.unary(LeaseService.LeaseRevoke, { ID }, { timeoutMs: 30_000 })));
    return [rate(this.id, this.title, result.perSecond), ...percentiles(this.id, this.title, result.latency)];
  },
};

/** Runs a job against the leader. For writes the revision before and after proves that each happened once. */
export async function load(
  context: Context,
  { writes, ...request }: Request & Pick<LoadJob, "arrivals">,
): Promise<LoadResult> {
  const { cluster, leader, measureMs, warmupMs, seed, signal } = context;
  const inFlight = request.arrivals.type === "closed" ? request.arrivals.inFlight : maxConnections;
  const connections = Math.min(maxConnections, inFlight);
  const job: LoadJob = { targets: [cluster.targets[leader]!], connections, warmupMs, measureMs, seed, ...request };
  const before = writes ? await cluster.revision(leader) : 0;
  const result = await runLoad(job, signal);
  if (result.unanswered > 0) throw new Error(`${result.unanswered} requests were not answered`);
  if (result.events && result.events.missing > 0) throw new Error(`${result.events.missing} events did not come`);
  const written = writes ? (await cluster.revision(leader)) - before : 0;
  if (writes && written !== result.answered) throw new Error(`${result.answered} writes answered, ${written} happened`);
  return result;
}
