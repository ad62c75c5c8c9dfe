import type { StoredObject } from "../storage/stored-object.ts";

/**
 * One change of an object after the other, as far as they come through this process: of many at once the store would
 * accept one and refuse the rest. Each begins with what the one before it left, which the cache may not have yet.
 * Correctness does not rest on it: other apiservers write too, and every write is conditional.
 */
export class KeyLocks {
  readonly #tails = new Map<string, Promise<StoredObject | undefined>>();

  async run<T extends { stored: StoredObject; gone: boolean }>(
    key: string,
    work: (newest: StoredObject | undefined) => Promise<T>,
  ): Promise<T> {
    const before = this.#tails.get(key);
    const result = before === undefined ? work(undefined) : before.then(work);
    const tail = result.then(
      ({ stored, gone }) => (gone ? undefined : stored),
      () => undefined,
    );
    this.#tails.set(key, tail);
    try {
      return await result;
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }
}
