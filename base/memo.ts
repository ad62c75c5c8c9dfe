/** What `known` has for `key`; made when it is first asked for. */
export function memo<K, V>(
  known: { get(key: K): V | undefined; set(key: K, value: NoInfer<V>): unknown },
  key: K,
  make: (key: K) => V,
): V {
  const found = known.get(key);
  if (found !== undefined) return found;
  const made = make(key);
  known.set(key, made);
  return made;
}
