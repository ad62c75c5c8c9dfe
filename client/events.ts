import { LRUCache } from "lru-cache";
import type { Event, ObjectReference } from "../api/generated/core-v1.ts";
import { Events } from "../api/generated/resources.ts";
import { apiVersionOf, type KubernetesObject, type ResourceType } from "../apimachinery/object.ts";
import { isForbidden, isNotFound, StatusError } from "../apimachinery/status.ts";
import { formatTime } from "../apimachinery/time.ts";
import { sleep } from "../base/clock.ts";
import type { Parts } from "./types.ts";

export interface RecorderOptions extends Parts {
  component: string;
  host?: string;
}

/**
 * Writes core/v1 Events in the background (client-go's `tools/record`): the same event again raises `count` and
 * `lastTimestamp` of the first one by a patch. Events are best effort: what cannot be written after a few tries is
 * dropped and logged, and no caller ever waits.
 */
export class EventRecorder {
  readonly #options: RecorderOptions;
  readonly #seen = new LRUCache<string, { namespace: string; name: string; count: number }>({ max: 4096 });
  readonly #queue: (() => Promise<void>)[] = [];
  #running = false;
  #sequence = 0;

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  /** `kind`: of the object, since those from a watch may lack it. `fieldPath`: such as `spec.containers{web}`. */
  event<T extends KubernetesObject>(
    kind: ResourceType<T>,
    object: T,
    type: "Normal" | "Warning",
    reason: string,
    message: string,
    fieldPath?: string,
  ): void {
    if (this.#queue.length >= maxQueued) return;
    const { name, namespace, uid, resourceVersion } = object.metadata;
    const about = { namespace, uid, resourceVersion, fieldPath };
    const known = Object.fromEntries(Object.entries(about).filter(([, value]) => value !== undefined));
    const involved = { apiVersion: apiVersionOf(kind), kind: kind.kind, name, ...known };
    const event = this.#make(involved, type, reason, message);
    this.#queue.push(() => this.#write(event));
    if (!this.#running) void this.#drain();
  }

  async #drain(): Promise<void> {
    this.#running = true;
    for (let write = this.#queue.shift(); write !== undefined; write = this.#queue.shift()) await this.#retry(write);
    this.#running = false;
  }

  async #retry(write: () => Promise<void>): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await write();
      } catch (err) {
        const worthAnother = err instanceof StatusError && err.status.code >= 500 && attempt < maxTries;
        if (!worthAnother) {
          // In a namespace that goes away there is nobody left to read them.
          this.#options.log[isForbidden(err) ? "debug" : "warn"]({ err }, "Unable to write event");
          return;
        }
        await sleep(this.#options.clock, 100 * 2 ** attempt);
      }
    }
  }

  async #write(event: Event): Promise<void> {
    const key = JSON.stringify([event.involvedObject, event.type, event.reason, event.message]);
    const seen = this.#seen.get(key);
    if (seen !== undefined) {
      seen.count++;
      const body = { count: seen.count, lastTimestamp: event.lastTimestamp };
      try {
        return void (await this.#options.client.patch(Events, seen, { type: "strategic", body }));
      } catch (error) {
        if (!isNotFound(error)) throw error; // else it has outlived its time: write it anew
      }
    }
    const { name, namespace } = (await this.#options.client.create(Events, event)).metadata;
    this.#seen.set(key, { namespace: namespace!, name, count: 1 });
  }

  #make(involvedObject: ObjectReference, type: string, reason: string, message: string): Event {
    const { name, namespace } = involvedObject;
    const { component, host, clock } = this.#options;
    const nowMs = clock.now();
    const timestamp = formatTime(nowMs);
    const unique = (BigInt(Math.trunc(nowMs)) * 1_000_000n + BigInt(this.#sequence++ % 1_000_000)).toString(16);
    return {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `${name}.${unique}`, namespace: namespace ?? "default" },
      involvedObject,
      type,
      reason,
      message: message.slice(0, 1024),
      count: 1,
      firstTimestamp: timestamp,
      lastTimestamp: timestamp,
      source: { component, ...(host !== undefined && { host }) },
      reportingComponent: component,
      reportingInstance: host ?? "",
    };
  }
}

const maxQueued = 1000;
const maxTries = 5;
