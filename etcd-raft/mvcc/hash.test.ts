import assert from "node:assert/strict";
import { test } from "vitest";
import { crc32c } from "../crc32c.ts";
import { hashKV } from "./hash.ts";
import { Store } from "./store.ts";

test("CRC-32C gives the vectors of RFC 3720, B.4, in one piece or several", () => {
  assert.equal(crc32c(0, Buffer.alloc(32)), 0x8a9136aa);
  assert.equal(crc32c(0, Buffer.alloc(32, 0xff)), 0x62a8ab43);
  assert.equal(crc32c(0, Buffer.from(Array.from({ length: 32 }, (_, i) => i))), 0x46dd794e);
  assert.equal(crc32c(crc32c(0, Buffer.from("12345")), Buffer.from("6789")), 0xe3069283);
});

test("the hash covers the entries as etcd's backend holds them", () => {
  const store = new Store();
  const write = store.begin();
  write.put("a", Buffer.from("1"), 0n);
  write.end();
  // bucket name, revision 2_0, KeyValue{key: "a", create 2, mod 2, version 1, value "1"}
  const entry = Buffer.from("6b657900000000000000025f00000000000000000a01611002180220012a0131", "hex");
  assert.equal(hashKV(store, 0), crc32c(0, entry));
  assert.throws(() => hashKV(store, 3), /future revision/);
});
