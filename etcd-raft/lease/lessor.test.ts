import assert from "node:assert/strict";
import { test } from "vitest";
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
