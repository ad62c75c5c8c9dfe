import type { APIServiceCondition, ServiceReference } from "../../api/generated/apiregistration-v1.ts";
import type { Service } from "../../api/generated/core-v1.ts";
import type { EndpointSlice } from "../../api/generated/discovery-v1.ts";

export type Finding = Pick<APIServiceCondition, "status" | "reason" | "message">;

/**
 * What speaks against asking the server behind `reference` at all; undefined when nothing does (kube-aggregator,
 * pkg/controllers/status/remote). `slices` are those of the Service.
 */
export function missing(
  { namespace, name, port = 443 }: ServiceReference,
  service: Service | undefined,
  slices: readonly EndpointSlice[],
): Finding | undefined {
  const at = `service/${name} in ${JSON.stringify(namespace)}`;
  const no = (reason: string, message: string): Finding => ({ status: "False", reason, message });
  if (service === undefined) return no("ServiceNotFound", `${at} is not present`);
  if (service.spec.type !== "ClusterIP") return undefined;
  const found = service.spec.ports?.find((one) => one.port === port);
  if (found === undefined) return no("ServicePortError", `${at} is not listening on port ${port}`);
  if (slices.length === 0) return no("EndpointsNotFound", `cannot find endpointslices for ${at}`);
  const portName = found.name ?? "";
  const active = slices.some(
    ({ endpoints, ports }) =>
      endpoints?.some(({ conditions }) => conditions?.ready !== false) &&
      ports?.some((one) => (one.name ?? "") === portName && one.port !== undefined),
  );
  if (active) return undefined;
  const text = `endpointslices for ${at} have no addresses with port name ${JSON.stringify(portName)}`;
  return no("MissingEndpoints", text);
}

export const passed: Finding = { status: "True", reason: "Passed", message: "all checks passed" };
