import assert from "node:assert/strict";
import fc from "fast-check";
import protobuf from "protobufjs";
import { describe, test } from "vitest";
import { PutRequest, ResponseHeader } from "./generated/etcdserverpb.ts";
import { Writer } from "./writer.ts";

type Field =
  | { kind: "uint32" | "int32"; value: number }
  | { kind: "int64"; value: bigint }
  | { kind: "bool"; value: boolean }
  | { kind: "string"; value: string }
  | { kind: "double"; value: number }
  | { kind: "bytes"; value: Uint8Array }
  | { kind: "message"; fields: Field[] };

const field: fc.Arbitrary<Field> = fc.letrec<{ field: Field }>((tie) => ({
  field: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.record({ kind: fc.constant("uint32" as const), value: fc.nat(0xffffffff) }),
    fc.record({ kind: fc.constant("int32" as const), value: fc.integer() }),
    fc.record({ kind: fc.constant("int64" as const), value: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n) }),
    fc.record({ kind: fc.constant("bool" as const), value: fc.boolean() }),
    fc.record({ kind: fc.constant("string" as const), value: fc.string({ unit: "grapheme", maxLength: 300 }) }),
    fc.record({ kind: fc.constant("double" as const), value: fc.double() }),
    fc.record({ kind: fc.constant("bytes" as const), value: fc.uint8Array({ maxLength: 300 }) }),
    fc.record({ kind: fc.constant("message" as const), fields: fc.array(tie("field"), { maxLength: 6 }) }),
  ),
})).field;

function ours(w: Writer, fields: Field[]): Writer {
  for (const f of fields) {
    if (f.kind === "message") ours(w.uint32(10).fork(), f.fields).ldelim();
    else if (f.kind === "int64") w.int64(f.value);
    else w.uint32(8)[f.kind](f.value as never);
  }
  return w;
}

function theirs(w: protobuf.Writer, fields: Field[]): protobuf.Writer {
  for (const f of fields) {
    if (f.kind === "message") theirs(w.uint32(10).fork(), f.fields).ldelim();
    else if (f.kind === "int64") w.int64(long(f.value));
    else w.uint32(8)[f.kind](f.value as never);
  }
  return w;
}

function long(value: bigint): { low: number; high: number; unsigned: boolean } {
  return { low: Number(BigInt.asIntN(32, value)), high: Number(BigInt.asIntN(32, value >> 32n)), unsigned: false };
}

describe("the writer", () => {
  test("writes what protobufjs writes, whatever is nested in what", () => {
    fc.assert(
      fc.property(fc.array(field, { maxLength: 20 }), (fields) => {
        const expected = Buffer.from(theirs(new protobuf.Writer(), fields).finish());
        assert.deepEqual(ours(Writer.create(), fields).finish(), expected);
      }),
      { numRuns: 500 },
    );
  });

  test.each([0, 1, 127, 128, 2 ** 28 - 1, 2 ** 28, 2 ** 32, Number.MAX_SAFE_INTEGER, -1, -(2 ** 32) - 5])(
    "a number as a 64-bit integer is the bigint's: %d",
    (value) => {
      const big = Writer.create().int64(BigInt(value)).finish();
      assert.deepEqual(Writer.create().int64(value).finish(), big);
    },
  );

  test("what is written is read: 64-bit fields as numbers and as bigints", () => {
    fc.assert(
      fc.property(
        fc.bigInt(0n, 2n ** 64n - 1n),
        fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
        fc.maxSafeInteger(),
        (u, i, n) => {
          const header = ResponseHeader.decode(ResponseHeader.encode({ clusterId: u, memberId: u >> 9n, revision: n }));
          assert.deepEqual([header.clusterId, header.memberId, header.revision], [u, u >> 9n, n]);
          assert.equal(PutRequest.decode(PutRequest.encode({ lease: i })).lease, i);
        },
      ),
      { numRuns: 500 },
    );
  });

  test.each([127, 128, 16_383, 16_384, 2_097_151, 2_097_152])("a message of %d bytes gets its length in front", (n) => {
    const bytes = Writer.create().fork().bytes(new Uint8Array(n)).ldelim().finish();
    const expected = new protobuf.Writer().fork().bytes(new Uint8Array(n)).ldelim().finish();
    assert.deepEqual(bytes, Buffer.from(expected));
  });
});
