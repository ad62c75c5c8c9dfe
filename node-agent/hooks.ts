import type { Container, LifecycleHandler } from "../api/generated/core-v1.ts";
import { type Clock, sleep } from "../base/clock.ts";
import type { CriRuntime } from "./cri-runtime.ts";
import { httpGet } from "./probe-net.ts";

/** Runs a postStart or preStop hook to its end, or for `timeoutMs`. Returns what went wrong. */
export async function runHook(
  hook: LifecycleHandler,
  container: Container,
  at: { runtime: CriRuntime; containerId: string; podIP: string; clock: Clock; timeoutMs: number },
): Promise<string | undefined> {
  const { runtime, containerId, podIP, clock, timeoutMs } = at;
  try {
    if (hook.sleep) await sleep(clock, Math.min(hook.sleep.seconds * 1000, timeoutMs));
    if (hook.exec) {
      const { code, out } = await runtime.execSync(containerId, hook.exec.command ?? [], Math.ceil(timeoutMs / 1000));
      if (code !== 0) return `command terminated with exit code ${code}: ${out}`;
    }
    if (hook.httpGet) {
      const { ok, message } = await httpGet(hook.httpGet, container, podIP, timeoutMs);
      if (!ok) return message;
    }
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
