import * as field from "../../apimachinery/field-error.ts";
import { legacyCidr, plainCidr } from "../../apimachinery/ip.ts";
import { portName, portNumber } from "../../apimachinery/names.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import type { IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort } from "../generated/networking-v1.ts";
import { NetworkPolicies } from "../generated/resources.ts";
import { column, defineResource, generationOnly, namespaced, rules, selectorText, shown } from "../kind.ts";

export const networkPolicies = defineResource(NetworkPolicies, {
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
  columns: shown(
    column("Pod-Selector", ({ spec }) => selectorText(spec.podSelector), "Labels of the Pods that it is for."),
  ),
});

function* validateSpec({ spec }: NetworkPolicy): field.Problems {
  yield* validateLabelSelector(spec.podSelector, "spec.podSelector");
  yield* field.each(spec.ingress, "spec.ingress", function* ({ ports, from }, at) {
    yield* field.each(ports, `${at}.ports`, validatePort);
    yield* field.each(from, `${at}.from`, validatePeer);
  });
  yield* field.each(spec.egress, "spec.egress", function* ({ ports, to }, at) {
    yield* field.each(ports, `${at}.ports`, validatePort);
    yield* field.each(to, `${at}.to`, validatePeer);
  });
  const types = spec.policyTypes ?? [];
  if (types.length > 2)
    return yield field.invalid("spec.policyTypes", types, "may not specify more than two policyTypes");
  yield* field.each(types, "spec.policyTypes", (type, at) => field.oneOf(at, type, ["Ingress", "Egress"], false));
}

function* validatePort({ protocol, port, endPort }: NetworkPolicyPort, at: string): field.Problems {
  if (protocol !== undefined) yield* field.oneOf(`${at}.protocol`, protocol, ["TCP", "UDP", "SCTP"], false);
  if (typeof port === "string") {
    if (endPort !== undefined)
      yield field.invalid(`${at}.endPort`, endPort, "may not be specified when `port` is non-numeric");
    yield* field.shaped(`${at}.port`, port, portName);
  } else if (port !== undefined) {
    yield* field.shaped(`${at}.port`, port, portNumber);
    if (endPort !== undefined && endPort < port)
      yield field.invalid(`${at}.endPort`, port, "must be greater than or equal to `port`"); // upstream's value
    if (endPort !== undefined) yield* field.shaped(`${at}.endPort`, endPort, portNumber);
  } else if (endPort !== undefined)
    yield field.invalid(`${at}.endPort`, endPort, "may not be specified when `port` is not specified");
}

function* validatePeer({ podSelector, namespaceSelector, ipBlock }: NetworkPolicyPeer, at: string): field.Problems {
  const selectors = [podSelector, namespaceSelector].filter(Boolean).length;
  yield* validateLabelSelector(podSelector, `${at}.podSelector`);
  yield* validateLabelSelector(namespaceSelector, `${at}.namespaceSelector`);
  if (ipBlock) yield* validateBlock(ipBlock, `${at}.ipBlock`);
  if (selectors + (ipBlock ? 1 : 0) === 0) yield field.required(at, "must specify a peer");
  else if (ipBlock && selectors > 0) yield field.forbidden(at, "may not specify both ipBlock and another peer");
}

function* validateBlock({ cidr, except = [] }: IPBlock, at: string): field.Problems {
  if (!cidr) return yield field.required(`${at}.cidr`);
  const whole = plainCidr(cidr);
  if (!whole) return yield* legacyCidr(`${at}.cidr`, cidr);
  yield* except.flatMap((text, i) => {
    const path = `${at}.except[${i}]`;
    const part = plainCidr(text);
    if (!part) return legacyCidr(path, text);
    const shift = BigInt(whole.bits - whole.prefix);
    const inside =
      part.bits === whole.bits && part.prefix > whole.prefix && part.address >> shift === whole.address >> shift;
    return inside ? [] : [field.invalid(path, text, "must be a strict subset of `cidr`")];
  });
}
