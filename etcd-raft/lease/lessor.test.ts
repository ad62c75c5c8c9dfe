import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { Lessor, minTTLFor } from "./lessor.ts";

const leading = () => {
  const lessor = new Lessor(2);
  lessor.promote(0, 0);
  return lessor;
};

test("a short TTL is raised to the minimum, which follows the election timeout", () => {
  assert.deepEqual([1000, 500, 3000].map(minTTLFor), [2, 1, 5]);
  const lessor = leading();
  assert.equal(lessor.grant(1n, 1, 0), 2);
  assert.equal(lessor.grant(2n, 60, 0), 60);
});

test("refuses a second lease of one id and a TTL beyond 9,000,000,000 s", () => {
  const lessor = leading();
  lessor.grant(1n, 5, 0);
  assert.throws(() => lessor.grant(1n, 5, 0), /etcdserver: lease already exists$/);
  assert.throws(() => lessor.grant(2n, 9_000_000_001, 0), /etcdserver: too large lease TTL$/);
  assert.throws(() => lessor.revoke(3n), /etcdserver: requested lease not found$/);
});

test("a lease expires once its TTL is over, unless renewed before", () => {
  const lessor = leading();
  lessor.grant(1n, 5, 0);
  lessor.grant(2n, 5, 0);
  assert.equal(lessor.renew(2n, 4000), 5);
  assert.deepEqual(lessor.expired(4999, 9), []);
  assert.deepEqual(lessor.expired(5000, 9), [1n]);
  assert.deepEqual(lessor.timeToLive(2n, 5500), { remaining: 3, granted: 5, keys: [] });
});

test("an expired lease cannot be revived", () => {
  const lessor = leading();
  lessor.grant(1n, 5, 0);
  assert.equal(lessor.renew(1n, 5000), "expired");
  assert.equal(lessor.timeToLive(1n, 5000), undefined);
  lessor.revoke(1n);
  assert.equal(lessor.renew(1n, 5000), "missing");
});

test("only the leader's clock runs; a new leader starts with full TTLs and the time of the election", () => {
  const lessor = new Lessor(2);
  lessor.grant(1n, 5, 0);
  assert.deepEqual(lessor.expired(1e9, 9), []);
  lessor.promote(10_000, 1000);
  assert.deepEqual(lessor.expired(15_999, 9), []);
  assert.deepEqual(lessor.expired(16_000, 9), [1n]);
  lessor.demote();
  assert.deepEqual(lessor.expired(1e9, 9), []);
});

test("revoking gives the attached keys in order", () => {
  const lessor = leading();
  lessor.grant(1n, 5, 0);
  for (const key of ["b", "c", "a"]) lessor.attach(1n, key);
  lessor.detach(1n, "c");
  assert.deepEqual(lessor.revoke(1n), ["a", "b"]);
});

test("of those that have ended no more are told than asked for, and none that is being revoked", () => {
  const lessor = leading();
  for (const id of [1n, 2n, 3n]) lessor.grant(id, 5, 0);
  assert.deepEqual(lessor.expired(5000, 2), [1n, 2n]);
  assert.deepEqual(lessor.expired(5000, 2, new Set([1n, 2n])), [3n]);
  lessor.revoke(3n);
  assert.deepEqual(lessor.expired(5000, 9), [1n, 2n]);
  lessor.grant(4n, 2, 5000);
  assert.deepEqual(lessor.expired(7000, 9), [1n, 2n, 4n]);
});

describe("checkpoints", () => {
  const minute = 60_000;

  test("only of leases longer than five minutes, every five minutes", () => {
    const lessor = leading();
    lessor.grant(1n, 300, 0);
    lessor.grant(2n, 900, 0);
    assert.deepEqual(lessor.checkpointsDue(5 * minute - 1, 9), []);
    assert.deepEqual(lessor.checkpointsDue(5 * minute, 9), [{ ID: 2n, remainingTTL: 600 }]);
    assert.deepEqual(lessor.checkpointsDue(5 * minute, 9), []);
    assert.deepEqual(lessor.checkpointsDue(10 * minute, 9), [{ ID: 2n, remainingTTL: 300 }]);
    assert.deepEqual(lessor.checkpointsDue(15 * minute, 9), []);
  });

  test("a renewal begins anew; more than asked for wait for the next time", () => {
    const lessor = leading();
    for (const id of [1n, 2n]) lessor.grant(id, 900, 0);
    lessor.renew(1n, minute);
    assert.deepEqual(lessor.checkpointsDue(6 * minute, 1), [{ ID: 1n, remainingTTL: 600 }]);
    assert.deepEqual(lessor.checkpointsDue(6 * minute, 1), [{ ID: 2n, remainingTTL: 540 }]);
  });

  test("another leader gives what was noted, not all; after a renewal all again", () => {
    const next = new Lessor(2);
    for (const id of [1n, 2n]) next.grant(id, 900, 0);
    next.checkpoint(1n, 600);
    next.checkpoint(3n, 600); // gone meanwhile
    assert.equal(next.isCheckpointed(1n), true);
    next.promote(0, 1000);
    assert.deepEqual(next.expired(601_000, 9), [1n]);
    assert.deepEqual(next.list(), [
      { id: 1n, ttl: 900, remainingTTL: 600 },
      { id: 2n, ttl: 900, remainingTTL: 0 },
    ]);
    next.checkpoint(1n, 0);
    assert.equal(next.isCheckpointed(1n), false);
    next.promote(0, 0);
    assert.deepEqual(next.expired(899_999, 9), []);
  });
});
