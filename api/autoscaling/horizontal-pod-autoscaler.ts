import { ageColumn, column, integer, nameColumn, unset } from "../columns.ts";
import type {
  HorizontalPodAutoscaler,
  HPAScalingRules,
  MetricSpec,
  MetricStatus,
  MetricTarget,
  MetricValueStatus,
} from "../generated/autoscaling-v2.ts";
import { AutoscalingV2HorizontalPodAutoscalers } from "../generated/resources.ts";
import { namespaced, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { statusOnly } from "../strategy.ts";
import { validateAutoscaler } from "./validation.ts";

/** autoscaling/v2, which is also how they are stored. */
export const horizontalPodAutoscalers: Resource<HorizontalPodAutoscaler> = defineResource(
  AutoscalingV2HorizontalPodAutoscalers,
  {
    shortNames: ["hpa"],
    categories: ["all"],
    subresources: ["status"],
    defaults({ spec }) {
      spec.minReplicas ??= 1;
      if (!spec.metrics?.length)
        spec.metrics = [
          { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } },
        ];
      if (!spec.behavior) return;
      spec.behavior.scaleUp = withDefaults(spec.behavior.scaleUp, {
        stabilizationWindowSeconds: 0,
        selectPolicy: "Max",
        policies: [
          { type: "Pods", value: 4, periodSeconds: 15 },
          { type: "Percent", value: 100, periodSeconds: 15 },
        ],
      });
      spec.behavior.scaleDown = withDefaults(spec.behavior.scaleDown, {
        selectPolicy: "Max",
        policies: [{ type: "Percent", value: 100, periodSeconds: 15 }],
      });
    },
    ...statusOnly,
    prepareForCreate(autoscaler) {
      autoscaler.status = { desiredReplicas: 0 };
    },
    ...rules(namespaced, validateAutoscaler),
    columns: [
      nameColumn,
      column("Reference", ({ spec: { scaleTargetRef: r } }) => `${r?.kind ?? ""}/${r?.name ?? ""}`, "What it scales."),
      column("Targets", targets, "Measured values, and those aimed at."),
      column("MinPods", ({ spec }) => String(spec.minReplicas ?? unset), "The fewest Pods."),
      column("MaxPods", ({ spec }) => spec.maxReplicas ?? 0, "The most Pods.", integer),
      column("Replicas", ({ status }) => status?.currentReplicas ?? 0, "Pods there are.", integer),
      ageColumn,
    ],
  },
);

const withDefaults = (given: HPAScalingRules | undefined, defaults: HPAScalingRules): HPAScalingRules => ({
  ...defaults,
  ...given,
  ...(given?.policies ? {} : { policies: defaults.policies! }),
});

const shown = 2;

/** `cpu: 42%/80%, memory: <unknown>/1Gi + 1 more...` */
function targets({ spec, status }: HorizontalPodAutoscaler): string {
  const specs = spec.metrics ?? [];
  if (specs.length === 0) return "<none>";
  const texts = specs.slice(0, shown).map((metric, i) => metricText(metric, status?.currentMetrics?.[i]));
  const more = specs.length > shown ? ` + ${specs.length - shown} more...` : "";
  return `${texts.join(", ")}${more}`;
}

function metricText(metric: MetricSpec, status: MetricStatus | undefined): string {
  switch (metric.type) {
    case "Resource":
      return `${metric.resource?.name}: ${valueText(metric.resource?.target, status?.resource?.current)}`;
    case "ContainerResource":
      return `${metric.containerResource?.name}: ${valueText(metric.containerResource?.target, status?.containerResource?.current)}`;
    case "Pods":
      return valueText(metric.pods?.target, status?.pods?.current);
    case "Object":
      return valueText(metric.object?.target, status?.object?.current);
    case "External":
      return valueText(metric.external?.target, status?.external?.current);
    default:
      return "<unknown type>";
  }
}

function valueText(target: MetricTarget | undefined, current: MetricValueStatus | undefined): string {
  if (target?.averageUtilization !== undefined) {
    const now = current?.averageUtilization;
    return `${now === undefined ? "<unknown>" : `${now}%`}/${target.averageUtilization}%`;
  }
  if (target?.averageValue !== undefined) return `${current?.averageValue ?? "<unknown>"}/${target.averageValue}`;
  return `${current?.value ?? "<unknown>"}/${target?.value ?? "<auto>"}`;
}
