import { invalid, nil, type Problems, required, shaped } from "../../apimachinery/field-error.ts";
import { canonicalIp, cidrText, ipProblems, parseCidr } from "../../apimachinery/ip.ts";
import { dns1123Subdomain, pathSegmentName } from "../../apimachinery/names.ts";
import type { IPAddress, ServiceCIDR } from "../generated/networking-v1.ts";
import { IPAddresses, ServiceCIDRs } from "../generated/resources.ts";
import { capitalized, clusterWide, column, defineResource, immutableField, join, nameColumn, shown } from "../kind.ts";
import { rules, validateObjectMetaUpdate } from "../metadata.ts";
import { statusOnly } from "../strategy.ts";

/** An address in use, named by itself. */
export const ipAddresses = defineResource(IPAddresses, {
  shortNames: ["ip"],
  ...rules(
    { namespaced: false, name: ipProblems },
    ({ spec: { parentRef } }) => {
      if (!parentRef) return [required("spec.parentRef")];
      return (["group", "resource", "name", "namespace"] as const).flatMap((key) => {
        const at = `spec.parentRef.${key}`;
        const value = parentRef[key];
        if (!value) return key === "resource" || key === "name" ? [required(at)] : [];
        return [...shaped(at, value, key === "group" ? dns1123Subdomain : pathSegmentName)];
      });
    },
    ({ spec }, old) => immutableField("spec.parentRef", inGo(spec), inGo(old.spec)),
  ),
  columns: [nameColumn, column("ParentRef", parentText, "Who has it.")],
});

const inGo = ({ parentRef }: IPAddress["spec"]) =>
  parentRef && capitalized({ ...{ group: "", resource: "", namespace: "", name: "" }, ...parentRef });

/** `10.0.0.7/24`: an address with the prefix of its network. */
export function interfaceProblems(text: string): string[] {
  const [ip = "", prefix] = text.split("/");
  if (!parseCidr(text)) return [cidrText];
  const written = `${canonicalIp(ip)}/${Number(prefix)}`;
  return written === text ? [] : [`must be in canonical form ("${written}")`];
}

/** `services/default/kubernetes` */
function parentText({ spec }: IPAddress): string {
  const { group, resource, namespace, name } = spec.parentRef ?? {};
  return [group ? `${resource}.${group}` : resource, namespace, name].filter(Boolean).join("/");
}

const ranges = rules<ServiceCIDR>(clusterWide, validateRanges);

/** A second family may be added to a range, nothing else changes. */
export const serviceCidrs = defineResource(ServiceCIDRs, {
  subresources: ["status"],
  ...statusOnly<ServiceCIDR>(),
  ...ranges,
  *validateUpdate({ metadata, spec }, old) {
    yield* validateObjectMetaUpdate(metadata, old.metadata);
    const [now = [], before = []] = [spec.cidrs, old.spec.cidrs];
    const second = before.length === 1 && now.length === 2;
    if (second || now.length === before.length)
      yield* before.flatMap((cidr, i) => immutableField(`spec.cidrs[${i}]`, now[i], cidr));
    else yield* immutableField("spec.cidrs", spec.cidrs ?? nil, before);
    if (second) yield* validateRanges({ spec });
  },
  columns: shown(column("CIDRs", ({ spec }) => join(spec.cidrs), "Its ranges.")),
});

const onePerFamily = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";

function* validateRanges({ spec }: Pick<ServiceCIDR, "spec">): Problems {
  const { cidrs = [] } = spec;
  const told = { CIDRs: cidrs }; // upstream's internal name
  const at = "spec.cidrs";
  if (cidrs.length === 0) return yield required(at, "at least one CIDR required");
  if (cidrs.length > 2) return yield invalid(at, told, "may only hold up to 2 values");
  const [first, second] = cidrs.map(parseCidr);
  if (cidrs.length === 2 && !(first && second && first.bits !== second.bits))
    return yield invalid(at, told, onePerFamily);
  for (const [i, cidr] of cidrs.entries()) yield* shaped(`${at}[${i}]`, cidr, rangeProblems);
}

function rangeProblems(cidr: string): string[] {
  const parsed = parseCidr(cidr);
  if (!parsed) return [cidrText];
  const [ip = "", prefix = ""] = cidr.split("/");
  if (/^0\d/.test(prefix)) return ["must not have leading 0s in IP or prefix length"];
  if (parsed.bits === 128 && parsed.address >> 32n === 0xffffn) return ["must not have an IPv4-mapped IPv6 address"];
  const beyond = parsed.address & ((1n << BigInt(parsed.bits - parsed.prefix)) - 1n);
  if (beyond !== 0n) return ["must not have bits set beyond the prefix length"];
  const written = `${canonicalIp(ip)}/${prefix}`;
  return written === cidr ? [] : [`must be in canonical form ("${written}")`];
}
