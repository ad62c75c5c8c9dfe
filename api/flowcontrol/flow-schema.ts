import {
  type FieldError,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
} from "../../apimachinery/field-error.ts";
import { dns1123Label, dns1123Subdomain } from "../../apimachinery/names.ts";
import { ageColumn, column, integer, nameColumn } from "../columns.ts";
import type { FlowSchema, PolicyRulesWithSubjects, Subject } from "../generated/flowcontrol-v1.ts";
import { FlowSchemas } from "../generated/resources.ts";
import { clusterWide, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { startingStatus } from "../strategy.ts";

const maxPrecedence = 10_000;
const defaultPrecedence = 1000;

export const flowSchemas: Resource<FlowSchema> = defineResource(FlowSchemas, {
  subresources: ["status"],
  defaults({ spec }) {
    spec.matchingPrecedence ||= defaultPrecedence;
  },
  ...startingStatus(() => ({})),
  ...rules(clusterWide, validateSpec),
  columns: [
    nameColumn,
    column("PriorityLevel", ({ spec }) => spec.priorityLevelConfiguration?.name ?? "", "Where its requests go."),
    column("MatchingPrecedence", ({ spec }) => spec.matchingPrecedence ?? 0, "Lower ones are tried first.", integer),
    column("DistinguisherMethod", ({ spec }) => spec.distinguisherMethod?.type ?? "<none>", "What makes a flow."),
    ageColumn,
    column(
      "MissingPL",
      ({ status }) => status?.conditions?.find((c) => c.type === "Dangling")?.status ?? "?",
      "Whether its priority level is missing.",
    ),
  ],
});

function validateSpec({ metadata, spec }: FlowSchema): FieldError[] {
  const errors: FieldError[] = [];
  const precedence = spec.matchingPrecedence ?? 0;
  const at = "spec.matchingPrecedence";
  if (precedence <= 0) errors.push(invalidValue(at, precedence, "must be a positive value"));
  if (precedence > maxPrecedence)
    errors.push(invalidValue(at, precedence, `must not be greater than ${maxPrecedence}`));
  if (precedence === 1 && metadata.name !== "exempt")
    errors.push(invalidValue(at, precedence, "only the schema named 'exempt' may have matchingPrecedence 1"));
  const level = spec.priorityLevelConfiguration?.name;
  if (!level) errors.push(required("spec.priorityLevelConfiguration.name", "must reference a priority level"));
  else
    for (const p of dns1123Subdomain(level))
      errors.push(invalidValue("spec.priorityLevelConfiguration.name", level, p));
  const method = spec.distinguisherMethod?.type;
  if (spec.distinguisherMethod && method !== "ByUser" && method !== "ByNamespace")
    errors.push(notSupported("spec.distinguisherMethod", spec.distinguisherMethod, ["ByNamespace", "ByUser"]));
  for (const [i, rule] of (spec.rules ?? []).entries()) errors.push(...validateRule(rule, `spec.rules[${i}]`));
  return errors;
}

function validateRule(rule: PolicyRulesWithSubjects, at: string): FieldError[] {
  const { subjects = [], resourceRules = [], nonResourceRules = [] } = rule;
  const errors: FieldError[] = subjects.length
    ? subjects.flatMap((subject, i) => validateSubject(subject, `${at}.subjects[${i}]`))
    : [required(`${at}.subjects`, "subjects must contain at least one value")];
  if (resourceRules.length + nonResourceRules.length === 0)
    errors.push(required(at, "at least one of resourceRules and nonResourceRules has to be non-empty"));
  for (const [i, resource] of resourceRules.entries()) {
    const path = `${at}.resourceRules[${i}]`;
    for (const key of ["verbs", "apiGroups", "resources"] as const) {
      const word = { verbs: "verb", apiGroups: "api group", resources: "resource" }[key];
      errors.push(...someOf(resource[key], `${path}.${key}`, word));
    }
    if (!resource.namespaces?.length && !resource.clusterScope)
      errors.push(
        required(`${path}.namespaces`, "resource rules that are not cluster scoped must supply at least one namespace"),
      );
    if ((resource.namespaces?.length ?? 0) > 1 && resource.namespaces?.includes("*"))
      errors.push(
        invalidValue(`${path}.namespaces`, resource.namespaces, "if '*' is present, must not specify other namespaces"),
      );
  }
  for (const [i, urls] of nonResourceRules.entries()) {
    const path = `${at}.nonResourceRules[${i}]`;
    errors.push(...someOf(urls.verbs, `${path}.verbs`, "verb"));
    if (!urls.nonResourceURLs?.length)
      errors.push(required(`${path}.nonResourceURLs`, "nonResourceURLs must contain at least one value"));
  }
  return errors;
}

function someOf(values: string[] | undefined, at: string, word: string): FieldError[] {
  const plural = `${word}s`;
  if (!values?.length)
    return [
      word === "verb"
        ? required(at, "verbs must contain at least one value")
        : required(at, `resource rules must supply at least one ${word}`),
    ];
  return values.length > 1 && values.includes("*")
    ? [invalidValue(at, values, `if '*' is present, must not specify other ${plural}`)]
    : [];
}

const parts = { User: "user", Group: "group", ServiceAccount: "serviceAccount" } as const;

function validateSubject(subject: Subject, at: string): FieldError[] {
  const wanted = parts[subject.kind as keyof typeof parts];
  if (!wanted) return [notSupported(`${at}.kind`, subject.kind ?? "", Object.keys(parts).sort())];
  const errors: FieldError[] = [];
  for (const [kind, other] of Object.entries(parts))
    if (other !== wanted && subject[other])
      errors.push(forbiddenField(`${at}.${other}`, `${other} is forbidden when subject kind is not '${kind}'`));
  const given = subject[wanted];
  if (!given)
    return [...errors, required(`${at}.${wanted}`, `${wanted} is required when subject kind is '${subject.kind}'`)];
  if (!given.name) errors.push(required(`${at}.${wanted}.name`));
  const account = subject.kind === "ServiceAccount" ? subject.serviceAccount : undefined;
  if (account && !account.namespace)
    errors.push(required(`${at}.serviceAccount.namespace`, "must specify namespace for service account"));
  else if (account && account.namespace !== "*")
    for (const p of dns1123Label(account.namespace))
      errors.push(invalidValue(`${at}.serviceAccount.namespace`, account.namespace, p));
  return errors;
}
