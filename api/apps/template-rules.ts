import type { FieldError, Problems } from "../../apimachinery/field-error.ts";
import * as field from "../../apimachinery/field-error.ts";
import type { LabelSelector } from "../../apimachinery/generated/meta-v1.ts";
import type { KubernetesObject, ObjectMeta } from "../../apimachinery/object.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import * as selectors from "../../apimachinery/selectors.ts";
import { validateTemplate } from "../core/pod-validation.ts";
import type { PodTemplateSpec } from "../generated/core-v1.ts";
import { immutable, notNegative, type ScaleAccess, startingStatus, validateAnnotations } from "../kind.ts";

export const noReplicas = startingStatus(() => ({ replicas: 0 }));

/** What kinds that keep Pods from a template share. */
export interface Templated extends KubernetesObject {
  spec: { replicas?: number; minReadySeconds?: number; selector: LabelSelector; template?: PodTemplateSpec };
}

interface Scaled extends Templated {
  status?: { replicas?: number };
}

/**
 * A selector that selects something, and that the template's labels match. Upstream has one set of rules, and of words,
 * for Deployments and ReplicaSets; DaemonSets need no selector, and their template is looked at with a wrong one too.
 */
export function* validateTemplated(
  spec: Templated["spec"],
  kind: Kind,
  template = spec.template,
  lenient = false,
): Problems {
  const at = "spec.selector";
  const { selector } = spec;
  const ofDaemons = kind === "DaemonSet";
  const wrong = [...selectors.validateLabelSelector(selector, at)];
  const empty = selector && !Object.keys(selector.matchLabels ?? {}).length && !selector.matchExpressions?.length;
  if (selector || ofDaemons) yield* wrong;
  else yield field.required(at);
  const word = kind === "ReplicaSet" ? "deployment" : kind.toLowerCase();
  if (empty) yield field.invalid(at, {}, `empty selector is invalid for ${word}`);
  if (wrong.length > 0 && !ofDaemons)
    return yield field.invalid(at, selector, kind === "StatefulSet" ? "" : "invalid label selector");
  const labels = template?.metadata?.labels;
  if (template && !empty && wrong.length === 0 && !selectors.matches(selectors.labelSelector(selector), labels))
    yield field.invalid("spec.template.metadata.labels", field.inOrder(labels), mismatch);
  if (!lenient) yield* validateTemplate(template, "spec.template");
  if (kind === "StatefulSet") {
    yield* selectors.validateLabels(labels, "spec.template.labels"); // upstream says so twice
    yield* validateAnnotations(template?.metadata?.annotations, "spec.template.annotations");
  }
  yield* validateLongRunning(template, kind);
}

type Kind = "DaemonSet" | "ReplicaSet" | "StatefulSet";
export const mismatch = "`selector` does not match template `labels`";

/** Pods of these kinds run until they are told otherwise. */
export function* validateLongRunning(template: PodTemplateSpec | undefined, kind: string): Problems {
  const { restartPolicy, activeDeadlineSeconds } = template?.spec ?? {};
  const at = "spec.template.spec";
  if (restartPolicy && restartPolicy !== "Always")
    yield field.notSupported(`${at}.restartPolicy`, restartPolicy, ["Always"]);
  if (activeDeadlineSeconds !== undefined)
    yield field.forbidden(`${at}.activeDeadlineSeconds`, `activeDeadlineSeconds in ${kind} is not Supported`);
}

export const validateSelectorUpdate = ({ spec }: Templated, old: Templated): FieldError[] =>
  sameJson(spec.selector, old.spec.selector) ? [] : [field.invalid("spec.selector", spec.selector ?? null, immutable)];

/** Counters of a status: none is below zero, and none of `parts` above the Pods that there are. */
export function* validateCounts(status: object | undefined, counters: string, parts = "", ready = ""): Problems {
  const of = (key: string) => (status as Record<string, number | undefined> | undefined)?.[key] ?? 0;
  for (const key of counters.split(" ")) yield* notNegative(of(key), `status.${key}`);
  for (const key of parts.split(" ").filter((part) => of(part) > of("replicas")))
    yield field.invalid(`status.${key}`, of(key), "cannot be greater than status.replicas");
  if (ready && of("availableReplicas") > of("readyReplicas"))
    yield field.invalid("status.availableReplicas", of("availableReplicas"), `cannot be greater than ${ready}`);
}

/** Of ReplicaSets and ReplicationControllers. */
export const validateReplicas = (status: object | undefined): Problems => {
  const parts = "fullyLabeledReplicas readyReplicas availableReplicas";
  return validateCounts(status, `replicas ${parts} observedGeneration`, parts, "readyReplicas");
};

export function* validateCollisions(now: { collisionCount?: number } = {}, old: typeof now = {}): Problems {
  const { collisionCount: count = 0 } = now;
  yield* notNegative(count, "status.collisionCount");
  if (count < (old.collisionCount ?? 0)) yield field.invalid("status.collisionCount", count, "cannot be decremented");
}

/** What a Scale shows of its object's metadata. */
export function scaleMetadata({ name, namespace, uid, resourceVersion, creationTimestamp }: ObjectMeta): ObjectMeta {
  const given = Object.entries({ namespace, uid, resourceVersion, creationTimestamp });
  return { name, ...Object.fromEntries(given.filter(([, value]) => value !== undefined)) };
}

export const templatedScale: ScaleAccess<Scaled> = {
  get({ metadata, spec, status }) {
    const selector = selectors.formatSelector(selectors.labelSelector(spec.selector));
    return {
      kind: "Scale",
      apiVersion: "autoscaling/v1",
      metadata: scaleMetadata(metadata),
      spec: spec.replicas ? { replicas: spec.replicas } : {},
      status: { replicas: status?.replicas ?? 0, ...(selector ? { selector } : {}) },
    };
  },
  set(object, replicas) {
    object.spec.replicas = replicas;
  },
};
