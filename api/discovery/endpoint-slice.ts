import { invalidValue, type Problems, required, shaped, tooMany } from "../../apimachinery/field-error.ts";
import { dns1123Label, dns1123Subdomain, portNumber } from "../../apimachinery/names.ts";
import { ageColumn, column, nameColumn } from "../columns.ts";
import { oneOf } from "../core/container-validation.ts";
import { endpointAddress, firstThree } from "../core/endpoints.ts";
import type { EndpointSlice } from "../generated/discovery-v1.ts";
import { EndpointSlices } from "../generated/resources.ts";
import { immutable, validateObjectMeta, validateObjectMetaUpdate } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { countGeneration, startGeneration } from "../strategy.ts";

const maxEndpoints = 1000;
const maxAddresses = 100;
const maxPorts = 20_000;

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
    validate: (slice) => [
      ...validateObjectMeta(slice.metadata, { namespaced: true }),
      ...validateSlice(slice, allowLoopback),
    ],
    validateUpdate: (slice, old) => [
      ...validateObjectMetaUpdate(slice.metadata, old.metadata),
      ...validateSlice(slice, allowLoopback),
      ...(slice.addressType === old.addressType ? [] : [invalidValue("addressType", slice.addressType, immutable)]),
    ],
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
  return firstThree(ports.map((p) => p.port ?? "*")) || "<unset>";
}

function* validateSlice(slice: EndpointSlice, allowLoopback: boolean): Problems {
  yield* oneOf("addressType", slice.addressType, ["FQDN", "IPv4", "IPv6"], true);
  const endpoints = slice.endpoints ?? [];
  if (endpoints.length > maxEndpoints) return yield tooMany("endpoints", endpoints.length, maxEndpoints);
  for (const [i, { addresses = [], hostname, nodeName }] of endpoints.entries()) {
    const at = `endpoints[${i}]`;
    if (addresses.length === 0) yield required(`${at}.addresses`, "must contain at least 1 address");
    else if (addresses.length > maxAddresses) yield tooMany(`${at}.addresses`, addresses.length, maxAddresses);
    for (const [j, address] of addresses.entries()) {
      const p = `${at}.addresses[${j}]`;
      if (slice.addressType !== "FQDN") yield* endpointAddress(address, p, allowLoopback);
      else yield* shaped(p, address, dns1123Subdomain);
    }
    if (hostname) yield* shaped(`${at}.hostname`, hostname, dns1123Label);
    if (nodeName) yield* shaped(`${at}.nodeName`, nodeName, dns1123Subdomain);
  }
  const ports = slice.ports ?? [];
  if (ports.length > maxPorts) return yield tooMany("ports", ports.length, maxPorts);
  const names = new Set<string>();
  for (const [i, { name = "", port, protocol }] of ports.entries()) {
    const at = `ports[${i}]`;
    if (name) yield* shaped(`${at}.name`, name, dns1123Label);
    if (names.has(name)) yield { type: "FieldValueDuplicate", field: `${at}.name`, badValue: name, detail: "" };
    names.add(name);
    if (port !== undefined) yield* shaped(`${at}.port`, port, portNumber);
    yield* oneOf(`${at}.protocol`, protocol, ["SCTP", "TCP", "UDP"], true);
  }
}
