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
  for (const [i, { schema }] of versions.entries())
    if (!schema?.openAPIV3Schema) yield field.required(`spec.versions[${i}].schema.openAPIV3Schema`);
  for (const [i, { name, deprecated, deprecationWarning }] of versions.entries()) {
    yield* label(`spec.versions[${i}].name`, name);
    for (const problem of warningProblems(deprecationWarning, deprecated))
      yield field.invalid(`spec.versions[${i}].deprecationWarning`, deprecationWarning, problem);
  }
  if (new Set(names).size < names.length)
    yield field.invalid("spec.versions", versions, "must contain unique version names");
  if (versions.filter(({ storage }) => storage).length !== 1)
    yield field.invalid("spec.versions", versions, "must have exactly one version marked as storage version");
  for (const key of ["plural", "singular", "kind", "listKind"] as const)
    if (!spec.names?.[key]) yield field.required(`spec.names.${key}`);
  yield* validateNames(spec.names ?? {}, "spec.names");
  yield* validateVersionParts(versions, old);
  yield* validateConversion(spec.conversion ?? { strategy: "None" }, "spec.conversion");
  yield* validateNames(status?.acceptedNames ?? {}, "status.acceptedNames");
  for (const [i, stored] of (status?.storedVersions ?? []).entries())
    if (!names.includes(stored)) yield field.invalid(`status.storedVersions[${i}]`, stored, stillStored(stored));
  const approved = metadata.annotations?.[approval];
  if (!old || approved !== old.metadata.annotations?.[approval]) yield* validateApproval(group, approved);
  if (spec.preserveUnknownFields && !old?.spec.preserveUnknownFields)
    yield field.invalid("spec.preserveUnknownFields", true, noPreserve);
}

const stillStored = (version: string) =>
  `missing from spec.versions; ${version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${version} and removes ${version} from status.storedVersions`;

function* warningProblems(text: string | undefined, deprecated = false): Generator<string> {
  if (text === undefined) return;
  if (!deprecated) return yield "can only be set for deprecated versions";
  if (Buffer.byteLength(text) > 256) yield "must be <= 256 characters long";
  if (text === "") yield "must not be an empty string";
  const bad = /[^ \p{L}\p{M}\p{N}\p{P}\p{S}]/u.exec(text);
  const at = Buffer.byteLength(text.slice(0, bad?.index));
  if (bad) yield `must only contain printable UTF-8 characters; non-printable character found at index ${at}`;
}

export function* validateDefinitionUpdate({ spec }: Definition, old: Definition): Problems {
  if (old.status?.conditions?.some(({ type, status }) => type === "Established" && status === "True")) {
    yield* immutableField("spec.scope", spec.scope, old.spec.scope);
    yield* immutableField("spec.names.kind", spec.names.kind, old.spec.names.kind);
  }
  yield* immutableField("spec.group", spec.group, old.spec.group);
  yield* immutableField("spec.names.plural", spec.names.plural, old.spec.names.plural);
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

export function* validateNames(names: Partial<v1.CustomResourceDefinitionNames>, at: string): Problems {
  const { plural, singular, kind, listKind, shortNames = [], categories = [] } = names;
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
  const schemaOf = (version: string) =>
    versions.find(({ name }) => name === version)?.schema?.openAPIV3Schema as JsonSchema | undefined;
  function* each<K extends keyof v1.CustomResourceDefinitionVersion>(key: K, top: string = key) {
    const same = first?.[key] !== undefined && versions.every((v) => sameJson(v[key], first[key]));
    for (const [i, version] of same ? [[0, first!] as const] : versions.entries())
      yield [version[key], same ? `spec.${top}` : `spec.versions[${i}].${key}`, version.name] as const;
  }
  for (const [value, at, version] of each("schema", "validation")) {
    const schema = schemaOf(version);
    const before = old?.spec.versions.find(({ name }) => name === version)?.schema;
    const withStatus = versions.some(
      ({ subresources, name }) => subresources?.status && (at === "spec.validation" || name === version),
    );
    if (schema && !sameJson(value, before)) yield* validateSchema(schema, `${at}.openAPIV3Schema`, withStatus);
  }
  for (const [value, at] of each("subresources")) if (value?.scale) yield* validateScale(value.scale, `${at}.scale`);
  for (const [columns = [], at] of each("additionalPrinterColumns"))
    for (const [i, { name, type, jsonPath, format }] of columns.entries()) {
      if (!name) yield field.required(`${at}[${i}].name`);
      const oneOf = (values: string[]) => `must be one of ${values.join()}`;
      if (!type) yield field.required(`${at}[${i}].type`, oneOf(columnTypes));
      else if (!columnTypes.includes(type)) yield field.invalid(`${at}[${i}].type`, type, oneOf(columnTypes));
      if (format && !columnFormats.includes(format))
        yield field.invalid(`${at}[${i}].format`, format, oneOf(columnFormats));
      yield* validatePath(`${at}[${i}].JSONPath`, jsonPath);
    }
  for (const [fields, at, version] of each("selectableFields"))
    yield* validateSelectable(fields, at, schemaOf(version));
}

const maxSelectable = 8;
const selectableTypes =
  "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";

function* validateSelectable(fields: v1.SelectableField[] = [], path: string, schema: JsonSchema = {}): Problems {
  const paths = new Set<string>();
  for (const [i, { jsonPath }] of fields.entries()) {
    const at = `${path}[${i}].jsonPath`;
    const wrong = (text: string) => field.invalid(at, jsonPath, text);
    const [root, ...keys] = (jsonPath ?? "").split(".");
    const found = keys.reduce<JsonSchema | undefined>((inner, key) => inner?.properties?.[key], schema);
    if (!jsonPath) yield field.required(at);
    else if (root !== "" || !found) yield wrong("is an invalid path: does not refer to a valid field");
    else {
      if (keys[0] === "metadata") yield wrong("must not point to fields in metadata");
      if (!["string", "boolean", "integer"].includes(found.type ?? "")) yield wrong(selectableTypes);
      if (paths.size === paths.add(jsonPath).size) yield field.duplicate(at, jsonPath);
    }
  }
  if (paths.size > maxSelectable) yield field.tooMany(path, paths.size, maxSelectable);
}

const columnTypes = ["boolean", "date", "integer", "number", "string"];
const columnFormats = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

function* validatePath(at: string, path: string | undefined, roots: readonly string[] = []): Problems {
  if (!path) return yield field.required(at);
  if (!path.startsWith(".")) return yield field.invalid(at, path, "must be a simple json path starting with .");
  const under = `${roots.length > 1 ? "either " : ""}${roots.join(" or ")}`;
  if (roots.length > 0 && !roots.some((root) => path.startsWith(`${root}.`)))
    return yield field.invalid(at, path, `should be a json path under ${under}`);
  try {
    compileJsonPath(path);
  } catch (error) {
    yield field.invalid(at, path, `is an invalid JSONPath: ${(error as Error).message}`);
  }
}

function* validateScale(scale: v1.CustomResourceSubresourceScale, at: string): Problems {
  const { specReplicasPath, statusReplicasPath, labelSelectorPath } = scale;
  yield* validatePath(`${at}.specReplicasPath`, specReplicasPath, [".spec"]);
  yield* validatePath(`${at}.statusReplicasPath`, statusReplicasPath, [".status"]);
  if (labelSelectorPath) yield* validatePath(`${at}.labelSelectorPath`, labelSelectorPath, [".spec", ".status"]);
}

function* validateConversion({ strategy, webhook }: v1.CustomResourceConversion, at: string): Problems {
  const { conversionReviewVersions: reviews = [] } = webhook ?? {};
  yield* field.oneOf(`${at}.strategy`, strategy, ["None", "Webhook"], true);
  if (strategy !== "Webhook") {
    const detail = "should not be set when strategy is not set to Webhook";
    if (webhook?.clientConfig) yield field.forbidden(`${at}.webhookClientConfig`, detail);
    if (reviews.length > 0) yield field.forbidden(`${at}.conversionReviewVersions`, detail);
    return;
  }
  if (webhook?.clientConfig) yield* validateClient(webhook.clientConfig, `${at}.webhookClientConfig`);
  else yield field.required(`${at}.webhookClientConfig`, "required when strategy is set to Webhook");
  if (reviews.length > 0) yield* validateVersions(reviews, `${at}.conversionReviewVersions`);
  else yield field.required(`${at}.conversionReviewVersions`);
}
