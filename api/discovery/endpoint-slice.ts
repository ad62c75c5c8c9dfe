import { type FieldError, invalidValue, required, tooMany } from "../../apimachinery/field-error.ts";
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

function validateSlice(slice: EndpointSlice, allowLoopback: boolean): FieldError[] {
  const errors = oneOf("addressType", slice.addressType, ["FQDN", "IPv4", "IPv6"], true);
  const endpoints = slice.endpoints ?? [];
  if (endpoints.length > maxEndpoints) return [...errors, tooMany("endpoints", endpoints.length, maxEndpoints)];
  for (const [i, { addresses = [], hostname, nodeName }] of endpoints.entries()) {
    const at = `endpoints[${i}]`;
    if (addresses.length === 0) errors.push(required(`${at}.addresses`, "must contain at least 1 address"));
    else if (addresses.length > maxAddresses) errors.push(tooMany(`${at}.addresses`, addresses.length, maxAddresses));
    for (const [j, address] of addresses.entries()) {
      const p = `${at}.addresses[${j}]`;
      if (slice.addressType !== "FQDN") errors.push(...endpointAddress(address, p, allowLoopback));
      else for (const problem of dns1123Subdomain(address)) errors.push(invalidValue(p, address, problem));
    }
    if (hostname) for (const p of dns1123Label(hostname)) errors.push(invalidValue(`${at}.hostname`, hostname, p));
    if (nodeName) for (const p of dns1123Subdomain(nodeName)) errors.push(invalidValue(`${at}.nodeName`, nodeName, p));
  }
  const ports = slice.ports ?? [];
  if (ports.length > maxPorts) return [...errors, tooMany("ports", ports.length, maxPorts)];
  const names = new Set<string>();
  for (const [i, { name = "", port, protocol }] of ports.entries()) {
    const at = `ports[${i}]`;
    if (name) for (const p of dns1123Label(name)) errors.push(invalidValue(`${at}.name`, name, p));
    if (names.has(name)) errors.push({ type: "FieldValueDuplicate", field: `${at}.name`, badValue: name, detail: "" });
    names.add(name);
    if (port !== undefined) for (const p of portNumber(port)) errors.push(invalidValue(`${at}.port`, port, p));
    errors.push(...oneOf(`${at}.protocol`, protocol, ["SCTP", "TCP", "UDP"], true));
  }
  return errors;
}
