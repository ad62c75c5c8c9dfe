import { pods } from "../../api/core/pod.ts";
import type { PersistentVolume, Pod } from "../../api/generated/core-v1.ts";
import type { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from "../../api/generated/rbac-v1.ts";
import type { VolumeAttachment } from "../../api/generated/storage-v1.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { registryRoot } from "../storage/storage.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import type { ResourceCache } from "../watchcache/resource-cache.ts";
import type { NodeLookup } from "./node.ts";
import { RbacIndex } from "./rbac.ts";

/** What the authorizers know, read from the watch cache. */
interface Cache {
  resource(prefix: string): ResourceCache;
}

/** Made anew when a role or binding has changed; each object is parsed once. */
export function rbacIndexOf(cache: Cache): () => RbacIndex {
  const parsed = new WeakMap<StoredObject, KubernetesObject>();
  const kinds = ["clusterroles", "roles", "clusterrolebindings", "rolebindings"] as const;
  let index: RbacIndex | undefined;
  let seen = "";
  return () => {
    const caches = kinds.map((kind) => cache.resource(`${registryRoot}${kind}/`));
    const changes = caches.map((c) => c.changes).join();
    if (index !== undefined && changes === seen) return index;
    const [clusterRoles, roles, clusterRoleBindings, roleBindings] = caches.map((c) => objectsOf(c));
    index = new RbacIndex({
      clusterRoles: clusterRoles as Iterable<ClusterRole>,
      roles: roles as Iterable<Role>,
      clusterRoleBindings: clusterRoleBindings as Iterable<ClusterRoleBinding>,
      roleBindings: roleBindings as Iterable<RoleBinding>,
    });
    seen = changes;
    return index;
  };

  function* objectsOf({ objects }: ResourceCache): Generator<KubernetesObject> {
    for (const stored of objects.values()) {
      let object = parsed.get(stored);
      if (object === undefined) {
        object = stored.parse();
        parsed.set(stored, object);
      }
      yield object;
    }
  }
}

export function nodeLookupOf(cache: Cache): NodeLookup {
  const one = (prefix: string, name: string) => cache.resource(prefix).objects.get(`${prefix}${name}`);
  const fieldsOf = pods.fields as (object: KubernetesObject) => Record<string, string>;
  const nodeOf = (pod: StoredObject | undefined) => pod?.attributes(fieldsOf).fields["spec.nodeName"];
  return {
    *podsOf(node, namespace) {
      const prefix = `${registryRoot}pods/`;
      for (const stored of cache.resource(prefix).under(namespace ? `${prefix}${namespace}/` : prefix))
        if (nodeOf(stored) === node) yield stored.parse() as Pod;
    },
    nodeOf: (namespace, name) => nodeOf(one(`${registryRoot}pods/`, `${namespace}/${name}`)),
    volume: (name) => one(`${registryRoot}persistentvolumes/`, name)?.parse() as PersistentVolume | undefined,
    volumeAttachment: (name) => one(`${registryRoot}volumeattachments/`, name)?.parse() as VolumeAttachment | undefined,
  };
}
