import type { FlowSchemaSpec, PriorityLevelConfigurationSpec } from "../generated/flowcontrol-v1.ts";

/** What the apiserver cannot do without: nobody may change it, but for how much exempt requests lend. */
export const mandatoryLevels: Readonly<Record<string, PriorityLevelConfigurationSpec>> = {
  exempt: { type: "Exempt", exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } },
  "catch-all": {
    type: "Limited",
    limited: { nominalConcurrencyShares: 5, lendablePercent: 0, limitResponse: { type: "Reject" } },
  },
};

export const everything = {
  resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"], clusterScope: true, namespaces: ["*"] }],
  nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
};

const ofGroups = (level: string, matchingPrecedence: number, groups: string[]): FlowSchemaSpec => ({
  priorityLevelConfiguration: { name: level },
  matchingPrecedence,
  rules: [{ subjects: groups.map((name) => ({ kind: "Group", group: { name } })), ...everything }],
});

export const mandatorySchemas: Readonly<Record<string, FlowSchemaSpec>> = {
  exempt: ofGroups("exempt", 1, ["system:masters"]),
  "catch-all": {
    ...ofGroups("catch-all", 10_000, ["system:unauthenticated", "system:authenticated"]),
    distinguisherMethod: { type: "ByUser" },
  },
};
