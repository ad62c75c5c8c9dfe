import type { Container } from "../api/generated/core-v1.ts";
import type { Parts } from "../client/types.ts";
import type { ContainerInfo, CriRuntime } from "./cri-runtime.ts";
import { runHook } from "./hooks.ts";
import type { PodEvents } from "./pod-events.ts";

/** A stop gives a container at least this long (upstream's minimum). */
export const minGraceSeconds = 2;

type KillerOptions = { runtime: CriRuntime; events: PodEvents } & Pick<Parts, "clock" | "log">;

/** Stops the containers of one Pod: preStop hook, SIGTERM, and SIGKILL when the grace period is over. */
export class PodKiller {
  readonly #options: KillerOptions;
  #running: { ids: string[]; graceSeconds: number } | undefined;

  constructor(options: KillerOptions) {
    this.#options = options;
  }

  /** Side by side; resolves when all have ended. The hook's time counts. */
  async kill(
    containers: readonly ContainerInfo[],
    how: { specOf(name: string): Container | undefined; podIP: string; graceSeconds: number; message: string },
  ): Promise<void> {
    const { runtime, clock, events } = this.#options;
    const { specOf, podIP, graceSeconds, message } = how;
    const running = { ids: containers.map(({ id }) => id), graceSeconds };
    this.#running = running;
    const startedMs = clock.monotonic();
    const stop = async ({ id, name }: ContainerInfo) => {
      const spec = specOf(name);
      events.about(spec)("Normal", "Killing", message || `Stopping container ${name}`);
      const hook = spec?.lifecycle?.preStop;
      if (spec && hook) {
        const at = { runtime, containerId: id, podIP, clock, timeoutMs: graceSeconds * 1000 };
        const error = await runHook(hook, spec, at);
        if (error !== undefined) events.about(spec)("Warning", "FailedPreStopHook", `PreStopHook failed: ${error}`);
      }
      const usedSeconds = Math.floor((clock.monotonic() - startedMs) / 1000);
      await runtime.stopContainer(id, Math.max(minGraceSeconds, running.graceSeconds - usedSeconds));
    };
    try {
      await Promise.all(containers.map(stop));
    } finally {
      this.#running = undefined;
    }
  }

  /** The Pod has been given another grace period: a shorter one holds at once. */
  hurry(graceSeconds: number): void {
    const { runtime, log } = this.#options;
    if (this.#running === undefined || graceSeconds >= this.#running.graceSeconds) return;
    this.#running.graceSeconds = graceSeconds;
    for (const id of this.#running.ids)
      runtime.stopContainer(id, graceSeconds).catch((err) => log.warn({ err }, "Cannot stop container sooner"));
  }
}
