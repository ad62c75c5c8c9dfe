import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { drainMs, type LoadJob, type LoadResult } from "./job.ts";

/** Runs one job in a process of its own. Throws when anything but the asked-for answers came back. */
export async function runLoad(job: LoadJob, signal: AbortSignal): Promise<LoadResult> {
  signal.throwIfAborted();
  const child = spawn(process.execPath, ["dist/bench/load.mjs"], {
    stdio: ["pipe", "pipe", "pipe"],
    signal,
    killSignal: "SIGKILL",
    timeout: job.warmupMs + job.measureMs + drainMs + 30_000,
  });
  const exit = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  child.stdin.on("error", () => {}); // it ended early: its exit code tells
  child.stdin.end(JSON.stringify(job));
  const [code, out, err] = await Promise.all([exit, text(child.stdout), text(child.stderr)]);
  if (code !== 0) throw new Error(`the load process ended with ${code}: ${err.trim().slice(0, 2000)}`);
  const result = JSON.parse(out) as LoadResult;
  const errors = Object.entries(result.errors).map(([why, count]) => `${count} x ${why}`);
  if (errors.length > 0) throw new Error(`${job.path}: ${errors.join(", ")}`);
  return result;
}
