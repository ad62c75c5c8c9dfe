import { defineFace } from "../face.ts";
import type { HorizontalPodAutoscaler } from "../generated/autoscaling-v1.ts";
import type * as v2 from "../generated/autoscaling-v2.ts";
import { HorizontalPodAutoscalers } from "../generated/resources.ts";
import type { Resource } from "../resource.ts";
import { horizontalPodAutoscalers } from "./horizontal-pod-autoscaler.ts";

/**
 * autoscaling/v1 knows the utilization of CPUs only; what else a v2 object says travels in annotations, as upstream
 * writes them (pkg/apis/autoscaling/annotations.go), so that a v1 client that writes back what it read loses nothing.
 */
const prefix = "autoscaling.alpha.kubernetes.io/";
const annotations = ["metrics", "current-metrics", "conditions", "behavior"].map((name) => prefix + name);

type Part = Record<string, unknown>;

export const horizontalPodAutoscalersV1: Resource<HorizontalPodAutoscaler> = defineFace(HorizontalPodAutoscalers, {
  stored: horizontalPodAutoscalers,
  defaults({ spec }) {
    spec.minReplicas ??= 1;
  },

  toStored({ metadata, spec, status, ...rest }) {
    const kept = parse(metadata.annotations);
    const { targetCPUUtilizationPercentage: target, ...others } = spec;
    const metrics = target === undefined ? [] : [cpu("target", target)];
    metrics.push(...list(kept.metrics).map((metric) => convert(metric, "target", true)));
    const behavior = kept.behavior && (withCase(kept.behavior, "toLowerCase") as v2.HorizontalPodAutoscalerBehavior);
    const stored = {
      ...rest,
      apiVersion: "autoscaling/v2",
      metadata: withAnnotations(metadata, {}),
      spec: { ...others, ...(metrics.length ? { metrics } : {}), ...(behavior ? { behavior } : {}) },
    } as unknown as v2.HorizontalPodAutoscaler;
    if (status === undefined) return stored;
    const { currentCPUUtilizationPercentage: current, ...numbers } = status;
    const currentMetrics = kept["current-metrics"]
      ? list(kept["current-metrics"]).map((metric) => convert(metric, "current", true))
      : current === undefined
        ? []
        : [cpu("current", current)];
    const conditions = list(kept.conditions) as unknown as v2.HorizontalPodAutoscalerCondition[];
    stored.status = {
      ...numbers,
      ...(currentMetrics.length ? { currentMetrics: currentMetrics as never } : {}),
      ...(conditions.length ? { conditions } : {}),
    };
    return stored;
  },

  fromStored({ metadata, spec, status, ...rest }) {
    const { metrics = [], behavior, ...others } = spec;
    const target = metrics.find(isCpu)?.resource?.target.averageUtilization;
    const more = metrics.filter((metric) => !isCpu(metric) || metric.resource?.target.averageUtilization === undefined);
    const { currentMetrics = [], conditions = [], ...numbers } = status ?? { desiredReplicas: 0 };
    const current = currentMetrics.find(isCpu)?.resource?.current.averageUtilization;
    const kept = {
      metrics: more.length > 0 && more.map((metric) => convert(metric as unknown as Part, "target", false)),
      "current-metrics":
        currentMetrics.length > 0 && currentMetrics.map((m) => convert(m as unknown as Part, "current", false)),
      conditions: conditions.length > 0 && conditions,
      behavior: behavior && withCase(behavior, "toUpperCase"),
    };
    return {
      ...rest,
      apiVersion: "autoscaling/v1",
      metadata: withAnnotations(metadata, kept),
      spec: { ...others, ...(target === undefined ? {} : { targetCPUUtilizationPercentage: target }) },
      status: {
        currentReplicas: 0,
        ...numbers,
        ...(current === undefined ? {} : { currentCPUUtilizationPercentage: current }),
      },
    } as HorizontalPodAutoscaler;
  },
});

const isCpu = (metric: { type: string; resource?: { name: string } }): boolean =>
  metric.type === "Resource" && metric.resource?.name === "cpu";

const cpu = (side: Side, averageUtilization: number): Part => ({
  type: "Resource",
  resource: {
    name: "cpu",
    [side]: { ...(side === "target" ? { type: "Utilization" } : {}), averageUtilization },
  },
});

type Side = "target" | "current";

/** Paths in v1 -> in v2, per source; `#` stands for target or current, whichever is meant. */
const paths: Record<string, Record<string, string>> = {
  resource: { name: "name", "#AverageUtilization": "#.averageUtilization", "#AverageValue": "#.averageValue" },
  pods: { metricName: "metric.name", selector: "metric.selector", "#AverageValue": "#.averageValue" },
  object: {
    ...{ target: "describedObject", metricName: "metric.name", selector: "metric.selector" },
    ...{ "#Value": "#.value", averageValue: "#.averageValue" },
  },
  external: {
    ...{ metricName: "metric.name", metricSelector: "metric.selector" },
    ...{ "#Value": "#.value", "#AverageValue": "#.averageValue" },
  },
};
paths["containerResource"] = { ...paths["resource"], container: "container" };

/** One metric's spec or status, from v1 to v2 or back. */
function convert(metric: Part, side: Side, toV2: boolean): Part {
  const result: Part = { type: metric["type"] };
  for (const [source, pairs] of Object.entries(paths)) {
    if (typeof metric[source] !== "object" || metric[source] === null) continue;
    const converted: Part = {};
    for (const [one, two] of Object.entries(pairs)) {
      const [v1, v2] = [one, two].map((path) => path.replace("#", side));
      const value = at(metric[source] as Part, toV2 ? v1! : v2!);
      if (value !== undefined) put(converted, toV2 ? v2! : v1!, value);
    }
    const aim = converted["target"] as Part | undefined;
    if (toV2 && side === "target" && aim)
      converted["target"] = {
        type: "averageUtilization" in aim ? "Utilization" : "averageValue" in aim ? "AverageValue" : "Value",
        ...aim,
      };
    result[source] = converted;
  }
  return result;
}

const at = (object: Part, path: string): unknown =>
  path.split(".").reduce<unknown>((value, key) => (value as Part | undefined)?.[key], object);

function put(object: Part, path: string, value: unknown): void {
  const [key, rest] = path.split(".") as [string, string?];
  if (rest === undefined) object[key] = value;
  else object[key] = { ...(object[key] as Part | undefined), [rest]: value };
}

/** The behavior is written with the names of Go's fields: `ScaleUp`. */
function withCase(value: unknown, how: "toLowerCase" | "toUpperCase"): unknown {
  if (Array.isArray(value)) return value.map((item) => withCase(item, how));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key[0]![how]() + key.slice(1), withCase(item, how)]),
  );
}

type Kept = Partial<Record<"metrics" | "current-metrics" | "conditions" | "behavior", unknown>>;

function withAnnotations<M extends { annotations?: Record<string, string> }>(metadata: M, kept: Kept): M {
  const own = Object.entries(metadata.annotations ?? {}).filter(([key]) => !annotations.includes(key));
  for (const [name, value] of Object.entries(kept)) if (value) own.push([prefix + name, JSON.stringify(value)]);
  const { annotations: _, ...others } = metadata;
  return (own.length > 0 ? { ...others, annotations: Object.fromEntries(own) } : others) as M;
}

/** What does not parse counts as absent. */
function parse(given: Record<string, string> = {}): Kept {
  const kept: Record<string, unknown> = {};
  for (const key of annotations) {
    try {
      if (given[key] !== undefined) kept[key.slice(prefix.length)] = JSON.parse(given[key]);
    } catch {
      // somebody wrote it by hand
    }
  }
  return kept;
}

const list = (value: unknown): Part[] =>
  Array.isArray(value) ? value.filter((item): item is Part => typeof item === "object" && item !== null) : [];
