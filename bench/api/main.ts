/**
 * `npm run bench -- api`: Pods of 2 KB and more through one apiserver over TLS and HTTP/2, three members with fsync below it, load
 * from a process of its own, all on this machine. Each line stands beside what is asked of it.
 */
import { sleep, systemClock } from "../../base/clock.ts";
import { ControlPlane } from "../control-plane.ts";
import { Histogram } from "../load/histogram.ts";
import { type Arrivals, keyMark, type LoadJob, type LoadResult, stampMark } from "../load/job.ts";
import { runLoad } from "../load/start.ts";
import { Cluster, defaultTimers, ourStore } from "../members.ts";
import { percentiles, type Run, rate, runBench } from "../results.ts";

const parts = ["write", "get", "paced", "list", "watch", "memory"] as const;
const flagSpec = {
  seconds: { type: "number", default: 5, help: "length of one measurement (--quick: 1)" },
  parts: { type: "strings", help: `some of ${parts.join(", ")}` },
  connections: { type: "number", default: 100, help: "that 1,000 watchers share, HTTP/2 streams" },
  profile: { type: "string", default: "", help: "folder for a CPU profile of the apiserver" },
} as const;

const cached = 30_000;
const lists = [1, 500, 10_000];
const updateRates = [20, 30, 40, 50, 60, 80];

runBench({
  name: "api",
  tls: "TLS to clients",
  flags: flagSpec,
  sections: [
    { title: "requests and events", keep: ({ unit }) => unit === "1/s" },
    { title: "latency", keep: ({ unit }) => unit === "ms" },
    { title: "memory", keep: ({ unit }) => unit === "MB" },
  ],
  /** What issue 4 asks for on two cores. */
  limits: {
    "create/100 rate": { median: 1000 },
    "get/100 rate": { median: 5000 },
    "list/10000 p50": { median: 150 },
    "watch/1000 event p99": { median: 100 },
    "mutate/500 p99": { median: 100 },
  },
  measure,
});

async function measure(bench: Run<typeof flagSpec>): Promise<void> {
  const { flags, signal, recorder } = bench;
  const seconds = flags.quick ? 1 : flags.seconds;
  const wanted = (part: (typeof parts)[number]) => flags.parts.length === 0 || flags.parts.includes(part);
  const store = ourStore(defaultTimers);
  bench.stores = [store];
  bench.full &&= flags.parts.length === 0 && seconds >= 5;
  bench.conditions.push(
    `Pods of 2.6 KB with managed fields; one apiserver, REST over TLS and HTTP/2; three members, fsync on, no TLS to them; load on the same machine; ${seconds} s a line`,
    `watchers share ${flags.connections} connections when they are 1,000, else each has its own`,
  );
  const cluster = await Cluster.start(store, { signal });
  let runs = 0;
  let apiserver: ControlPlane | undefined;
  try {
    apiserver = await ControlPlane.start(cluster.targets, signal, flags.profile);
    await measureOn(apiserver);
  } finally {
    await apiserver?.stop();
    await cluster.stop();
  }

  async function measureOn(server: ControlPlane): Promise<void> {
    const namespaces = ["bench", "many", ...lists.map((n) => `of-${n}`)];
    for (const name of namespaces) {
      await server.call("POST", "/api/v1/namespaces", { metadata: { name } });
      await server.call("POST", `/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: "default" } });
    }
    const pods = (namespace: string) => `/api/v1/namespaces/${namespace}/pods`;
    const base = { targets: [server.target], warmupMs: 500, measureMs: seconds * 1000, keys: 500, seed: 1 };
    const rest = (method: string, contentType = "application/json") => ({ method, contentType, tls: server.tls });
    const reading = { ...base, bodies: [""], rest: rest("GET") };
    const writing = { ...base, bodies: [podText()] };
    const closed = (inFlight: number): { connections: number; arrivals: Arrivals } => ({
      connections: Math.min(inFlight, 8),
      arrivals: { type: "closed", inFlight },
    });
    let next = 0;
    const creating = (namespace: string): Omit<LoadJob, "arrivals" | "connections"> => ({
      ...writing,
      path: pods(namespace),
      rest: rest("POST"),
      firstKey: next,
    });
    const pod = `${pods("of-500")}/pod-${keyMark}`;
    const update = { ...writing, path: pod, rest: rest("PUT") };
    const patch = {
      ...base,
      path: pod,
      rest: rest("PATCH", "application/merge-patch+json"),
      bodies: [base64(JSON.stringify({ metadata: { annotations: { stamp: stampMark } } }))],
    };

    const fresh = server.usage().pssMb;
    for (const n of lists) await fill(`of-${n}`, n);
    const found = await server.call("GET", `${pods("of-500")}/pod-00000000`);
    const { uid: _, resourceVersion: __, managedFields: ___, ...metadata } = JSON.parse(found).metadata;
    const stamped = { ...metadata, name: `pod-${keyMark}`, annotations: { stamp: stampMark } };
    update.bodies = [base64(JSON.stringify({ ...JSON.parse(found), metadata: stamped, status: undefined }))];
    console.error(`a Pod has ${found.length} bytes`);
    if (wanted("write")) {
      for (const n of [1, 10, 100]) {
        next += (await run(`create/${n}`, `create, ${n} in flight`, { ...creating("bench"), ...closed(n) })).answered;
        await run(`update/${n}`, `update, ${n} in flight`, { ...update, ...closed(n) });
        await run(`patch/${n}`, `merge patch, ${n} in flight`, { ...patch, ...closed(n) });
      }
    }
    if (wanted("get"))
      for (const n of [1, 10, 100])
        await run(`get/${n}`, `consistent get, ${n} in flight`, { ...reading, path: pod, ...closed(n) });
    if (wanted("paced"))
      await run("mutate/500", "updates at 500/s", { ...update, connections: 8, arrivals: open(500) });
    if (wanted("list"))
      for (const n of lists)
        await run(`list/${n}`, `list of ${n} Pods`, { ...reading, path: pods(`of-${n}`), ...closed(1) });
    if (wanted("watch")) {
      for (const n of [1, 100]) await watchers(n, 20);
      let highest = 0;
      for (const rate of updateRates) {
        const { events } = await watchers(1000, rate, rate === 20 ? "watch/1000" : `watch/1000 at ${rate}`);
        if (events!.missing > 0 || Histogram.fromJson(events!.latency).percentile(0.99) > 250_000) break;
        highest = events!.perSecond;
      }
      add("watch/highest", "deliveries/s to 1,000 watchers with p99 below 250 ms", "rate", highest, "1/s");
    }
    if (wanted("memory")) {
      await fill("many", cached - next);
      await sleep(systemClock, 3000, signal);
      const { pssMb } = server.usage();
      add("memory/fresh", "apiserver after its start (PSS)", "value", fresh);
      add("memory/30000", `apiserver with ${next} Pods cached (PSS)`, "value", pssMb);
    }

    async function fill(namespace: string, count: number): Promise<void> {
      // Exactly `count`, numbered from 0 in each namespace but the last.
      const last = namespace === "many";
      for (let left = count, from = last ? next : 0; left > 0; ) {
        const part = Math.min(left, 500);
        const job = { ...creating(namespace), firstKey: from, count: part, warmupMs: 0, measureMs: 60_000 };
        await runLoad({ ...job, ...closed(Math.min(part, 50)) }, signal);
        left -= part;
        from += part;
      }
      next += count;
    }

    async function watchers(n: number, rate: number, id = `watch/${n}`) {
      const streams = Math.min(n, flags.connections);
      const { metadata } = JSON.parse(await server.call("GET", `${pods("of-500")}?limit=1`));
      const watch = {
        targets: base.targets,
        streams,
        watchersPerStream: n / streams,
        path: `${pods("of-500")}?watch=true&resourceVersion=${metadata.resourceVersion}`,
        create: "",
      };
      const title = `${rate} updates/s to ${n} watchers`;
      return run(id, title, { ...update, watch, connections: 4, arrivals: open(rate) });
    }
  }

  async function run(id: string, title: string, job: LoadJob): Promise<LoadResult> {
    // Another seed each: the same keys with the same stamps would change nothing.
    const result = await runLoad({ ...job, seed: ++runs }, signal);
    const { events, latency, perSecond } = result;
    const samples = [
      ...(job.arrivals.type === "closed" ? [rate(id, title, perSecond, "1/s")] : []),
      ...percentiles(id, title, latency),
      ...(events ? [{ ...rate(id, title, events.perSecond, "1/s"), metric: "event rate" }] : []),
      ...(events ? percentiles(id, title, events.latency, [0.5, 0.99], "event ") : []),
    ];
    recorder.addAll(store.name, `${id} (load ${result.cores.toFixed(1)} cores)`, samples);
    if (events && events.missing > 0) recorder.fail(id, new Error(`${events.missing} events are missing`));
    return result;
  }

  function add(id: string, title: string, metric: string, value: number, unit = "MB"): void {
    const better = unit === "MB" ? "lower" : "higher";
    recorder.addAll(store.name, id, [{ id, title, metric, value, unit, better }]);
  }
}

const open = (perSecond: number): Arrivals => ({ type: "open", perSecond });
const base64 = (bytes: string) => Buffer.from(bytes).toString("base64");

/** About 2 KB in the store, with the defaults and managed fields that it gets. */
function podText(): string {
  const env = Array.from({ length: 6 }, (_, i) => ({
    name: `SETTING_${i}`,
    value: "a value of some length".repeat(i),
  }));
  const pod = {
    kind: "Pod",
    apiVersion: "v1",
    metadata: { name: `pod-${keyMark}`, labels: { app: "bench" }, annotations: { stamp: stampMark } },
    spec: { automountServiceAccountToken: false, containers: [{ name: "web", image: "kubelab/echo", env }] },
  };
  return base64(JSON.stringify(pod));
}
