import { fork } from "node:child_process";
import { drainMs, type LoadJob, type LoadResult } from "./job.ts";

/** Runs one job in a process of its own. Throws when anything but the asked-for answers came back. */
export async function runLoad(job: LoadJob, signal: AbortSignal): Promise<LoadResult> {
  signal.throwIfAborted();
  const timeout = job.warmupMs + job.measureMs + drainMs + 30_000;
  const child = fork("dist/bench/load.mjs", { execArgv: [], signal, killSignal: "SIGKILL", timeout });
  const result = await new Promise<LoadResult>((resolve, reject) => {
    child.once("message", (message) => resolve(message as LoadResult));
    child.once("error", reject);
    // After the last message, which an exit may overtake.
    child.once("disconnect", () => reject(new Error("the load process ended without a result")));
    child.send(job);
  });
  const errors = Object.entries(result.errors).map(([why, count]) => `${count} x ${why}`);
  if (errors.length > 0) throw new Error(`${job.path}: ${errors.join(", ")}`);
  return result;
}
