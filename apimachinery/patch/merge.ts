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

/** The patch that makes `to` of `from`; for objects without nulls. */
export function mergeDiff(from: JsonObject, to: JsonObject): JsonObject {
  const patch: JsonObject = {};
  for (const key of Object.keys(from)) if (!Object.hasOwn(to, key)) set(patch, key, null);
  for (const key of Object.keys(to)) {
    const [before, after] = [Object.hasOwn(from, key) ? from[key] : undefined, to[key]];
    if (isObject(before) && isObject(after)) {
      const inner = mergeDiff(before, after);
      if (Object.keys(inner).length) set(patch, key, inner);
    } else if (JSON.stringify(before) !== JSON.stringify(after)) set(patch, key, after);
  }
  return patch;
}
