import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "vitest";
import { Code, type GrpcError } from "./grpc-error.ts";
import { framedMessage, MessageReader } from "./grpc-framing.ts";
import { bytesOf } from "./http2/connection.ts";

class Reader extends MessageReader {
  readonly got: string[] = [];

  push(payload: Buffer): boolean {
    this.read(payload);
    return this.insideMessage;
  }

  get held(): number {
    return this.unfinishedBytes;
  }

  protected onMessage(message: Buffer): void {
    this.got.push(message.toString());
  }
}

describe("messages", () => {
  const streamOf = (messages: string[]) =>
    Buffer.concat(messages.map((message) => bytesOf(framedMessage(Buffer.from(message)))));

  test("are the same wherever the stream is cut, at every octet too", () => {
    const cuts = fc.oneof(fc.constant([1]), fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1 }));
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 20 })), cuts, (messages, sizes) => {
        const reader = new Reader();
        const stream = streamOf(messages);
        let inside = false;
        for (let at = 0, i = 0; at < stream.length; at += sizes[i++ % sizes.length]!)
          inside = reader.push(stream.subarray(at, at + sizes[i % sizes.length]!));
        assert.deepEqual([reader.got, inside], [messages, false]);
      }),
    );
  });

  test("that are cut off are known to be unfinished, at every octet", () => {
    const stream = streamOf(["abc"]);
    for (let length = 1; length < stream.length; length++)
      assert.deepEqual([new Reader().push(stream.subarray(0, length)), length], [true, length]);
  });

  test("that are announced large get room as they come", () => {
    const reader = new Reader();
    reader.push(Buffer.from([0, 0x7f, 0xff, 0xff, 0xff, 1]));
    assert.ok(reader.held < 100_000);
    for (let i = 0; i < 1000; i++) reader.push(Buffer.alloc(1000));
    assert.ok(reader.held >= 1_000_001 && reader.held < 3_000_000, `${reader.held} bytes`);
  });

  test("that are longer than allowed are refused when that is announced", () => {
    const refused = ({ code, message }: GrpcError) =>
      code === Code.ResourceExhausted && message === "grpc: received message larger than max (11 vs. 10)";
    assert.throws(() => new Reader(10).push(Buffer.from([0, 0, 0, 0, 11])), refused);
  });

  test("that are compressed are refused", () => {
    const refused = (error: GrpcError) => error.code === Code.Unimplemented;
    assert.throws(() => new Reader().push(Buffer.from([1, 0, 0, 0, 0])), refused);
  });
});
