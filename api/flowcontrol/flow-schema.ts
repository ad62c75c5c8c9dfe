import type { Problems } from "../../apimachinery/field-error.ts";
import * as field from "../../apimachinery/field-error.ts";
import { dns1123Label, dns1123Subdomain } from "../../apimachinery/names.ts";
import { ageColumn, column, nameColumn } from "../columns.ts";
import type { FlowSchema, PolicyRulesWithSubjects, Subject } from "../generated/flowcontrol-v1.ts";
import { FlowSchemas } from "../generated/resources.ts";
import { clusterWide, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { startingStatus } from "../strategy.ts";

const maxPrecedence = 10_000;
const defaultPrecedence = 1000;

const dangling = ({ status }: FlowSchema) => status?.conditions?.find(({ type }) => type === "Dangling")?.status;

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
    column("MatchingPrecedence", ({ spec }) => spec.matchingPrecedence ?? 0, "Lower ones are tried first."),
    column("DistinguisherMethod", ({ spec }) => spec.distinguisherMethod?.type ?? "<none>", "What makes a flow."),
    ageColumn,
    column("MissingPL", (schema) => dangling(schema) ?? "?", "Whether its priority level is missing."),
  ],
});

function* validateSpec({ metadata, spec }: FlowSchema): Problems {
  const precedence = spec.matchingPrecedence ?? 0;
  const at = "spec.matchingPrecedence";
  if (precedence <= 0) yield field.invalidValue(at, precedence, "must be a positive value");
  if (precedence > maxPrecedence) yield field.invalidValue(at, precedence, `must not be greater than ${maxPrecedence}`);
  if (precedence === 1 && metadata.name !== "exempt")
    yield field.invalidValue(at, precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
  const level = spec.priorityLevelConfiguration?.name;
  if (!level) yield field.required("spec.priorityLevelConfiguration.name", "must reference a priority level");
  else yield* field.shaped("spec.priorityLevelConfiguration.name", level, dns1123Subdomain);
  const method = spec.distinguisherMethod?.type;
  if (spec.distinguisherMethod && method !== "ByUser" && method !== "ByNamespace")
    yield field.notSupported("spec.distinguisherMethod", spec.distinguisherMethod, ["ByNamespace", "ByUser"]);
  for (const [i, rule] of (spec.rules ?? []).entries()) yield* validateRule(rule, `spec.rules[${i}]`);
}

const oneNamespace = "resource rules that are not cluster scoped must supply at least one namespace";
const onlyStar = "if '*' is present, must not specify other namespaces";

function* validateRule(rule: PolicyRulesWithSubjects, at: string): Problems {
  const { subjects = [], resourceRules = [], nonResourceRules = [] } = rule;
  if (!subjects.length) yield field.required(`${at}.subjects`, "subjects must contain at least one value");
  for (const [i, subject] of subjects.entries()) yield* validateSubject(subject, `${at}.subjects[${i}]`);
  if (resourceRules.length + nonResourceRules.length === 0)
    yield field.required(at, "at least one of resourceRules and nonResourceRules has to be non-empty");
  for (const [i, resource] of resourceRules.entries()) {
    const path = `${at}.resourceRules[${i}]`;
    for (const key of ["verbs", "apiGroups", "resources"] as const) {
      const word = { verbs: "verb", apiGroups: "api group", resources: "resource" }[key];
      yield* someOf(resource[key], `${path}.${key}`, word);
    }
    if (!resource.namespaces?.length && !resource.clusterScope)
      yield field.required(`${path}.namespaces`, oneNamespace);
    if ((resource.namespaces?.length ?? 0) > 1 && resource.namespaces?.includes("*"))
      yield field.invalidValue(`${path}.namespaces`, resource.namespaces, onlyStar);
  }
  for (const [i, urls] of nonResourceRules.entries()) {
    const path = `${at}.nonResourceRules[${i}]`;
    yield* someOf(urls.verbs, `${path}.verbs`, "verb");
    if (!urls.nonResourceURLs?.length)
      yield field.required(`${path}.nonResourceURLs`, "nonResourceURLs must contain at least one value");
  }
}

function* someOf(values: string[] | undefined, at: string, word: string): Problems {
  const plural = `${word}s`;
  if (!values?.length)
    return yield word === "verb"
      ? field.required(at, "verbs must contain at least one value")
      : field.required(at, `resource rules must supply at least one ${word}`);
  if (values.length > 1 && values.includes("*"))
    yield field.invalidValue(at, values, `if '*' is present, must not specify other ${plural}`);
}

const parts = { User: "user", Group: "group", ServiceAccount: "serviceAccount" } as const;

function* validateSubject(subject: Subject, at: string): Problems {
  const wanted = parts[subject.kind as keyof typeof parts];
  if (!wanted) return yield field.notSupported(`${at}.kind`, subject.kind ?? "", Object.keys(parts).sort());
  for (const [kind, other] of Object.entries(parts))
    if (other !== wanted && subject[other])
      yield field.forbiddenField(`${at}.${other}`, `${other} is forbidden when subject kind is not '${kind}'`);
  const given = subject[wanted];
  if (!given)
    return yield field.required(`${at}.${wanted}`, `${wanted} is required when subject kind is '${subject.kind}'`);
  if (!given.name) yield field.required(`${at}.${wanted}.name`);
  const account = subject.kind === "ServiceAccount" ? subject.serviceAccount : undefined;
  if (account && !account.namespace)
    yield field.required(`${at}.serviceAccount.namespace`, "must specify namespace for service account");
  else if (account && account.namespace !== "*")
    yield* field.shaped(`${at}.serviceAccount.namespace`, account.namespace, dns1123Label);
}
