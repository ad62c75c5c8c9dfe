/**
 * `npm run bench -- api`: Pods of 2 KB and more through one apiserver over TLS and HTTP/2, three members with fsync below it, load
 * from a process of its own, all on this machine. Each line stands beside what is asked of it.
 */
import type { Pod } from "../../api/generated/core-v1.ts";
import { Namespaces, Pods, ServiceAccounts } from "../../api/generated/resources.ts";
import { sleep, systemClock } from "../../base/clock.ts";
import { withControlPlane } from "../control-plane.ts";
import { type Arrivals, keyMark, type LoadJob, type LoadResult, stampMark } from "../load/job.ts";
import { runLoad } from "../load/start.ts";
import { defaultTimers, ourStore } from "../members.ts";
import { each } from "../preload.ts";
import { chosen, percentiles, type Run, rate, runBench } from "../results.ts";

const parts = ["write", "get", "paced", "list", "watch", "memory"] as const;
const flagSpec = {
  seconds: { type: "number", default: 5, help: "length of one measurement (--quick: 1)" },
  parts: { type: "strings", help: `some of ${parts.join(", ")}` },
  profile: { type: "string", default: "", help: "folder for a CPU profile of the apiserver" },
} as const;

const cached = 30_000;
const watchConnections = 100;
const lists = [1, 500, 10_000];
const updateRates = [20, 30, 40, 50, 60, 80];
/** Of what has a limit to its p99: one stall of the machine decides a round of a few seconds. */
const roundsOfTails = 5;

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
  const rounds = flags.quick ? 1 : roundsOfTails;
  const asked = chosen("parts", flags.parts, parts);
  const wanted = (part: (typeof parts)[number]) => asked.includes(part);
  const store = ourStore(defaultTimers);
  bench.stores = [store];
  bench.conditions.push(
    `Pods of 2.6 KB with managed fields; one apiserver, REST over TLS and HTTP/2; three members, fsync on, no TLS to them; load on the same machine; ${seconds} s a line`,
    `watchers share ${watchConnections} connections when they are 1,000, else each has its own`,
  );
  let runs = 0;
  await withControlPlane({ members: 3, signal, profileDir: flags.profile }, async ({ plane: server, client }) => {
    const fresh = server.usage().pssMb;
    for (const namespace of ["bench", "many", ...lists.map((n) => `of-${n}`)]) {
      await client.create(Namespaces, { metadata: { name: namespace }, spec: {} });
      await client.create(ServiceAccounts, { metadata: { name: "default", namespace } });
    }
    const create = (n: number, namespace: string) => client.create(Pods, podOf(n, namespace));
    const fill = (namespace: string, to: number) => each({ to, width: 50, signal }, (n) => create(n, namespace));
    for (const n of wanted("list") ? lists : [500]) await fill(`of-${n}`, n);
    const found = await client.get(Pods, { namespace: "of-500", name: "pod-00000000" });
    console.error(`a Pod has ${JSON.stringify(found).length} bytes`);
    const stamped = { ...podOf(keyMark, "of-500"), spec: found.spec };

    const pods = (namespace: string) => `/api/v1/namespaces/${namespace}/pods`;
    const pod = `${pods("of-500")}/pod-${keyMark}`;
    const rest = (method: string, contentType = "application/json") => ({ method, contentType, tls: server.tls });
    const base = { targets: [server.target], warmupMs: 500, measureMs: seconds * 1000, keys: 500, seed: 1 };
    const reading = { ...base, bodies: [""], rest: rest("GET") };
    const creating = { ...base, bodies: [json(podOf(keyMark, "bench"))], path: pods("bench"), rest: rest("POST") };
    const update = { ...base, bodies: [json(stamped)], path: pod, rest: rest("PUT") };
    const stamps = [json({ metadata: { annotations: { stamp: stampMark } } })];
    const patch = { ...base, bodies: stamps, path: pod, rest: rest("PATCH", "application/merge-patch+json") };
    const closed = (inFlight: number): { connections: number; arrivals: Arrivals } => ({
      connections: Math.min(inFlight, 8),
      arrivals: { type: "closed", inFlight },
    });
    let created = 0;
    if (wanted("write")) {
      for (const n of [1, 10, 100]) {
        const job = { ...creating, firstKey: created, ...closed(n) };
        created += (await run(`create/${n}`, `create, ${n} in flight`, job)).answered;
        await run(`update/${n}`, `update, ${n} in flight`, { ...update, ...closed(n) });
        await run(`patch/${n}`, `merge patch, ${n} in flight`, { ...patch, ...closed(n) });
      }
    }
    if (wanted("get"))
      for (const n of [1, 10, 100])
        await run(`get/${n}`, `consistent get, ${n} in flight`, { ...reading, path: pod, ...closed(n) });
    if (wanted("paced"))
      for (let round = 0; round < rounds; round++)
        await run("mutate/500", "updates at 500/s", { ...update, connections: 8, arrivals: open(500) });
    if (wanted("list"))
      for (const n of lists)
        await run(`list/${n}`, `list of ${n} Pods`, { ...reading, path: pods(`of-${n}`), ...closed(1) });
    if (wanted("watch")) {
      for (const n of [1, 100]) await watchers(n, 20);
      for (let round = 1; round < rounds; round++) await watchers(1000, 20);
      let highest = 0;
      for (const rate of updateRates) {
        const { events } = await watchers(1000, rate, rate === 20 ? "watch/1000" : `watch/1000 at ${rate}`);
        if (events!.missing > 0 || events!.latency.p99 > 250) break;
        highest = events!.perSecond;
      }
      add("watch/highest", "deliveries/s to 1,000 watchers with p99 below 250 ms", "rate", highest, "1/s");
    }
    if (wanted("memory")) {
      const there = created + (wanted("list") ? lists.reduce((sum, n) => sum + n) : 500);
      await fill("many", cached - there);
      await sleep(systemClock, 3000, signal);
      add("memory/fresh", "apiserver after its start (PSS)", "value", fresh);
      add("memory/30000", "apiserver with 30,000 Pods cached (PSS)", "value", server.usage().pssMb);
    }

    async function watchers(n: number, rate: number, id = `watch/${n}`) {
      const streams = Math.min(n, watchConnections);
      const { resourceVersion } = await client.list(Pods, { namespace: "of-500" });
      const watch = {
        targets: base.targets,
        streams,
        watchersPerStream: n / streams,
        path: `${pods("of-500")}?watch=true&resourceVersion=${resourceVersion}`,
        create: "",
      };
      const title = `${rate} updates/s to ${n} watchers`;
      return run(id, title, { ...update, watch, connections: 4, arrivals: open(rate) });
    }
  });

  async function run(id: string, title: string, job: LoadJob): Promise<LoadResult> {
    // Another seed each: the same keys with the same stamps would change nothing.
    const result = await runLoad({ ...job, seed: ++runs }, signal);
    const { events, latency, perSecond } = result;
    const samples = [
      ...(job.arrivals.type === "closed" ? [rate(id, title, perSecond, "1/s")] : []),
      ...percentiles(id, title, latency),
      ...(events ? [{ ...rate(id, title, events.perSecond, "1/s"), metric: "event rate" }] : []),
      ...(events ? percentiles(id, title, events.latency, ["p50", "p99"], "event ") : []),
    ];
    recorder.addAll(store.name, `${id} (load ${result.cores.toFixed(1)} cores)`, samples);
    if (events && events.missing > 0) recorder.fail(id, new Error(`${events.missing} events are missing`));
    return result;
  }

  function add(id: string, title: string, metric: string, value: number, unit = "MB"): void {
    recorder.addAll(store.name, id, [{ id, title, metric, value, unit }]);
  }
}

const open = (perSecond: number): Arrivals => ({ type: "open", perSecond });
const json = (body: object) => Buffer.from(JSON.stringify(body)).toString("base64");

/** About 2 KB in the store, with the defaults and managed fields that it gets. */
function podOf(number: string | number, namespace: string): Pod {
  const value = "a value of some length";
  const env = Array.from({ length: 6 }, (_, i) => ({ name: `SETTING_${i}`, value: value.repeat(i) }));
  const name = `pod-${String(number).padStart(keyMark.length, "0")}`;
  const metadata = { name, namespace, labels: { app: "bench" }, annotations: { stamp: stampMark } };
  const spec = { automountServiceAccountToken: false, containers: [{ name: "web", image: "kubelab/echo", env }] };
  return { kind: "Pod", apiVersion: "v1", metadata, spec };
}
