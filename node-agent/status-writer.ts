import { isDeepStrictEqual } from "node:util";
import type { Pod, PodStatus } from "../api/generated/core-v1.ts";
import { Pods } from "../api/generated/resources.ts";
import { isConflict, isNotFound } from "../apimachinery/status.ts";
import { sleep } from "../base/clock.ts";
import type { Parts } from "../client/types.ts";
import { statusPatch } from "./status-patch.ts";

/**
 * Brings one Pod's status in the API to what was last asked for, in the background: one write at a time, the newest
 * wish wins, only what differs is sent, and only to the same Pod (uid). Tried again until it succeeds or the Pod is gone.
 */
export class StatusWriter {
  readonly #options: Parts;
  #latest: Pod | undefined;
  #wanted: PodStatus | undefined;
  /** The last write, and what the server made of it: a field that it does not keep is not sent for ever. */
  #written: { wanted: PodStatus; result: PodStatus | undefined } | undefined;
  #writing: Promise<void> | undefined;
  #gone = false;

  constructor(options: Parts) {
    this.#options = options;
  }

  /** The newest state known: from the watch or the answer to our own write. */
  get latest(): Pod | undefined {
    return this.#latest;
  }

  get wanted(): PodStatus | undefined {
    return this.#wanted;
  }

  observe(pod: Pod): void {
    if (this.#latest !== undefined && revision(pod) < revision(this.#latest)) return;
    this.#latest = pod;
    this.#start(); // somebody else may have changed it
  }

  write(status: PodStatus): void {
    this.#wanted = status;
    this.#start();
  }

  stop(): void {
    this.#gone = true;
  }

  /** Resolves when what was asked for is written, or never will be. */
  async flushed(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
  }

  #start(): void {
    if (this.#writing !== undefined || this.#gone || this.#isWritten()) return;
    this.#writing = this.#drain().finally(() => {
      this.#writing = undefined;
    });
  }

  async #drain(): Promise<void> {
    const { client, clock, log } = this.#options;
    for (let failures = 0; !this.#gone && !this.#isWritten(); ) {
      const wanted = this.#wanted!;
      const pod = this.#latest!;
      const status = statusPatch(pod.status, wanted, clock.now());
      if (status === undefined) return;
      const { name, namespace, uid } = pod.metadata;
      try {
        const patch = { type: "strategic" as const, body: { metadata: { uid }, status } };
        const updated = await client.patch(Pods, { name, namespace }, patch, { subresource: "status" });
        if (updated.metadata.uid !== uid) return this.stop();
        this.#written = { wanted, result: updated.status };
        if (revision(updated) >= revision(this.#latest!)) this.#latest = updated;
        failures = 0;
      } catch (err) {
        if (isNotFound(err)) return this.stop();
        if (isConflict(err) && (await this.#isReplaced(pod))) return this.stop();
        log.warn({ err, pod: name }, "Failed to update status for pod, trying again");
        await sleep(clock, Math.min(50 * 2 ** failures++, 2000));
      }
    }
  }

  /** Nothing was asked for since the last write, and nobody changed what it made. */
  #isWritten(): boolean {
    if (this.#wanted === undefined || this.#latest === undefined) return true;
    if (this.#written === undefined) return false;
    const { wanted, result } = this.#written;
    return isDeepStrictEqual(wanted, this.#wanted) && isDeepStrictEqual(result, this.#latest.status);
  }

  async #isReplaced({ metadata: { name, namespace, uid } }: Pod): Promise<boolean> {
    return this.#options.client.get(Pods, { name, namespace }).then(
      (pod) => pod.metadata.uid !== uid,
      (error) => isNotFound(error),
    );
  }
}

const revision = ({ metadata }: Pod): number => Number(metadata.resourceVersion ?? 0);
