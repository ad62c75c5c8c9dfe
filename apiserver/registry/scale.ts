import type { Scale } from "../../api/generated/autoscaling-v1.ts";
import * as field from "../../apimachinery/field-error.ts";
import { conflict, invalid } from "../../apimachinery/status.ts";
import { viewed } from "../crd/view.ts";
import { attributesOf } from "./admit.ts";
import type { Place } from "./context.ts";
import { modify } from "./modify.ts";
import { next, type WriteOptions } from "./write.ts";

/** The subresource `scale`: writes what `modifier` makes of the present Scale, of which only spec.replicas is taken. */
export async function updateScale(at: Place, options: WriteOptions, modifier: (scale: Scale) => Scale): Promise<Scale> {
  const { context, resource, target } = at;
  const whole = { ...at, target: { ...target, subresource: "" } };
  const { stored } = await modify(at, options.dryRun, async (old) => {
    const before = resource.scale!.get(old);
    const kind = { group: "autoscaling", version: "v1", kind: "Scale" };
    const attributes = attributesOf("UPDATE", at, [modifier(before), before], options, kind);
    await context.admission.mutate(attributes);
    const { metadata, spec } = attributes.object as Scale;
    if (metadata.resourceVersion && metadata.resourceVersion !== old.metadata.resourceVersion)
      throw conflict(resource, target.name);
    if (metadata.uid && metadata.uid !== old.metadata.uid) throw conflict(resource, target.name);
    const replicas = spec?.replicas ?? 0;
    const wrong = field.invalid("spec.replicas", replicas, "must be greater than or equal to 0");
    if (replicas < 0) throw invalid({ group: "autoscaling", kind: "Scale" }, target.name, [wrong]);
    await context.admission.validate(attributes);
    const object = structuredClone(old);
    resource.scale!.set(object, replicas);
    return next(whole, old, object, options, "scale");
  });
  return resource.scale!.get((await viewed(resource, stored)).parse());
}
