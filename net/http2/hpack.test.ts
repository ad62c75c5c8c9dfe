import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "vitest";
import { encodeHeaders, HpackDecoder, HpackError } from "./hpack.ts";
import { decodeHuffman } from "./huffman.ts";

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
const request = (extra: [string, string][] = []) => [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "www.example.com"],
  ...extra,
];

/** RFC 7541, Appendix C: the same three requests, plain (C.3) and Huffman coded (C.4), over one dynamic table. */
describe.each([
  [
    "C.3",
    ["8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", "8286 84be 5808 6e6f 2d63 6163 6865"],
    "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
  ],
  [
    "C.4",
    ["8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", "8286 84be 5886 a8eb 1064 9cbf"],
    "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
  ],
])("RFC 7541 %s", (_, [first, second], third) => {
  test("three requests in a row decode, each with the table of those before", () => {
    const decoder = new HpackDecoder();
    assert.deepEqual(decoder.decode(hex(first!)), request());
    assert.deepEqual(decoder.decode(hex(second!)), request([["cache-control", "no-cache"]]));
    assert.deepEqual(decoder.decode(hex(third)), [
      [":method", "GET"],
      [":scheme", "https"],
      [":path", "/index.html"],
      [":authority", "www.example.com"],
      ["custom-key", "custom-value"],
    ]);
  });
});

test("entries leave a full table oldest first (C.5: a table of 256 bytes)", () => {
  const decoder = new HpackDecoder(256);
  const add = (value: string) => Buffer.concat([hex("40 01 61"), Buffer.from([value.length]), Buffer.from(value)]);
  for (const value of ["1".repeat(60), "2".repeat(60), "3".repeat(60)]) decoder.decode(add(value)); // 93 bytes each
  assert.deepEqual(decoder.decode(hex("be bf")), [
    ["a", "3".repeat(60)],
    ["a", "2".repeat(60)],
  ]);
  assert.throws(() => decoder.decode(hex("c0")), HpackError);
});

test.each([
  ["index 0", "80"],
  ["an index beyond the table", "ff 00"],
  ["a string longer than the block", "00 05 61"],
  ["an integer without end", "ff ff ff ff ff ff ff ff ff"],
  ["a Huffman string padded with zeros", "00 81 00 01 61"],
  ["a Huffman string that holds EOS", "00 84 ff ff ff ff 01 61"],
  ["a table larger than announced", "3f e2 1f"],
  ["a table size after a header", "82 20"],
])("%s is a compression error", (_, block) => {
  assert.throws(() => new HpackDecoder().decode(hex(block)), HpackError);
});

test("a header bomb (one large entry, many references) is refused", () => {
  const decoder = new HpackDecoder();
  decoder.decode(Buffer.concat([hex("40 01 61 7f a1 1e"), Buffer.alloc(4000, "x")]));
  assert.throws(() => decoder.decode(Buffer.alloc(100, 0xbe)), /header list too large/);
});

test("what is encoded decodes to the same headers", () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,300}$/);
  const value = fc.string({ unit: "binary-ascii", maxLength: 300 });
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 20 }), (headers) => {
      assert.deepEqual(new HpackDecoder().decode(encodeHeaders(headers)), headers);
    }),
  );
});

test("arbitrary bytes decode or are a compression error, nothing else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      decodeHuffman(bytes, 0, bytes.length);
      try {
        new HpackDecoder().decode(Buffer.from(bytes));
      } catch (error) {
        assert.ok(error instanceof HpackError);
      }
    }),
  );
});
