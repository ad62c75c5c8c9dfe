import type { Resource } from "../../api/resource.ts";
import { schema } from "../../api/schema.ts";
import { apply } from "../../apimachinery/apply/apply.ts";
import { required } from "../../apimachinery/field-error.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { scanJson, syntaxError } from "../../apimachinery/schema/json-scan.ts";
import { isObject, type JsonObject, set } from "../../apimachinery/schema/normalize.ts";
import { parseYaml } from "../../apimachinery/schema/yaml.ts";
import { badRequest, conflict, invalid, isAlreadyExists, isNotFound } from "../../apimachinery/status.ts";
import { isTrue } from "../http/request-info.ts";
import type { ApiRequest } from "../request.ts";
import type { Context } from "./context.ts";
import { create, matchName, matchNamespace, type WriteOptions } from "./create.ts";
import { decodeServed, fieldValidation } from "./decode.ts";
import { messageOf, validateManager, writerOf } from "./field-manager.ts";
import { modify } from "./modify.ts";
import { next, type Updated } from "./update.ts";
import { fromStored, storedOf } from "./versions.ts";

export const applyPatchType = "application/apply-patch+yaml";

/**
 * PATCH with a config of the whole object: server-side apply. Creates the object when there is none (201).
 * Throws 400, 409 with the conflicts, 422.
 */
export async function applyPatch(
  context: Context,
  served: Resource,
  request: ApiRequest,
  options: WriteOptions,
): Promise<Updated> {
  const { target } = request;
  const resource = storedOf(served);
  checkOptions(request);
  const config = readConfig(request);
  const writer = {
    ...writerOf(context, served, target.subresource, options.manager),
    force: isTrue(request.options.force ?? "false"),
  };
  /** What the config makes of the present state, and who owns it then. */
  const wantedOf = (live: KubernetesObject | undefined, warnings: string[]) => {
    const { object, managedFields } = apply(
      schema,
      messageOf(served),
      (live && fromStored(served, live)) as unknown as JsonObject | undefined,
      config,
      writer,
    );
    const wanted = decodeServed(served, object, request.options, warnings);
    matchName(target, wanted);
    matchNamespace(resource, target, wanted);
    return { wanted, owner: { ...options, applied: { managedFields } } };
  };
  for (let attempt = 0; ; attempt++) {
    try {
      const found = new Set<string>();
      const { stored } = await modify(
        context,
        resource,
        target,
        async (old) => {
          const warnings: string[] = [];
          const { wanted, owner } = wantedOf(old, warnings);
          const result = await next(context, resource, target, old, wanted, { ...owner, warnings });
          found.clear();
          for (const warning of warnings) found.add(warning);
          return result;
        },
        options.dryRun,
      );
      options.warnings.push(...found);
      return { code: 200, stored };
    } catch (error) {
      if (!isNotFound(error) || target.subresource !== "") throw error;
    }
    await request.check?.("create");
    const { wanted, owner } = wantedOf(undefined, options.warnings);
    if (wanted.metadata.uid) {
      const detail = `uid mismatch: the provided object specified uid ${wanted.metadata.uid}, and no existing object was found`;
      throw conflict(resource, target.name, detail);
    }
    try {
      return { code: 201, stored: await create(context, resource, { ...target, name: "" }, wanted, owner) };
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
    const { error, duplicates } = scanJson(text);
    if (error !== undefined) throw new Error(error);
    return {
      value: JSON.parse(text) as unknown,
      problems: duplicates.map(({ path }) => `duplicate field ${JSON.stringify(path)}`),
    };
  } catch (error) {
    const message = error instanceof SyntaxError ? syntaxError(text) : (error as Error).message;
    throw badRequest(`error decoding YAML: ${message}`);
  }
}

function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isObject(value)) return value;
  const result: JsonObject = {};
  for (const key of Object.keys(value)) if (value[key] !== null) set(result, key, withoutNulls(value[key]));
  return result;
}
