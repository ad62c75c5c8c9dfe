import type { Resource } from "../../api/resource.ts";
import { statusOf } from "../../apimachinery/status.ts";
import { memo } from "../../base/memo.ts";
import { decodeValue, encodeValue, type StoredObject } from "../storage/stored-object.ts";
import { Frame } from "../watchcache/resource-cache.ts";
import type { WatchSink } from "../watchcache/watcher.ts";

/**
 * What lies in the store as the version that was asked for. Of most built-in kinds it is the object itself; of custom
 * resources, and of second versions (api/face.ts), it is made once per object and row, and kept for as long as the cache
 * keeps the object.
 */
export async function viewed(resource: Resource, stored: StoredObject): Promise<StoredObject> {
  return resource.custom || resource.face ? (await allViewed(resource, [stored]))[0]! : stored;
}

const views = new WeakMap<Resource, WeakMap<StoredObject, StoredObject>>();

/** The same for many: one question to a conversion webhook. */
export async function allViewed(resource: Resource, list: readonly StoredObject[]): Promise<StoredObject[]> {
  const known = memo(views, resource, () => new WeakMap());
  const missing = list.filter((stored) => !known.has(stored));
  if (missing.length > 0) {
    const { custom, face } = resource;
    const parsed = missing.map((stored) => stored.parse());
    const objects = custom ? await custom.fromStored(parsed) : parsed.map((object) => face!.fromStored(object));
    for (const [i, stored] of missing.entries())
      known.set(stored, decodeValue(stored.key, encodeValue(objects[i]!), stored.revision));
  }
  return list.map((stored) => known.get(stored)!);
}

/** A watch's events in this version, in order; one that cannot be converted ends the watch with its Status. */
export function viewingSink(resource: Resource, sink: WatchSink): WatchSink {
  let tail = Promise.resolve();
  let ended = false;
  const end = () => {
    if (!ended) sink.end();
    ended = true;
  };
  const convert = async (frames: readonly Frame[]) => {
    const isObject = ({ type }: Frame) => type !== "BOOKMARK" && type !== "ERROR";
    const objects = await allViewed(
      resource,
      frames.filter(isObject).map(({ object }) => object as StoredObject),
    );
    const next = objects.values();
    return frames.map((frame) => (isObject(frame) ? new Frame(frame.type, next.next().value!) : frame));
  };
  const own: WatchSink = {
    send(frames) {
      tail = tail.then(async () => {
        if (ended) return;
        try {
          if (sink.send(await convert(frames))) own.onDrain?.();
        } catch (error) {
          sink.send([new Frame("ERROR", { revision: 0, bytes: Buffer.from(JSON.stringify(statusOf(error))) })]);
          end();
        }
      });
      return false; // one batch at a time
    },
    end: () => void tail.then(end),
  };
  sink.onDrain = () => own.onDrain?.();
  sink.onClose = () => {
    ended = true;
    own.onClose?.();
  };
  return own;
}
