import { LRUCache } from "lru-cache";
import type { Container } from "../api/generated/core-v1.ts";
import type { Clock } from "../base/clock.ts";
import type { CriRuntime } from "./cri-runtime.ts";
import type { StartFailure } from "./pod-actions.ts";

/** Why a container could not be started: its `state.waiting`, and when to try again. */
export class StartError extends Error {
  override name = "StartError";
  readonly failure: StartFailure;

  constructor(failure: StartFailure, options?: ErrorOptions) {
    super(failure.message, options);
    this.failure = failure;
  }
}

export type TellEvent = (type: "Normal" | "Warning", reason: string, message: string) => void;

const initialBackoffMs = 10_000;
const maxBackoffMs = 300_000;

/**
 * Brings images to the node by the containers' pull policy. A failed pull is `ErrImagePull`; until its
 * back-off (10 s doubling to 5 min) is over the container waits with `ImagePullBackOff`.
 */
export function imagePuller(runtime: CriRuntime, clock: Clock) {
  const failed = new LRUCache<string, { delayMs: number; untilMs: number; error: string }>({ max: 1000 });
  /** Throws StartError. */
  return async (podUid: string, container: Container, tell: TellEvent, signal: AbortSignal): Promise<void> => {
    const image = container.image ?? "";
    const policy = container.imagePullPolicy ?? (isLatest(image) ? "Always" : "IfNotPresent");
    if (policy !== "Always" && (await runtime.imageStatus(image)) !== undefined) {
      return tell("Normal", "Pulled", `Container image "${image}" already present on machine`);
    }
    if (policy === "Never") {
      const message = `Container image "${image}" is not present with pull policy of Never`;
      tell("Warning", "ErrImageNeverPull", message);
      throw new StartError({ reason: "ErrImageNeverPull", message, retryAtMs: clock.now() + initialBackoffMs });
    }
    const key = `${podUid}/${image}`;
    const before = failed.get(key);
    if (before !== undefined && before.untilMs > clock.now()) throw backingOff(image, before, tell);
    tell("Normal", "Pulling", `Pulling image "${image}"`);
    const startedMs = clock.monotonic();
    try {
      const size = await runtime.pullImage(image, signal);
      const took = durationMs(clock.monotonic() - startedMs);
      const text = `Successfully pulled image "${image}" in ${took} (${took} including waiting). Image size: ${size} bytes.`;
      tell("Normal", "Pulled", text);
      failed.delete(key);
    } catch (cause) {
      const error = (cause as Error).message;
      const delayMs = before === undefined ? initialBackoffMs : Math.min(before.delayMs * 2, maxBackoffMs);
      const failure = { delayMs, untilMs: clock.now() + delayMs, error };
      failed.set(key, failure);
      tell("Warning", "Failed", `Failed to pull image "${image}": ${error}`);
      tell("Warning", "Failed", "Error: ErrImagePull");
      // Soon again, to say that it backs off; the pull itself waits for `untilMs`.
      const retryAtMs = clock.now() + sayBackoffMs;
      throw new StartError({ reason: "ErrImagePull", message: error, retryAtMs }, { cause });
    }
  };
}

/** How long the status says ErrImagePull before it says ImagePullBackOff. */
const sayBackoffMs = 2000;

function backingOff(image: string, { untilMs, error }: { untilMs: number; error: string }, tell: TellEvent) {
  tell("Normal", "BackOff", `Back-off pulling image "${image}"`);
  tell("Warning", "Failed", "Error: ImagePullBackOff");
  const message = `Back-off pulling image "${image}": ErrImagePull: ${error}`;
  return new StartError({ reason: "ImagePullBackOff", message, retryAtMs: untilMs });
}

/** Without a tag or digest, or with the tag `latest`. */
function isLatest(image: string): boolean {
  if (image.includes("@")) return false;
  const tag = /:([^:/]+)$/.exec(image)?.[1];
  return tag === undefined || tag === "latest";
}

function durationMs(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)}ms` : `${(ms / 1000).toFixed(3).replace(/\.?0+$/, "")}s`;
}
