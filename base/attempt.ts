/** What `make` gives; undefined when it throws, where the caller does not care why. */
export function attempt<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}
