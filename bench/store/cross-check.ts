import { PutRequest, RangeRequest } from "../../proto/generated/etcdserverpb.ts";
import { runLoad } from "../h2load.ts";
import { rate } from "../results.ts";
import type { Case, Context } from "./workloads.ts";
import { preloadedKeys } from "./workloads.ts";

/** The same puts and reads driven by h2load, which shares no code with our load process: the rates should agree. */
const processes = 16;
const inFlight = 100;

export function crossCheck(): Case[] {
  return (["put", "range"] as const).map((op) => ({
    id: `h2load-${op}/${inFlight}`,
    workload: "h2load",
    title: `${op}, ${inFlight} in flight, driven by h2load`,
    async run(context) {
      const result = await measure(op, context);
      const { id, title } = this;
      return [
        rate(id, title, result.perSecond),
        { id, title, metric: "p99", unit: "ms", better: "lower", value: result.p99 },
      ];
    },
  }));
}

async function measure(op: "put" | "range", { cluster, leader, valueSize, measureMs, lastRate, seed }: Context) {
  const value = Buffer.alloc(valueSize, "v");
  const keys = Array.from({ length: processes }, (_, i) =>
    Buffer.from(`many/${String((seed * processes + i) % preloadedKeys).padStart(8, "0")}`),
  );
  const bodies = keys.map((key) => (op === "put" ? PutRequest.encode({ key, value }) : RangeRequest.encode({ key })));
  const requests = Math.ceil(((lastRate(`${op}/${inFlight}`) ?? 4000) * measureMs) / 1000);
  const url = `http://${cluster.targets[leader]}/etcdserverpb.KV/${op === "put" ? "Put" : "Range"}`;
  const before = await cluster.revision(leader);
  const result = await runLoad({ url, bodies, inFlight, requests });
  const written = (await cluster.revision(leader)) - before;
  if (op === "put" && written !== result.requests) {
    throw new Error(`${result.requests} puts were answered, ${written} happened`);
  }
  return result;
}
