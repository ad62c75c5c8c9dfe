import fc from "fast-check";
import { expect, test } from "vitest";
import { InternalRaftRequest } from "../../proto/generated/etcdserverpb.ts";
import { PlainPut } from "./plain-put.ts";

const bytes = (length: { minLength?: number; maxLength: number }) => fc.uint8Array(length);

test("a put of key and value is found where the codec finds it", () => {
  const put = new PlainPut();
  const ids = fc.bigInt({ min: 1n, max: 2n ** 64n - 1n });
  fc.assert(
    fc.property(ids, bytes({ minLength: 1, maxLength: 300 }), bytes({ maxLength: 20_000 }), (ID, key, value) => {
      const data = InternalRaftRequest.encode({ header: { ID }, put: { key, value } });
      expect(put.read(data)).toBe(true);
      expect((BigInt(put.idHigh) << 32n) | BigInt(put.idLow)).toBe(ID);
      expect([...data.subarray(put.keyAt, put.keyEnd)]).toEqual([...key]);
      expect([...data.subarray(put.valueAt, put.valueEnd)]).toEqual([...value]);
    }),
  );
});

const [key, value] = [Buffer.from("key"), Buffer.from("value")];
test.each([
  ["a lease", { header: { ID: 7n }, put: { key, value, lease: 1n } }],
  ["the previous value", { header: { ID: 7n }, put: { key, value, prevKv: true } }],
  ["no value but the one there is", { header: { ID: 7n }, put: { key, ignoreValue: true } }],
  ["a user", { header: { ID: 7n, username: "root" }, put: { key, value } }],
  ["no id", { put: { key, value } }],
  ["the id where etcd 3.0 had it", { ID: 7n, put: { key, value } }],
  ["no key", { header: { ID: 7n }, put: { value } }],
  ["another request", { header: { ID: 7n }, deleteRange: { key } }],
])("left to the codec: %s", (_what, request) => {
  expect(new PlainPut().read(InternalRaftRequest.encode(request))).toBe(false);
});

test("nor bytes that end early, go on, or lie about their length", () => {
  const data = InternalRaftRequest.encode({ header: { ID: 2n ** 60n }, put: { key, value } });
  const put = new PlainPut();
  for (let length = 0; length < data.length; length++) expect(put.read(data.subarray(0, length))).toBe(false);
  expect(put.read(Buffer.concat([data, Buffer.of(0x12, 0x00)]))).toBe(false);
  fc.assert(
    fc.property(fc.nat(data.length - 1), fc.nat(255), (at, byte) => {
      const other = Buffer.from(data);
      other[at] = byte;
      if (put.read(other)) expect(InternalRaftRequest.decode(other).put?.key.length).toBe(put.keyEnd - put.keyAt);
    }),
  );
});
