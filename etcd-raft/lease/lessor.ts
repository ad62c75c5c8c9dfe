import { etcdError } from "../errors.ts";

/**
 * Leases and the keys that hang on them. Grant and revoke come through raft, so every member has the same leases; how
 * long one has still to live is known to the leader alone (`promote`), whose clock decides.
 *
 * `now` is a monotonic time in milliseconds. TTLs are seconds.
 */
export class Lessor {
  readonly #leases = new Map<bigint, Lease>();
  readonly #minTTL: number;
  #primary = false;

  /** `minTTL`: a leader that was elected meanwhile must have the time to hear a keep-alive. */
  constructor(minTTL: number) {
    this.#minTTL = minTTL;
  }

  has(id: bigint): boolean {
    return this.#leases.has(id);
  }

  /** Returns the TTL that was granted. */
  grant(id: bigint, ttl: number, now: number): number {
    if (id === 0n) throw etcdError("leaseNotFound");
    if (ttl > maxTTL) throw etcdError("leaseTTLTooLarge");
    if (this.#leases.has(id)) throw etcdError("leaseExists");
    const granted = Math.max(ttl, this.#minTTL);
    this.#leases.set(id, { id, ttl: granted, keys: new Set(), expiry: this.#primary ? now + granted * 1000 : never });
    return granted;
  }

  /** Takes the lease away and returns its keys, sorted: the caller deletes them in one revision. */
  revoke(id: bigint): string[] {
    const lease = this.#leases.get(id);
    if (lease === undefined) throw etcdError("leaseNotFound");
    this.#leases.delete(id);
    return [...lease.keys].sort();
  }

  /** Full TTL from now on; the TTL, or what stands against it. */
  renew(id: bigint, now: number): number | "missing" | "expired" {
    const lease = this.#leases.get(id);
    if (lease === undefined) return "missing";
    if (lease.expiry <= now) return "expired"; // its revocation is on the way and must not be overtaken
    lease.expiry = now + lease.ttl * 1000;
    return lease.ttl;
  }

  /** What hangs on it, sorted. */
  keysOf(id: bigint): string[] {
    return [...(this.#leases.get(id)?.keys ?? [])].sort();
  }

  /** Undefined also for a lease that has expired and is about to be revoked. */
  timeToLive(id: bigint, now: number): { remaining: number; granted: number; keys: string[] } | undefined {
    const lease = this.#leases.get(id);
    if (lease === undefined || lease.expiry <= now) return undefined;
    const remaining = lease.expiry === never ? lease.ttl : Math.floor((lease.expiry - now) / 1000);
    return { remaining, granted: lease.ttl, keys: [...lease.keys].sort() };
  }

  /** All ids, those that end first first. */
  ids(): bigint[] {
    return [...this.#leases.values()].sort((a, b) => a.expiry - b.expiry).map(({ id }) => id);
  }

  /** These leases become those of `other`, which is not used any more. Only a follower's: they do not expire here. */
  become(other: Lessor): void {
    this.#leases.clear();
    for (const [id, lease] of other.#leases) this.#leases.set(id, lease);
  }

  /** What a snapshot keeps. */
  list(): { id: bigint; ttl: number }[] {
    return [...this.#leases.values()].map(({ id, ttl }) => ({ id, ttl }));
  }

  /**
   * This member leads now: every lease has its full TTL again, and `extendMs` more for the time without a leader, in
   * which nobody could renew.
   */
  promote(now: number, extendMs: number): void {
    this.#primary = true;
    for (const lease of this.#leases.values()) lease.expiry = now + lease.ttl * 1000 + extendMs;
  }

  demote(): void {
    this.#primary = false;
    for (const lease of this.#leases.values()) lease.expiry = never;
  }

  /** Leases to revoke, at most `limit`. */
  expired(now: number, limit: number): bigint[] {
    const ids: bigint[] = [];
    for (const { id, expiry } of this.#leases.values()) {
      if (expiry <= now && ids.push(id) === limit) break;
    }
    return ids;
  }

  attach(id: bigint, key: string): void {
    this.#leases.get(id)?.keys.add(key);
  }

  detach(id: bigint, key: string): void {
    this.#leases.get(id)?.keys.delete(key);
  }
}

/** 1.5 election timeouts, in whole seconds: two by default. */
export const minTTLFor = (electionTimeoutMs: number): number => Math.ceil((1.5 * electionTimeoutMs) / 1000);

interface Lease {
  id: bigint;
  ttl: number;
  keys: Set<string>;
  expiry: number;
}

const never = Number.POSITIVE_INFINITY;
const maxTTL = 9_000_000_000;
