import assert from "node:assert/strict";
import { once } from "node:events";
import { type Duplex, duplexPair } from "node:stream";
import { text } from "node:stream/consumers";
import { constants, createDeflate } from "node:zlib";
import { describe, test } from "vitest";
import { dictionary, HeaderDecoder, HeaderEncoder } from "./headers.ts";
import { SpdySession, type SpdyStream } from "./session.ts";

function pair(onStream: (stream: SpdyStream) => void) {
  const [a, b] = duplexPair();
  const server = new SpdySession(b, { client: false, onStream });
  return { client: new SpdySession(a, { client: true }), server, a, b };
}

describe("a SPDY session", () => {
  test("carries streams both ways, each with its headers and its two ends", async () => {
    const { client } = pair((stream) => {
      stream.write(`${stream.id} ${JSON.stringify(stream.headers)} `);
      stream.pipe(stream);
    });
    const streams = ["a", "b"].map((name) => client.open({ streamtype: name, empty: "" }));
    for (const stream of streams) stream.end("x".repeat(500_000));
    for (const [i, stream] of streams.entries())
      assert.equal(await text(stream), `${2 * i + 1} {"streamtype":"${"ab"[i]}","empty":""} ${"x".repeat(500_000)}`);
  });

  test("resets the stream that is destroyed, and no other", async () => {
    let other: SpdyStream | undefined;
    const { client } = pair((stream) => {
      if (stream.headers["n"] === "1") other = stream;
      stream.pipe(stream);
    });
    const [one, two] = [client.open({ n: "1" }), client.open({ n: "2" })];
    one.write("x");
    await once(one, "data");
    one.destroy();
    await new Promise((resolve) => other!.on("close", resolve));
    two.end("still");
    assert.equal(await text(two), "still");
  });

  test("ends its streams when the connection ends, and breaks them when it breaks", async () => {
    const { client, server, a } = pair((stream) => stream.write("last"));
    const stream = client.open({});
    await once(stream, "readable");
    server.close();
    assert.equal(await text(stream), "last");
    assert.equal(await client.closed, undefined);
    const broken = pair(() => {});
    const reading = text(broken.client.open({}));
    broken.a.destroy(new Error("cut"));
    await assert.rejects(reading, /the connection broke: cut/);
    a.destroy();
  });

  test("holds the sender up when a reader is a megabyte behind, until it reads", async () => {
    let slow: SpdyStream | undefined;
    const { client } = pair((stream) => (slow = stream));
    const stream = client.open({});
    let written = 0;
    for (let held = 0; written <= 1_000_000 || (held < 400 && written < 2_000_000); held++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (stream.writableNeedDrain) continue;
      stream.write(Buffer.alloc(65_536));
      written += 65_536;
      held = 0;
    }
    assert.ok(written > 1_000_000 && written < 2_000_000, `${written} bytes were taken`);
    stream.end();
    let read = 0;
    for await (const chunk of slow!) read += (chunk as Buffer).length;
    assert.equal(read, written);
  });

  test("answers the other's pings, refuses what it does not serve, and outlives frames that it does not know", async () => {
    const [peer, ours] = duplexPair();
    new SpdySession(ours, { client: true });
    const hex = (words: string) => Buffer.from(words.replaceAll(" ", ""), "hex");
    const headers = new HeaderEncoder().encode({}).toString("hex");
    const said = await reply(
      peer,
      [
        hex("80030004 0000000c 00000001 00000004 00000064"), // SETTINGS
        hex("80030009 00000008 00000000 00010000"), // WINDOW_UPDATE
        hex("00000063 01000001 78"), // data of no stream
        hex(`80030001 000000${(10 + headers.length / 2).toString(16)} 00000002 00000000 0000 ${headers}`), // SYN_STREAM
        hex("80030006 00000004 00000001"), // a ping of our own, back
        hex("80030006 00000004 00000002"), // PING
      ],
      28,
    );
    assert.equal(said.toString("hex"), "80030003000000080000000200000003" + "800300060000000400000002");
  });

  test.each([
    ["a control frame without an end", "80030001 00ffffff"],
    ["headers that are no zlib stream", "80030001 0000000e 00000001 00000000 0000 ffffffff"],
  ])("is over with %s", async (_, words) => {
    const [peer, ours] = duplexPair();
    const session = new SpdySession(ours, { client: false, onStream: () => {} });
    peer.on("error", () => {});
    peer.write(Buffer.from(words.replaceAll(" ", ""), "hex"));
    assert.ok((await session.closed) instanceof Error);
  });
});

async function reply(peer: Duplex, frames: Buffer[], length: number): Promise<Buffer> {
  let got = Buffer.alloc(0);
  for (const frame of frames) for (const byte of frame) peer.write(Buffer.of(byte)); // cut anywhere
  for await (const chunk of peer) {
    got = Buffer.concat([got, chunk as Buffer]);
    if (got.length >= length) break;
  }
  return got;
}

describe("headers", () => {
  test("of a peer that compresses with the dictionary, block after block", async () => {
    const deflate = createDeflate({ dictionary, flush: constants.Z_SYNC_FLUSH });
    const decoder = new HeaderDecoder();
    for (const value of ["error", "data", "data"]) {
      const plain = new HeaderEncoder().encode({ streamtype: value, host: "" }).subarray(7, -5);
      deflate.write(plain);
      const [block] = (await once(deflate, "data")) as [Buffer];
      assert.ok(value !== "data" || block.length < plain.length);
      assert.deepEqual(await decoder.decode(block), { streamtype: value, host: "" });
    }
    decoder.close();
  });

  test("that would fill the memory are refused", async () => {
    const deflate = createDeflate({ dictionary, flush: constants.Z_SYNC_FLUSH });
    deflate.write(Buffer.alloc(10_000_000));
    const [bomb] = (await once(deflate, "data")) as [Buffer];
    await assert.rejects(new HeaderDecoder().decode(bomb), /too long/);
  });
});
