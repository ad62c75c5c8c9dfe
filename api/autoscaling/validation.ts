import type { Problems } from "../../apimachinery/field-error.ts";
import * as field from "../../apimachinery/field-error.ts";
import { pathSegmentName } from "../../apimachinery/names.ts";
import { parseQuantity } from "../../apimachinery/quantity.ts";
import { oneOf } from "../core/container-validation.ts";
import type * as v1 from "../generated/autoscaling-v2.ts";

const maxPeriodSeconds = 1800;
const maxStabilizationSeconds = 3600;

export function* validateAutoscaler({ spec }: v1.HorizontalPodAutoscaler): Problems {
  const { minReplicas = 1, maxReplicas = 0 } = spec;
  // Zero needs the feature gate HPAScaleToZero, which is off.
  if (minReplicas < 1) yield field.invalidValue("spec.minReplicas", minReplicas, "must be greater than or equal to 1");
  if (maxReplicas < 1) yield field.invalidValue("spec.maxReplicas", maxReplicas, "must be greater than 0");
  if (maxReplicas < minReplicas)
    yield field.invalidValue("spec.maxReplicas", maxReplicas, "must be greater than or equal to `minReplicas`");
  yield* validateReference(spec.scaleTargetRef, "spec.scaleTargetRef");
  for (const [i, metric] of (spec.metrics ?? []).entries()) yield* validateMetric(metric, `spec.metrics[${i}]`);
  for (const key of ["scaleUp", "scaleDown"] as const) {
    const scaling = spec.behavior?.[key];
    if (scaling) yield* validateScaling(scaling, `spec.behavior.${key}`);
  }
}

function* validateReference(reference: v1.CrossVersionObjectReference | undefined, at: string): Problems {
  for (const key of ["kind", "name"] as const)
    yield* field.requiredName(`${at}.${key}`, reference?.[key], pathSegmentName);
}

export const sources = {
  Object: "object",
  Pods: "pods",
  Resource: "resource",
  ContainerResource: "containerResource",
  External: "external",
} as const;

const oneTarget = "must set either a target raw value or a target utilization";
const bothTargets = "may not set both a target raw value and a target utilization";

function* validateMetric(metric: v1.MetricSpec, at: string): Problems {
  const { type } = metric;
  if (!type) return yield field.required(`${at}.type`, "must specify a metric source type");
  const wanted = sources[type];
  if (!wanted) return yield field.notSupported(`${at}.type`, type, Object.keys(sources).sort());
  for (const other of Object.values(sources))
    if (other !== wanted && metric[other])
      yield field.forbiddenField(`${at}.${other}`, "must populate the given metric source only");
  const path = `${at}.${wanted}`;
  const source = metric[wanted];
  if (!source) return yield field.required(path, "must populate information for the given metric source");
  yield* validateTarget(source.target, `${path}.target`);
  if (metric.object) yield* validateReference(metric.object.describedObject, `${path}.describedObject`);
  if ("metric" in source) yield* validateIdentifier(source.metric, `${path}.metric`);
  else if (!("metric" in source) && "name" in source && !source.name)
    yield field.required(`${path}.name`, "must specify a resource name");
  if (metric.containerResource && !metric.containerResource.container)
    yield field.required(`${path}.container`, "must specify a container");
  const { averageUtilization, averageValue } = source.target ?? {};
  const resource = wanted === "resource" || wanted === "containerResource";
  if (resource && averageUtilization === undefined && averageValue === undefined)
    yield field.required(`${path}.target.averageUtilization`, oneTarget);
  if (resource && averageUtilization !== undefined && averageValue !== undefined)
    yield field.forbiddenField(`${path}.target.averageValue`, bothTargets);
}

function* validateIdentifier(metric: v1.MetricIdentifier | undefined, at: string): Problems {
  if (metric?.name) yield* field.shaped(`${at}.name`, metric.name, pathSegmentName);
  else yield field.required(`${at}.name`, "must specify a metric name");
}

function* validateTarget(target: v1.MetricTarget | undefined, at: string): Problems {
  if (!target?.type) return yield field.required(`${at}.type`, "must specify a metric target type");
  yield* oneOf(`${at}.type`, target.type, ["Utilization", "Value", "AverageValue"], true);
  if (target.averageUtilization !== undefined && target.averageUtilization < 1)
    yield field.invalidValue(`${at}.averageUtilization`, target.averageUtilization, "must be greater than 0");
  for (const key of ["value", "averageValue"] as const) {
    const value = target[key];
    if (value !== undefined && parseQuantity(value).nano <= 0n)
      yield field.invalidValue(`${at}.${key}`, value, "must be positive");
  }
}

function* validateScaling(scaling: v1.HPAScalingRules, at: string): Problems {
  const { stabilizationWindowSeconds: window, selectPolicy, policies = [] } = scaling;
  const seconds = `${at}.stabilizationWindowSeconds`;
  if (window !== undefined && window < 0)
    yield field.invalidValue(seconds, window, "must be greater than or equal to zero");
  if (window !== undefined && window > maxStabilizationSeconds)
    yield field.invalidValue(seconds, window, `must be less than or equal to ${maxStabilizationSeconds}`);
  if (selectPolicy !== undefined) yield* oneOf(`${at}.selectPolicy`, selectPolicy, ["Disabled", "Max", "Min"], false);
  if (policies.length === 0) yield field.required(`${at}.policies`, "must specify at least one Policy");
  for (const [i, { type, value, periodSeconds }] of policies.entries()) {
    const path = `${at}.policies[${i}]`;
    yield* oneOf(`${path}.type`, type, ["Percent", "Pods"], false);
    if (!(value > 0)) yield field.invalidValue(`${path}.value`, value ?? 0, "must be greater than zero");
    if (!(periodSeconds > 0))
      yield field.invalidValue(`${path}.periodSeconds`, periodSeconds ?? 0, "must be greater than zero");
    if (periodSeconds > maxPeriodSeconds)
      yield field.invalidValue(
        `${path}.periodSeconds`,
        periodSeconds,
        `must be less than or equal to ${maxPeriodSeconds}`,
      );
  }
}
