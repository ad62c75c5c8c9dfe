import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { FrameDecoder, type FrameKind, frameHead } from "./frames.ts";

test("frames come out as they went in, however the bytes are cut", () => {
  const frames = fc.array(fc.tuple(fc.nat(4), fc.uint8Array({ maxLength: 40 })), { maxLength: 10 });
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (sent, cuts) => {
      const bytes = Buffer.concat(
        sent.flatMap(([kind, payload]) => [frameHead(kind as FrameKind, payload.length), payload]),
      );
      const received: [number, Uint8Array][] = [];
      const decoder = new FrameDecoder();
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const end = at + cuts[i % cuts.length]!;
        decoder.push(bytes.subarray(at, end), (kind, payload) => received.push([kind, new Uint8Array(payload)]));
        at = end;
      }
      assert.deepEqual(received, sent);
    }),
  );
});

test("a length that cannot be is an error", () => {
  assert.throws(() => new FrameDecoder().push(Buffer.from("ffffffff00", "hex"), () => {}), /a frame of/);
  assert.throws(() => new FrameDecoder().push(Buffer.from("0000000000", "hex"), () => {}), /a frame of/);
});
