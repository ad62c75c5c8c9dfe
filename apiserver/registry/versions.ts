import type { Resource } from "../../api/resource.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import type { Answer } from "../answer.ts";
import { allViewed, viewed, viewingSink } from "../crd/view.ts";
import type { StoredObject } from "../storage/stored-object.ts";

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
export async function inVersion(served: Resource, answer: Answer): Promise<Answer> {
  if (!served.custom && !served.face) return answer;
  switch (answer.type) {
    case "Object": {
      if (!answer.resource) return answer;
      return { ...answer, resource: served, object: await viewed(served, answer.object as StoredObject) };
    }
    case "List": {
      const items = await allViewed(served, answer.list.items as StoredObject[]);
      return { ...answer, resource: served, list: { ...answer.list, items } };
    }
    case "Watch": {
      const { watch } = answer;
      return { ...answer, resource: served, watch: { start: (sink) => watch.start(viewingSink(served, sink)) } };
    }
    default:
      return answer;
  }
}
