import { expect, test } from "vitest";
import { Writer } from "../../proto/wire.ts";
import { ProposalBytes } from "./proposal-bytes.ts";

const written = (length: number, byte: number) => Writer.create().raw(Buffer.alloc(length, byte));

test("proposals share buffers with each other only, and a large one with none", () => {
  const bytes = new ProposalBytes();
  const small = Array.from({ length: 300 }, (_, i) => bytes.copy(written(1000, i)));
  for (const [i, data] of small.entries()) expect(data.equals(Buffer.alloc(1000, i))).toBe(true);
  const buffers = new Set(small.map(({ buffer }) => buffer));
  expect(buffers.size).toBe(5);
  expect(buffers.has(Buffer.allocUnsafe(100).buffer)).toBe(false);
  const large = bytes.copy(written(20_000, 7));
  expect([large.length, large.buffer.byteLength, large[19_999]]).toEqual([20_000, 20_000, 7]);
});
