import type { StoredObject } from "../storage/stored-object.ts";
import type { CacheEvent } from "./resource-cache.ts";
import type { Watcher } from "./watcher.ts";

/** A field that must have one value for a watch to want an object: an event finds the watch by that, without asking it. */
export interface Narrow {
  field: string;
  value: string;
  /** How fields are read from an object; another version of a kind may read them otherwise. */
  fieldsOf: Parameters<StoredObject["attributes"]>[0];
}

/**
 * The watchers of one resource. A thousand nodes each watch the Pods with their own name in `spec.nodeName`: an event is
 * offered to the two that may want it, not to all.
 */
export class Watchers {
  readonly #all = new Set<Watcher>();
  readonly #wide = new Set<Watcher>();
  readonly #indexes: (Omit<Narrow, "value"> & { byValue: Map<string, Set<Watcher>> })[] = [];

  get size(): number {
    return this.#all.size;
  }

  all(): Watcher[] {
    return [...this.#all];
  }

  add(watcher: Watcher, narrow: Narrow | undefined): void {
    this.#all.add(watcher);
    const set = narrow === undefined ? this.#wide : this.#having(narrow);
    set.add(watcher);
    watcher.onFinished(() => {
      this.#all.delete(watcher);
      set.delete(watcher);
      if (narrow !== undefined && set.size === 0) this.#indexOf(narrow).delete(narrow.value);
    });
  }

  /** Those that may want an event: it touches what they watch before or after it. */
  *of({ type, object, previous }: CacheEvent): Generator<Watcher> {
    yield* this.#wide;
    for (const { field, fieldsOf, byValue } of this.#indexes) {
      if (byValue.size === 0) continue;
      const valueIn = (one: StoredObject) => one.attributes(fieldsOf).fields[field] ?? "";
      const before = previous && valueIn(previous);
      const after = type === "DELETED" ? before! : valueIn(object);
      yield* byValue.get(after) ?? [];
      if (before !== undefined && before !== after) yield* byValue.get(before) ?? [];
    }
  }

  #having(narrow: Narrow): Set<Watcher> {
    const byValue = this.#indexOf(narrow);
    const set = byValue.get(narrow.value) ?? new Set();
    byValue.set(narrow.value, set);
    return set;
  }

  #indexOf({ field, fieldsOf }: Narrow): Map<string, Set<Watcher>> {
    const known = this.#indexes.find((one) => one.field === field && one.fieldsOf === fieldsOf);
    if (known !== undefined) return known.byValue;
    const byValue = new Map<string, Set<Watcher>>();
    this.#indexes.push({ field, fieldsOf, byValue });
    return byValue;
  }
}
