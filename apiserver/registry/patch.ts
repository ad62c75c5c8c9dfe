import { badRequest, unsupportedMediaType } from "../../apimachinery/status.ts";
import type { Body, Options } from "../request.ts";
import type { Kind } from "./decode.ts";

/** A patch in a body, ready to be applied to as many states as it takes. */
export type Patch = (current: object) => Patched;

export interface Patched {
  value: unknown;
  warnings: string[];
}

export function patcher(_kind: Kind, body: Body | undefined, _options: Options): Patch {
  const type = (body?.contentType ?? "").split(";")[0]!.trim();
  if (type !== "application/merge-patch+json") throw unsupportedMediaType(["application/merge-patch+json"]);
  let patch: unknown;
  try {
    patch = JSON.parse(body!.bytes.toString());
  } catch (error) {
    throw badRequest((error as Error).message);
  }
  return (current) => ({ value: merge(current, patch), warnings: [] });
}

function merge(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else if (key !== "__proto__") result[key] = merge(result[key], value);
  }
  return result;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
