import { addQuantities, compareQuantities } from "../../apimachinery/quantity.ts";
import type { Container, PodSpec } from "../generated/core-v1.ts";
import { isSidecar } from "./pod-status.ts";

type Amounts = Record<string, string>;

/**
 * What a Pod asks for as a whole, of every resource that a container names: all containers together or the greediest
 * moment of initialisation (KEP-753), and what running it costs besides. What the Pod itself names goes before.
 */
export function podResources(spec: PodSpec, field: "requests" | "limits"): Amounts {
  const of = ({ resources }: Container): Amounts => resources?.[field] ?? {};
  const total: Amounts = {};
  const sidecars: Amounts = {};
  let starting: Amounts = {};
  for (const container of spec.initContainers ?? []) {
    starting = greater(starting, sum(sidecars, of(container)));
    if (isSidecar(container)) Object.assign(sidecars, sum(sidecars, of(container)));
  }
  Object.assign(total, sidecars);
  for (const container of spec.containers) Object.assign(total, sum(total, of(container)));
  const asked: Amounts = { ...greater(total, starting), ...spec.resources?.[field] };
  for (const [name, amount] of Object.entries(spec.overhead ?? {}))
    if (field === "requests" || asked[name] !== undefined) asked[name] = addQuantities(asked[name] ?? "0", amount);
  return asked;
}

function sum(a: Amounts, b: Amounts): Amounts {
  const result = { ...a };
  for (const [name, amount] of Object.entries(b)) result[name] = addQuantities(result[name] ?? "0", amount);
  return result;
}

function greater(a: Amounts, b: Amounts): Amounts {
  const result = { ...a };
  for (const [name, amount] of Object.entries(b))
    if (result[name] === undefined || compareQuantities(amount, result[name]) > 0) result[name] = amount;
  return result;
}
