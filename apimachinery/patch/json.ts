import { applyPatch, type Operation, Pointer } from "rfc6902";
import { badRequest, rejected, requestEntityTooLarge } from "../status.ts";

/**
 * JSON patch (RFC 6902) with upstream's limits: 10,000 operations, and 3 MiB copied. Throws BadRequest for what is no
 * patch, and 422 for one that does not fit the object. The object is not changed.
 */
const maxOperations = 10_000;
const maxCopiedBytes = 3 * 1024 * 1024;

export function jsonPatch(object: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) {
    const type = patch === null ? "null" : typeof patch === "boolean" ? "bool" : typeof patch;
    throw badRequest(`error decoding patch: json: cannot unmarshal ${type} into Go value of type jsonpatch.Patch`);
  }
  if (patch.length > maxOperations)
    throw requestEntityTooLarge(
      `The allowed maximum operations in a JSON patch is ${maxOperations}, got ${patch.length}`,
    );
  const result = { root: structuredClone(object) };
  let copied = 0;
  for (const operation of patch as unknown[]) {
    if (!isOperation(operation)) throw rejected();
    // Below `root`, so that a whole document can be replaced too.
    const moved = { ...operation, path: `/root${operation.path}` } as Operation;
    if ("from" in moved) moved.from = `/root${moved.from}`;
    if (moved.op === "copy") {
      copied += JSON.stringify(Pointer.fromJSON(moved.from).get(result) ?? null).length;
      if (copied > maxCopiedBytes) throw rejected();
    }
    const [error] = applyPatch(result, [moved]);
    if (error) throw rejected(error);
  }
  return result.root;
}

function isOperation(value: unknown): value is Operation {
  if (typeof value !== "object" || value === null) return false;
  const { op, path, from } = value as Record<string, unknown>;
  // No part of any path may reach a prototype.
  if ([path, from].some((p) => typeof p === "string" && p.split("/").includes("__proto__"))) return false;
  if (typeof path !== "string" || (path !== "" && !path.startsWith("/"))) return false;
  // The document itself stays.
  if ((op === "remove" && path === "") || (op === "move" && from === "")) return false;
  if (op === "move" || op === "copy") return typeof from === "string" && (from === "" || from.startsWith("/"));
  if (op === "add" || op === "replace" || op === "test") return Object.hasOwn(value, "value");
  return op === "remove";
}
