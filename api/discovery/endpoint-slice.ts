import { isIP } from "node:net";
import * as field from "../../apimachinery/field-error.ts";
import { ipProblems, ipText, plainIp } from "../../apimachinery/ip.ts";
import { dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from "../../apimachinery/names.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { endpointAddress, firstThree } from "../core/endpoints.ts";
import type { EndpointPort, EndpointSlice } from "../generated/discovery-v1.ts";
import { EndpointSlices } from "../generated/resources.ts";
import { column, defineResource, immutableField, namespaced, rules, shown, unset } from "../kind.ts";
import { countGeneration, startGeneration } from "../strategy.ts";

const maxEndpoints = 1000;
const maxAddresses = 100;
const maxPorts = 20_000;
const maxHints = 8;

export const endpointSlices = (allowLoopback: boolean) =>
  defineResource(EndpointSlices, {
    defaults({ ports = [] }) {
      for (const port of ports) {
        port.name ??= "";
        port.protocol ??= "TCP";
      }
    },
    prepareForCreate(slice) {
      startGeneration(slice);
      dropTopology(slice);
    },
    /** Those who watch slices choose by labels, so these count too. */
    prepareForUpdate(slice, old) {
      dropTopology(slice);
      countGeneration(slice, old, sameJson(slice.metadata.labels, old.metadata.labels));
    },
    ...rules<EndpointSlice>(
      namespaced,
      (slice, old) => validateSlice(slice, allowLoopback, old),
      (slice, old) => immutableField("addressType", slice.addressType, old.addressType),
    ),
    columns: shown(
      column("AddressType", (slice) => slice.addressType, "Kind of its addresses."),
      column("Ports", (slice) => portsText(slice), "Ports of every endpoint."),
      column("Endpoints", (s) => firstThree(s.endpoints?.flatMap((e) => e.addresses) ?? []) || unset, "Addresses."),
    ),
  });

/** v1 has names of nodes and zones instead. */
function dropTopology({ endpoints = [] }: EndpointSlice): void {
  for (const endpoint of endpoints) delete endpoint.deprecatedTopology;
}

function portsText({ ports = [] }: EndpointSlice): string {
  return firstThree(ports.map(({ port, name }) => port ?? name ?? "*")) || unset;
}

/** Upstream's order; the numbers of ports are not looked at, nor are endpoints that were there before. */
function* validateSlice(slice: EndpointSlice, allowLoopback: boolean, old?: EndpointSlice): field.Problems {
  const { addressType: family, ports = [], endpoints = [] } = slice;
  yield* field.oneOf("addressType", family, ["FQDN", "IPv4", "IPv6"], true);
  if (ports.length > maxPorts) yield field.tooMany("ports", ports.length, maxPorts);
  else yield* field.each(ports, "ports", validatePort, { key: ({ name = "" }) => name, at: "name" });
  if (old && sameJson(slice.endpoints, old.endpoints)) return;
  if (endpoints.length > maxEndpoints) return yield field.tooMany("endpoints", endpoints.length, maxEndpoints);
  yield* field.each(endpoints, "endpoints", function* ({ addresses = [], hostname, nodeName, hints = {} }, at) {
    if (addresses.length === 0) yield field.required(`${at}.addresses`, "must contain at least 1 address");
    else if (addresses.length > maxAddresses) yield field.tooMany(`${at}.addresses`, addresses.length, maxAddresses);
    for (const [j, address] of addresses.entries()) {
      const p = `${at}.addresses[${j}]`;
      if (family === "FQDN") yield* validateDomain(address, p);
      else {
        const problems = family === "IPv6" ? ipProblems(address) : plainIp(address) ? [] : [ipText];
        yield* problems.map((problem) => field.invalid(p, address, problem));
        if (problems.length > 0) continue;
        // Upstream leaves the index out.
        if (`IPv${isIP(plainIp(address)!)}` !== family)
          yield field.invalid(`${at}.addresses`, address, `must be an ${family} address`);
        yield* endpointAddress(address, p, allowLoopback);
      }
    }
    if (nodeName !== undefined) yield* field.shaped(`${at}.nodeName`, nodeName, dns1123Subdomain);
    if (hostname !== undefined) yield* field.shaped(`${at}.hostname`, hostname, dns1123Label);
    for (const [key, shape] of Object.entries({ forZones: labelValue, forNodes: dns1123Subdomain })) {
      const list = hints[key as keyof typeof hints] ?? [];
      const check = ({ name }: { name: string }, p: string) => field.shaped(`${p}.name`, name, shape);
      if (list.length > maxHints) {
        yield field.tooMany(`${at}.hints.${key}`, list.length, maxHints);
        break;
      }
      yield* field.each(list, `${at}.hints.${key}`, check, { ...{ key: ({ name }) => name, at: "name" } });
    }
  });
}

function* validatePort({ name = "", protocol, appProtocol }: EndpointPort, at: string): field.Problems {
  if (name) yield* field.shaped(`${at}.name`, name, dns1123Label);
  yield* field.oneOf(`${at}.protocol`, protocol, ["SCTP", "TCP", "UDP"], true);
  if (appProtocol !== undefined) yield* field.shaped(`${at}.appProtocol`, appProtocol, qualifiedName);
}

function* validateDomain(address: string, at: string): field.Problems {
  const name = address.replace(/\.$/, "");
  const problems = dns1123Subdomain(name).join(",");
  if (!address) yield field.required(at);
  else if (problems) yield field.invalid(at, name, problems);
  else if (!name.includes("."))
    yield field.invalid(at, name, "should be a domain with at least two segments separated by dots");
}
