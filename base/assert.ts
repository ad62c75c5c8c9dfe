/** A broken invariant is our mistake: throw, and let the process end (see `base/process.ts`). Kept on in production. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

export function unreachable(value: never, message = "unreachable"): never {
  throw new AssertionError(`${message}: ${JSON.stringify(value)}`);
}

export class AssertionError extends Error {
  override name = "AssertionError";
}
