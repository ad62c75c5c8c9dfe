import type { KubernetesObject } from "../apimachinery/object.ts";
import { memo } from "../base/memo.ts";

/** `namespace/name`, or `name` for cluster-scoped objects: how stores and workqueues name an object. */
export const keyOf = ({ metadata }: KubernetesObject): string =>
  metadata.namespace ? `${metadata.namespace}/${metadata.name}` : metadata.name;

/** What readers of an informer see. The objects are shared: never change one. */
export interface ReadStore<T extends KubernetesObject> {
  get(key: string): T | undefined;
  list(): T[];
  readonly size: number;
  /** Keeps an index of all objects by the values that `valuesOf` gives; the result looks one value up. */
  index(valuesOf: (object: T) => readonly string[]): (value: string) => T[];
}

/** Objects by key, with indexes that follow every change. */
export class Store<T extends KubernetesObject> implements ReadStore<T> {
  readonly #objects = new Map<string, T>();
  readonly #indexes: Index<T>[] = [];

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): T[] {
    return [...this.#objects.values()];
  }

  get size(): number {
    return this.#objects.size;
  }

  keys(): string[] {
    return [...this.#objects.keys()];
  }

  index(valuesOf: (object: T) => readonly string[]): (value: string) => T[] {
    const index: Index<T> = { valuesOf, keys: new Map() };
    for (const [key, object] of this.#objects) insert(index, key, object);
    this.#indexes.push(index);
    return (value) => Array.from(index.keys.get(value) ?? [], (key) => this.#objects.get(key)!);
  }

  set(key: string, object: T): void {
    const old = this.#objects.get(key);
    this.#objects.set(key, object);
    for (const index of this.#indexes) {
      if (old !== undefined) remove(index, key, old);
      insert(index, key, object);
    }
  }

  delete(key: string): void {
    const old = this.#objects.get(key);
    if (old === undefined) return;
    this.#objects.delete(key);
    for (const index of this.#indexes) remove(index, key, old);
  }
}

type Index<T> = { valuesOf: (object: T) => readonly string[]; keys: Map<string, Set<string>> };

function insert<T>(index: Index<T>, key: string, object: T): void {
  for (const value of index.valuesOf(object)) memo(index.keys, value, () => new Set()).add(key);
}

function remove<T>(index: Index<T>, key: string, object: T): void {
  for (const value of index.valuesOf(object)) {
    const keys = index.keys.get(value);
    keys?.delete(key);
    if (keys?.size === 0) index.keys.delete(value);
  }
}
