import type { Node, NodeSelectorRequirement, NodeSelectorTerm } from "../../api/generated/core-v1.ts";
import { type FilterPlugin, normalize, type ScorePlugin } from "../plugin.ts";

/** nodeSelector and required node affinity: both must hold. */
export const nodeAffinity: FilterPlugin = ({ spec }, { node }) => {
  const labels = node.metadata.labels ?? {};
  const selected = Object.entries(spec.nodeSelector ?? {}).every(([key, value]) => labels[key] === value);
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const accepted = required === undefined || required.nodeSelectorTerms.some((term) => matchesTerm(term, node));
  if (selected && accepted) return undefined;
  return { reasons: ["node(s) didn't match Pod's node affinity/selector"], unresolvable: true };
};

export const preferredNodeAffinity: ScorePlugin = {
  weight: 2,
  score({ spec }, nodes) {
    const preferred = spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    const sums = nodes.map(({ node }) =>
      preferred.filter(({ preference }) => matchesTerm(preference, node)).reduce((sum, { weight }) => sum + weight, 0),
    );
    return normalize(sums);
  },
};

/** A term without requirements selects nothing. */
function matchesTerm({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, { metadata }: Node): boolean {
  if (matchExpressions.length === 0 && matchFields.length === 0) return false;
  const labels = metadata.labels ?? {};
  return (
    matchExpressions.every((requirement) => holds(requirement, labels[requirement.key])) &&
    matchFields.every((requirement) =>
      holds(requirement, requirement.key === "metadata.name" ? metadata.name : undefined),
    )
  );
}

function holds({ operator, values = [] }: NodeSelectorRequirement, value: string | undefined): boolean {
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
      return Number.parseInt(value ?? "", 10) > Number(values[0]);
    case "Lt":
      return Number.parseInt(value ?? "", 10) < Number(values[0]);
  }
}
