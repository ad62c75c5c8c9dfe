import type { Resource } from "../../api/resource.ts";
import type { DeleteOptions } from "../../apimachinery/generated/meta-v1.ts";
import { isNotFound } from "../../apimachinery/status.ts";
import type { List, Sendable } from "../answer.ts";
import type { Options, Target } from "../request.ts";
import type { Asking } from "./admit.ts";
import type { Context } from "./context.ts";
import { remove } from "./delete.ts";
import { list } from "./list.ts";

/** DELETE of a list: each object for itself, a few at a time; those that are gone already are no error. */
export async function deleteCollection(
  context: Context,
  resource: Resource,
  target: Target,
  options: Options,
  deleteOptions: DeleteOptions,
  asking: Omit<Asking, "dryRun" | "requestOptions">,
): Promise<List> {
  const found = await list(context, resource, target, options);
  const items: Sendable[] = [];
  const left = found.items.map((item) => item.parse().metadata).values();
  const worker = async () => {
    for (const { name, namespace = "" } of left) {
      try {
        const own = { ...target, name, namespace };
        items.push((await remove(context, resource, own, deleteOptions, asking)).stored);
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return { resourceVersion: found.resourceVersion, items };
}

const concurrency = 8;
