import type { Resource } from "../../api/resource.ts";
import { forbiddenField, invalidValue, notSupported } from "../../apimachinery/field-error.ts";
import type { DeleteOptions } from "../../apimachinery/generated/meta-v1.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { conflict, invalid } from "../../apimachinery/status.ts";
import { formatTime } from "../../apimachinery/time.ts";
import type { Body, Options, Target } from "../request.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import { type Asking, attributesOf } from "./admit.ts";
import type { Context } from "./context.ts";
import { decodeObject, isDryRun, parseInteger } from "./decode.ts";
import { hasFinalizers, isNamespace, withPropagation } from "./finalizers.ts";
import { gone, modify } from "./modify.ts";

/** The state in which the object is left, or its last one when it is gone. */
export interface Deleted {
  stored: StoredObject;
  gone: boolean;
}

/** DELETE of one object: at once, or as soon as its grace period is over and its finalizers are done. */
export async function remove(
  context: Context,
  resource: Resource,
  target: Target,
  options: DeleteOptions,
  asking: Omit<Asking, "dryRun" | "requestOptions">,
): Promise<Deleted> {
  return modify(
    context,
    resource,
    target,
    async (old) => {
      const attributes = attributesOf("DELETE", resource, target, [undefined, old], {
        ...asking,
        dryRun: isDryRun(options.dryRun),
        requestOptions: { kind: "DeleteOptions", apiVersion: "meta.k8s.io/v1", ...options },
      });
      await context.admission.mutate(attributes);
      await context.admission.validate(attributes);
      return nextOfDelete(resource, old, options, context.clock.now());
    },
    isDryRun(options.dryRun),
  );
}

/**
 * What becomes of an object that shall be deleted. Pure.
 *
 * The grace period is the kind's to say (Pods); a second delete can only shorten it. With finalizers left the object
 * stays, marked, until an update takes the last one away.
 */
export function nextOfDelete(
  resource: Resource,
  old: KubernetesObject,
  options: DeleteOptions,
  now: number,
): KubernetesObject | typeof gone {
  checkPreconditions(resource, old, options);
  const next = structuredClone(old);
  const { metadata } = next;
  if (metadata.deletionTimestamp === undefined) resource.prepareForDelete?.(next, formatTime(now));
  const finalizers = withPropagation(metadata.finalizers ?? [], propagationPolicy(options));
  if (finalizers.length > 0) metadata.finalizers = finalizers;
  else delete metadata.finalizers;
  const grace = resource.gracePeriodSeconds?.(old, options.gracePeriodSeconds) ?? 0;
  if (grace > 0) {
    const running = metadata.deletionTimestamp !== undefined;
    if (running && (metadata.deletionGracePeriodSeconds ?? 0) <= grace) return next;
    return marked(next, grace, now);
  }
  if (!hasFinalizers(next)) return gone;
  const done = metadata.deletionTimestamp !== undefined && !metadata.deletionGracePeriodSeconds;
  return done ? next : marked(next, 0, now);
}

function marked(object: KubernetesObject, graceSeconds: number, now: number): KubernetesObject {
  const { metadata } = object;
  if (isNamespace(object)) {
    // As upstream: a Namespace has no grace period; it stays until its content is gone.
    metadata.deletionTimestamp ??= formatTime(now);
    object.status = { ...object.status, phase: "Terminating" };
    return object;
  }
  if (metadata.deletionTimestamp === undefined) metadata.generation = (metadata.generation ?? 0) + 1;
  metadata.deletionTimestamp = formatTime(now + graceSeconds * 1000);
  metadata.deletionGracePeriodSeconds = graceSeconds;
  return object;
}

export function checkPreconditions(
  resource: Resource,
  { metadata }: KubernetesObject,
  { preconditions = {} }: Pick<DeleteOptions, "preconditions">,
): void {
  const { uid, resourceVersion } = preconditions;
  const failed = (what: string, wanted: string, found: string | undefined) =>
    conflict(
      resource,
      metadata.name,
      `the ${what} in the precondition (${wanted}) does not match the ${what} in record (${found}). The object might have been deleted and then recreated`,
    );
  if (uid !== undefined && uid !== metadata.uid) throw failed("UID", uid, metadata.uid);
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion)
    throw failed("ResourceVersion", resourceVersion, metadata.resourceVersion);
}

function propagationPolicy({ propagationPolicy, orphanDependents }: DeleteOptions): string | undefined {
  if (propagationPolicy !== undefined) return propagationPolicy;
  return orphanDependents === undefined ? undefined : orphanDependents ? "Orphan" : "Background";
}

/** DeleteOptions come in the body, or as query parameters when there is none. Throws 400 and 422. */
export function decodeDeleteOptions(body: Body | undefined, query: Options): DeleteOptions {
  let options: DeleteOptions;
  if (body !== undefined && body.bytes.length > 0)
    options = decodeObject({ group: "", version: "v1", kind: "DeleteOptions" }, body, {}, []) as DeleteOptions;
  else {
    const grace = parseInteger("gracePeriodSeconds", query.gracePeriodSeconds);
    options = {
      ...(grace === undefined ? {} : { gracePeriodSeconds: grace }),
      ...(query.propagationPolicy ? { propagationPolicy: query.propagationPolicy as "Background" } : {}),
      ...(query.orphanDependents ? { orphanDependents: query.orphanDependents === "true" } : {}),
    };
  }
  if (query.dryRun) options.dryRun = query.dryRun;
  const { propagationPolicy: policy, orphanDependents, gracePeriodSeconds } = options;
  const errors = [];
  if (policy !== undefined && !policies.includes(policy))
    errors.push(notSupported("propagationPolicy", policy, [...policies, "nil"]));
  if (policy !== undefined && orphanDependents !== undefined)
    errors.push(forbiddenField("propagationPolicy", "orphanDependents and deletionPropagation cannot be both set"));
  if (gracePeriodSeconds !== undefined && !Number.isSafeInteger(gracePeriodSeconds))
    errors.push(invalidValue("gracePeriodSeconds", gracePeriodSeconds, "must be an integer"));
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", kind: "DeleteOptions" }, "", errors);
  return options;
}

const policies = ["Foreground", "Background", "Orphan"];
