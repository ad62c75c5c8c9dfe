import { isIP } from "node:net";
import { each, invalid, oneOf, type Problems, required, shaped } from "../../apimachinery/field-error.ts";
import { legacyIp, plainIp } from "../../apimachinery/ip.ts";
import { dns1123Label, dns1123Subdomain, portNumber, qualifiedName } from "../../apimachinery/names.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import type { Endpoints as EndpointsKind } from "../generated/core-v1.ts";
import { Endpoints } from "../generated/resources.ts";
import { column, defineResource, namespaced, rules, shown } from "../kind.ts";

export const endpoints = (allowLoopback: boolean) =>
  defineResource(Endpoints, {
    shortNames: ["ep"],
    deprecated: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    storagePrefix: "services/endpoints",
    createOnUpdate: true,
    defaults({ subsets = [] }) {
      for (const { ports = [] } of subsets) for (const port of ports) port.protocol ||= "TCP";
    },
    ...rules<EndpointsKind>(namespaced, (object, old) =>
      old && sameJson(object.subsets, old.subsets) ? [] : validateSubsets(object, allowLoopback),
    ),
    columns: shown(column("Endpoints", endpointsText, "Addresses and ports behind the Service.")),
  });

function* validateSubsets({ subsets = [] }: EndpointsKind, allowLoopback: boolean): Problems {
  yield* each(subsets, "subsets", function* ({ addresses = [], notReadyAddresses = [], ports = [] }, at) {
    if (addresses.length + notReadyAddresses.length === 0)
      yield required(at, "must specify `addresses` or `notReadyAddresses`");
    for (const [list, entries] of Object.entries({ addresses, notReadyAddresses }))
      for (const [j, { ip, hostname, nodeName }] of entries.entries()) {
        const p = `${at}.${list}[${j}]`;
        yield* legacyIp(`${p}.ip`, ip);
        if (hostname) yield* shaped(`${p}.hostname`, hostname, dns1123Label);
        if (nodeName !== undefined) yield* shaped(`${p}.nodeName`, nodeName, dns1123Subdomain);
        yield* endpointAddress(ip, `${p}.ip`, allowLoopback);
      }
    for (const [j, { name, port, protocol, appProtocol }] of ports.entries()) {
      const p = `${at}.ports[${j}]`;
      if (!name && ports.length > 1) yield required(`${p}.name`);
      else if (name) yield* shaped(`${p}.name`, name, dns1123Label);
      yield* shaped(`${p}.port`, port, portNumber);
      yield* oneOf(`${p}.protocol`, protocol, ["SCTP", "TCP", "UDP"], true);
      if (appProtocol !== undefined) yield* shaped(`${p}.appProtocol`, appProtocol, qualifiedName);
    }
  });
}

/**
 * An address that traffic can be sent to.
 * Differs: loopback addresses pass when `allowLoopback`, for labs whose Pods live on 127.0.0.0/8.
 */
export function* endpointAddress(ip: string, path: string, allowLoopback: boolean): Problems {
  const plain = plainIp(ip);
  if (plain === undefined) return yield invalid(path, ip, "must be a valid IP address");
  const special: [RegExp, string][] = [
    [/^(0\.0\.0\.0|[0:]+)$/, `may not be unspecified (${ip})`],
    [/^(127\.|[0:]*:0*1$)/, "may not be in the loopback range (127.0.0.0/8, ::1/128)"],
    [/^(169\.254\.|fe[89ab][0-9a-f]:)/i, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"],
    [/^(224\.0\.0\.|ff[0-9a-f]2:)/i, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"],
  ];
  yield* special
    .filter(([range], i) => range.test(plain) && !(i === 1 && allowLoopback))
    .map(([, problem]) => invalid(path, ip, problem));
}

/** The first three `ip:port`. */
function endpointsText({ subsets = [] }: EndpointsKind): string {
  const all = subsets.flatMap(({ addresses = [], ports = [] }) =>
    ports.length
      ? ports.flatMap((port) => addresses.map(({ ip }) => `${isIP(ip) === 6 ? `[${ip}]` : ip}:${port.port}`))
      : addresses.map((a) => a.ip),
  );
  return subsets.length ? firstThree(all) : "<none>";
}

export const firstThree = (list: readonly (string | number)[]): string =>
  list.slice(0, 3).join(",") + (list.length > 3 ? ` + ${list.length - 3} more...` : "");
