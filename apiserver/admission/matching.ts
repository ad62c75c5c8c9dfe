import type { MatchResources, RuleWithOperations } from "../../api/generated/admissionregistration-v1.ts";
import { Namespaces } from "../../api/generated/resources.ts";
import type { Resource } from "../../api/resource.ts";
import type { LabelSelector } from "../../apimachinery/generated/meta-v1.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { labelSelector, matches } from "../../apimachinery/selectors.ts";
import { notFound } from "../../apimachinery/status.ts";
import type { Attributes } from "./chain.ts";
import type { Cluster } from "./cluster.ts";

/** Which requests a webhook or a policy is for. Source: k8s.io/apiserver/pkg/admission/plugin/webhook/predicates. */
export interface Matcher {
  rules: readonly Rule[];
  excluded?: readonly Rule[];
  matchPolicy?: string | undefined;
  namespaceSelector?: LabelSelector | undefined;
  objectSelector?: LabelSelector | undefined;
}

export type Rule = RuleWithOperations & { resourceNames?: string[] };

/** What a policy and its bindings say alike. */
export const matcherOf = ({ resourceRules, excludeResourceRules, ...rest }: MatchResources): Matcher => ({
  rules: resourceRules ?? [],
  excluded: excludeResourceRules ?? [],
  ...rest,
});

/**
 * The version in which the object is to be shown, when the request matches: the one that was asked for, or with the
 * policy Equivalent another one that a rule names. Throws 404 for a Namespace that is not there.
 */
export function matchedVersion(matcher: Matcher, attributes: Attributes, cluster: Cluster): Resource | undefined {
  const { resource, requested = resource } = attributes;
  if (isConfiguration(resource)) return undefined;
  if (!selectsNamespace(matcher.namespaceSelector, attributes, cluster)) return undefined;
  if (!selectsObject(matcher.objectSelector, attributes)) return undefined;
  const versions = matcher.matchPolicy === "Exact" ? [requested] : [requested, ...cluster.versions(resource)];
  const named = (rules: readonly Rule[] = []) =>
    versions.find((version) => rules.some((rule) => ruleMatches(rule, version, attributes)));
  return named(matcher.excluded) === undefined ? named(matcher.rules) : undefined;
}

/** What decides on admission is not itself subject to it: nobody locks the door behind the key. */
const isConfiguration = ({ group, resource }: Resource) =>
  group === "admissionregistration.k8s.io" &&
  /^(validating|mutating)(webhookconfigurations|admissionpolicies|admissionpolicybindings)$/.test(resource);

function ruleMatches(rule: Rule, { group, version, resource }: Resource, attributes: Attributes): boolean {
  const { operation, subresource, namespace, name, resource: row } = attributes;
  const has = (list: readonly string[] = [], value: string) => list.includes("*") || list.includes(value);
  if (!has(rule.operations, operation) || !has(rule.apiGroups, group) || !has(rule.apiVersions, version)) return false;
  if (rule.resourceNames?.length && !rule.resourceNames.includes(name)) return false;
  const isNamespaced = namespace !== "" && !(row.group === "" && row.resource === "namespaces");
  if (rule.scope === "Namespaced" ? !isNamespaced : rule.scope === "Cluster" && isNamespaced) return false;
  return (rule.resources ?? []).some((text) => {
    const [wanted, part = ""] = text.split("/");
    return (wanted === "*" || wanted === resource) && (part === "*" || part === subresource);
  });
}

function selectsNamespace(selector: LabelSelector | undefined, attributes: Attributes, cluster: Cluster): boolean {
  if (isEmpty(selector)) return true;
  const { resource, namespace, object, oldObject } = attributes;
  if (resource.group === "" && resource.resource === "namespaces" && attributes.subresource === "")
    return matches(labelSelector(selector), (object ?? oldObject)?.metadata.labels);
  if (namespace === "") return true;
  const found = cluster.get(Namespaces, { name: namespace });
  if (found === undefined) throw notFound(Namespaces, namespace);
  return matches(labelSelector(selector), found.metadata.labels);
}

function selectsObject(selector: LabelSelector | undefined, { object, oldObject }: Attributes): boolean {
  if (isEmpty(selector)) return true;
  const wanted = labelSelector(selector);
  const selected = (it: KubernetesObject | undefined) =>
    it?.metadata !== undefined && matches(wanted, it.metadata.labels);
  return selected(object) || selected(oldObject);
}

const isEmpty = (selector: LabelSelector | undefined) =>
  !selector?.matchExpressions?.length && Object.keys(selector?.matchLabels ?? {}).length === 0;
