import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sleep, systemClock } from "../../base/clock.ts";
import { KVService } from "../../proto/generated/etcdserverpb.ts";
import { ClientConnection } from "../load/connection.ts";
import { keyMark } from "../load/job.ts";
import { unary } from "../load/unary.ts";
import { Cluster, type Store, scratch } from "../members.ts";
import { numberText, type Recorder } from "../results.ts";
import { preload } from "./workloads.ts";

/**
 * From the start of three processes on folders that hold `mb` of live data (values of 1 KiB) to the first linearizable
 * read that is answered, and to one from each member. The folders are filled once and kept under .cache/bench; between
 * the starts the members are ended with SIGKILL, which both have to be able to come back from. The page cache is warm.
 */
const valueBytes = 1024;
const pollMs = 5;

export async function measureStartup(
  stores: Store[],
  { mb, trials, signal }: { mb: number; trials: number; signal: AbortSignal },
  recorder: Recorder,
): Promise<void> {
  const filled: { store: Store; dir: string }[] = [];
  for (const store of stores) {
    await recorder.attempt(signal, `filling ${store.name} with ${mb} MB`, async () => {
      filled.push({ store, dir: await fill(store, mb, signal) });
    });
  }
  for (let trial = 0; trial < trials; trial++) {
    for (const { store, dir } of filled)
      await recorder.attempt(signal, `start-up of ${store.name} with ${mb} MB`, () =>
        start(store, dir, mb, signal, recorder),
      );
  }
}

async function start(store: Store, dir: string, mb: number, signal: AbortSignal, recorder: Recorder): Promise<void> {
  const cluster = await Cluster.prepare(store, { dir, signal });
  try {
    const began = systemClock.monotonic();
    for (const i of cluster.targets.keys()) cluster.startMember(i);
    const times = await Promise.all(
      cluster.targets.map(async (target) => {
        await answersRead(target, signal);
        return systemClock.monotonic() - began;
      }),
    );
    const what = `start-up with ${mb} MB`;
    const add = (id: string, title: string, metric: string, unit: string, value: number) =>
      recorder.add(store.name, { id, title, metric, unit, better: "lower", value });
    add("startup/first", `${what}: first read`, "time", "ms", Math.min(...times));
    add("startup/all", `${what}: a read from each`, "time", "ms", Math.max(...times));
    for (const { pssMb } of cluster.usage()) add("member/startup-pss", `PSS after ${what}`, "value", "MB", pssMb);
    console.error(`${store.name} ${what}: ${times.map((ms) => `${numberText(ms)} ms`).join(", ")}`);
  } finally {
    await cluster.stop();
  }
}

/** Until a member answers a linearizable read of a key that must be there. */
async function answersRead(target: string, signal: AbortSignal): Promise<void> {
  const [host, port] = target.split(":");
  const deadline = systemClock.monotonic() + 120_000;
  for (;;) {
    signal.throwIfAborted();
    try {
      const connection = await ClientConnection.connect(host!, Number(port));
      const read = unary(connection, KVService.Range, { key: Buffer.from(`start/${"0".repeat(keyMark.length)}`) });
      const { count } = await read.finally(() => connection.close());
      if (count !== 1) throw new Error(`${target} has started without its data`);
      return;
    } catch (error) {
      if (systemClock.monotonic() > deadline) throw error;
      await sleep(systemClock, pollMs, signal);
    }
  }
}

/** Fills three members' folders unless that has been done for this version; folders of other versions go. */
async function fill(store: Store, mb: number, signal: AbortSignal): Promise<string> {
  const prefix = `startup-${store.name}-`;
  const name = `${prefix}${store.version.replaceAll(/[^\w.]+/g, "-")}-${mb}`;
  const dir = join(scratch, name);
  const done = join(dir, "filled");
  if (existsSync(done)) return dir;
  if (existsSync(scratch)) {
    for (const old of readdirSync(scratch)) if (old.startsWith(prefix)) rmSync(join(scratch, old), { recursive: true });
  }
  console.error(`${store.name}: filling three members with ${mb} MB`);
  const cluster = await Cluster.start(store, { dir, signal });
  try {
    const keys = Math.round((mb * 2 ** 20) / valueBytes);
    await preload(cluster, await cluster.leader(), "start/", keys, valueBytes, signal);
    for (const i of cluster.targets.keys()) await cluster.revision(i); // linearizable: each has applied all
    await cluster.stop("SIGTERM");
    writeFileSync(done, "");
    return dir;
  } finally {
    await cluster.stop();
  }
}
