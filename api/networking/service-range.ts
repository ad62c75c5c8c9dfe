import { isIP } from "node:net";
import { invalidValue, type Problems, required } from "../../apimachinery/field-error.ts";
import { parseCidr } from "../../apimachinery/ip.ts";
import { pathSegmentName } from "../../apimachinery/names.ts";
import { ageColumn, column, join, nameColumn } from "../columns.ts";
import type { IPAddress, ServiceCIDR } from "../generated/networking-v1.ts";
import { IPAddresses, ServiceCIDRs } from "../generated/resources.ts";
import { clusterWide, immutableField, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { startingStatus } from "../strategy.ts";
import { cidrText } from "./network-policy.ts";

/** An address in use, named by itself. */
export const ipAddresses: Resource<IPAddress> = defineResource(IPAddresses, {
  shortNames: ["ip"],
  ...rules(
    { namespaced: false, name: addressProblems },
    ({ spec: { parentRef } }) => {
      if (!parentRef) return [required("spec.parentRef")];
      return (["resource", "name"] as const).flatMap((key) => {
        const at = `spec.parentRef.${key}`;
        const value = parentRef[key];
        return value ? pathSegmentName(value).map((p) => invalidValue(at, value, p)) : [required(at)];
      });
    },
    ({ spec }, old) => immutableField("spec.parentRef", spec.parentRef, old.spec.parentRef),
  ),
  columns: [nameColumn, column("ParentRef", parentText, "Who has it.")],
});

function addressProblems(name: string): string[] {
  // Two writings of one address would be two objects.
  const canonical = isIP(name) === 4 || (isIP(name) === 6 && new URL(`http://[${name}]`).hostname === `[${name}]`);
  return canonical ? [] : ["must be a valid IP address in canonical form"];
}

/** `services/default/kubernetes` */
function parentText({ spec }: IPAddress): string {
  const { group, resource, namespace, name } = spec.parentRef ?? {};
  return [group ? `${resource}.${group}` : resource, namespace, name].filter(Boolean).join("/");
}

export const serviceCidrs: Resource<ServiceCIDR> = defineResource(ServiceCIDRs, {
  subresources: ["status"],
  ...startingStatus(() => ({})),
  ...rules(clusterWide, validateRanges, ({ spec }, old) => immutableField("spec.cidrs", spec.cidrs, old.spec.cidrs)),
  columns: [nameColumn, column("CIDRs", ({ spec }) => join(spec.cidrs), "Its ranges."), ageColumn],
});

const onePerFamily = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/96";

function* validateRanges({ spec }: ServiceCIDR): Problems {
  const cidrs = spec.cidrs ?? [];
  if (cidrs.length === 0) return yield required("spec.cidrs", "at least one CIDR required");
  if (cidrs.length > 2) yield invalidValue("spec", spec, "may only hold up to 2 values");
  const parsed = cidrs.map(parseCidr);
  for (const [i, cidr] of cidrs.entries()) if (!parsed[i]) yield invalidValue(`spec.cidrs[${i}]`, cidr, cidrText);
  if (cidrs.length === 2 && parsed[0] && parsed[0].bits === parsed[1]?.bits)
    yield invalidValue("spec", spec, onePerFamily);
}
