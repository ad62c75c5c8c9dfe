import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { PutRequest, RangeRequest } from "../../proto/generated/etcdserverpb.ts";
import { peer } from "../../tools/peers.ts";
import { dropFolder, freshFolder } from "../process.ts";
import { rate } from "../results.ts";
import type { Case, Context } from "./workloads.ts";

/**
 * The same puts and reads driven by Debian's h2load, which shares no code with our load process: the rates should agree.
 * It knows nothing of gRPC: a request is one length-prefixed message POSTed to the method's path, the same each time, and
 * an HTTP 200 may carry a gRPC error, so the store's revision tells whether the puts happened.
 */
const inFlight = 100;
const connections = 10;

export function crossCheck(): Case[] {
  const h2load = peer("h2load");
  if (h2load === undefined) return [];
  return (["put", "range"] as const).map((op) => ({
    id: `h2load-${op}/${inFlight}`,
    workload: "h2load",
    title: `${op}, ${inFlight} in flight, driven by h2load`,
    async run(context) {
      return [rate(this.id, this.title, await measure(h2load, op, context))];
    },
  }));
}

async function measure(h2load: string, op: "put" | "range", context: Context): Promise<number> {
  const { cluster, leader, valueSize, measureMs, lastRate, signal } = context;
  const key = Buffer.from("many/00000000");
  const put = () => PutRequest.encode({ key, value: Buffer.alloc(valueSize, "v") });
  const message = op === "put" ? put() : RangeRequest.encode({ key });
  const prefix = Buffer.alloc(5); // not compressed, then the length
  prefix.writeUInt32BE(message.length, 1);
  const requests = Math.ceil(((lastRate(`${op}/${inFlight}`) ?? 4000) * measureMs) / 1000);
  const dir = freshFolder("h2load");
  const body = join(dir, "body");
  writeFileSync(body, Buffer.concat([prefix, message]));
  const load = ["-n", requests, "-c", connections, "-m", inFlight / connections, "-t", 1, "-d", body].map(String);
  const headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"];
  const url = `http://${cluster.targets[leader]}/etcdserverpb.KV/${op === "put" ? "Put" : "Range"}`;
  const before = await cluster.revision(leader);
  try {
    const { stdout } = await promisify(execFile)(h2load, [...load, ...headers, url], { signal, timeout: 120_000 });
    const succeeded = Number(/(\d+) succeeded/.exec(stdout)?.[1]);
    if (succeeded !== requests) throw new Error(`h2load: ${succeeded} of ${requests} succeeded\n${stdout}`);
    const written = (await cluster.revision(leader)) - before;
    if (op === "put" && written !== requests) throw new Error(`${requests} puts were answered, ${written} happened`);
    return Number(/finished in [\d.]+\w+, ([\d.]+) req\/s/.exec(stdout)?.[1]);
  } finally {
    dropFolder(dir);
  }
}
