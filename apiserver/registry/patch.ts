import type { Resource } from "../../api/resource.ts";
import { schema } from "../../api/schema.ts";
import { apply } from "../../apimachinery/apply/apply.ts";
import { forbidden, required } from "../../apimachinery/field-error.ts";
import { apiVersionOf, type KubernetesObject } from "../../apimachinery/object.ts";
import { jsonPatch } from "../../apimachinery/patch/json.ts";
import { mergePatch } from "../../apimachinery/patch/merge.ts";
import { goValue, strategicMergePatch } from "../../apimachinery/patch/strategic.ts";
import { maxDepth, parseJson, scanJson } from "../../apimachinery/schema/json-scan.ts";
import { isObject, type JsonObject, set } from "../../apimachinery/schema/normalize.ts";
import { parseYaml } from "../../apimachinery/schema/yaml.ts";
import {
  badRequest,
  conflict,
  invalid,
  isAlreadyExists,
  isNotFound,
  unsupportedMediaType,
} from "../../apimachinery/status.ts";
import { isTrue } from "../http/request-info.ts";
import type { ApiRequest, Body } from "../request.ts";
import type { Place } from "./context.ts";
import { decodeServed, fieldValidation, type Kind } from "./decode.ts";
import { messageOf, validateManager, writerOf } from "./field-manager.ts";
import { fromStored } from "./versions.ts";
import { create, matchName, matchNamespace, rewrite, type Updated, type WriteOptions } from "./write.ts";

/**
 * A patch in a body, ready to be applied to as many states as it takes. Does not change its argument. `quote` is what an
 * error shows of it.
 */
export type Patch = ((current: object) => unknown) & { quote(patched: unknown): string };

/** Throws 415 for a type that is not taken, 400 for what is no JSON. */
export function patcher(kind: Kind, { body, options, warnings }: ApiRequest): Patch {
  const taken = Object.keys(types).filter((type) => type !== strategic || !kind.custom);
  const apply = taken.includes(typeOf(body)) ? types[typeOf(body)] : undefined;
  if (apply === undefined) throw unsupportedMediaType([...taken, applyPatchType]);
  if (options.force !== undefined)
    throw invalid({ group: "meta.k8s.io", kind: "PatchOptions" }, "", [
      forbidden("force", "may not be specified for non-apply patch"),
    ]);
  const patch = parse(body!.bytes.toString("utf8"), fieldValidation(options), warnings);
  const quote = (patched: unknown) => (typeOf(body) === strategic ? goValue(patch) : JSON.stringify(patched));
  return Object.assign((current: object) => apply(kind, current, patch), { quote });
}

export const isApply = (body: Body | undefined): boolean => typeOf(body) === applyPatchType;

const typeOf = (body: Body | undefined): string => (body?.contentType ?? "").split(";")[0]!.trim().toLowerCase();

const strategic = "application/strategic-merge-patch+json";

const types: Record<string, (kind: Kind, current: object, patch: unknown) => unknown> = {
  "application/json-patch+json": (_kind, current, patch) => {
    const patched = jsonPatch(current, patch); // which alone can make an object deeper than it and the patch are
    if (isDeeperThan(maxDepth, patched)) throw badRequest("exceeded max depth");
    return patched;
  },
  "application/merge-patch+json": (_kind, current, patch) => {
    if (typeof patch !== "object" || patch === null || Array.isArray(patch)) throw badRequest("invalid JSON document");
    return mergePatch(current, patch);
  },
  [strategic]: (kind, current, patch) =>
    strategicMergePatch(schema, schema.kind(apiVersionOf(kind), kind.kind)!, current as JsonObject, patch),
};

function isDeeperThan(levels: number, value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeperThan(levels - 1, inner));
}

function parse(text: string, validation: string, warnings: string[]): unknown {
  const scan = scanJson(text);
  const texts = [...new Set(scan.duplicates.map(({ path }) => `duplicate field ${JSON.stringify(path)}`))];
  if (texts.length > 0 && validation === "Strict")
    throw badRequest(`error decoding patch: strict decoding error: ${texts.join(", ")}`);
  if (validation === "Warn") warnings.push(...texts);
  try {
    return parseJson(text, scan);
  } catch (error) {
    throw badRequest(`error decoding patch: ${(error as Error).message}`);
  }
}

const applyPatchType = "application/apply-patch+yaml";

/**
 * PATCH with a config of the whole object: server-side apply. Creates the object when there is none (201).
 * Throws 400, 409 with the conflicts, 422.
 */
export async function applyPatch(
  at: Place,
  served: Resource,
  request: ApiRequest,
  options: WriteOptions,
): Promise<Updated> {
  const { context, resource, target } = at;
  checkOptions(request);
  const config = readConfig(request);
  const force = isTrue(request.options.force ?? "false");
  const writer = { ...writerOf(context, served, target.subresource, options.manager), force };
  /** What the config makes of the present state, and who owns it then. */
  const make = (live: KubernetesObject | undefined, warnings: string[]) => {
    const present = (live && fromStored(served, live)) as unknown as JsonObject | undefined;
    const { object, managedFields } = apply(schema, messageOf(served), present, config, writer);
    const wanted = decodeServed(served, object, { options: request.options, warnings });
    return { wanted, applied: { managedFields } };
  };
  for (let attempt = 0; ; attempt++) {
    try {
      return { code: 200, stored: await rewrite(at, options, make) };
    } catch (error) {
      if (!isNotFound(error) || target.subresource !== "") throw error;
    }
    await request.check?.("create");
    const { wanted, applied } = make(undefined, options.warnings);
    matchName(target, wanted);
    matchNamespace(resource, target, wanted);
    if (wanted.metadata.uid) {
      const detail = `uid mismatch: the provided object specified uid ${wanted.metadata.uid}, and no existing object was found`;
      throw conflict(resource, target.name, detail);
    }
    try {
      return { code: 201, stored: await create(at, wanted, { ...options, applied }) };
    } catch (error) {
      if (!isAlreadyExists(error) || attempt > 0) throw error; // else someone was faster: merge with theirs
    }
  }
}

function checkOptions({ options }: ApiRequest): void {
  const missing = options.fieldManager ? [] : [required("fieldManager", "is required for apply patch")];
  const errors = [...missing, ...validateManager(options)];
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", kind: "PatchOptions" }, "", errors);
}

/** YAML, of which JSON is a part and the usual case. Differs: nulls are as absent. */
function readConfig({ body, options, warnings }: ApiRequest): JsonObject {
  const text = body!.bytes.toString("utf8");
  const { value, problems } = parseConfig(text);
  const validation = fieldValidation(options);
  if (problems.length > 0 && validation === "Strict")
    throw badRequest(`error strict decoding YAML: ${problems.join(", ")}`);
  if (validation === "Warn") warnings.push(...problems);
  if (!isObject(value))
    throw badRequest("error decoding YAML: json: cannot unmarshal value into Go value of type map[string]interface {}");
  return withoutNulls(value) as JsonObject;
}

function parseConfig(text: string): { value: unknown; problems: string[] } {
  try {
    if (!text.trimStart().startsWith("{")) {
      const { value, duplicates } = parseYaml(text);
      return { value, problems: duplicates.length ? [`yaml: unmarshal errors:\n  ${duplicates.join("\n  ")}`] : [] };
    }
    const scan = scanJson(text);
    const problems = scan.duplicates.map(({ path }) => `duplicate field ${JSON.stringify(path)}`);
    return { value: parseJson(text, scan), problems };
  } catch (error) {
    throw badRequest(`error decoding YAML: ${(error as Error).message}`);
  }
}

function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isObject(value)) return value;
  const result: JsonObject = {};
  for (const key of Object.keys(value)) if (value[key] !== null) set(result, key, withoutNulls(value[key]));
  return result;
}
