import type { Resource } from "../api/resource.ts";
import type { Target } from "./request.ts";

/**
 * Which resources are served. The built-in ones are there from the start and found with one look into a map; a source
 * (custom resources) is asked only for what is not built in, and may grow and shrink at any time.
 */
export class ResourceTable {
  readonly builtIn: readonly Resource[];
  readonly #builtIn = new Map<string, Resource>();
  #source: ResourceSource = { served: new Map() };
  #all: { served: ResourceSource["served"]; resources: readonly Resource[] } | undefined;

  constructor(builtIn: readonly Resource[]) {
    this.builtIn = builtIn;
    for (const resource of builtIn) this.#builtIn.set(idOf(resource), resource);
  }

  addSource(source: ResourceSource): void {
    this.#source = source;
  }

  find(target: Pick<Target, "group" | "version" | "resource">): Resource | undefined {
    const id = idOf(target);
    return this.#builtIn.get(id) ?? this.#source.served.get(id);
  }

  /** In the order of discovery. The same array for as long as nothing changes. */
  get all(): readonly Resource[] {
    const { served } = this.#source;
    if (this.#all?.served !== served) this.#all = { served, resources: [...this.builtIn, ...served.values()] };
    return this.#all.resources;
  }
}

export interface ResourceSource {
  /** By id, in the order of discovery. Another map after each change. */
  readonly served: ReadonlyMap<string, Resource>;
}

export const idOf = ({ group, version, resource }: Pick<Target, "group" | "version" | "resource">): string =>
  `${group}/${version}/${resource}`;
