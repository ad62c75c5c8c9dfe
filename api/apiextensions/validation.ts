import type { FieldError, Problems } from "../../apimachinery/field-error.ts";
import * as field from "../../apimachinery/field-error.ts";
import { compileJsonPath } from "../../apimachinery/json-path.ts";
import { dns1035Label, dns1123Subdomain } from "../../apimachinery/names.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import type { JsonSchema } from "../../apimachinery/schema/structural.ts";
import { validateClient, validateVersions } from "../admissionregistration/webhook-configuration.ts";
import type * as v1 from "../generated/apiextensions-v1.ts";
import { immutableField } from "../metadata.ts";
import { validateSchema } from "./schema-validation.ts";

/** The rules of CustomResourceDefinitions (k8s.io/apiextensions-apiserver, pkg/apis/apiextensions/validation). */
export const definitionName =
  ({ spec }: v1.CustomResourceDefinition) =>
  (name: string) => [
    ...dns1123Subdomain(name),
    ...(name === `${spec.names?.plural}.${spec.group}` ? [] : ['must be spec.names.plural+"."+spec.group']),
  ];

const noPreserve =
  "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";

type Definition = v1.CustomResourceDefinition;

export function* validateDefinition(definition: Definition, old?: Definition): Problems {
  const { spec, metadata, status } = definition;
  const { group = "", scope, versions = [] } = spec;
  const shape = dns1123Subdomain(group).join(",");
  if (!group) yield field.required("spec.group");
  else if (shape) yield field.invalid("spec.group", group, shape);
  else if (!group.includes(".")) yield field.invalid("spec.group", group, "should be a domain with at least one dot");
  if (!scope) yield field.required("spec.scope");
  else if (!["Cluster", "Namespaced"].includes(scope))
    yield field.notSupported("spec.scope", scope, ["Cluster", "Namespaced"]);
  const names = versions.map(({ name }) => name);
  for (const [i, name] of names.entries()) yield* label(`spec.versions[${i}].name`, name);
  if (new Set(names).size < names.length)
    yield field.invalid("spec.versions", versions, "must contain unique version names");
  if (versions.filter(({ storage }) => storage).length !== 1)
    yield field.invalid("spec.versions", versions, "must have exactly one version marked as storage version");
  if (spec.preserveUnknownFields && !old?.spec.preserveUnknownFields)
    yield field.invalid("spec.preserveUnknownFields", true, noPreserve);
  yield* validateNames(spec.names ?? ({} as v1.CustomResourceDefinitionNames), "spec.names");
  yield* validateVersionParts(versions, old);
  yield* validateConversion(spec.conversion ?? { strategy: "None" }, "spec.conversion");
  for (const [i, stored] of (status?.storedVersions ?? []).entries())
    if (!names.includes(stored))
      yield field.invalid(`status.storedVersions[${i}]`, stored, "must appear in spec.versions");
  yield* validateApproval(group, metadata.annotations?.[approval]);
}

export function* validateDefinitionUpdate({ spec }: Definition, old: Definition): Problems {
  yield* immutableField("spec.group", spec.group, old.spec.group);
  yield* immutableField("spec.names.plural", spec.names.plural, old.spec.names.plural);
  if (!old.status?.conditions?.some(({ type, status }) => type === "Established" && status === "True")) return;
  yield* immutableField("spec.scope", spec.scope, old.spec.scope);
  yield* immutableField("spec.names.kind", spec.names.kind, old.spec.names.kind);
}

const approval = "api-approved.kubernetes.io";

function* validateApproval(group: string, value: string | undefined): Problems {
  if (!/(?:^|\.)(?:k8s|kubernetes)\.io$/.test(group)) return;
  const more = "see https://github.com/kubernetes/enhancements/pull/1111";
  const at = `metadata.annotations[${approval}]`;
  if (!value) return yield field.required(at, `protected groups must have approval annotation "${approval}", ${more}`);
  if (value.startsWith("unapproved") || URL.canParse(value)) return;
  const text = `protected groups must have approval annotation "${approval}" with either a URL or a reason starting with "unapproved", ${more}`;
  yield field.invalid(at, value, text);
}

const label = (at: string, value: string, text = (problems: string) => problems): FieldError[] => {
  const problems = dns1035Label(value ?? "").join(",");
  return problems ? [field.invalid(at, value, text(problems))] : [];
};

function* validateNames(names: v1.CustomResourceDefinitionNames, at: string): Problems {
  const { plural, singular, kind, listKind, shortNames = [], categories = [] } = names;
  for (const key of ["plural", "singular", "kind", "listKind"] as const)
    if (!names[key]) yield field.required(field.child(at, key));
  const mixed = (problems: string) => `may have mixed case, but should otherwise match: ${problems}`;
  if (plural) yield* label(`${at}.plural`, plural);
  if (singular) yield* label(`${at}.singular`, singular);
  if (kind) yield* label(`${at}.kind`, kind.toLowerCase(), mixed).map((e) => ({ ...e, badValue: kind }));
  if (listKind)
    yield* label(`${at}.listKind`, listKind.toLowerCase(), mixed).map((e) => ({ ...e, badValue: listKind }));
  for (const [i, name] of shortNames.entries()) yield* label(`${at}.shortNames[${i}]`, name);
  if (kind && kind === listKind)
    yield field.invalid(`${at}.listKind`, listKind, "kind and listKind may not be the same");
  for (const [i, name] of categories.entries()) yield* label(`${at}.categories[${i}]`, name);
}

/** As upstream's internal form has it, what is equal in all versions is told once, at `spec` itself. */
function* validateVersionParts(versions: v1.CustomResourceDefinitionVersion[], old?: Definition): Problems {
  const [first] = versions;
  function* each<K extends keyof v1.CustomResourceDefinitionVersion>(key: K, top: string = key) {
    const same = first?.[key] !== undefined && versions.every((v) => sameJson(v[key], first[key]));
    for (const [i, version] of same ? [[0, first!] as const] : versions.entries())
      yield [version[key], same ? `spec.${top}` : `spec.versions[${i}].${key}`, version.name] as const;
  }
  for (const [value, at, version] of each("schema", "validation")) {
    const schema = value?.openAPIV3Schema as JsonSchema | undefined;
    const before = old?.spec.versions.find(({ name }) => name === version)?.schema;
    if (schema === undefined) yield field.required(`${at}.openAPIV3Schema`, "schemas are required");
    else if (!sameJson(value, before)) yield* validateSchema(schema, `${at}.openAPIV3Schema`);
  }
  for (const [value, at] of each("subresources")) if (value?.scale) yield* validateScale(value.scale, `${at}.scale`);
  for (const [columns = [], at] of each("additionalPrinterColumns"))
    for (const [i, { name, type, jsonPath, format }] of columns.entries()) {
      if (!name) yield field.required(`${at}[${i}].name`);
      if (!type) yield field.required(`${at}[${i}].type`, `must be one of ${columnTypes.join()}`);
      else yield* field.oneOf(`${at}[${i}].type`, type, columnTypes, true);
      if (format) yield* field.oneOf(`${at}[${i}].format`, format, columnFormats, true);
      yield* validatePath(`${at}[${i}].JSONPath`, jsonPath);
    }
  for (const [fields = [], at] of each("selectableFields"))
    for (const [i, { jsonPath }] of fields.entries()) yield* validatePath(`${at}[${i}].jsonPath`, jsonPath);
}

const columnTypes = ["boolean", "date", "integer", "number", "string"];
const columnFormats = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

function* validatePath(at: string, path: string | undefined, roots: readonly string[] = []): Problems {
  if (!path) return yield field.required(at);
  if (roots.length > 0 && !roots.some((root) => path.startsWith(`${root}.`)))
    return yield field.invalid(at, path, `should be a json path under ${roots.join(" or ")}`);
  try {
    compileJsonPath(path);
    if (!path.startsWith(".")) yield field.invalid(at, path, "must be a simple json path starting with .");
  } catch (error) {
    yield field.invalid(at, path, `is an invalid JSONPath: ${(error as Error).message}`);
  }
}

function* validateScale(scale: v1.CustomResourceSubresourceScale, at: string): Problems {
  const { specReplicasPath, statusReplicasPath, labelSelectorPath } = scale;
  yield* validatePath(`${at}.specReplicasPath`, specReplicasPath, [".spec"]);
  yield* validatePath(`${at}.statusReplicasPath`, statusReplicasPath, [".status"]);
  if (labelSelectorPath) yield* validatePath(`${at}.labelSelectorPath`, labelSelectorPath, [".status", ".spec"]);
}

function* validateConversion({ strategy, webhook }: v1.CustomResourceConversion, at: string): Problems {
  if (!strategy) return yield field.required(`${at}.strategy`);
  if (strategy === "None") {
    const detail = "should not be set when strategy is not set to Webhook";
    if (webhook?.clientConfig) yield field.forbidden(`${at}.webhookClientConfig`, detail);
    return;
  }
  if (strategy !== "Webhook") return yield field.notSupported(`${at}.strategy`, strategy, ["None", "Webhook"]);
  if (webhook?.clientConfig) yield* validateClient(webhook.clientConfig, `${at}.webhookClientConfig`);
  else yield field.required(`${at}.webhookClientConfig`, "required when strategy is set to Webhook");
  yield* validateVersions(webhook?.conversionReviewVersions ?? [], `${at}.conversionReviewVersions`);
}
