import type { Namespace } from "../../api/generated/core-v1.ts";
import type { Resource } from "../../api/resource.ts";
import * as field from "../../apimachinery/field-error.ts";
import type { DeleteOptions } from "../../apimachinery/generated/meta-v1.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { conflict, invalid, isNotFound } from "../../apimachinery/status.ts";
import { formatTime } from "../../apimachinery/time.ts";
import type { List, Sendable } from "../answer.ts";
import type { Body, Options } from "../request.ts";
import { type Asking, admit, attributesOf } from "./admit.ts";
import type { Place } from "./context.ts";
import { decodeObject, isDryRun, parseInteger } from "./decode.ts";
import { list } from "./list.ts";
import { gone, type Modified, modify } from "./modify.ts";

/** DELETE of one object: at once, or as soon as its grace period is over and its finalizers are done. */
export async function remove(at: Place, options: DeleteOptions, asking: DeleteAsking): Promise<Modified> {
  const { context, resource } = at;
  const dryRun = isDryRun(options.dryRun);
  const requestOptions = { kind: "DeleteOptions", apiVersion: "meta.k8s.io/v1", ...options };
  return modify(at, dryRun, async (old) => {
    await admit(context, attributesOf("DELETE", at, [undefined, old], { ...asking, dryRun, requestOptions }));
    return nextOfDelete(resource, old, options, context.clock.now());
  });
}

type DeleteAsking = Omit<Asking, "dryRun" | "requestOptions">;

/** DELETE of a list: each object for itself, a few at a time; those that are gone already are no error. */
export async function deleteCollection(
  at: Place,
  options: Options,
  deleteOptions: DeleteOptions,
  asking: DeleteAsking,
): Promise<List> {
  const found = await list(at, options);
  const items: Sendable[] = [];
  const left = found.items.map((item) => item.parse().metadata).values();
  const worker = async () => {
    for (const { name, namespace = "" } of left) {
      try {
        const own = { ...at, target: { ...at.target, name, namespace } };
        items.push((await remove(own, deleteOptions, asking)).stored);
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return { resourceVersion: found.resourceVersion, items };
}

const concurrency = 8;

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
    options = decodeObject(deleteKind, { body, options: {}, warnings: [] }) as DeleteOptions;
  else {
    const grace = parseInteger(query.gracePeriodSeconds, "gracePeriodSeconds");
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
    errors.push(field.notSupported("propagationPolicy", policy, [...policies, "nil"]));
  if (policy !== undefined && orphanDependents !== undefined)
    errors.push(field.forbidden("propagationPolicy", "orphanDependents and deletionPropagation cannot be both set"));
  if (gracePeriodSeconds !== undefined && !Number.isSafeInteger(gracePeriodSeconds))
    errors.push(field.invalid("gracePeriodSeconds", gracePeriodSeconds, "must be an integer"));
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", kind: "DeleteOptions" }, "", errors);
  return options;
}

const deleteKind = { group: "", version: "v1", kind: "DeleteOptions" };
const policies = ["Foreground", "Background", "Orphan"];

/** True while somebody still has to clean up before the object may go. A Namespace has a list of its own in its spec. */
export function hasFinalizers(object: KubernetesObject): boolean {
  if ((object.metadata.finalizers?.length ?? 0) > 0) return true;
  return isNamespace(object) && (object.spec?.finalizers?.length ?? 0) > 0;
}

function isNamespace(object: KubernetesObject): object is Namespace {
  return object.kind === "Namespace" && object.apiVersion === "v1";
}

/** How dependents go: the garbage collector reads it from these two finalizers. */
function withPropagation(finalizers: readonly string[], policy: string | undefined): string[] {
  const others = finalizers.filter((name) => name !== orphan && name !== foreground);
  if (policy === "Orphan") return [...others, orphan];
  if (policy === "Foreground") return [...others, foreground];
  if (policy === "Background") return others;
  return [...finalizers];
}

const orphan = "orphan";
const foreground = "foregroundDeletion";
