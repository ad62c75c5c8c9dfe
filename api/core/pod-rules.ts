import { isIP } from "node:net";
import * as field from "../../apimachinery/field-error.ts";
import { ipText } from "../../apimachinery/ip.ts";
import { dns1123Label, qualifiedName } from "../../apimachinery/names.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import type * as v1 from "../generated/core-v1.ts";

/** The rules of what Pods seldom say: affinity, security and DNS. */
const preferred = "preferredDuringSchedulingIgnoredDuringExecution";
const demanded = "requiredDuringSchedulingIgnoredDuringExecution";

export function* validateAffinity({ affinity = {} }: v1.PodSpec, path: string): field.Problems {
  const { nodeAffinity, podAffinity, podAntiAffinity } = affinity;
  const at = `${path}.nodeAffinity`;
  const selector = nodeAffinity?.[demanded];
  if (selector) yield* validateNodeSelector(selector, `${at}.${demanded}`);
  for (const [i, { weight, preference }] of (nodeAffinity?.[preferred] ?? []).entries()) {
    yield* validateWeight(weight, `${at}.${preferred}[${i}]`);
    yield* validateTerm(preference, `${at}.${preferred}[${i}].preference`);
  }
  for (const [name, pods] of Object.entries({ podAffinity, podAntiAffinity })) {
    for (const [i, term] of (pods?.[demanded] ?? []).entries())
      yield* validatePodTerm(term, `${path}.${name}.${demanded}[${i}]`);
    for (const [i, { weight, podAffinityTerm }] of (
      (pods?.[preferred] ?? []) as v1.WeightedPodAffinityTerm[]
    ).entries()) {
      yield* validateWeight(weight, `${path}.${name}.${preferred}[${i}]`);
      yield* validatePodTerm(podAffinityTerm, `${path}.${name}.${preferred}[${i}].podAffinityTerm`);
    }
  }
}

export function* validateNodeSelector({ nodeSelectorTerms: terms = [] }: v1.NodeSelector, at: string): field.Problems {
  if (terms.length === 0) yield field.required(`${at}.nodeSelectorTerms`, "must have at least one node selector term");
  for (const [i, term] of terms.entries()) yield* validateTerm(term, `${at}.nodeSelectorTerms[${i}]`);
}

function* validateWeight(weight = 0, at: string): field.Problems {
  if (weight < 1 || weight > 100) yield field.invalid(`${at}.weight`, weight, "must be in the range 1-100");
}

const noValues = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";

function* validateTerm({ matchExpressions = [], matchFields = [] }: v1.NodeSelectorTerm, path: string): field.Problems {
  yield* field.each(matchExpressions, `${path}.matchExpressions`, function* ({ key, operator, values = [] }, at) {
    if (operator === "In" || operator === "NotIn") {
      if (values.length === 0)
        yield field.required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'");
    } else if (operator === "Exists" || operator === "DoesNotExist") {
      if (values.length > 0) yield field.forbidden(`${at}.values`, noValues);
    } else if (operator === "Gt" || operator === "Lt") {
      if (values.length !== 1)
        yield field.required(`${at}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'");
    } else yield field.invalid(`${at}.operator`, operator ?? "", "not a valid selector operator");
    yield* field.shaped(`${at}.key`, key ?? "", qualifiedName);
  });
  for (const [i, { key }] of matchFields.entries())
    if (key !== "metadata.name")
      yield field.invalid(`${path}.matchFields[${i}].key`, key ?? "", "not a valid field selector key");
}

function* validatePodTerm(term: v1.PodAffinityTerm, at: string): field.Problems {
  const { topologyKey, labelSelector, namespaceSelector, namespaces = [] } = term;
  yield* validateLabelSelector(labelSelector, `${at}.labelSelector`);
  yield* validateLabelSelector(namespaceSelector, `${at}.namespaceSelector`);
  yield* namespaces.flatMap((name) => dns1123Label(name).map((p) => field.invalid(`${at}.namespace`, name, p)));
  if (topologyKey) yield* field.shaped(`${at}.topologyKey`, topologyKey, qualifiedName);
  else yield field.required(`${at}.topologyKey`, "can not be empty");
}

const ids = ["runAsUser", "runAsGroup", "fsGroup"] as const;
const sysctl = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/;

const sysctlText = `must have at most 253 characters and match regex ${sysctl.source.replace("[./]", "[\\./]")}`;

function* validateIds(context: Partial<Record<(typeof ids)[number], number>>, at: string): field.Problems {
  for (const id of ids) {
    const value = context[id] ?? 0;
    if (value < 0 || value > 2 ** 31 - 1)
      yield field.invalid(`${at}.${id}`, value, "must be between 0 and 2147483647, inclusive");
  }
}

export function* validateSecurity({ securityContext = {} }: v1.PodSpec, path: string): field.Problems {
  yield* validateIds(securityContext, path);
  const names = new Set<string>();
  for (const [i, { name }] of (securityContext.sysctls ?? []).entries()) {
    const at = `${path}.sysctls[${i}].name`;
    if (!name) yield field.required(at);
    else if (name.length > 253 || !sysctl.test(name)) yield field.invalid(at, name, sysctlText);
    else if (names.has(name)) yield field.duplicate(at, name);
    names.add(name);
  }
}

export function* validateContainerSecurity({ securityContext: context }: v1.Container, at: string): field.Problems {
  if (!context) return;
  yield* validateIds(context, at);
  if (context.allowPrivilegeEscalation !== false) return;
  const refused = (what: string) =>
    field.invalid(at, context, `cannot set \`allowPrivilegeEscalation\` to false and ${what}`);
  if (context.privileged) yield refused("`privileged` to true");
  if (context.capabilities?.add?.includes("CAP_SYS_ADMIN")) yield refused("`capabilities.Add` CAP_SYS_ADMIN");
}

export function* validateDns({ dnsConfig = {} }: v1.PodSpec, at: string): field.Problems {
  const { nameservers = [], searches = [], options = [] } = dnsConfig;
  if (nameservers.length > 3)
    yield field.invalid(`${at}.nameservers`, nameservers, "must not have more than 3 nameservers");
  for (const [i, address] of nameservers.entries())
    if (isIP(address) === 0) yield field.invalid(`${at}.nameservers[${i}]`, address, ipText);
  if (searches.length > 32) yield field.invalid(`${at}.searches`, searches, "must not have more than 32 search paths");
  for (const [i, { name }] of options.entries())
    if (!name) yield field.required(`${at}.options[${i}]`, "must not be empty");
}
