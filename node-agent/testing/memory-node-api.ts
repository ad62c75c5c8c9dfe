import type { KubernetesObject, ObjectKey, ResourceType } from "../../apimachinery/object.ts";
import { MemoryApi } from "../../client/testing/memory-api.ts";
import type { ListOptions, PatchType, WatchOptions, WriteOptions } from "../../client/types.ts";

/**
 * The API in memory as a node agent needs it: strategic merge patches of a status (conditions by type, addresses by ip)
 * and all Pods as those of this node.
 */
export class MemoryNodeApi extends MemoryApi {
  override list<T extends KubernetesObject>(type: ResourceType<T>, options: ListOptions = {}) {
    return super.list(type, ofThisNode(options));
  }

  override watch<T extends KubernetesObject>(type: ResourceType<T>, options: WatchOptions) {
    return super.watch(type, ofThisNode(options));
  }

  override async patch<T extends KubernetesObject>(
    type: ResourceType<T>,
    key: ObjectKey,
    patch: { type: PatchType; body: unknown },
    options: WriteOptions = {},
  ): Promise<T> {
    if (patch.type !== "strategic") return super.patch(type, key, patch, options);
    const old = (await this.get(type, key)) as { status?: Record<string, unknown> };
    const body = structuredClone(patch.body) as { status?: Record<string, unknown>; metadata?: unknown };
    for (const [name, mergeKey] of Object.entries({ conditions: "type", podIPs: "ip", hostIPs: "ip" })) {
      const list = body.status?.[name] as Record<string, unknown>[] | undefined;
      if (list) body.status![name] = mergeList((old.status?.[name] as typeof list) ?? [], list, mergeKey);
    }
    return super.patch(type, key, { type: "merge", body }, options);
  }
}

function ofThisNode<O extends ListOptions | WatchOptions>(options: O): O {
  if (!options.fieldSelector?.startsWith("spec.nodeName=")) return options;
  const { fieldSelector: _, ...rest } = options;
  return rest as O;
}

function mergeList(old: Record<string, unknown>[], patch: Record<string, unknown>[], key: string) {
  const result = new Map(old.map((item) => [item[key], item]));
  for (const { $patch, ...item } of patch) {
    if ($patch === "delete") result.delete(item[key]);
    else {
      const merged = { ...result.get(item[key]), ...item };
      result.set(item[key], Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== null)));
    }
  }
  return [...result.values()];
}
