import * as field from "../../apimachinery/field-error.ts";
import { dns1123Label, dns1123Subdomain } from "../../apimachinery/names.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import type { FlowSchema, FlowSchemaSpec, PolicyRulesWithSubjects, Subject } from "../generated/flowcontrol-v1.ts";
import { FlowSchemas } from "../generated/resources.ts";
import { capitalized } from "../int-or-percent.ts";
import { ageColumn, clusterWide, column, defineResource, nameColumn, rules, specAndStatus } from "../kind.ts";
import { validateConditions } from "./conditions.ts";
import { mandatorySchemas } from "./mandatory.ts";

const maxPrecedence = 10_000;
const defaultPrecedence = 1000;

const precedence = ({ spec }: FlowSchema) => spec.matchingPrecedence ?? defaultPrecedence;
const dangling = ({ status }: FlowSchema) => status?.conditions?.find(({ type }) => type === "Dangling")?.status;

export const flowSchemas = defineResource(FlowSchemas, {
  subresources: ["status"],
  defaults({ spec }) {
    spec.matchingPrecedence ||= defaultPrecedence;
  },
  ...specAndStatus,
  ...rules(clusterWide, validateSchema, undefined, validateConditions),
  columns: [
    nameColumn,
    column("PriorityLevel", ({ spec }) => spec.priorityLevelConfiguration?.name ?? "", "Where its requests go."),
    column("MatchingPrecedence", ({ spec }) => spec.matchingPrecedence ?? 0, "Lower ones are tried first."),
    column("DistinguisherMethod", ({ spec }) => spec.distinguisherMethod?.type ?? "<none>", "What makes a flow."),
    ageColumn,
    column("MissingPL", (schema) => dangling(schema) ?? "?", "Whether its priority level is missing."),
  ],
  rowOrder: (a, b) => precedence(a) - precedence(b) || (a.metadata.name < b.metadata.name ? -1 : 1),
});

function* validateSchema(schema: FlowSchema): field.Problems {
  const { metadata, spec } = schema;
  yield* validateSpec(metadata.name, spec);
  const fixed = mandatorySchemas[metadata.name];
  if (fixed && !sameJson(spec, fixed))
    yield field.invalid("spec", spec, `spec of '${metadata.name}' must equal the fixed value`);
  yield* validateConditions(schema);
}

function* validateSpec(name: string, spec: FlowSchemaSpec): field.Problems {
  const precedence = spec.matchingPrecedence ?? 0;
  const at = "spec.matchingPrecedence";
  if (precedence <= 0) yield field.invalid(at, precedence, "must be a positive value");
  if (precedence > maxPrecedence) yield field.invalid(at, precedence, `must not be greater than ${maxPrecedence}`);
  if (precedence === 1 && name !== "exempt")
    yield field.invalid(at, precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
  const method = spec.distinguisherMethod;
  if (method && method.type !== "ByUser" && method.type !== "ByNamespace")
    yield field.notSupported("spec.distinguisherMethod.type", capitalized(method), ["ByNamespace", "ByUser"]);
  const level = spec.priorityLevelConfiguration?.name;
  if (!level) yield field.required("spec.priorityLevelConfiguration.name", "must reference a priority level");
  else yield* field.shaped("spec.priorityLevelConfiguration.name", level, dns1123Subdomain);
  for (const [i, rule] of (spec.rules ?? []).entries()) yield* validateRule(rule, `spec.rules[${i}]`);
}

const oneNamespace = "resource rules that are not cluster scoped must supply at least one namespace";
const listed = "each member of this list must be '*' or a DNS-1123 label; ";

function* validateRule(rule: PolicyRulesWithSubjects, at: string): field.Problems {
  const { subjects = [], resourceRules = [], nonResourceRules = [] } = rule;
  if (!subjects.length) yield field.required(`${at}.subjects`, "subjects must contain at least one value");
  for (const [i, subject] of subjects.entries()) yield* validateSubject(subject, `${at}.subjects[${i}]`);
  if (resourceRules.length + nonResourceRules.length === 0)
    yield field.required(at, "at least one of resourceRules and nonResourceRules has to be non-empty");
  yield* field.each(resourceRules, `${at}.resourceRules`, function* (resource, path) {
    yield* validateVerbs(resource.verbs, `${path}.verbs`);
    for (const [key, word] of [
      ["apiGroups", "api group"],
      ["resources", "resource"],
    ] as const)
      yield* someOf(resource[key], `${path}.${key}`, `resource rules must supply at least one ${word}`, `${word}s`);
    const none = resource.clusterScope ? undefined : oneNamespace;
    yield* someOf(resource.namespaces, `${path}.namespaces`, none, "namespaces", (namespace) =>
      dns1123Label(namespace).map((problem) => `${listed}${problem}`),
    );
  });
  yield* field.each(nonResourceRules, `${at}.nonResourceRules`, function* (urls, path) {
    yield* validateVerbs(urls.verbs, `${path}.verbs`);
    const none = "nonResourceURLs must contain at least one value";
    yield* someOf(urls.nonResourceURLs, `${path}.nonResourceURLs`, none, "non-resource URLs", urlProblems);
  });
}

const verbs = "create delete deletecollection get list patch proxy update watch".split(" ");

function* validateVerbs(given: string[] | undefined, at: string): field.Problems {
  yield* someOf(given, at, "verbs must contain at least one value", "verbs");
  if (given?.length && !given.includes("*") && !given.every((verb) => verbs.includes(verb)))
    yield field.notSupported(at, given, verbs);
}

type Shape = (value: string) => string[];

/** A list that is not empty (unless that needs no `none`), whose `*` stands alone, and whose others have a shape. */
function* someOf(values: string[] = [], at: string, none = "", others = "", shape: Shape = () => []): field.Problems {
  if (values.length === 0 && none) yield field.required(at, none);
  if (!values.includes("*"))
    for (const [i, value] of values.entries()) yield* field.shaped(`${at}[${i}]`, value, shape);
  else if (values.length > 1) yield field.invalid(at, values, `if '*' is present, must not specify other ${others}`);
}

function urlProblems(url: string): string[] {
  if (url === "") return ["must not be empty"];
  if (!url.startsWith("/")) return ["must start with slash"];
  if (url.includes(" ")) return ["must not contain white-space"];
  if (url.includes("//")) return ["must not contain double slash"];
  return /\*/.test(url.replace(/\/\*$/, "")) ? ["wildcard can only do suffix matching"] : [];
}

const parts = { User: "user", Group: "group", ServiceAccount: "serviceAccount" } as const;

function* validateSubject(subject: Subject, at: string): field.Problems {
  const wanted = parts[subject.kind as keyof typeof parts];
  if (!wanted) return yield field.notSupported(`${at}.kind`, subject.kind ?? "", Object.keys(parts).sort());
  const given: { name?: string; namespace?: string } | undefined = subject[wanted];
  const path = `${at}.${wanted}`;
  if (!given) yield field.required(path, `${wanted} is required when subject kind is '${subject.kind}'`);
  else if (wanted !== "serviceAccount") yield* field.requiredName(`${path}.name`, given.name, () => []);
  else {
    if (given.name !== "*") yield* field.requiredName(`${path}.name`, given.name, dns1123Subdomain);
    if (given.namespace) yield* field.shaped(`${path}.namespace`, given.namespace, dns1123Label);
    else yield field.required(`${path}.namespace`, "must specify namespace for service account");
  }
  for (const [kind, other] of Object.entries(parts))
    if (other !== wanted && subject[other])
      yield field.forbidden(`${at}.${other}`, `${other} is forbidden when subject kind is not '${kind}'`);
}
