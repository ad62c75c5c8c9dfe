/** No acknowledged write is lost, and none takes effect twice: each is exactly once in the final order of all writes. */
export function checkAcknowledged(acknowledged: readonly string[], applied: readonly string[]): string[] {
  const times = new Map<string, number>();
  for (const id of applied) times.set(id, (times.get(id) ?? 0) + 1);
  const violations: string[] = [];
  for (const id of acknowledged) {
    if (!times.has(id)) violations.push(`lost write: ${id} was acknowledged but is not in the log`);
  }
  for (const [id, count] of times) {
    if (count > 1) violations.push(`double write: ${id} is in the log ${count} times`);
  }
  return violations;
}
