import { Cluster } from "../members.ts";
import { preload } from "../preload.ts";
import { type Context, load, putTo, readJob, watchJob } from "../store/workloads.ts";
import type { Scale } from "./main.ts";

const valueSize = 256;
/** What all watchers together get, at most, so that it is the way of one event that is timed. */
const eventsPerSecond = 20_000;
const many = { type: "closed", inFlight: 100 } as const;
const single = { type: "closed", inFlight: 1 } as const;
let seed = 0;

/** A cluster of each store, warm, all up while they are measured by turns. */
async function withClusters(scale: Scale, members: number, work: (clusters: Cluster[]) => Promise<void>) {
  const clusters: Cluster[] = [];
  try {
    for (const store of scale.stores) {
      const cluster = await Cluster.start(store, { members, signal: scale.signal });
      clusters.push(cluster);
      const context = await contextOf(scale, cluster, 3 * scale.measureMs);
      await load(context, { ...putTo("warm", 1)(context, 100), arrivals: many });
    }
    await work(clusters);
  } finally {
    await Promise.all(clusters.map((cluster) => cluster.stop()));
  }
}

async function contextOf(scale: Scale, cluster: Cluster, measureMs: number): Promise<Context> {
  const times = { measureMs, warmupMs: Math.min(300, measureMs / 2), seed: ++seed };
  return { cluster, leader: await cluster.leader(), ...times, valueSize, capacity: undefined, signal: scale.signal };
}

async function byTurns(scale: Scale, clusters: Cluster[], work: (of: Context, name: string) => Promise<void>) {
  for (let round = 0; round < scale.rounds; round++)
    for (const cluster of clusters) await work(await contextOf(scale, cluster, scale.measureMs), cluster.store.name);
}

export async function keys(scale: Scale, sizes: number[]): Promise<void> {
  const { signal, point } = scale;
  await withClusters(scale, 3, async (clusters) => {
    let from = 0;
    for (const n of sizes) {
      for (const cluster of clusters)
        await preload(cluster, await cluster.leader(), { prefix: "many/", from, keys: n, valueSize, signal });
      from = n;
      await byTurns(scale, clusters, async (context, name) => {
        for (const [what, make] of Object.entries({ put: putTo("many/", n), read: readJob(false) })) {
          const { perSecond, latency } = await load(context, { ...make(context, 100), keys: n, arrivals: many });
          point(name, n, `${what}s`, "1/s", perSecond);
          point(name, n, `${what} p99`, "ms", latency.p99);
        }
      });
      for (const cluster of clusters)
        for (const { pssMb } of cluster.usage()) point(cluster.store.name, n, "PSS of a member", "MB", pssMb);
    }
  });
}

export async function watchers(scale: Scale, sizes: number[]): Promise<void> {
  await withClusters(scale, 3, async (clusters) => {
    for (const n of sizes)
      await byTurns(scale, clusters, async (context, name) => {
        const arrivals = { type: "open", perSecond: Math.min(20, eventsPerSecond / n) } as const;
        const measureMs = Math.max(scale.measureMs, 20_000 / arrivals.perSecond);
        const { events } = await load(
          { ...context, measureMs },
          { ...watchJob(context, 10, Math.ceil(n / 10)), arrivals },
        );
        for (const share of ["p50", "p99"] as const)
          scale.point(name, n, `event ${share}`, "ms", events!.latency[share]);
      });
  });
}

export async function members(scale: Scale, sizes: number[]): Promise<void> {
  for (const n of sizes)
    await withClusters(scale, n, async (clusters) => {
      await byTurns(scale, clusters, async (context, name) => {
        const put = putTo("many/", 10_000)(context, 100);
        const { perSecond } = await load(context, { ...put, arrivals: many });
        scale.point(name, n, "puts", "1/s", perSecond);
        const { latency } = await load(context, { ...put, arrivals: single });
        scale.point(name, n, "put p50, 1 in flight", "ms", latency.p50);
        const pss = context.cluster.usage().reduce((sum, { pssMb }) => sum + pssMb, 0);
        scale.point(name, n, "PSS of all", "MB", pss);
      });
    });
}
