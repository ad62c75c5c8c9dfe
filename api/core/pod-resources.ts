import { addQuantities, compareQuantities } from "../../apimachinery/quantity.ts";
import type { Container, PodSpec } from "../generated/core-v1.ts";
import { isSidecar } from "./pod-status.ts";
import { isOvercommitAllowed, isPodResource } from "./resource-names.ts";

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

/** A Pod that names some of its resources gets the others from its containers and limits (KEP-2837). */
export function defaultPodResources({ resources, overhead: _, ...spec }: PodSpec): void {
  if (!resources || Object.keys({ ...resources.limits, ...resources.requests }).length === 0) return;
  const ofPod = (amounts: Amounts) => Object.entries(amounts).filter(([name]) => isPodResource(name));
  const pages = ofPod(podResources(spec, "limits")).filter(([name]) => !isOvercommitAllowed(name));
  const unasked = pages.filter(([name]) => resources.requests?.[name] === undefined);
  const limits = { ...Object.fromEntries(unasked), ...resources.limits };
  if (Object.keys(limits).length === 0) return;
  const asked = ofPod(podResources(spec, "requests")).filter(([name]) => isOvercommitAllowed(name));
  const requests = { ...Object.fromEntries([...ofPod(limits), ...asked]), ...resources.requests };
  Object.assign(resources, { limits }, Object.keys(requests).length > 0 && { requests });
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
