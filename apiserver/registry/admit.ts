import { Namespaces } from "../../api/generated/resources.ts";
import type { Resource, Verb } from "../../api/resource.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import type { Target, User } from "../request.ts";
import { registryRoot } from "../storage/storage.ts";
import type { Context } from "./context.ts";

export interface Admitted {
  verb: Verb;
  resource: Resource;
  target: Target;
  user: User;
  object: KubernetesObject | undefined;
  old: KubernetesObject | undefined;
}

const namespacePrefix = `${registryRoot}${Namespaces.resource}/`;

/** Runs the admission chain on what the cache knows of Namespaces. */
export function admitNow({ admission, cache }: Context, { target, ...rest }: Admitted): void {
  const { name, namespace, subresource } = target;
  const namespaces = cache.resource(namespacePrefix).objects;
  admission(
    { ...rest, name: name || (rest.object?.metadata.name ?? ""), namespace, subresource },
    { namespace: (name) => namespaces.get(`${namespacePrefix}${name}`)?.parse() },
  );
}

/** The same; a Namespace that the cache does not know may have been made a moment ago: then it is caught up first. */
export async function admit(context: Context, admitted: Admitted): Promise<void> {
  const { namespace } = admitted.target;
  const known = context.cache.resource(namespacePrefix).objects.has(`${namespacePrefix}${namespace}`);
  if (admitted.resource.namespaced && !known) await context.cache.consistent();
  admitNow(context, admitted);
}
