import type { CustomKind, Resource } from "../../api/resource.ts";
import { schema } from "../../api/schema.ts";
import { notSupported } from "../../apimachinery/field-error.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import {
  mediaTypes as allTypes,
  decodeBody,
  decodePatched,
  type FieldValidation,
} from "../../apimachinery/schema/decode.ts";
import { badRequest, invalid, unsupportedMediaType } from "../../apimachinery/status.ts";
import type { Body, Options } from "../request.ts";
import type { Patch } from "./patch.ts";
import { toStored } from "./versions.ts";

export interface Kind {
  group: string;
  version: string;
  kind: string;
  custom?: CustomKind;
}

const textTypes = ["application/json", "application/yaml"];

/** The object in a body. A missing Content-Type means JSON. Throws 400 and 415. */
export function decodeObject(
  kind: Kind,
  body: Body | undefined,
  options: Options,
  warnings: string[],
): KubernetesObject {
  const custom = kind.custom && { decode: kind.custom.decode as (object: object, unknown: string[]) => void };
  const mediaTypes = custom ? textTypes : allTypes;
  const mediaType = (body?.contentType ?? "").split(";")[0]!.trim().toLowerCase() || "application/json";
  if (!mediaTypes.includes(mediaType)) throw unsupportedMediaType(mediaTypes);
  const expected = { group: kind.group, version: kind.version, kind: kind.kind };
  const validation = fieldValidation(options);
  const decoded = decodeBody(schema, body?.bytes ?? Buffer.alloc(0), { mediaType, expected, validation, ...custom });
  if (validation === "Warn") warnings.push(...decoded.warnings);
  const object = decoded.object as unknown as KubernetesObject;
  object.metadata ??= {} as KubernetesObject["metadata"];
  return object;
}

/** The same for an object that is at hand already, such as a patched one. */
export function decodeValueOf(kind: Kind, value: unknown, options: Options, warnings: string[]): KubernetesObject {
  const body = { contentType: "application/json", bytes: Buffer.from(JSON.stringify(value)) };
  return decodeObject(kind, body, options, warnings);
}

/** The same for what a patch made; throws 422 that quotes it. */
export function decodePatchedValue(kind: Kind, patched: unknown, patch: Patch, options: Options, warnings: string[]) {
  const custom = kind.custom && { decode: kind.custom.decode as (object: object, unknown: string[]) => void };
  const validation = fieldValidation(options);
  const quoted = patch.quote(patched); // before it is changed
  const decoded = decodePatched(schema, patched, { expected: kind, validation, patch: quoted, ...custom });
  warnings.push(...decoded.warnings);
  return decoded.object as unknown as KubernetesObject;
}

/** The same for an object of a resource, as the version in which it is stored. */
export function decodeServed(
  served: Resource,
  value: unknown,
  options: Options,
  warnings: string[],
  patch?: Patch,
): KubernetesObject {
  const object = patch
    ? decodePatchedValue(served, value, patch, options, warnings)
    : decodeValueOf(served, value, options, warnings);
  if (served.face === undefined) return object;
  served.defaults(object);
  return toStored(served, object);
}

export function fieldValidation({ fieldValidation: wanted = "" }: Options): FieldValidation {
  if (wanted === "" || wanted === "Warn") return "Warn";
  if (wanted === "Strict" || wanted === "Ignore") return wanted;
  throw invalidOptions("CreateOptions", "fieldValidation", wanted, ["", "Ignore", "Strict", "Warn"]);
}

/** Only `All` is a dry run; throws 422 for anything else. */
export function isDryRun(dryRun: readonly string[] | undefined): boolean {
  const values = (dryRun ?? []).filter((value) => value !== "");
  const wrong = values.find((value) => value !== "All");
  if (wrong !== undefined) throw invalidOptions("CreateOptions", "dryRun", wrong, ["All"]);
  return values.length > 0;
}

function invalidOptions(kind: string, field: string, value: string, values: readonly string[]) {
  return invalid({ group: "meta.k8s.io", kind }, "", [notSupported(field, value, values)]);
}

export function parseInteger(name: string, text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  if (!/^-?\d{1,10}$/.test(text))
    throw badRequest(`${name}: strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

export const apiVersionOf = ({ group, version }: Pick<Resource, "group" | "version">): string =>
  group ? `${group}/${version}` : version;
