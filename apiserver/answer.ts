import type { Resource } from "../api/resource.ts";
import type { KubernetesObject } from "../apimachinery/object.ts";
import type { StoredObject } from "./storage/stored-object.ts";
import type { Location } from "./streams/location.ts";
import type { WatchSink } from "./watchcache/watcher.ts";

/** What the registry answers; each front sends it in its own way. */
export type Answer =
  /** `resource` is undefined for what is not of its kind: a Status, a Scale. */
  | { type: "Object"; code: number; resource: Resource | undefined; object: Sendable }
  | { type: "List"; resource: Resource; list: List }
  | { type: "Watch"; resource: Resource | undefined; watch: WatchStart }
  /** Bytes as they come, such as logs. */
  | { type: "Stream"; contentType: string; stream: AsyncIterable<Uint8Array> }
  /** The connection itself, or the request as it is, goes on to an agent, a Pod or a Service. */
  | { type: "Connect"; location: Location; answered?: (code: number) => void };

/** An object of the cache as it is, or one made for this answer. */
export type Sendable = Pick<StoredObject, "bytes" | "parse">;

export interface List {
  resourceVersion: string;
  continue?: string;
  remainingItemCount?: number;
  items: Sendable[];
}

export interface WatchStart {
  /** Begins to send; ends by itself after `timeoutMs`. */
  start(sink: WatchSink): void;
}

export function sendable(object: KubernetesObject): Sendable {
  return { bytes: Buffer.from(JSON.stringify(object)), parse: () => structuredClone(object) };
}
