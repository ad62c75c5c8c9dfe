import type { Resource } from "../../api/resource.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import type { Attributes, Operation } from "../admission/chain.ts";
import type { User } from "../request.ts";
import type { Context, Place } from "./context.ts";

/** What the registry knows of a request when it comes to admission. */
export interface Asking {
  user: User;
  dryRun: boolean;
  warnings: string[];
  /** The audit log's; those who keep none leave it out. */
  auditAnnotations?: Map<string, string>;
  /** CreateOptions and its like, as the client sent them. */
  requestOptions?: object;
  /** The version that was asked for, when that is not the stored one. */
  served?: Resource;
}

/** The attributes of a request. `kind` is the object's when that is not the resource's own. */
export function attributesOf(
  operation: Operation,
  { resource, target: { name, namespace, subresource } }: Pick<Place, "resource" | "target">,
  [object, oldObject]: [KubernetesObject | undefined, KubernetesObject | undefined],
  asking: Asking,
  kind?: Attributes["kind"],
): Attributes {
  return {
    operation,
    resource,
    ...(asking.served && { requested: asking.served }),
    kind: kind ?? resource,
    subresource,
    namespace,
    name: name || (object?.metadata?.name ?? ""),
    user: asking.user,
    object,
    oldObject,
    options: asking.requestOptions,
    dryRun: asking.dryRun,
    warnings: asking.warnings,
    auditAnnotations: asking.auditAnnotations ?? new Map(),
  };
}

/** Asks both halves of admission, where nothing comes between them; the object as they leave it. */
export async function admit(
  { admission }: Pick<Context, "admission">,
  attributes: Attributes,
): Promise<KubernetesObject | undefined> {
  await admission.mutate(attributes);
  await admission.validate(attributes);
  return attributes.object;
}
