import { schema } from "../../api/schema.ts";
import { forbiddenField } from "../../apimachinery/field-error.ts";
import { apiVersionOf } from "../../apimachinery/object.ts";
import { jsonPatch } from "../../apimachinery/patch/json.ts";
import { mergePatch } from "../../apimachinery/patch/merge.ts";
import { goValue, strategicMergePatch } from "../../apimachinery/patch/strategic.ts";
import { maxDepth, parseJson, scanJson } from "../../apimachinery/schema/json-scan.ts";
import type { JsonObject } from "../../apimachinery/schema/normalize.ts";
import { badRequest, invalid, unsupportedMediaType } from "../../apimachinery/status.ts";
import type { ApiRequest, Body } from "../request.ts";
import { applyPatchType } from "./apply.ts";
import { fieldValidation, type Kind } from "./decode.ts";

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
      forbiddenField("force", "may not be specified for non-apply patch"),
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
