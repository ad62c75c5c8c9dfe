import type { Resource } from "../../api/resource.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import type { Answer } from "../answer.ts";
import { allViewed, viewed, viewingSink } from "../crd/view.ts";
import { decodeValue, encodeValue, type StoredObject } from "../storage/stored-object.ts";
import { Frame } from "../watchcache/resource-cache.ts";
import type { WatchSink } from "../watchcache/watcher.ts";

/**
 * Two versions of one object (api/face.ts): requests are converted to the stored version when they come in, answers
 * from it when they go out. Differs: a manager's entry of one version names fields as that version does; upstream
 * converts entries too.
 */
export const storedOf = (served: Resource): Resource => served.face?.stored ?? served;

export const toStored = (served: Resource, object: KubernetesObject): KubernetesObject =>
  served.face ? served.face.toStored(object) : object;

export const fromStored = (served: Resource, object: KubernetesObject): KubernetesObject =>
  served.face ? served.face.fromStored(structuredClone(object)) : object;

/** An answer about stored objects, in the version that was asked for. */
export function inVersion(served: Resource, answer: Answer): Answer | Promise<Answer> {
  if (served.custom) return viewedAnswer(served, answer);
  if (served.face === undefined) return answer;
  if (answer.type === "Object" && answer.resource)
    return { ...answer, resource: served, object: converted(served, answer.object as StoredObject) };
  if (answer.type === "List") {
    const items = answer.list.items.map((item) => converted(served, item as StoredObject));
    return { ...answer, resource: served, list: { ...answer.list, items } };
  }
  if (answer.type !== "Watch") return answer;
  const { watch } = answer;
  return { ...answer, resource: served, watch: { start: (sink) => watch.start(convertingSink(served, sink)) } };
}

async function viewedAnswer(served: Resource, answer: Answer): Promise<Answer> {
  switch (answer.type) {
    case "Object":
      return answer.resource ? { ...answer, object: await viewed(served, answer.object as StoredObject) } : answer;
    case "List": {
      const items = await allViewed(served, answer.list.items as StoredObject[]);
      return { ...answer, list: { ...answer.list, items } };
    }
    case "Watch": {
      const { watch } = answer;
      return { ...answer, watch: { start: (sink) => watch.start(viewingSink(served, sink)) } };
    }
    default:
      return answer;
  }
}

/** What was converted once is kept for as long as the cache keeps the object. */
const made = new WeakMap<StoredObject, StoredObject>();

function converted(served: Resource, stored: StoredObject): StoredObject {
  let object = made.get(stored);
  if (object === undefined) {
    const { resourceVersion, ...metadata } = stored.parse().metadata;
    const value = served.face!.fromStored({ ...stored.parse(), metadata });
    object = decodeValue(stored.key, encodeValue(value), Number(resourceVersion));
    made.set(stored, object);
  }
  return object;
}

function convertingSink(served: Resource, sink: WatchSink): WatchSink {
  const own: WatchSink = {
    send: (frames) =>
      sink.send(
        frames.map((frame) => {
          if (frame.type === "BOOKMARK" || frame.type === "ERROR") return frame;
          return new Frame(frame.type, converted(served, frame.object as StoredObject));
        }),
      ),
    end: () => sink.end(),
  };
  sink.onDrain = () => own.onDrain?.();
  sink.onClose = () => own.onClose?.();
  return own;
}
