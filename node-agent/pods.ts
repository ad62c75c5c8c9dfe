import type { Pod } from "../api/generated/core-v1.ts";
import { sleep } from "../base/clock.ts";
import { Code, GrpcError } from "../net/grpc-error.ts";
import { PodWorker, type WorkerOptions } from "./pod-worker.ts";

/** How often everything the runtime has is compared with what was known (upstream's PLEG relist). */
const relistMs = 1000;
/** The same while the runtime does not answer, or the API has not. */
const impatientMs = 100;

export interface PodsOptions extends WorkerOptions {
  /** The runtime came or went. */
  onRuntimeChange(): void;
}

/**
 * All Pods of this node: one worker for each in the API or in the runtime. What the runtime has and the API does not
 * know (any more) is ended; that is only decided once the API has been read.
 */
export class NodePods {
  readonly #options: PodsOptions;
  readonly #workers = new Map<string, PodWorker>();
  #fingerprints = new Map<string, string>();
  #apiKnown = false;
  #stopped = false;

  constructor(options: PodsOptions) {
    this.#options = options;
  }

  get workers(): Iterable<PodWorker> {
    return this.#workers.values();
  }

  find(namespace: string, name: string): PodWorker | undefined {
    for (const worker of this.#workers.values())
      if (worker.pod?.metadata.name === name && worker.pod.metadata.namespace === namespace) return worker;
    return undefined;
  }

  /** A Pod bound to this node, new or changed. */
  set(pod: Pod): void {
    if (this.#stopped) return;
    this.#worker(pod.metadata.uid!).update(pod);
  }

  /** A Pod that is not in the API any more, with its last known state. */
  delete(pod: Pod): void {
    const worker = this.#workers.get(pod.metadata.uid!);
    worker?.update(pod); // it may have been given another grace period
    worker?.update(undefined);
  }

  /** All Pods of the API have been told: from now on others are orphans. */
  apiSynced(): void {
    this.#apiKnown = true;
  }

  /** Watches the runtime until `signal` aborts, then stops all workers. Containers live on. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#events(signal), this.#relists(signal)]);
    this.#stopped = true;
    // Not waited for: one may be in the middle of a grace period, which the next agent takes up.
    for (const worker of this.#workers.values()) worker.stop();
  }

  async #events(signal: AbortSignal): Promise<void> {
    const { runtime, clock, log, onRuntimeChange } = this.#options;
    while (!signal.aborted) {
      try {
        for await (const uid of runtime.events(signal)) this.#runtimeChanged(uid);
      } catch (err) {
        if (err instanceof GrpcError && err.code === Code.Unimplemented)
          return log.info({}, "The runtime has no container events, relying on relists");
        log.debug({ err }, "Container events broke off, connecting again");
      }
      onRuntimeChange();
      await sleep(clock, 200, signal);
    }
  }

  async #relists(signal: AbortSignal): Promise<void> {
    const { runtime, clock, log } = this.#options;
    let failing = false;
    while (!signal.aborted) {
      try {
        const now = await runtime.fingerprints();
        if (this.#apiKnown) {
          for (const [uid, text] of now) if (this.#fingerprints.get(uid) !== text) this.#runtimeChanged(uid);
          for (const uid of this.#fingerprints.keys()) if (!now.has(uid)) this.#runtimeChanged(uid);
          this.#fingerprints = now;
        }
        // Workers that failed meanwhile need not wait for their next try.
        if (failing) for (const worker of this.#workers.values()) worker.wake();
        failing = false;
      } catch (err) {
        if (!failing) log.warn({ err }, "The container runtime does not answer");
        failing = true;
      }
      await sleep(clock, this.#apiKnown && !failing ? relistMs : impatientMs, signal);
    }
  }

  #runtimeChanged(uid: string): void {
    const known = this.#workers.get(uid);
    if (known) known.wake();
    else if (this.#apiKnown && !this.#stopped) this.#worker(uid); // an orphan: its worker ends it
  }

  #worker(uid: string): PodWorker {
    const known = this.#workers.get(uid);
    if (known) return known;
    const worker = new PodWorker(uid, this.#options);
    this.#workers.set(uid, worker);
    void worker.finished.then(() => {
      if (!this.#stopped) this.#workers.delete(uid);
    });
    return worker;
  }
}
