import { type FieldError, invalidValue, required } from "../../apimachinery/field-error.ts";
import { pathSegmentName } from "../../apimachinery/names.ts";
import { parseQuantity } from "../../apimachinery/quantity.ts";
import { oneOf } from "../core/container-validation.ts";
import type {
  CrossVersionObjectReference,
  HorizontalPodAutoscaler,
  HPAScalingRules,
  MetricIdentifier,
  MetricSpec,
  MetricTarget,
} from "../generated/autoscaling-v2.ts";

const maxPeriodSeconds = 1800;
const maxStabilizationSeconds = 3600;

export function validateAutoscaler({ spec }: HorizontalPodAutoscaler): FieldError[] {
  const errors: FieldError[] = [];
  const { minReplicas = 1, maxReplicas = 0 } = spec;
  // Zero needs the feature gate HPAScaleToZero, which is off.
  if (minReplicas < 1) errors.push(invalidValue("spec.minReplicas", minReplicas, "must be greater than or equal to 1"));
  if (maxReplicas < 1) errors.push(invalidValue("spec.maxReplicas", maxReplicas, "must be greater than 0"));
  if (maxReplicas < minReplicas)
    errors.push(invalidValue("spec.maxReplicas", maxReplicas, "must be greater than or equal to `minReplicas`"));
  errors.push(...validateReference(spec.scaleTargetRef, "spec.scaleTargetRef"));
  for (const [i, metric] of (spec.metrics ?? []).entries())
    errors.push(...validateMetric(metric, `spec.metrics[${i}]`));
  for (const key of ["scaleUp", "scaleDown"] as const) {
    const scaling = spec.behavior?.[key];
    if (scaling) errors.push(...validateScaling(scaling, `spec.behavior.${key}`));
  }
  return errors;
}

function validateReference(reference: CrossVersionObjectReference | undefined, at: string): FieldError[] {
  return (["kind", "name"] as const).flatMap((key) => {
    const value = reference?.[key];
    return value
      ? pathSegmentName(value).map((p) => invalidValue(`${at}.${key}`, value, p))
      : [required(`${at}.${key}`)];
  });
}

const sources = {
  Object: "object",
  Pods: "pods",
  Resource: "resource",
  ContainerResource: "containerResource",
  External: "external",
} as const;

function validateMetric(metric: MetricSpec, at: string): FieldError[] {
  const { type } = metric;
  if (!type) return [required(`${at}.type`, "must specify a metric source type")];
  const errors = oneOf(`${at}.type`, type, Object.keys(sources).sort(), true);
  if (errors.length > 0) return errors;
  const wanted = sources[type];
  for (const other of Object.values(sources))
    if (other !== wanted && metric[other])
      errors.push({
        type: "FieldValueForbidden",
        field: `${at}.${other}`,
        detail: "must populate the given metric source only",
      });
  const path = `${at}.${wanted}`;
  const source = metric[wanted];
  if (!source) return [...errors, required(path, "must populate information for the given metric source")];
  errors.push(...validateTarget(source.target, `${path}.target`));
  if (metric.object) errors.push(...validateReference(metric.object.describedObject, `${path}.describedObject`));
  if ("metric" in source) errors.push(...validateIdentifier(source.metric, `${path}.metric`));
  else if (!("metric" in source) && "name" in source && !source.name)
    errors.push(required(`${path}.name`, "must specify a resource name"));
  if (metric.containerResource && !metric.containerResource.container)
    errors.push(required(`${path}.container`, "must specify a container"));
  const { averageUtilization, averageValue } = source.target ?? {};
  const resource = wanted === "resource" || wanted === "containerResource";
  if (resource && averageUtilization === undefined && averageValue === undefined)
    errors.push(
      required(`${path}.target.averageUtilization`, "must set either a target raw value or a target utilization"),
    );
  if (resource && averageUtilization !== undefined && averageValue !== undefined)
    errors.push({
      type: "FieldValueForbidden",
      field: `${path}.target.averageValue`,
      detail: "may not set both a target raw value and a target utilization",
    });
  return errors;
}

const validateIdentifier = (metric: MetricIdentifier | undefined, at: string): FieldError[] =>
  metric?.name
    ? pathSegmentName(metric.name).map((p) => invalidValue(`${at}.name`, metric.name, p))
    : [required(`${at}.name`, "must specify a metric name")];

function validateTarget(target: MetricTarget | undefined, at: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!target?.type) return [required(`${at}.type`, "must specify a metric target type")];
  errors.push(...oneOf(`${at}.type`, target.type, ["Utilization", "Value", "AverageValue"], true));
  if (target.averageUtilization !== undefined && target.averageUtilization < 1)
    errors.push(invalidValue(`${at}.averageUtilization`, target.averageUtilization, "must be greater than 0"));
  for (const key of ["value", "averageValue"] as const) {
    const value = target[key];
    if (value !== undefined && parseQuantity(value).nano <= 0n)
      errors.push(invalidValue(`${at}.${key}`, value, "must be positive"));
  }
  return errors;
}

function validateScaling(scaling: HPAScalingRules, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const { stabilizationWindowSeconds: window, selectPolicy, policies = [] } = scaling;
  const seconds = `${at}.stabilizationWindowSeconds`;
  if (window !== undefined && window < 0)
    errors.push(invalidValue(seconds, window, "must be greater than or equal to zero"));
  if (window !== undefined && window > maxStabilizationSeconds)
    errors.push(invalidValue(seconds, window, `must be less than or equal to ${maxStabilizationSeconds}`));
  if (selectPolicy !== undefined)
    errors.push(...oneOf(`${at}.selectPolicy`, selectPolicy, ["Disabled", "Max", "Min"], false));
  if (policies.length === 0) errors.push(required(`${at}.policies`, "must specify at least one Policy"));
  for (const [i, { type, value, periodSeconds }] of policies.entries()) {
    const path = `${at}.policies[${i}]`;
    errors.push(...oneOf(`${path}.type`, type, ["Percent", "Pods"], false));
    if (!(value > 0)) errors.push(invalidValue(`${path}.value`, value ?? 0, "must be greater than zero"));
    if (!(periodSeconds > 0))
      errors.push(invalidValue(`${path}.periodSeconds`, periodSeconds ?? 0, "must be greater than zero"));
    if (periodSeconds > maxPeriodSeconds)
      errors.push(
        invalidValue(`${path}.periodSeconds`, periodSeconds, `must be less than or equal to ${maxPeriodSeconds}`),
      );
  }
  return errors;
}
