import type { Rand } from "../../base/rand.ts";

/**
 * Simple tokens: sixteen random letters, a dot and the index of the entry that made it, so that a member knows whether it
 * could have heard of it yet. Kept in memory alone; each use gives it its whole time again (`--auth-token-ttl`, five minutes),
 * on the member where it is used.
 */
export class Tokens {
  readonly #tokens = new Map<string, { user: string; expiry: number }>();
  readonly #ttlMs: number;

  constructor(ttlMs = 300_000) {
    this.#ttlMs = ttlMs;
  }

  /** The part before the dot: chosen before raft, so that all members get the same. */
  static prefix(rand: Rand): string {
    return Array.from({ length: 16 }, () => letters[rand.below(letters.length)]).join("");
  }

  add(token: string, user: string, now: number): void {
    for (const [other, { expiry }] of this.#tokens) if (expiry <= now) this.#tokens.delete(other);
    this.#tokens.set(token, { user, expiry: now + this.#ttlMs });
  }

  userOf(token: string, now: number): string | undefined {
    const found = this.#tokens.get(token);
    if (found === undefined || found.expiry <= now) return undefined;
    found.expiry = now + this.#ttlMs;
    return found.user;
  }

  invalidate(user?: string): void {
    for (const [token, { user: owner }] of this.#tokens)
      if (user === undefined || owner === user) this.#tokens.delete(token);
  }
}

/** The entry that made it; undefined when this is no simple token. */
export function tokenIndex(token: string): number | undefined {
  const match = /^[a-zA-Z]+\.(\d{1,15})$/.exec(token);
  return match ? Number(match[1]) : undefined;
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
