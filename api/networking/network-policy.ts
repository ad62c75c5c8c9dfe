import {
  type FieldError,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
} from "../../apimachinery/field-error.ts";
import { parseCidr } from "../../apimachinery/ip.ts";
import { portName, portNumber } from "../../apimachinery/names.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import { ageColumn, column, nameColumn, selectorText } from "../columns.ts";
import type { IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort } from "../generated/networking-v1.ts";
import { NetworkPolicies } from "../generated/resources.ts";
import { namespaced, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { generationOnly } from "../strategy.ts";

export const networkPolicies: Resource<NetworkPolicy> = defineResource(NetworkPolicies, {
  shortNames: ["netpol"],
  defaults({ spec }) {
    spec.podSelector ??= {};
    for (const { ports = [] } of [...(spec.ingress ?? []), ...(spec.egress ?? [])])
      for (const port of ports) port.protocol ??= "TCP";
    // Every policy rules what comes in; what goes out only when it says something about it.
    if (!spec.policyTypes?.length) spec.policyTypes = spec.egress?.length ? ["Ingress", "Egress"] : ["Ingress"];
  },
  ...generationOnly,
  ...rules(namespaced, validateSpec),
  columns: [
    nameColumn,
    column("Pod-Selector", ({ spec }) => selectorText(spec.podSelector), "Labels of the Pods that it is for."),
    ageColumn,
  ],
});

function validateSpec({ spec }: NetworkPolicy): FieldError[] {
  const errors = validateLabelSelector(spec.podSelector, "spec.podSelector");
  for (const [i, { ports = [], from = [] }] of (spec.ingress ?? []).entries())
    errors.push(...validateRule(ports, from, `spec.ingress[${i}]`, "from"));
  for (const [i, { ports = [], to = [] }] of (spec.egress ?? []).entries())
    errors.push(...validateRule(ports, to, `spec.egress[${i}]`, "to"));
  const types = spec.policyTypes ?? [];
  if (types.length > 2)
    return [...errors, invalidValue("spec.policyTypes", types, "may not specify more than two policyTypes")];
  for (const [i, type] of types.entries())
    if (type !== "Ingress" && type !== "Egress")
      errors.push(notSupported(`spec.policyTypes[${i}]`, type, ["Egress", "Ingress"]));
  return errors;
}

const validateRule = (
  ports: NetworkPolicyPort[],
  peers: NetworkPolicyPeer[],
  at: string,
  key: string,
): FieldError[] => [
  ...ports.flatMap((port, i) => validatePort(port, `${at}.ports[${i}]`)),
  ...peers.flatMap((peer, i) => validatePeer(peer, `${at}.${key}[${i}]`)),
];

function validatePort({ protocol, port, endPort }: NetworkPolicyPort, at: string): FieldError[] {
  const errors: FieldError[] = [];
  if (protocol !== undefined && !["SCTP", "TCP", "UDP"].includes(protocol))
    errors.push(notSupported(`${at}.protocol`, protocol, ["SCTP", "TCP", "UDP"]));
  if (typeof port === "string") {
    if (endPort !== undefined)
      errors.push(invalidValue(`${at}.endPort`, endPort, "may not be specified when `port` is non-numeric"));
    for (const p of portName(port)) errors.push(invalidValue(`${at}.port`, port, p));
  } else if (port !== undefined) {
    for (const p of portNumber(port)) errors.push(invalidValue(`${at}.port`, port, p));
    if (endPort !== undefined && endPort < port)
      errors.push(invalidValue(`${at}.endPort`, endPort, "must be greater than or equal to `port`"));
    if (endPort !== undefined)
      for (const p of portNumber(endPort)) errors.push(invalidValue(`${at}.endPort`, endPort, p));
  } else if (endPort !== undefined)
    errors.push(invalidValue(`${at}.endPort`, endPort, "may not be specified when `port` is not specified"));
  return errors;
}

function validatePeer({ podSelector, namespaceSelector, ipBlock }: NetworkPolicyPeer, at: string): FieldError[] {
  const selectors = [podSelector, namespaceSelector].filter(Boolean).length;
  const errors = [
    ...validateLabelSelector(podSelector, `${at}.podSelector`),
    ...validateLabelSelector(namespaceSelector, `${at}.namespaceSelector`),
    ...(ipBlock ? validateBlock(ipBlock, `${at}.ipBlock`) : []),
  ];
  if (selectors + (ipBlock ? 1 : 0) === 0) errors.push(required(at, "must specify a peer"));
  else if (ipBlock && selectors > 0) errors.push(forbiddenField(at, "may not specify both ipBlock and another peer"));
  return errors;
}

export const cidrText = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

function validateBlock({ cidr, except = [] }: IPBlock, at: string): FieldError[] {
  if (!cidr) return [required(`${at}.cidr`)];
  const whole = parseCidr(cidr);
  if (!whole) return [invalidValue(`${at}.cidr`, cidr, cidrText)];
  return except.flatMap((text, i) => {
    const path = `${at}.except[${i}]`;
    const part = parseCidr(text);
    if (!part) return [invalidValue(path, text, cidrText)];
    const shift = BigInt(whole.bits - whole.prefix);
    const inside =
      part.bits === whole.bits && part.prefix > whole.prefix && part.address >> shift === whole.address >> shift;
    return inside ? [] : [invalidValue(path, text, "must be a strict subset of `cidr`")];
  });
}
