import type { Scale } from "../../api/generated/autoscaling-v1.ts";
import type { Resource } from "../../api/resource.ts";
import { invalidValue } from "../../apimachinery/field-error.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { conflict, invalid } from "../../apimachinery/status.ts";
import { viewed } from "../crd/view.ts";
import type { Target } from "../request.ts";
import { attributesOf } from "./admit.ts";
import type { Context } from "./context.ts";
import type { WriteOptions } from "./create.ts";
import { modify } from "./modify.ts";
import { next } from "./update.ts";

/** The subresource `scale`: a Scale in front of the object, of which only spec.replicas can be written. */
export function scaleOf(resource: Resource, object: KubernetesObject): Scale {
  return resource.scale!.get(object);
}

/** Writes what `modifier` makes of the present Scale. */
export async function updateScale(
  context: Context,
  resource: Resource,
  target: Target,
  modifier: (scale: Scale) => Scale,
  options: WriteOptions,
): Promise<Scale> {
  const { stored } = await modify(
    context,
    resource,
    target,
    async (old) => {
      const before = scaleOf(resource, old);
      const kind = { group: "autoscaling", version: "v1", kind: "Scale" };
      const attributes = attributesOf("UPDATE", resource, target, [modifier(before), before], options, kind);
      await context.admission.mutate(attributes);
      const scale = attributes.object as Scale;
      const { metadata } = scale;
      if (metadata.resourceVersion && metadata.resourceVersion !== old.metadata.resourceVersion)
        throw conflict(resource, target.name);
      if (metadata.uid && metadata.uid !== old.metadata.uid) throw conflict(resource, target.name);
      const replicas = scale.spec?.replicas ?? 0;
      if (replicas < 0) {
        const detail = "must be greater than or equal to 0";
        throw invalid({ group: "autoscaling", kind: "Scale" }, target.name, [
          invalidValue("spec.replicas", replicas, detail),
        ]);
      }
      await context.admission.validate(attributes);
      const object = structuredClone(old);
      resource.scale!.set(object, replicas);
      return next(context, resource, { ...target, subresource: "" }, old, object, options, "scale");
    },
    options.dryRun,
  );
  return scaleOf(resource, (await viewed(resource, stored)).parse());
}
