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
import type { ApiRequest, Body, Options } from "../request.ts";
import type { Patch } from "./patch.ts";
import { toStored } from "./versions.ts";

export interface Kind {
  group: string;
  version: string;
  kind: string;
  custom?: CustomKind;
}

const textTypes = ["application/json", "application/yaml"];

/** How an object of the kind is told from others and read. */
function expectedOf({ group, version, kind, custom }: Kind) {
  const decode = custom?.decode as ((object: object, unknown: string[]) => void) | undefined;
  return { expected: { group, version, kind }, ...(decode && { decode }) };
}

/** How a request wants objects read; warnings go to it. */
export type Reading = Pick<ApiRequest, "options" | "warnings">;

/** The object in a body. A missing Content-Type means JSON. Throws 400 and 415. */
export function decodeObject(kind: Kind, { body, options, warnings }: Reading & { body?: Body | undefined }) {
  const mediaTypes = kind.custom ? textTypes : allTypes;
  const mediaType = (body?.contentType ?? "").split(";")[0]!.trim().toLowerCase() || "application/json";
  if (!mediaTypes.includes(mediaType)) throw unsupportedMediaType(mediaTypes);
  const validation = fieldValidation(options);
  const bytes = body?.bytes ?? Buffer.alloc(0);
  const decoded = decodeBody(schema, bytes, { mediaType, validation, ...expectedOf(kind) });
  if (validation === "Warn") warnings.push(...decoded.warnings);
  const object = decoded.object as unknown as KubernetesObject;
  object.metadata ??= {} as KubernetesObject["metadata"];
  return object;
}

/** The same for what a patch made; throws 422 that quotes it. */
export function decodePatchedValue(kind: Kind, patched: unknown, patch: Patch, { options, warnings }: Reading) {
  const quoted = patch.quote(patched); // before it is changed
  const how = { validation: fieldValidation(options), patch: quoted, ...expectedOf(kind) };
  const decoded = decodePatched(schema, patched, how);
  warnings.push(...decoded.warnings);
  return decoded.object as unknown as KubernetesObject;
}

/** The same for an object of a resource that is at hand already, as the version in which it is stored. */
export function decodeServed(served: Resource, value: unknown, reading: Reading, patch?: Patch): KubernetesObject {
  const body = () => ({ contentType: "application/json", bytes: Buffer.from(JSON.stringify(value)) });
  const object = patch
    ? decodePatchedValue(served, value, patch, reading)
    : decodeObject(served, { ...reading, body: body() });
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

/** Undefined for none. `name` is told where upstream tells it. */
export function parseInteger(text: string | null | undefined, name = ""): number | undefined {
  if (!text) return undefined;
  if (/^-?\d{1,15}$/.test(text)) return Number(text);
  throw badRequest(`${name && `${name}: `}strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
}
