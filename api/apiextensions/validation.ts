import { isDeepStrictEqual } from "node:util";
import {
  child,
  type FieldError,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
} from "../../apimachinery/field-error.ts";
import { compileJsonPath } from "../../apimachinery/json-path.ts";
import { dns1035Label, dns1123Subdomain } from "../../apimachinery/names.ts";
import type { JsonSchema } from "../../apimachinery/schema/structural.ts";
import { validateClient, validateVersions } from "../admissionregistration/webhook-configuration.ts";
import type {
  CustomResourceConversion,
  CustomResourceDefinition,
  CustomResourceDefinitionNames,
  CustomResourceDefinitionVersion,
} from "../generated/apiextensions-v1.ts";
import { immutableField } from "../metadata.ts";
import { validateSchema } from "./schema-validation.ts";

/** The rules of CustomResourceDefinitions (k8s.io/apiextensions-apiserver, pkg/apis/apiextensions/validation). */
export const definitionName =
  ({ spec }: CustomResourceDefinition) =>
  (name: string) => [
    ...dns1123Subdomain(name),
    ...(name === `${spec.names?.plural}.${spec.group}` ? [] : ['must be spec.names.plural+"."+spec.group']),
  ];

export function validateDefinition(definition: CustomResourceDefinition, old?: CustomResourceDefinition): FieldError[] {
  const { spec, metadata, status } = definition;
  const errors: FieldError[] = [];
  const { group = "", scope, versions = [] } = spec;
  const shape = dns1123Subdomain(group).join(",");
  if (!group) errors.push(required("spec.group"));
  else if (shape) errors.push(invalidValue("spec.group", group, shape));
  else if (!group.includes("."))
    errors.push(invalidValue("spec.group", group, "should be a domain with at least one dot"));
  if (!scope) errors.push(required("spec.scope"));
  else if (!["Cluster", "Namespaced"].includes(scope))
    errors.push(notSupported("spec.scope", scope, ["Cluster", "Namespaced"]));
  const names = versions.map(({ name }) => name);
  for (const [i, name] of names.entries()) errors.push(...label(`spec.versions[${i}].name`, name));
  if (new Set(names).size < names.length)
    errors.push(invalidValue("spec.versions", versions, "must contain unique version names"));
  if (versions.filter(({ storage }) => storage).length !== 1)
    errors.push(invalidValue("spec.versions", versions, "must have exactly one version marked as storage version"));
  if (spec.preserveUnknownFields && !old?.spec.preserveUnknownFields)
    errors.push(
      invalidValue(
        "spec.preserveUnknownFields",
        true,
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
      ),
    );
  errors.push(...validateNames(spec.names ?? ({} as CustomResourceDefinitionNames), "spec.names"));
  errors.push(...validateVersionParts(versions, old));
  errors.push(...validateConversion(spec.conversion ?? { strategy: "None" }, "spec.conversion"));
  for (const [i, stored] of (status?.storedVersions ?? []).entries())
    if (!names.includes(stored))
      errors.push(invalidValue(`status.storedVersions[${i}]`, stored, "must appear in spec.versions"));
  return [...errors, ...validateApproval(group, metadata.annotations?.[approval])];
}

export function validateDefinitionUpdate(
  { spec }: CustomResourceDefinition,
  old: CustomResourceDefinition,
): FieldError[] {
  const errors = [
    ...immutableField("spec.group", spec.group, old.spec.group),
    ...immutableField("spec.names.plural", spec.names.plural, old.spec.names.plural),
  ];
  if (!old.status?.conditions?.some(({ type, status }) => type === "Established" && status === "True")) return errors;
  return [
    ...errors,
    ...immutableField("spec.scope", spec.scope, old.spec.scope),
    ...immutableField("spec.names.kind", spec.names.kind, old.spec.names.kind),
  ];
}

const approval = "api-approved.kubernetes.io";

function validateApproval(group: string, value: string | undefined): FieldError[] {
  if (!/(?:^|\.)(?:k8s|kubernetes)\.io$/.test(group)) return [];
  const more = "see https://github.com/kubernetes/enhancements/pull/1111";
  const at = `metadata.annotations[${approval}]`;
  if (!value) return [required(at, `protected groups must have approval annotation "${approval}", ${more}`)];
  if (value.startsWith("unapproved") || URL.canParse(value)) return [];
  return [
    invalidValue(
      at,
      value,
      `protected groups must have approval annotation "${approval}" with either a URL or a reason starting with "unapproved", ${more}`,
    ),
  ];
}

const label = (at: string, value: string, text = (problems: string) => problems): FieldError[] => {
  const problems = dns1035Label(value ?? "").join(",");
  return problems ? [invalidValue(at, value, text(problems))] : [];
};

function validateNames(names: CustomResourceDefinitionNames, at: string): FieldError[] {
  const { plural, singular, kind, listKind, shortNames = [], categories = [] } = names;
  const errors: FieldError[] = [];
  for (const key of ["plural", "singular", "kind", "listKind"] as const)
    if (!names[key]) errors.push(required(child(at, key)));
  const mixed = (problems: string) => `may have mixed case, but should otherwise match: ${problems}`;
  if (plural) errors.push(...label(`${at}.plural`, plural));
  if (singular) errors.push(...label(`${at}.singular`, singular));
  if (kind) errors.push(...label(`${at}.kind`, kind.toLowerCase(), mixed).map((e) => ({ ...e, badValue: kind })));
  if (listKind)
    errors.push(...label(`${at}.listKind`, listKind.toLowerCase(), mixed).map((e) => ({ ...e, badValue: listKind })));
  for (const [i, name] of shortNames.entries()) errors.push(...label(`${at}.shortNames[${i}]`, name));
  if (kind && kind === listKind)
    errors.push(invalidValue(`${at}.listKind`, listKind, "kind and listKind may not be the same"));
  for (const [i, name] of categories.entries()) errors.push(...label(`${at}.categories[${i}]`, name));
  return errors;
}

/** As upstream's internal form has it, what is equal in all versions is told once, at `spec` itself. */
function validateVersionParts(
  versions: CustomResourceDefinitionVersion[],
  old?: CustomResourceDefinition,
): FieldError[] {
  const [first] = versions;
  const errors: FieldError[] = [];
  const each = <K extends keyof CustomResourceDefinitionVersion>(
    key: K,
    top: string,
    validate: (value: CustomResourceDefinitionVersion[K], at: string, i: number) => FieldError[],
  ) => {
    const same = first?.[key] !== undefined && versions.every((v) => isDeepStrictEqual(v[key], first[key]));
    for (const [i, version] of same ? [[0, first!] as const] : versions.entries())
      errors.push(...validate(version[key], same ? `spec.${top}` : `spec.versions[${i}].${key}`, i));
  };
  const before = (i: number) => old?.spec.versions.find(({ name }) => name === versions[i]!.name)?.schema;
  each("schema", "validation", (value, at, i) => {
    const schema = value?.openAPIV3Schema as JsonSchema | undefined;
    if (schema === undefined) return [required(`${at}.openAPIV3Schema`, "schemas are required")];
    return isDeepStrictEqual(value, before(i)) ? [] : validateSchema(schema, `${at}.openAPIV3Schema`);
  });
  each("subresources", "subresources", (value, at) => (value?.scale ? validateScale(value.scale, `${at}.scale`) : []));
  each("additionalPrinterColumns", "additionalPrinterColumns", (value = [], at) =>
    value.flatMap(({ name, type, jsonPath, format }, i) => {
      const place = `${at}[${i}]`;
      return [
        ...(name ? [] : [required(`${place}.name`)]),
        ...(type
          ? oneOf(`${place}.type`, type, ["boolean", "date", "integer", "number", "string"])
          : [required(`${place}.type`, "must be one of boolean,date,integer,number,string")]),
        ...(format
          ? oneOf(`${place}.format`, format, [
              "byte",
              "date",
              "date-time",
              "double",
              "float",
              "int32",
              "int64",
              "password",
            ])
          : []),
        ...validatePath(`${place}.JSONPath`, jsonPath),
      ];
    }),
  );
  each("selectableFields", "selectableFields", (value = [], at) =>
    value.flatMap(({ jsonPath }, i) => validatePath(`${at}[${i}].jsonPath`, jsonPath)),
  );
  return errors;
}

const oneOf = (at: string, value: string, values: string[]) =>
  values.includes(value) ? [] : [notSupported(at, value, values)];

function validatePath(at: string, path: string | undefined, roots: readonly string[] = []): FieldError[] {
  if (!path) return [required(at)];
  if (roots.length > 0 && !roots.some((root) => path.startsWith(`${root}.`)))
    return [invalidValue(at, path, `should be a json path under ${roots.join(" or ")}`)];
  try {
    compileJsonPath(path);
    return path.startsWith(".") ? [] : [invalidValue(at, path, "must be a simple json path starting with .")];
  } catch (error) {
    return [invalidValue(at, path, `is an invalid JSONPath: ${(error as Error).message}`)];
  }
}

function validateScale(
  {
    specReplicasPath,
    statusReplicasPath,
    labelSelectorPath,
  }: NonNullable<NonNullable<CustomResourceDefinitionVersion["subresources"]>["scale"]>,
  at: string,
): FieldError[] {
  return [
    ...validatePath(`${at}.specReplicasPath`, specReplicasPath, [".spec"]),
    ...validatePath(`${at}.statusReplicasPath`, statusReplicasPath, [".status"]),
    ...(labelSelectorPath ? validatePath(`${at}.labelSelectorPath`, labelSelectorPath, [".status", ".spec"]) : []),
  ];
}

function validateConversion({ strategy, webhook }: CustomResourceConversion, at: string): FieldError[] {
  if (!strategy) return [required(`${at}.strategy`)];
  if (strategy === "None") {
    const detail = "should not be set when strategy is not set to Webhook";
    return webhook?.clientConfig ? [forbiddenField(`${at}.webhookClientConfig`, detail)] : [];
  }
  if (strategy !== "Webhook") return [notSupported(`${at}.strategy`, strategy, ["None", "Webhook"])];
  return [
    ...(webhook?.clientConfig
      ? validateClient(webhook.clientConfig, `${at}.webhookClientConfig`)
      : [required(`${at}.webhookClientConfig`, "required when strategy is set to Webhook")]),
    ...validateVersions(webhook?.conversionReviewVersions ?? [], `${at}.conversionReviewVersions`),
  ];
}
