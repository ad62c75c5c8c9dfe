import * as field from "../../apimachinery/field-error.ts";
import { dns1123Label, pathSegmentName } from "../../apimachinery/names.ts";
import { parseQuantity } from "../../apimachinery/quantity.ts";
import { validateContainerResource } from "../core/resource-names.ts";
import type * as v1 from "../generated/autoscaling-v2.ts";

const maxPeriodSeconds = 1800;
const maxStabilizationSeconds = 3600;

type Autoscaler = v1.HorizontalPodAutoscaler;

export function* validateAutoscaler({ spec }: Autoscaler, old?: Autoscaler): field.Problems {
  const { minReplicas = 1, maxReplicas = 0, metrics = [] } = spec;
  // Zero needs the feature gate HPAScaleToZero, which is off; what is zero may stay it.
  const least = old?.spec.minReplicas === 0 ? 0 : 1;
  if (minReplicas < least)
    yield field.invalid("spec.minReplicas", minReplicas, `must be greater than or equal to ${least}`);
  if (maxReplicas < 1) yield field.invalid("spec.maxReplicas", maxReplicas, "must be greater than 0");
  if (maxReplicas < minReplicas)
    yield field.invalid("spec.maxReplicas", maxReplicas, "must be greater than or equal to `minReplicas`");
  yield* validateReference(spec.scaleTargetRef, "spec.scaleTargetRef");
  for (const [i, metric] of metrics.entries()) yield* validateMetric(metric, `spec.metrics[${i}]`);
  if (minReplicas === 0 && !metrics.some(({ type }) => type === "Object" || type === "External"))
    yield field.forbidden("spec.metrics", toZero);
  for (const key of ["scaleUp", "scaleDown"] as const) {
    const scaling = spec.behavior?.[key];
    if (scaling) yield* validateScaling(scaling, `spec.behavior.${key}`);
  }
}

const toZero = "must specify at least one Object or External metric to support scaling to zero replicas";

function* validateReference(reference: v1.CrossVersionObjectReference | undefined, at: string): field.Problems {
  for (const key of ["kind", "name"] as const)
    yield* field.requiredName(`${at}.${key}`, reference?.[key], pathSegmentName);
}

/** In upstream's order: of several that are given, the first is looked at. */
export const sources = {
  Object: "object",
  External: "external",
  Pods: "pods",
  Resource: "resource",
  ContainerResource: "containerResource",
} as const;
type Source = (typeof sources)[keyof typeof sources];

function* validateMetric(metric: v1.MetricSpec, at: string): field.Problems {
  const { type } = metric;
  const wanted = sources[type as keyof typeof sources] as Source | undefined;
  const unknown = field.notSupported(`${at}.type`, type ?? "", Object.keys(sources).sort());
  if (!type) yield field.required(`${at}.type`, "must specify a metric source type");
  if (!wanted) yield unknown;
  const given = Object.values(sources).filter((key) => metric[key]);
  if (given[0]) yield* validateSource(given[0], metric[given[0]]!, `${at}.${given[0]}`);
  if (!wanted)
    yield unknown; // upstream says so twice
  else if (!metric[wanted])
    yield field.required(`${at}.${wanted}`, "must populate information for the given metric source");
  for (const other of given.length > 1 ? given : [])
    if (other !== wanted) yield field.forbidden(`${at}.${other}`, "must populate the given metric source only");
}

const utilization = {
  other: "averageUtilization",
  missing: ["averageUtilization", "must set either a target raw value or a target utilization"],
  both: ["averageValue", "may not set both a target raw value and a target utilization"],
} as const;

/** A target has an averageValue or the `other`; `both` is what is said when it may not have both. */
const targets: Record<Source, { other?: "value" | "averageUtilization"; missing: Said; both?: Said }> = {
  object: { other: "value", missing: ["averageValue", "must set either a target value or averageValue"] },
  external: {
    other: "value",
    missing: ["averageValue", "must set either a target value for metric or a per-pod target"],
    both: ["value", "may not set both a target value for metric and a per-pod target"],
  },
  pods: { missing: ["averageValue", "must specify a positive target averageValue"] },
  ...{ resource: utilization, containerResource: utilization },
};
type Said = readonly [of: string, text: string];

function* validateSource(key: Source, source: NonNullable<v1.MetricSpec[Source]>, at: string): field.Problems {
  if (key === "object")
    yield* validateReference((source as Partial<v1.ObjectMetricSource>).describedObject, `${at}.describedObject`);
  if (key === "resource" || key === "containerResource") {
    const { name, container } = source as Partial<v1.ContainerResourceMetricSource>;
    if (!name) yield field.required(`${at}.name`, "must specify a resource name");
    else if (key === "containerResource") yield* validateContainerResource(name, `${at}.name`);
    if (key === "containerResource" && container) yield* field.shaped(`${at}.container`, container, dns1123Label);
    else if (key === "containerResource") yield field.required(`${at}.container`, "must specify a container");
  } else {
    const { name } = (source as Partial<v1.PodsMetricSource>).metric ?? {};
    if (name) yield* field.shaped(`${at}.metric.name`, name, pathSegmentName);
    else yield field.required(`${at}.metric.name`, "must specify a metric name");
  }
  const target: Partial<v1.MetricTarget> = source.target ?? {};
  yield* validateTarget(target, `${at}.target`);
  const { other, missing, both } = targets[key];
  const given = [target.averageValue, other && target[other]].filter((value) => value !== undefined).length;
  if (given === 0) yield field.required(`${at}.target.${missing[0]}`, missing[1]);
  if (given === 2 && both) yield field.forbidden(`${at}.target.${both[0]}`, both[1]);
}

const targetTypes = ["Utilization", "Value", "AverageValue"];

function* validateTarget({ averageUtilization, ...values }: Partial<v1.MetricTarget>, at: string): field.Problems {
  const type: string = values.type ?? "";
  if (!type) yield field.required(`${at}.type`, "must specify a metric target type");
  if (!targetTypes.includes(type))
    yield field.invalid(`${at}.type`, type, "must be either Utilization, Value, or AverageValue");
  for (const key of ["value", "averageValue"] as const) {
    const value = values[key];
    if (value !== undefined && parseQuantity(value).nano <= 0n)
      yield field.invalid(`${at}.${key}`, value, "must be positive");
  }
  if (averageUtilization !== undefined && averageUtilization < 1)
    yield field.invalid(`${at}.averageUtilization`, averageUtilization, "must be greater than 0");
}

function* validateScaling(scaling: v1.HPAScalingRules, at: string): field.Problems {
  const { stabilizationWindowSeconds: window, selectPolicy, policies = [] } = scaling;
  const seconds = `${at}.stabilizationWindowSeconds`;
  if (window !== undefined && window < 0) yield field.invalid(seconds, window, "must be greater than or equal to zero");
  if (window !== undefined && window > maxStabilizationSeconds)
    yield field.invalid(seconds, window, `must be less than or equal to ${maxStabilizationSeconds}`);
  if (selectPolicy !== undefined)
    yield* field.oneOf(`${at}.selectPolicy`, selectPolicy, ["Disabled", "Max", "Min"], false);
  if (policies.length === 0) yield field.required(`${at}.policies`, "must specify at least one Policy");
  yield* field.each(policies, `${at}.policies`, function* ({ type, value, periodSeconds }, path) {
    yield* field.oneOf(`${path}.type`, type, ["Percent", "Pods"], false);
    if (!(value > 0)) yield field.invalid(`${path}.value`, value ?? 0, "must be greater than zero");
    if (!(periodSeconds > 0))
      yield field.invalid(`${path}.periodSeconds`, periodSeconds ?? 0, "must be greater than zero");
    if (periodSeconds > maxPeriodSeconds)
      yield field.invalid(`${path}.periodSeconds`, periodSeconds, `must be less than or equal to ${maxPeriodSeconds}`);
  });
}
