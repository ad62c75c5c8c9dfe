import type { ComponentCondition, ComponentStatus } from "../generated/core-v1.ts";
import { ComponentStatuses } from "../generated/resources.ts";
import { column, defineResource, nameColumn } from "../kind.ts";

const health: Record<string, string> = { "": "Unknown", True: "Healthy" };

/** Kinds that are asked or told, and never stored. */
const virtual = { virtual: true, validate: () => [], validateUpdate: () => [] } as const;

const healthy = ({ conditions }: ComponentStatus): ComponentCondition | undefined =>
  conditions?.find(({ type }) => type === "Healthy");

export const componentStatuses = defineResource(ComponentStatuses, {
  ...virtual,
  shortNames: ["cs"],
  verbs: ["get", "list"],
  deprecated: "v1 ComponentStatus is deprecated in v1.19+",
  columns: [
    nameColumn,
    column("Status", (c) => health[healthy(c)?.status ?? ""] ?? "Unhealthy", "Whether it answers."),
    column("Message", (c) => healthy(c)?.message ?? "", "What it says."),
    column("Error", (c) => healthy(c)?.error ?? "", "What went wrong."),
  ],
});

/** The older way of `pods/binding`: the Pod is named by the Binding. */
export const bindings = defineResource(
  { group: "", version: "v1", resource: "bindings", kind: "Binding", namespaced: true },
  { ...virtual, verbs: ["create"], columns: [nameColumn] },
);
