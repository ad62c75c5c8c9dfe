import { etcdError } from "../errors.ts";

/**
 * Leases and the keys that hang on them. Grant and revoke come through raft, so every member has the same leases; how
 * long one has still to live is known to the leader alone (`promote`), whose clock decides. Of long leases that is
 * replicated now and then (`checkpoint`).
 *
 * `now` is a monotonic time in milliseconds. TTLs are seconds.
 */
export class Lessor {
  readonly #leases = new Map<bigint, Lease>();
  readonly #minTTL: number;
  #primary = false;
  /** No lease ends before. A bound, so that nobody walks over all of them to find that none has ended. */
  #endsFrom = never;
  #checkpointFrom = never; // no checkpoint is due before

  /** `minTTL`: a leader that was elected meanwhile must have the time to hear a keep-alive. */
  constructor(minTTL: number) {
    this.#minTTL = minTTL;
  }

  has(id: bigint): boolean {
    return this.#leases.has(id);
  }

  grant(id: bigint, ttl: number, now: number): number {
    if (id === 0n) throw etcdError("leaseNotFound");
    if (ttl > maxTTL) throw etcdError("leaseTTLTooLarge");
    if (this.#leases.has(id)) throw etcdError("leaseExists");
    const granted = Math.max(ttl, this.#minTTL);
    const lease: Lease = { id, ttl: granted, remainingTTL: 0, keys: new Set(), expiry: never, checkpointAt: never };
    this.#leases.set(id, lease);
    if (this.#primary) this.#extend(lease, now, granted * 1000);
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
    this.#extend(lease, now, lease.ttl * 1000);
    return lease.ttl;
  }

  /** It is noted how long this one has still to live. Before a renewal counts, that note has to go. */
  isCheckpointed(id: bigint): boolean {
    return (this.#leases.get(id)?.remainingTTL ?? 0) > 0;
  }

  /**
   * Long leases whose remaining time should be noted now, so that another leader does not give them all of it again: at most
   * `limit`, each every five minutes.
   */
  checkpointsDue(now: number, limit: number): { ID: bigint; remainingTTL: number }[] {
    const due: { ID: bigint; remainingTTL: number }[] = [];
    if (this.#checkpointFrom > now) return due;
    let from = never;
    for (const lease of this.#leases.values()) {
      if (lease.checkpointAt <= now && due.length < limit) {
        lease.checkpointAt = lease.expiry - now > checkpointMs ? now + checkpointMs : never;
        due.push({ ID: lease.id, remainingTTL: Math.ceil((lease.expiry - now) / 1000) });
      }
      from = Math.min(from, lease.checkpointAt);
    }
    this.#checkpointFrom = from;
    return due;
  }

  /** Replicated. 0: it was renewed. Of a lease that is gone: nothing. */
  checkpoint(id: bigint, remainingTTL: number): void {
    const lease = this.#leases.get(id);
    if (lease) lease.remainingTTL = remainingTTL;
  }

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
  list(): { id: bigint; ttl: number; remainingTTL: number }[] {
    return [...this.#leases.values()].map(({ id, ttl, remainingTTL }) => ({ id, ttl, remainingTTL }));
  }

  /**
   * This member leads now: every lease has its full TTL again, or what is noted to be left of it, and `extendMs` more for the
   * time without a leader, in which nobody could renew.
   */
  promote(now: number, extendMs: number): void {
    this.#primary = true;
    this.#endsFrom = never;
    this.#checkpointFrom = never;
    for (const lease of this.#leases.values())
      this.#extend(lease, now, (lease.remainingTTL || lease.ttl) * 1000 + extendMs);
  }

  demote(): void {
    this.#primary = false;
    for (const lease of this.#leases.values()) {
      lease.expiry = never;
      lease.checkpointAt = never;
    }
  }

  /** Leases to revoke, at most `limit` besides those that `skip` names. */
  expired(now: number, limit: number, skip: ReadonlySet<bigint> = none): bigint[] {
    const ids: bigint[] = [];
    if (this.#endsFrom > now) return ids;
    let from = never;
    for (const { id, expiry } of this.#leases.values()) {
      from = Math.min(from, expiry);
      if (expiry > now || skip.has(id)) continue;
      if (ids.push(id) === limit) return ids;
    }
    this.#endsFrom = from;
    return ids;
  }

  #extend(lease: Lease, now: number, ms: number): void {
    lease.expiry = now + ms;
    lease.checkpointAt = ms > checkpointMs ? now + checkpointMs : never;
    this.#endsFrom = Math.min(this.#endsFrom, lease.expiry);
    this.#checkpointFrom = Math.min(this.#checkpointFrom, lease.checkpointAt);
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
  remainingTTL: number; // Replicated, in seconds; 0: not noted, all of `ttl`
  keys: Set<string>;
  expiry: number;
  checkpointAt: number;
}

const never = Number.POSITIVE_INFINITY;
const none: ReadonlySet<bigint> = new Set();
const maxTTL = 9_000_000_000;
const checkpointMs = 5 * 60_000;
