import { isObject, type JsonObject, set } from "../schema/normalize.ts";

/** JSON merge patch (RFC 7386): objects merge, null deletes, all else replaces. Neither argument is changed. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  return merged(structuredClone(target), structuredClone(patch));
}

function merged(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: JsonObject = isObject(target) ? target : {};
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (value === null) delete result[key];
    else set(result, key, merged(Object.hasOwn(result, key) ? result[key] : undefined, value));
  }
  return result;
}
