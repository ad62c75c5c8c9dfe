import { LRUCache } from "lru-cache";
import type { Event, ObjectReference } from "../api/generated/core-v1.ts";
import { Events } from "../api/generated/resources.ts";
import type { KubernetesObject } from "../apimachinery/object.ts";
import { isForbidden, isNotFound, StatusError } from "../apimachinery/status.ts";
import { formatTime } from "../apimachinery/time.ts";
import { type Clock, sleep } from "../base/clock.ts";
import type { Logger } from "../base/logger.ts";
import type { Client } from "./types.ts";

/** What an Event is about. `kind` and `apiVersion` are given apart, since objects from a watch may lack them. */
export interface Involved {
  apiVersion: string;
  kind: string;
  object: KubernetesObject;
  /** Such as `spec.containers{web}`. */
  fieldPath?: string;
}

/**
 * Writes core/v1 Events in the background (client-go's `tools/record`): the same event again raises `count` and
 * `lastTimestamp` of the first one by a patch. Events are best effort: what cannot be written after a few tries is
 * dropped and logged, and no caller ever waits.
 */
export class EventRecorder {
  readonly #client: Client;
  readonly #component: string;
  readonly #host: string | undefined;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #seen = new LRUCache<string, { namespace: string; name: string; count: number }>({ max: 4096 });
  readonly #queue: (() => Promise<void>)[] = [];
  #running = false;
  #sequence = 0;

  constructor(options: { client: Client; component: string; host?: string; clock: Clock; log: Logger }) {
    this.#client = options.client;
    this.#component = options.component;
    this.#host = options.host;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  event(involved: Involved, type: "Normal" | "Warning", reason: string, message: string): void {
    if (this.#queue.length >= maxQueued) return;
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
          this.#log[isForbidden(err) ? "debug" : "warn"]({ err }, "Unable to write event");
          return;
        }
        await sleep(this.#clock, 100 * 2 ** attempt);
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
        return void (await this.#client.patch(Events, seen, { type: "strategic", body }));
      } catch (error) {
        if (!isNotFound(error)) throw error; // else it has outlived its time: write it anew
      }
    }
    const { name, namespace } = (await this.#client.create(Events, event)).metadata;
    this.#seen.set(key, { namespace: namespace!, name, count: 1 });
  }

  #make({ apiVersion, kind, object, fieldPath }: Involved, type: string, reason: string, message: string): Event {
    const { name, namespace, uid, resourceVersion } = object.metadata;
    const nowMs = this.#clock.now();
    const timestamp = formatTime(nowMs);
    const unique = (BigInt(Math.trunc(nowMs)) * 1_000_000n + BigInt(this.#sequence++ % 1_000_000)).toString(16);
    const involvedObject: ObjectReference = {
      apiVersion,
      kind,
      name,
      ...(namespace !== undefined && { namespace }),
      ...(uid !== undefined && { uid }),
      ...(resourceVersion !== undefined && { resourceVersion }),
      ...(fieldPath !== undefined && { fieldPath }),
    };
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
      source: { component: this.#component, ...(this.#host !== undefined && { host: this.#host }) },
      reportingComponent: this.#component,
      reportingInstance: this.#host ?? "",
    };
  }
}

const maxQueued = 1000;
const maxTries = 5;
