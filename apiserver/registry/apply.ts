import type { Resource } from "../../api/resource.ts";
import { schema } from "../../api/schema.ts";
import { apply } from "../../apimachinery/apply/apply.ts";
import { required } from "../../apimachinery/field-error.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { parseJson, scanJson } from "../../apimachinery/schema/json-scan.ts";
import { isObject, type JsonObject, set } from "../../apimachinery/schema/normalize.ts";
import { parseYaml } from "../../apimachinery/schema/yaml.ts";
import { badRequest, conflict, invalid, isAlreadyExists, isNotFound } from "../../apimachinery/status.ts";
import { isTrue } from "../http/request-info.ts";
import type { ApiRequest } from "../request.ts";
import type { Place } from "./context.ts";
import { decodeServed, fieldValidation } from "./decode.ts";
import { messageOf, validateManager, writerOf } from "./field-manager.ts";
import { fromStored } from "./versions.ts";
import { create, matchName, matchNamespace, rewrite, type Updated, type WriteOptions } from "./write.ts";

export const applyPatchType = "application/apply-patch+yaml";

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
  const { value, problems } = parse(text);
  const validation = fieldValidation(options);
  if (problems.length > 0 && validation === "Strict")
    throw badRequest(`error strict decoding YAML: ${problems.join(", ")}`);
  if (validation === "Warn") warnings.push(...problems);
  if (!isObject(value))
    throw badRequest("error decoding YAML: json: cannot unmarshal value into Go value of type map[string]interface {}");
  return withoutNulls(value) as JsonObject;
}

function parse(text: string): { value: unknown; problems: string[] } {
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
