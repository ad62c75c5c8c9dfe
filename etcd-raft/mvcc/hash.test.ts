import assert from "node:assert/strict";
import { test } from "vitest";
import { crc32c } from "../crc32c.ts";
import { hashKeys, hashKV } from "./hash.ts";
import { Store } from "./store.ts";

test("CRC-32C gives the vectors of RFC 3720, B.4, in one piece or several", () => {
  assert.equal(crc32c(0, Buffer.alloc(32)), 0x8a9136aa);
  assert.equal(crc32c(0, Buffer.alloc(32, 0xff)), 0x62a8ab43);
  assert.equal(crc32c(0, Buffer.from(Array.from({ length: 32 }, (_, i) => i))), 0x46dd794e);
  assert.equal(crc32c(crc32c(0, Buffer.from("12345")), Buffer.from("6789")), 0xe3069283);
});

function put(store: Store, key: string, value: string): void {
  const write = store.begin();
  write.put(key, Buffer.from(value), 0n);
  write.end();
}

function compact(store: Store, revision: number): void {
  store.compact(revision);
  while (store.compactStep(100));
}

test("the hash covers the entries as etcd's backend holds them", () => {
  const store = new Store();
  put(store, "a", "1");
  // bucket name, revision 2_0, KeyValue{key: "a", create 2, mod 2, version 1, value "1"}
  const entry = Buffer.from("6b657900000000000000025f00000000000000000a01611002180220012a0131", "hex");
  assert.equal(hashKV(store, 0), crc32c(0, entry));
});

test("a revision to come or before the compacted one is refused; the compacted one itself is not", () => {
  const store = new Store();
  for (const value of ["1", "2", "3"]) put(store, "a", value);
  compact(store, 3);
  assert.throws(() => hashKV(store, 5), /^GrpcError: etcdserver: mvcc: required revision is a future revision$/);
  assert.throws(() => hashKV(store, 2), /^GrpcError: etcdserver: mvcc: required revision has been compacted$/);
  assert.equal(typeof hashKV(store, 3), "number");
});

/** A store of 2,000 entries, so that its hash takes several slices, and one whose hash has come to its third. */
function halfway(revision: number) {
  const store = new Store();
  for (let i = 0; i < 2000; i++) put(store, `key ${i % 50}`, `${i}`);
  const work = hashKeys(store, revision);
  for (let slice = 0; slice < 3; slice++) assert.equal(work.next().done, false);
  const end = () => {
    for (;;) {
      const step = work.next();
      if (step.done) return step.value;
    }
  };
  return { store, end };
}

test("writes between two slices do not change the hash of the revision it began at", () => {
  const { store, end } = halfway(0);
  const before = hashKV(store, 0);
  put(store, "key 1", "later");
  assert.deepEqual(end(), { hash: before, revision: 2001, compactRevision: -1 });
});

test("a compaction between two slices: the hash is that of the compacted store, and says so", () => {
  const { store, end } = halfway(2001);
  compact(store, 1990);
  assert.deepEqual(end(), { hash: hashKV(store, 2001), revision: 2001, compactRevision: 1990 });
});

test("a compaction beyond the revision that is being hashed refuses it", () => {
  const { store, end } = halfway(500);
  compact(store, 1990);
  assert.throws(end, /required revision has been compacted$/);
});
