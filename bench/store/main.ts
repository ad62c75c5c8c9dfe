/**
 * `npm run bench -- store`: puts and linearizable reads at 1, 100 and 1000 in flight, three members of ours and three of
 * Debian's etcd-server on the same machine, in alternating rounds with fresh data directories. The result is a ratio.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { parseFlags } from "../../base/flags.ts";
import { createLogger } from "../../base/logger.ts";
import { runProcess } from "../../base/process.ts";
import { PutRequest, RangeRequest } from "../../proto/generated/etcdserverpb.ts";
import { peer } from "../../tools/peers.ts";
import { type LoadResult, runLoad } from "../h2load.ts";
import { type RunningStore, type Store, startMembers } from "../members.ts";
import { spread } from "../stats.ts";

const flagSpec = {
  rounds: {
    type: "number",
    default: 5,
    help: "rounds a store; the first of each is dropped when there are more than two",
  },
  seconds: { type: "number", default: 4, help: "aimed length of one measurement" },
  "value-size": { type: "number", default: 256, help: "bytes of a value" },
  only: { type: "string", default: "", help: "ours or etcd: measure one store only" },
} as const;

const cases = [1, 100, 1000].flatMap((inFlight) => [
  { op: "put" as const, inFlight },
  { op: "range" as const, inFlight },
]);
type Case = (typeof cases)[number];

/** Requests a second to plan with; each measurement is then sized by the round before it. */
const guess = { 1: 400, 100: 4000, 1000: 6000 } as Record<number, number>;

runProcess(createLogger("bench"), async () => {
  const flags = parseFlags(flagSpec, process.argv.slice(2));
  const etcd = peer("etcd");
  const stores: Store[] = [
    { name: "ours", command: [process.execPath, "dist/etcd-raft.mjs"], port: 23790 },
    ...(etcd ? [{ name: "etcd", command: [etcd], port: 24790 }] : []),
  ].filter(({ name }) => flags.only === "" || flags.only === name);
  const results = new Map<string, LoadResult[]>();
  const memory = new Map<string, number[]>();
  for (let round = 0; round < flags.rounds; round++) {
    for (const store of stores) {
      const running = await startMembers(store);
      try {
        for (const one of cases) {
          const key = `${store.name} ${one.op} ${one.inFlight}`;
          const last = results.get(key)?.at(-1)?.perSecond ?? guess[one.inFlight]!;
          const requests = Math.ceil(last * flags.seconds);
          const result = await measure(running, one, requests, flags["value-size"], round);
          results.set(key, [...(results.get(key) ?? []), result]);
          console.error(`round ${round + 1} ${key}: ${result.perSecond.toFixed(0)}/s, p99 ${result.p99.toFixed(1)} ms`);
        }
        memory.set(store.name, running.memoryMb());
      } finally {
        await running.stop();
      }
    }
  }
  const text = report(stores, results, memory, flags.rounds);
  console.log(text);
  mkdirSync("bench/results", { recursive: true });
  writeFileSync("bench/results/store.md", text);
});

/** Keys vary over 16 load processes and over the rounds; the revision proves that every put happened. */
async function measure(store: RunningStore, { op, inFlight }: Case, requests: number, size: number, round: number) {
  const keys = Array.from({ length: 16 }, (_, i) => `bench/${round}/${inFlight}/${i}`);
  const value = Buffer.alloc(size, "v");
  if (op === "range") {
    for (const key of keys) await store.put(key, value);
    const bodies = keys.map((key) => RangeRequest.encode({ key: Buffer.from(key) }));
    return runLoad({ url: `${store.leaderUrl}/etcdserverpb.KV/Range`, bodies, inFlight, requests });
  }
  const bodies = keys.map((key) => PutRequest.encode({ key: Buffer.from(key), value }));
  const before = await store.revision();
  const result = await runLoad({ url: `${store.leaderUrl}/etcdserverpb.KV/Put`, bodies, inFlight, requests });
  const written = (await store.revision()) - before;
  if (written !== result.requests) throw new Error(`${result.requests} puts were answered, ${written} happened`);
  return result;
}

function report(
  stores: Store[],
  results: Map<string, LoadResult[]>,
  memory: Map<string, number[]>,
  rounds: number,
): string {
  const kept = (key: string) => (results.get(key) ?? []).slice(rounds > 2 ? 1 : 0);
  const rate = (key: string) => spread(kept(key).map(({ perSecond }) => perSecond));
  const cell = (key: string) => {
    const { median, min, max } = rate(key);
    const p99 = spread(kept(key).map((r) => r.p99)).median;
    return `${median.toFixed(0)} (${min.toFixed(0)} to ${max.toFixed(0)}), p99 ${p99.toFixed(1)} ms`;
  };
  const names = stores.map(({ name }) => name);
  const both = names.length === 2;
  const lines = [
    `# bench store: three members, one machine, ${rounds} alternating rounds, no TLS, 100/1000 ms timers`,
    "",
    `| operation | in flight | ${names.join(" | ")} |${both ? " ours / etcd |" : ""}`,
    `|---|---|${names.map(() => "---|").join("")}${both ? "---|" : ""}`,
    ...cases.map(({ op, inFlight }) => {
      const keys = names.map((name) => `${name} ${op} ${inFlight}`);
      const ratio = both ? ` ${(rate(keys[0]!).median / rate(keys[1]!).median).toFixed(2)} |` : "";
      return `| ${op} | ${inFlight} | ${keys.map(cell).join(" | ")} |${ratio}`;
    }),
    "",
    "Requests a second: median (least to most), and the median of the rounds' 99th percentiles.",
    ...names.map(
      (name) =>
        `PSS of the ${name} members after the last round: ${memory
          .get(name)
          ?.map((mb) => mb.toFixed(0))
          .join(", ")} MB.`,
    ),
    "",
  ];
  return lines.join("\n");
}
