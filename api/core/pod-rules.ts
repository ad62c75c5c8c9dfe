import { isIP } from "node:net";
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
} from "../../apimachinery/field-error.ts";
import { dns1123Label, qualifiedName } from "../../apimachinery/names.ts";
import { parseQuantity } from "../../apimachinery/quantity.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import type {
  Container,
  NodeSelectorTerm,
  PodAffinityTerm,
  PodSpec,
  Volume,
  WeightedPodAffinityTerm,
} from "../generated/core-v1.ts";

/** The rules of what Pods seldom say: affinity, security, DNS, and the parts of volumes. */
const preferred = "preferredDuringSchedulingIgnoredDuringExecution";
const demanded = "requiredDuringSchedulingIgnoredDuringExecution";

export function validateAffinity({ affinity = {} }: PodSpec, path: string): FieldError[] {
  const { nodeAffinity, podAffinity, podAntiAffinity } = affinity;
  const errors: FieldError[] = [];
  const at = `${path}.nodeAffinity`;
  const terms = nodeAffinity?.[demanded]?.nodeSelectorTerms;
  if (nodeAffinity?.[demanded] && !terms?.length)
    errors.push(required(`${at}.${demanded}.nodeSelectorTerms`, "must have at least one node selector term"));
  for (const [i, term] of (terms ?? []).entries())
    errors.push(...validateTerm(term, `${at}.${demanded}.nodeSelectorTerms[${i}]`));
  for (const [i, { weight, preference }] of (nodeAffinity?.[preferred] ?? []).entries())
    errors.push(
      ...validateWeight(weight, `${at}.${preferred}[${i}]`),
      ...validateTerm(preference, `${at}.${preferred}[${i}].preference`),
    );
  for (const [name, pods] of Object.entries({ podAffinity, podAntiAffinity })) {
    for (const [i, term] of (pods?.[demanded] ?? []).entries())
      errors.push(...validatePodTerm(term, `${path}.${name}.${demanded}[${i}]`));
    for (const [i, { weight, podAffinityTerm }] of ((pods?.[preferred] ?? []) as WeightedPodAffinityTerm[]).entries())
      errors.push(
        ...validateWeight(weight, `${path}.${name}.${preferred}[${i}]`),
        ...validatePodTerm(podAffinityTerm, `${path}.${name}.${preferred}[${i}].podAffinityTerm`),
      );
  }
  return errors;
}

const validateWeight = (weight: number, at: string): FieldError[] =>
  weight >= 1 && weight <= 100 ? [] : [invalidValue(`${at}.weight`, weight ?? 0, "must be in the range 1-100")];

function validateTerm({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, { key, operator, values = [] }] of matchExpressions.entries()) {
    const at = `${path}.matchExpressions[${i}]`;
    if (operator === "In" || operator === "NotIn") {
      if (values.length === 0)
        errors.push(required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
    } else if (operator === "Exists" || operator === "DoesNotExist") {
      if (values.length > 0)
        errors.push(
          forbiddenField(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
        );
    } else if (operator === "Gt" || operator === "Lt") {
      if (values.length !== 1)
        errors.push(required(`${at}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'"));
    } else errors.push(invalidValue(`${at}.operator`, operator ?? "", "not a valid selector operator"));
    for (const p of qualifiedName(key ?? "")) errors.push(invalidValue(`${at}.key`, key ?? "", p));
  }
  for (const [i, { key }] of matchFields.entries())
    if (key !== "metadata.name")
      errors.push(invalidValue(`${path}.matchFields[${i}].key`, key ?? "", "not a valid field selector key"));
  return errors;
}

function validatePodTerm(term: PodAffinityTerm, at: string): FieldError[] {
  const { topologyKey, labelSelector, namespaceSelector, namespaces = [] } = term;
  return [
    ...validateLabelSelector(labelSelector, `${at}.labelSelector`),
    ...validateLabelSelector(namespaceSelector, `${at}.namespaceSelector`),
    ...namespaces.flatMap((name) => dns1123Label(name).map((p) => invalidValue(`${at}.namespace`, name, p))),
    ...(topologyKey
      ? qualifiedName(topologyKey).map((p) => invalidValue(`${at}.topologyKey`, topologyKey, p))
      : [required(`${at}.topologyKey`, "can not be empty")]),
  ];
}

const ids = ["runAsUser", "runAsGroup", "fsGroup"] as const;
const sysctl = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/;

const validateIds = (context: Partial<Record<(typeof ids)[number], number>>, at: string): FieldError[] =>
  ids.flatMap((id) => {
    const value = context[id];
    const fits = value === undefined || (value >= 0 && value <= 2 ** 31 - 1);
    return fits ? [] : [invalidValue(`${at}.${id}`, value, "must be between 0 and 2147483647, inclusive")];
  });

export function validateSecurity({ securityContext = {} }: PodSpec, path: string): FieldError[] {
  const errors = validateIds(securityContext, path);
  const names = new Set<string>();
  for (const [i, { name }] of (securityContext.sysctls ?? []).entries()) {
    const at = `${path}.sysctls[${i}].name`;
    if (!name) errors.push(required(at));
    else if (name.length > 253 || !sysctl.test(name))
      errors.push(
        invalidValue(
          at,
          name,
          `must have at most 253 characters and match regex ${sysctl.source.replace("[./]", "[\\./]")}`,
        ),
      );
    else if (names.has(name)) errors.push(duplicate(at, name));
    names.add(name);
  }
  return errors;
}

export function validateContainerSecurity(
  { securityContext: context }: Pick<Container, "securityContext">,
  at: string,
) {
  if (!context) return [];
  const errors = validateIds(context, at);
  if (context.allowPrivilegeEscalation !== false) return errors;
  const refuse = (what: string) =>
    errors.push(invalidValue(at, context, `cannot set \`allowPrivilegeEscalation\` to false and ${what}`));
  if (context.privileged) refuse("`privileged` to true");
  if (context.capabilities?.add?.includes("CAP_SYS_ADMIN")) refuse("`capabilities.Add` CAP_SYS_ADMIN");
  return errors;
}

export function validateDns({ dnsConfig = {} }: PodSpec, at: string): FieldError[] {
  const { nameservers = [], searches = [], options = [] } = dnsConfig;
  const errors: FieldError[] = [];
  if (nameservers.length > 3)
    errors.push(invalidValue(`${at}.nameservers`, nameservers, "must not have more than 3 nameservers"));
  for (const [i, address] of nameservers.entries())
    if (isIP(address) === 0)
      errors.push(
        invalidValue(
          `${at}.nameservers[${i}]`,
          address,
          "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
      );
  if (searches.length > 32)
    errors.push(invalidValue(`${at}.searches`, searches, "must not have more than 32 search paths"));
  for (const [i, { name }] of options.entries())
    if (!name) errors.push(required(`${at}.options[${i}]`, "must not be empty"));
  return errors;
}

export const relativePath = (path: string | undefined, at: string): FieldError[] => [
  ...(path?.startsWith("/") ? [invalidValue(at, path, "must be a relative path")] : []),
  ...(path?.split("/").includes("..") ? [invalidValue(at, path, "must not contain '..'")] : []),
];

export function validateParts({ emptyDir, projected, downwardAPI }: Volume, at: string): FieldError[] {
  const errors: FieldError[] = [];
  if (emptyDir?.sizeLimit !== undefined && parseQuantity(emptyDir.sizeLimit).nano < 0n)
    errors.push(forbiddenField(`${at}.emptyDir.sizeLimit`, "SizeLimit field must be a valid resource quantity"));
  if (emptyDir?.medium && !/^(Memory|HugePages(-.+)?)$/.test(emptyDir.medium))
    errors.push(notSupported(`${at}.emptyDir.medium`, emptyDir.medium, ["", "HugePages", "Memory"]));
  const items = (list: NonNullable<typeof downwardAPI>["items"] = [], path: string) => {
    for (const [i, { path: file, fieldRef, resourceFieldRef }] of list.entries()) {
      if (!file) errors.push(required(`${path}[${i}].path`));
      errors.push(...relativePath(file, `${path}[${i}].path`));
      if (!fieldRef && !resourceFieldRef)
        errors.push(required(`${path}[${i}]`, "one of fieldRef and resourceFieldRef is required"));
    }
  };
  items(downwardAPI?.items, `${at}.downwardAPI.items`);
  for (const [i, source] of (projected?.sources ?? []).entries()) {
    const own = `${at}.projected.sources[${i}]`;
    const [, ...extra] = Object.keys(source);
    for (const name of extra)
      errors.push(forbiddenField(`${own}.${name}`, "may not specify more than 1 volume type per source"));
    items(source.downwardAPI?.items, `${own}.downwardAPI.items`);
    const { path, expirationSeconds = 3600 } = source.serviceAccountToken ?? { path: "-" };
    if (!path) errors.push(required(`${own}.serviceAccountToken.path`));
    if (expirationSeconds < 600)
      errors.push(
        invalidValue(
          `${own}.serviceAccountToken.expirationSeconds`,
          expirationSeconds,
          "may not specify a duration less than 10 minutes",
        ),
      );
  }
  return errors;
}
