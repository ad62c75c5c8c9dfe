import { invalid, oneOf, type Problems } from "../../apimachinery/field-error.ts";
import { pathSegmentName } from "../../apimachinery/names.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import { validateCounts } from "../apps/template-rules.ts";
import { validateConditions } from "../conditions.ts";
import type { PodDisruptionBudget } from "../generated/policy-v1.ts";
import { PodDisruptionBudgets } from "../generated/resources.ts";
import { atMost100Percent, capitalized, intOrPercent } from "../int-or-percent.ts";
import { column, defineResource, integer, rules, shown } from "../kind.ts";
import { startingStatus } from "../strategy.ts";

export const podDisruptionBudgets = defineResource(PodDisruptionBudgets, {
  shortNames: ["pdb"],
  unconditionalUpdate: false,
  subresources: ["status"],
  ...startingStatus(() => ({ disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 })),
  // Upstream looks at no name but for what paths of URLs may hold.
  ...rules({ namespaced: true, name: pathSegmentName }, validateSpec, undefined, function* ({ status }) {
    yield* validateConditions(status?.conditions, "status.conditions");
    yield* validateCounts(status, "disruptionsAllowed currentHealthy desiredHealthy expectedPods");
  }),
  columns: shown(
    column("Min Available", ({ spec }) => String(spec.minAvailable ?? "N/A"), "Pods that must stay."),
    column("Max Unavailable", ({ spec }) => String(spec.maxUnavailable ?? "N/A"), "Pods that may be away."),
    column("Allowed Disruptions", ({ status }) => status?.disruptionsAllowed ?? 0, "Evictions possible now.", integer),
  ),
});

const nothing = { minAvailable: null, selector: null, maxUnavailable: null, unhealthyPodEvictionPolicy: null };

function* validateSpec({ spec }: PodDisruptionBudget): Problems {
  if (spec.minAvailable !== undefined && spec.maxUnavailable !== undefined)
    yield invalid("spec", capitalized({ ...nothing, ...spec }), "minAvailable and maxUnavailable cannot be both set");
  for (const key of ["minAvailable", "maxUnavailable"] as const)
    if (spec[key] !== undefined) {
      yield* intOrPercent(spec[key], `spec.${key}`);
      yield* atMost100Percent(spec[key], `spec.${key}`);
    }
  yield* validateLabelSelector(spec.selector, "spec.selector");
  const policy = spec.unhealthyPodEvictionPolicy;
  if (policy !== undefined)
    yield* oneOf("spec.unhealthyPodEvictionPolicy", policy, ["AlwaysAllow", "IfHealthyBudget"], false);
}
