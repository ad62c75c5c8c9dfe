import type { Resource, Verb } from "../../api/resource.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import type { User } from "../request.ts";

/**
 * What is about to be written, as admission sees it. Plug-ins run in upstream's order; each is a pure function that may
 * change `object` or throw a StatusError.
 */
export interface Attributes {
  verb: Verb;
  resource: Resource;
  subresource: string;
  namespace: string;
  name: string;
  user: User;
  /** Undefined for a delete. */
  object: KubernetesObject | undefined;
  /** Undefined for a create. */
  old: KubernetesObject | undefined;
}

/** What plug-ins may know of the cluster. */
export interface Lookup {
  /** The Namespace as the cache has it. */
  namespace(name: string): KubernetesObject | undefined;
}

export type Plugin = (attributes: Attributes, lookup: Lookup) => void;

export type Admission = (attributes: Attributes, lookup: Lookup) => void;

export function admissionChain(plugins: readonly Plugin[]): Admission {
  return (attributes, lookup) => {
    for (const plugin of plugins) plugin(attributes, lookup);
  };
}
