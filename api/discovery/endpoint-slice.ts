import { isIP } from "node:net";
import { duplicate, invalidValue, type Problems, required, shaped, tooMany } from "../../apimachinery/field-error.ts";
import { dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from "../../apimachinery/names.ts";
import { validateLabels } from "../../apimachinery/selectors.ts";
import { ageColumn, column, nameColumn } from "../columns.ts";
import { oneOf } from "../core/container-validation.ts";
import { endpointAddress, firstThree } from "../core/endpoints.ts";
import type { EndpointPort, EndpointSlice } from "../generated/discovery-v1.ts";
import { EndpointSlices } from "../generated/resources.ts";
import { immutableField, namespaced, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { countGeneration, startGeneration } from "../strategy.ts";

const maxEndpoints = 1000;
const maxAddresses = 100;
const maxPorts = 20_000;
const maxTopologyLabels = 16;
const maxHints = 8;

export const endpointSlices = (allowLoopback: boolean): Resource<EndpointSlice> =>
  defineResource(EndpointSlices, {
    defaults({ ports = [] }) {
      for (const port of ports) {
        port.name ??= "";
        port.protocol ??= "TCP";
      }
    },
    prepareForCreate: startGeneration,
    prepareForUpdate: countGeneration,
    ...rules<EndpointSlice>(
      namespaced,
      (slice) => validateSlice(slice, allowLoopback),
      (slice, old) => immutableField("addressType", slice.addressType, old.addressType),
    ),
    columns: [
      nameColumn,
      column("AddressType", (slice) => slice.addressType, "Kind of its addresses."),
      column("Ports", (slice) => portsText(slice), "Ports of every endpoint."),
      column(
        "Endpoints",
        (slice) => firstThree((slice.endpoints ?? []).flatMap((e) => e.addresses)) || "<unset>",
        "Addresses.",
      ),
      ageColumn,
    ],
  });

function portsText({ ports = [] }: EndpointSlice): string {
  return firstThree(ports.map(({ port, name }) => port ?? name ?? "*")) || "<unset>";
}

/** Upstream's order; the numbers of ports are not looked at. */
function* validateSlice(slice: EndpointSlice, allowLoopback: boolean): Problems {
  const { addressType: family, ports = [], endpoints = [] } = slice;
  yield* oneOf("addressType", family, ["FQDN", "IPv4", "IPv6"], true);
  if (ports.length > maxPorts) yield tooMany("ports", ports.length, maxPorts);
  else yield* validatePorts(ports);
  if (endpoints.length > maxEndpoints) return yield tooMany("endpoints", endpoints.length, maxEndpoints);
  for (const [i, { addresses = [], hostname, nodeName, deprecatedTopology, hints = {} }] of endpoints.entries()) {
    const at = `endpoints[${i}]`;
    if (addresses.length === 0) yield required(`${at}.addresses`, "must contain at least 1 address");
    else if (addresses.length > maxAddresses) yield tooMany(`${at}.addresses`, addresses.length, maxAddresses);
    for (const [j, address] of addresses.entries()) {
      const p = `${at}.addresses[${j}]`;
      if (family === "FQDN") yield* validateDomain(address, p);
      else {
        if (`IPv${isIP(address)}` !== family) yield invalidValue(p, address, `must be a valid ${family} address`);
        yield* endpointAddress(address, p, allowLoopback);
      }
    }
    if (nodeName !== undefined) yield* shaped(`${at}.nodeName`, nodeName, dns1123Subdomain);
    const labels = Object.keys(deprecatedTopology ?? {}).length;
    if (labels > maxTopologyLabels) yield tooMany(`${at}.deprecatedTopology`, labels, maxTopologyLabels);
    yield* validateLabels(deprecatedTopology, `${at}.deprecatedTopology`);
    if (hostname !== undefined) yield* shaped(`${at}.hostname`, hostname, dns1123Label);
    for (const [key, shape] of [
      ["forZones", labelValue],
      ["forNodes", dns1123Subdomain],
    ] as const) {
      const list = hints[key] ?? [];
      if (list.length > maxHints) yield tooMany(`${at}.hints.${key}`, list.length, maxHints);
      for (const [j, { name }] of list.length > maxHints ? [] : list.entries()) {
        const p = `${at}.hints.${key}[${j}].name`;
        if (list.findIndex((hint) => hint.name === name) < j) yield duplicate(p, name);
        yield* shaped(p, name, shape);
      }
    }
  }
}

function* validatePorts(ports: readonly EndpointPort[]): Problems {
  const names = new Set<string>();
  for (const [i, { name = "", protocol, appProtocol }] of ports.entries()) {
    const at = `ports[${i}]`;
    if (name) yield* shaped(`${at}.name`, name, dns1123Label);
    if (names.size === names.add(name).size) yield duplicate(`${at}.name`, name);
    yield* oneOf(`${at}.protocol`, protocol, ["SCTP", "TCP", "UDP"], true);
    if (appProtocol !== undefined) yield* shaped(`${at}.appProtocol`, appProtocol, qualifiedName);
  }
}

function* validateDomain(address: string, at: string): Problems {
  const name = address.replace(/\.$/, "");
  const problems = dns1123Subdomain(name).join(",");
  if (!address) yield required(at);
  else if (problems) yield invalidValue(at, name, problems);
  else if (!name.includes("."))
    yield invalidValue(at, name, "should be a domain with at least two segments separated by dots");
}
