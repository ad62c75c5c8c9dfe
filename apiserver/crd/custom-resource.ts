import { hasCondition } from "../../api/apiextensions/custom-resource-definition.ts";
import { ageColumn, nameColumn } from "../../api/columns.ts";
import type {
  CustomResourceColumnDefinition,
  CustomResourceDefinition,
  CustomResourceDefinitionVersion,
} from "../../api/generated/apiextensions-v1.ts";
import { validateObjectMeta, validateObjectMetaUpdate } from "../../api/metadata.ts";
import {
  type Column,
  defineResource,
  type Resource,
  scaleSubresource,
  selection,
  type Verb,
} from "../../api/resource.ts";
import { schema as table } from "../../api/schema.ts";
import { setStruct } from "../../apimachinery/apply/atom.ts";
import { type FieldError, invalid } from "../../apimachinery/field-error.ts";
import { compileJsonPath } from "../../apimachinery/json-path.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { isObject } from "../../apimachinery/schema/normalize.ts";
import { checkRules, hasRules } from "../../apimachinery/schema/rules.ts";
import {
  coerceMetadata,
  type JsonSchema,
  prune,
  rootFields,
  setDefaults,
  structOfSchema,
} from "../../apimachinery/schema/structural.ts";
import type { Message } from "../../apimachinery/schema/table.ts";
import { validateValue } from "../../apimachinery/schema/validate.ts";
import { age } from "../../apimachinery/time.ts";
import { type Converter, convertedTo } from "./conversion.ts";
import { scaleAccess, validateScaleOf } from "./scale.ts";

type CustomObject = KubernetesObject & Record<string, unknown>;

/** One served version of a definition as a row of the resource table (apiextensions-apiserver, pkg/registry/customresource). */
export function customResource(
  definition: CustomResourceDefinition,
  version: CustomResourceDefinitionVersion,
  convert: Converter,
): Resource<CustomObject> {
  const { spec, status } = definition;
  const { group } = spec;
  const { plural, kind, singular = "", listKind = "", shortNames = [], categories = [] } = status!.acceptedNames!;
  const namespaced = spec.scope === "Namespaced";
  const apiVersion = `${group}/${version.name}`;
  const schema = version.schema?.openAPIV3Schema as JsonSchema | undefined;
  const hasStatus = version.subresources?.status !== undefined;
  const scale = version.subresources?.scale;
  const fields = Object.entries(
    Object.fromEntries(
      (version.selectableFields ?? []).map(({ jsonPath }) => [jsonPath.slice(1), compileJsonPath(jsonPath)]),
    ),
  );
  const meta = { namespaced };
  const ruled = schema && hasRules(schema);
  const bare = schema && withoutMetadata(schema);
  const bySchema = (object: CustomObject, old?: CustomObject): FieldError[] => {
    const errors = bare ? validateValue(object, bare, "", old) : [];
    if (!ruled) return errors;
    // Rules ask about types that have been found right.
    return errors.some(({ type }) => blocking.has(type))
      ? [...errors, invalid("<nil>", null, notChecked)]
      : [...errors, ...checkRules(bare!, object, old)];
  };
  const own = (object: CustomObject, old?: CustomObject): FieldError[] => [
    ...(object.kind === kind ? [] : [invalid("kind", object.kind, `must be ${kind}`)]),
    ...(object.apiVersion === apiVersion ? [] : [invalid("apiVersion", object.apiVersion, `must be ${apiVersion}`)]),
    ...bySchema(object, old),
    ...(scale ? validateScaleOf(scale, object) : []),
  ];
  const validateUpdate = (object: CustomObject, old: CustomObject) => [
    ...validateObjectMetaUpdate(object.metadata, old.metadata),
    ...own(object, old),
  ];
  return defineResource<CustomObject>(
    { group, version: version.name, resource: plural, kind, namespaced },
    {
      schema: schemaName(group, version.name, kind),
      singular,
      listKind,
      shortNames,
      categories,
      verbs: hasCondition(definition, "Terminating") ? verbsAtTheEnd : allVerbs,
      subresources: [...(hasStatus ? ["status"] : []), ...(scale ? [scaleSubresource] : [])],
      storagePrefix: `${group}/${plural}`,
      ...selection(Object.fromEntries(fields.map(([name]) => [name, ""])), namespaced, true),
      fields: (object) => Object.fromEntries(fields.map(([name, path]) => [name, text(path(object)[0])])),
      unconditionalUpdate: false,
      defaults: (object) => setDefaults(object, schema),
      prepareForCreate(object) {
        if (hasStatus) delete object["status"];
        object.metadata.generation = 1;
      },
      prepareForUpdate(object, old) {
        if (hasStatus) putBack(object, "status", old["status"]);
        const generation = old.metadata.generation ?? 0;
        const same = sameJson({ ...object, metadata: 0 }, { ...old, metadata: 0 });
        object.metadata.generation = same ? generation : generation + 1;
      },
      prepareForStatusUpdate(object, old) {
        const { managedFields, resourceVersion } = object.metadata;
        const { status: wanted } = object;
        for (const key of Object.keys(object)) delete object[key];
        Object.assign(object, structuredClone(old));
        putBack(object, "status", wanted);
        Object.assign(object.metadata, { resourceVersion });
        if (managedFields) object.metadata.managedFields = managedFields;
      },
      validate: (object) => [...validateObjectMeta(object.metadata, meta), ...own(object)],
      validateUpdate,
      validateStatusUpdate: validateUpdate,
      columns: columnsOf(version.additionalPrinterColumns),
      ...(scale ? { scale: scaleAccess(scale) } : {}),
      ...(version.deprecated
        ? { deprecated: version.deprecationWarning ?? `${apiVersion} ${kind} is deprecated` }
        : {}),
      custom: {
        message: messageOf(apiVersion, kind, schema),
        schema,
        decode: (object, unknown) => decode(object as CustomObject, schema, unknown),
        async fromStored(objects) {
          for (const object of objects) readStored(object as CustomObject, definition);
          const converted = await convertedTo(objects, definition, version.name, convert);
          for (const object of converted) setDefaults(object, schema);
          return converted;
        },
        async toStored(object) {
          const [stored] = await convertedTo([object], definition, storageOf(definition).name, convert);
          return stored!;
        },
      },
    },
  );
}

const allVerbs: readonly Verb[] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const verbsAtTheEnd = allVerbs.filter((verb) => verb !== "create");

const storageOf = ({ spec }: CustomResourceDefinition) => spec.versions.find(({ storage }) => storage)!;

/** `com.example.stable.v1.CronTab`, as upstream names its schemas. */
const schemaName = (group: string, version: string, kind: string): string =>
  `${group.split(".").reverse().join(".")}.${version}.${kind}`;

const blocking = new Set(["FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"]);
const notChecked =
  "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";

/** metadata has rules of its own. */
const withoutMetadata = (schema: JsonSchema): JsonSchema => {
  const { metadata: _, ...properties } = schema.properties ?? {};
  return { ...schema, properties };
};

function putBack(object: CustomObject, key: string, value: unknown): void {
  if (value === undefined) delete object[key];
  else object[key] = structuredClone(value);
}

function decode(object: CustomObject, schema: JsonSchema | undefined, unknown: string[]): void {
  const inMetadata: string[] = [];
  const pruned: string[] = [];
  prune(object, schema, true, pruned);
  coerceMetadata(table, object, schema, inMetadata);
  const own = inMetadata.filter((path) => path.startsWith("metadata."));
  unknown.push(...own, ...pruned.sort(), ...inMetadata.filter((path) => !own.includes(path)));
  setDefaults(object, schema);
}

/** What lies in the store was written under other rules: it is pruned and defaulted as the storage version says now. */
function readStored(object: CustomObject, definition: CustomResourceDefinition): void {
  const apiVersion = object.apiVersion ?? "";
  const version = definition.spec.versions.find(({ name }) => apiVersion.endsWith(`/${name}`)) ?? storageOf(definition);
  const schema = version.schema?.openAPIV3Schema as JsonSchema | undefined;
  prune(object, schema, true, []);
  setDefaults(object, schema);
  object.metadata.generation ??= 1;
}

function messageOf(apiVersion: string, kind: string, schema: JsonSchema | undefined): Message {
  const fields = new Map(rootFields(schema).map((name) => [name, undefined as never]));
  const message = {
    id: `${apiVersion}.${kind}`,
    name: kind,
    isKind: true,
    scope: undefined,
    atomic: false,
    jsonForm: undefined,
    fields,
    numbers: new Map(),
  };
  setStruct(message, structOfSchema(table, schema));
  return message;
}

function columnsOf(definitions: CustomResourceColumnDefinition[] | undefined): Column<KubernetesObject>[] {
  if (!definitions?.length) return [nameColumn, { ...ageColumn, type: "date" }];
  const own = definitions.map(
    ({ name, type, format = "", description = "", priority = 0, jsonPath }): Column<KubernetesObject> => {
      const path = compileJsonPath(jsonPath);
      return {
        name,
        type: type as Column<KubernetesObject>["type"],
        format,
        description: description || `Custom resource definition column (in JSONPath format): ${jsonPath}`,
        priority: priority as 0 | 1,
        cell(object, now) {
          const [value] = path(object);
          return value === undefined || value === null ? null : cellOf(type, value, now);
        },
      };
    },
  );
  return [nameColumn, ...own];
}

function cellOf(type: string, value: unknown, now: number): string | number | boolean | null {
  if (type === "string") return text(value);
  if (type === "date")
    return typeof value === "string" ? (Number.isNaN(Date.parse(value)) ? "<invalid>" : age(value, now)) : null;
  if (type === "integer") return typeof value === "number" ? Math.trunc(value) : null;
  return typeof value === type ? (value as number | boolean) : null;
}

const text = (value: unknown): string =>
  value === undefined ? "" : isObject(value) || Array.isArray(value) ? JSON.stringify(value) : String(value);
