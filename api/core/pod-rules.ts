import { isIP } from "node:net";
import * as field from "../../apimachinery/field-error.ts";
import { ipText } from "../../apimachinery/ip.ts";
import { dns1123Label, dns1123Subdomain, qualifiedName } from "../../apimachinery/names.ts";
import { validateLabelSelector, validateOperator } from "../../apimachinery/selectors.ts";
import type * as v1 from "../generated/core-v1.ts";

/** The rules of what Pods seldom say: affinity, DNS and spreading. */
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

const oneValue = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";

function* validateTerm({ matchExpressions = [], matchFields = [] }: v1.NodeSelectorTerm, path: string): field.Problems {
  yield* field.each(matchExpressions, `${path}.matchExpressions`, function* ({ key, operator, values = [] }, at) {
    yield* validateOperator(operator, values, at, true);
    yield* field.shaped(`${at}.key`, key ?? "", qualifiedName);
  });
  yield* field.each(matchFields, `${path}.matchFields`, function* ({ key = "", operator = "", values = [] }, at) {
    if (operator !== "In" && operator !== "NotIn")
      yield field.invalid(`${at}.operator`, operator, "not a valid selector operator");
    else if (values.length !== 1) yield field.required(`${at}.values`, oneValue);
    if (key !== "metadata.name") yield field.invalid(`${at}.key`, key, "not a valid field selector key");
    else yield* field.each(values, `${at}.values`, (value, p) => field.shaped(p, value, dns1123Subdomain));
  });
}

function* validatePodTerm(term: v1.PodAffinityTerm, at: string): field.Problems {
  const { topologyKey, labelSelector, namespaceSelector, namespaces = [] } = term;
  yield* validateLabelSelector(labelSelector, `${at}.labelSelector`);
  yield* validateLabelSelector(namespaceSelector, `${at}.namespaceSelector`);
  yield* namespaces.flatMap((name) => dns1123Label(name).map((p) => field.invalid(`${at}.namespace`, name, p)));
  if (topologyKey) yield* field.shaped(`${at}.topologyKey`, topologyKey, qualifiedName);
  else yield field.required(`${at}.topologyKey`, "can not be empty");
}

const oneNameserver = "must provide at least one DNS nameserver when `dnsPolicy` is None";

export function* validateDns({ dnsPolicy, dnsConfig }: v1.PodSpec, at: string): field.Problems {
  const { nameservers = [], searches = [], options = [] } = dnsConfig ?? {};
  if (dnsPolicy === "None" && !dnsConfig)
    return yield field.required(at, "must provide `dnsConfig` when `dnsPolicy` is None");
  if (dnsPolicy === "None" && nameservers.length === 0) return yield field.required(`${at}.nameservers`, oneNameserver);
  if (nameservers.length > 3)
    yield field.invalid(`${at}.nameservers`, nameservers, "must not have more than 3 nameservers");
  for (const [i, address] of nameservers.entries())
    if (isIP(address) === 0) yield field.invalid(`${at}.nameservers[${i}]`, address, ipText);
  if (searches.length > 32) yield field.invalid(`${at}.searches`, searches, "must not have more than 32 search paths");
  // Since v1.34 a search may have underscores, and be a single dot.
  yield* field.each(searches, `${at}.searches`, (search, path) =>
    search === "."
      ? []
      : field.shaped(path, search.replace(/\.$/, ""), (name) => dns1123Subdomain(name.replaceAll("_", "a"))),
  );
  for (const [i, { name }] of options.entries())
    if (!name) yield field.required(`${at}.options[${i}]`, "must not be empty");
}

const inclusion = ["Honor", "Ignore"];

export function* validateSpread(list: v1.TopologySpreadConstraint[] = [], path: string): field.Problems {
  const pairOf = (one: v1.TopologySpreadConstraint) => `{${one.topologyKey}, ${one.whenUnsatisfiable}}`;
  const last = new Map(list.map((one) => [pairOf(one), one]));
  yield* field.each(list, path, function* (constraint, at) {
    const { maxSkew, topologyKey, whenUnsatisfiable: action, minDomains, labelSelector } = constraint;
    const notPositive = (key: string, value = 0) =>
      value > 0 ? [] : [field.invalid(`${at}.${key}`, value, "must be greater than zero")];
    yield* notPositive("maxSkew", maxSkew);
    if (!topologyKey) yield field.required(`${at}.topologyKey`, "can not be empty");
    yield* field.oneOf(`${at}.whenUnsatisfiable`, action, ["DoNotSchedule", "ScheduleAnyway"], false);
    if (last.get(pairOf(constraint)) !== constraint)
      yield field.duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, pairOf(constraint));
    if (minDomains !== undefined) yield* notPositive("minDomains", minDomains);
    if (minDomains !== undefined && action !== "DoNotSchedule") {
      const text = `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${action}`;
      yield field.invalid(`${at}.minDomains`, minDomains, text);
    }
    for (const key of ["nodeAffinityPolicy", "nodeTaintsPolicy"] as const)
      if (constraint[key] !== undefined) yield* field.oneOf(`${at}.${key}`, constraint[key], inclusion, false);
    yield* validateLabelSelector(labelSelector, `${at}.labelSelector`);
  });
}
