import { validateCounts } from "../apps/template-rules.ts";
import type * as v1 from "../generated/autoscaling-v2.ts";
import { AutoscalingV2HorizontalPodAutoscalers } from "../generated/resources.ts";
import { column, defineResource, namespaced, rules, shown, statusOnly, unset, without } from "../kind.ts";
import { sources, validateAutoscaler } from "./validation.ts";

const noneWanted = statusOnly<v1.HorizontalPodAutoscaler>(() => ({ desiredReplicas: 0 }));
/** Of HPAConfigurableTolerance. */
const gated = ["scaleUp", "scaleDown"].map((key) => `spec.behavior.${key}.tolerance`);

/** autoscaling/v2, which is also how they are stored. */
export const horizontalPodAutoscalers = defineResource(AutoscalingV2HorizontalPodAutoscalers, {
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
  ...without(gated, noneWanted),
  ...rules(namespaced, validateAutoscaler, undefined, ({ status }) =>
    validateCounts(status, "currentReplicas desiredReplicas"),
  ),
  columns: shown(
    column("Reference", ({ spec: { scaleTargetRef: r } }) => `${r?.kind ?? ""}/${r?.name ?? ""}`, "What it scales."),
    column("Targets", targets, "Measured values, and those aimed at."),
    column("MinPods", ({ spec }) => String(spec.minReplicas ?? unset), "The fewest Pods."),
    column("MaxPods", ({ spec }) => spec.maxReplicas ?? 0, "The most Pods."),
    column("Replicas", ({ status }) => status?.currentReplicas ?? 0, "Pods there are."),
  ),
});

const withDefaults = (given: v1.HPAScalingRules | undefined, defaults: v1.HPAScalingRules): v1.HPAScalingRules => ({
  ...defaults,
  ...given,
  ...(given?.policies ? {} : { policies: defaults.policies! }),
});

const shownMetrics = 2;

/** `cpu: 42%/80%, memory: <unknown>/1Gi + 1 more...` */
function targets({ spec, status }: v1.HorizontalPodAutoscaler): string {
  const specs = spec.metrics ?? [];
  if (specs.length === 0) return "<none>";
  const texts = specs.slice(0, shownMetrics).map((metric, i) => metricText(metric, status?.currentMetrics?.[i]));
  const more = specs.length > shownMetrics ? ` + ${specs.length - shownMetrics} more...` : "";
  return `${texts.join(", ")}${more}`;
}

function metricText({ type, ...metric }: v1.MetricSpec, status: v1.MetricStatus | undefined): string {
  const key = sources[type];
  const { target, ...source } = metric[key] ?? {};
  if (!target) return "<unknown type>";
  const { current } = status?.[key] ?? {};
  if ("name" in source) return `${source.name}: ${valueText(target, current, "")}`;
  return valueText(target, current, type === "Pods" ? "" : " (avg)");
}

function valueText(target: v1.MetricTarget, current: v1.MetricValueStatus | undefined, average: string): string {
  const percent = (value: number | undefined, none: string) => (value === undefined ? none : `${value}%`);
  if (target.averageValue !== undefined)
    return `${current?.averageValue ?? "<unknown>"}/${target.averageValue}${average}`;
  if (target.value !== undefined) return `${current?.value ?? "<unknown>"}/${target.value}`;
  return `${percent(current?.averageUtilization, "<unknown>")}/${percent(target.averageUtilization, "<auto>")}`;
}
