import * as field from "../field-error.ts";
import { apiVersionOf } from "../object.ts";
import { badRequest, invalid } from "../status.ts";
import { parseJson, type Scan, scanJson } from "./json-scan.ts";
import { isObject, type JsonObject, maxProblems, normalize } from "./normalize.ts";
import { decodeEnvelope, decodeMessage } from "./protobuf.ts";
import type { Message, Schema } from "./table.ts";
import { describe } from "./values.ts";
import { parseYaml } from "./yaml.ts";

/**
 * A request's body as an object of the kind that the endpoint takes. Throws BadRequest with upstream's text.
 *
 *   decodeBody(schema, bytes, { mediaType: "application/json", validation: "Strict",
 *     expected: { group: "", version: "v1", kind: "Pod" } })
 *   -> Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.foo"
 */
export interface DecodeOptions {
  /** One of `mediaTypes`. */
  mediaType: string;
  expected: { group: string; version: string; kind: string };
  /** The query parameter `fieldValidation`; protobuf has no unknown fields. */
  validation?: FieldValidation;
  /** For kinds that are not in the schema table: what `normalize` is for the others. */
  decode?(object: JsonObject, unknown: string[]): void;
}

export type FieldValidation = "Strict" | "Warn" | "Ignore";

export interface Decoded {
  object: JsonObject;
  /** For Warning headers. */
  warnings: string[];
}

export const mediaTypes = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

const noKind = "couldn't get version/kind; json parse error";

export function decodeBody(schema: Schema, body: Uint8Array, options: DecodeOptions): Decoded {
  if (options.mediaType === "application/vnd.kubernetes.protobuf") return decodeProtobufBody(schema, body, options);
  const text = new TextDecoder().decode(body);
  const { expected, validation = "Warn" } = options;
  const unrecognized = (message: string) =>
    badRequest(
      `the object provided is unrecognized (must be of type ${expected.kind}): ${message} (${summary(body, text)})`,
    );
  let value: unknown;
  let yamlDuplicates: string[] = [];
  let scan: Scan | undefined;
  const yaml = options.mediaType === "application/yaml";
  try {
    if (yaml) ({ value, duplicates: yamlDuplicates } = parseYaml(text));
    else {
      scan = scanJson(text);
      value = parseJson(text, scan);
    }
  } catch (error) {
    throw unrecognized(`couldn't get version/kind; json parse error: ${(error as Error).message}`);
  }
  if (!isObject(value)) {
    const type =
      'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }';
    throw unrecognized(`${noKind}: json: cannot unmarshal ${describe(value)} into Go value of type ${type}`);
  }
  const { message, fail } = options.decode
    ? expectCustom(value, expected)
    : expectKind(schema, value["apiVersion"], value["kind"], expected);
  const unknown: string[] = [];
  try {
    if (options.decode) options.decode(value, unknown);
    else normalize(schema, message!, value, unknown);
  } catch (error) {
    throw fail((error as Error).message);
  }
  const problems = validation === "Ignore" ? [] : strictProblems(text, scan, unknown, yamlDuplicates);
  if (problems.length && validation === "Strict") throw fail(`strict decoding error: ${problems.join(", ")}`);
  return { object: message ? complete(value, message, expected) : value, warnings: problems };
}

/** A kind of which nothing is known but its name: another one is a matter of validation. */
function expectCustom(value: JsonObject, { group, version, kind }: DecodeOptions["expected"]) {
  const apiVersion = `${group}/${version}`;
  value["kind"] ||= kind;
  value["apiVersion"] ||= apiVersion;
  if (value["apiVersion"] !== apiVersion)
    throw badRequest(
      `the API version in the data (${String(value["apiVersion"])}) does not match the expected API version (${apiVersion})`,
    );
  const fail = (message: string) =>
    badRequest(`${String(value["kind"])} in version "${version}" cannot be handled as a ${kind}: ${message}`);
  return { message: undefined, fail };
}

function decodeProtobufBody(schema: Schema, body: Uint8Array, { expected }: DecodeOptions): Decoded {
  let envelope: ReturnType<typeof decodeEnvelope>;
  try {
    envelope = decodeEnvelope(body);
  } catch (error) {
    const shown = summary(body, new TextDecoder().decode(body.subarray(0, 64)));
    throw badRequest(
      `the object provided is unrecognized (must be of type ${expected.kind}): ${(error as Error).message} (${shown})`,
    );
  }
  const { message, fail } = expectKind(schema, envelope.apiVersion || undefined, envelope.kind || undefined, expected);
  try {
    return { object: complete(decodeMessage(schema, message, envelope.raw), message, expected), warnings: [] };
  } catch (error) {
    throw fail((error as Error).message);
  }
}

/** An object as it lies in the store: our JSON, or an upstream apiserver's protobuf. Throws an Error. */
export function decodeStored(schema: Schema, bytes: Uint8Array): JsonObject {
  if (bytes[0] === 0x7b)
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()) as JsonObject;
  const { apiVersion, kind, raw } = decodeEnvelope(bytes);
  const message = schema.kind(apiVersion, kind);
  if (!message) throw new Error(`no kind "${kind}" is registered for version "${apiVersion}"`);
  return { apiVersion, kind, ...decodeMessage(schema, message, raw) };
}

/**
 * What a patch made of an object, as one of its kind again. `patch` is what upstream quotes in the 422 for values of the
 * wrong type and, when Strict, for unknown fields.
 */
export function decodePatched(
  schema: Schema,
  patched: unknown,
  { expected, validation = "Warn", patch, decode }: Omit<DecodeOptions, "mediaType"> & { patch: string },
): Decoded {
  const fail = (detail: string) => invalid({ group: "", kind: "" }, "", [field.invalid("patch", patch, detail)]);
  if (!isObject(patched))
    throw fail(`json: cannot unmarshal ${describe(patched)} into Go value of type ${expected.kind}`);
  const { message } = decode
    ? expectCustom(patched, expected)
    : expectKind(schema, patched["apiVersion"], patched["kind"], expected);
  const unknown: string[] = [];
  try {
    if (decode) decode(patched, unknown);
    else normalize(schema, message!, patched, unknown);
  } catch (error) {
    throw fail((error as Error).message);
  }
  const problems = validation === "Ignore" ? [] : unknown.map((path) => `unknown field ${JSON.stringify(path)}`);
  if (problems.length && validation === "Strict") throw fail(`strict decoding error: ${problems.join(", ")}`);
  return { object: message ? complete(patched, message, expected) : patched, warnings: problems };
}

/** apiVersion and kind may be left out: the endpoint knows them. */
function expectKind(schema: Schema, apiVersion: unknown, kind: unknown, expected: DecodeOptions["expected"]) {
  const groupVersion = apiVersionOf(expected);
  const givenKind = typeof kind === "string" && kind ? kind : expected.kind;
  const given = typeof apiVersion === "string" && apiVersion ? apiVersion : groupVersion;
  const fail = (message: string) =>
    badRequest(
      `${givenKind} in version "${given.split("/").pop()}" cannot be handled as a ${expected.kind}: ${message}`,
    );
  const message = schema.kind(groupVersion, expected.kind);
  if (!message) throw new Error(`no kind ${expected.kind} in ${groupVersion}`);
  const found = schema.kind(given, givenKind);
  if (!found)
    throw fail(
      `no kind "${givenKind}" is registered for version "${given}" in scheme "pkg/api/legacyscheme/scheme.go:30"`,
    );
  if (givenKind !== expected.kind)
    throw fail(
      `converting (${goName(found)}) to (${goName(message).replace(/^v\d\w*/, groupOf(message))}): unknown conversion`,
    );
  if (found !== message)
    throw badRequest(
      `the API version in the data (${given}) does not match the expected API version (${groupVersion})`,
    );
  return { message, fail };
}

const goName = ({ id }: Message): string => id.slice(id.indexOf("/") + 1);
const groupOf = ({ id }: Message): string => id.slice(0, id.indexOf("/"));

/** Unknown and duplicate fields in the order of the text, as Go meets them. */
function strictProblems(text: string, scan: Scan | undefined, unknown: string[], yamlDuplicates: string[]): string[] {
  const problems = unknown.map((path) => ({ path, at: 0, text: `unknown field ${JSON.stringify(path)}` }));
  if (!scan) {
    const yaml = yamlDuplicates.length ? [`yaml: unmarshal errors:\n  ${yamlDuplicates.join("\n  ")}`] : [];
    return [...yaml, ...problems.map((p) => p.text)];
  }
  const below = (path: string, other: string) =>
    path === other || path.startsWith(`${other}.`) || path.startsWith(`${other}[`);
  const firsts = new Map(scan.duplicates.map(({ path, at }) => [path, at]).reverse() as [string, number][]);
  const duplicates = [...firsts].filter(([path]) => !unknown.some((u) => below(path, u)));
  if (duplicates.length && unknown.length) {
    const { positions } = scanJson(text, new Set(unknown));
    for (const problem of problems) problem.at = positions.get(problem.path) ?? 0;
  }
  for (const [path, at] of duplicates) problems.push({ path, at, text: `duplicate field ${JSON.stringify(path)}` });
  return problems
    .sort((a, b) => a.at - b.at)
    .map((p) => p.text)
    .slice(0, maxProblems);
}

/** Go's structs are never absent: metadata and spec are there, if only empty. */
function complete(object: JsonObject, message: Message, expected: DecodeOptions["expected"]): JsonObject {
  const result: JsonObject = { ...object, kind: expected.kind, apiVersion: apiVersionOf(expected) };
  if (message.fields.get("metadata")?.messageId === "meta/v1.ObjectMeta") {
    result["metadata"] ??= {};
    if (message.fields.has("spec")) result["spec"] ??= {};
  }
  return result;
}

/** The start of the body, in hex when it is no JSON object. */
function summary(body: Uint8Array, text: string): string {
  if (body.length === 0) return "<empty>";
  if (body[0] === 0x7b) return text.length > 30 ? `${text.slice(0, 30)} ...` : text;
  const hex = Buffer.from(body.subarray(0, 30)).toString("hex");
  return body.length > 30 ? `${hex} ...` : hex;
}
