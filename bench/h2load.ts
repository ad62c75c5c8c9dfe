import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { assert } from "../base/assert.ts";
import { peer } from "../tools/peers.ts";

/**
 * Load from h2load (Debian's nghttp2-client): it knows nothing of gRPC, so every request is one length-prefixed message
 * POSTed to the method's path, and whoever calls must check by other means that the server did the work (an HTTP 200
 * may carry a gRPC error in its trailers). One h2load process sends one body; several bodies are several processes.
 */
export interface Load {
  /** `http://host:port/etcdserverpb.KV/Put` */
  url: string;
  /** Encoded protobuf messages; the load is shared out evenly over them. */
  bodies: Uint8Array[];
  inFlight: number;
  requests: number;
}

export interface LoadResult {
  requests: number;
  seconds: number;
  perSecond: number;
  /** Milliseconds. */
  p50: number;
  p99: number;
}

export async function runLoad({ url, bodies, inFlight, requests }: Load): Promise<LoadResult> {
  const h2load = peer("h2load");
  assert(h2load !== undefined, "h2load is missing: run `node tools/peers.mjs`");
  const dir = mkdtempSync(join(tmpdir(), "kubelab-bench-"));
  const share = bodies.slice(0, Math.min(bodies.length, inFlight));
  const perProcess = Math.ceil(requests / share.length);
  const streams = Math.max(1, Math.floor(inFlight / share.length));
  try {
    const started = performance.now();
    await Promise.all(
      share.map(async (body, i) => {
        writeFileSync(join(dir, `body-${i}`), frame(body));
        const args = ["-n", perProcess, "-c", 1, "-m", streams, "-d", join(dir, `body-${i}`), "-t", 1];
        const headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"];
        const all = [...args.map(String), ...headers, `--log-file=${join(dir, `log-${i}`)}`, url];
        const { stdout } = await promisify(execFile)(h2load, all, { timeout: 120_000 });
        const succeeded = Number(/(\d+) succeeded/.exec(stdout)?.[1]);
        if (succeeded !== perProcess) throw new Error(`h2load: ${succeeded} of ${perProcess} succeeded\n${stdout}`);
      }),
    );
    const wallSeconds = (performance.now() - started) / 1000;
    const times = share.flatMap((_, i) => readLog(join(dir, `log-${i}`)));
    return { ...summarize(times), seconds: wallSeconds };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** gRPC's length-prefixed message: a byte for compression (0), the length as a big-endian u32, the message. */
function frame(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

interface Timed {
  /** Microseconds since the epoch. */
  startUs: number;
  tookUs: number;
}

/** A line a request: start in µs since the epoch, HTTP status, duration in µs, tab separated. */
function readLog(file: string): Timed[] {
  const lines = readFileSync(file, "utf8").trim().split("\n");
  return lines.map((line) => {
    const [startUs, status, tookUs] = line.split("\t");
    if (status !== "200") throw new Error(`h2load: a request ended with HTTP ${status}`);
    return { startUs: Number(startUs), tookUs: Number(tookUs) };
  });
}

/** Throughput from the first start to the last end, so that the start-up of h2load does not count. */
function summarize(times: Timed[]): Omit<LoadResult, "seconds"> {
  let first = Number.POSITIVE_INFINITY;
  let last = 0;
  for (const { startUs, tookUs } of times) {
    first = Math.min(first, startUs);
    last = Math.max(last, startUs + tookUs);
  }
  const sorted = times.map(({ tookUs }) => tookUs / 1000).sort((a, b) => a - b);
  const at = (p: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))]!;
  return { requests: times.length, perSecond: times.length / ((last - first) / 1e6), p50: at(0.5), p99: at(0.99) };
}
