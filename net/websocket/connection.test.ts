import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import { describe, test } from "vitest";
import { WebSocketConnection } from "./connection.ts";

/** A client's frame: masked. */
function frame(first: number, text: string): Buffer {
  const mask = [1, 2, 3, 4];
  const data = Buffer.from(text).map((byte, i) => byte ^ mask[i & 3]!);
  const length = data.length < 126 ? [data.length | 128] : [126 | 128, data.length >> 8, data.length & 255];
  return Buffer.from([first, ...length, ...mask, ...data]);
}

/** What came of it: the messages, and what was sent back after the handshake, in hex. */
async function talk(...frames: Buffer[]): Promise<{ messages: string[]; back: string }> {
  const [peer, ours] = duplexPair();
  const connection = WebSocketConnection.accept(ours, frames[0]!, "dGhlIHNhbXBsZSBub25jZQ==", "p");
  for (const one of frames.slice(1)) for (const byte of one) peer.write(Buffer.of(byte)); // cut anywhere
  const sent: Buffer[] = [];
  peer.on("data", (chunk: Buffer) => sent.push(chunk));
  peer.on("end", () => peer.end());
  const messages: string[] = [];
  for await (const { kind, data } of connection) messages.push(`${kind} ${data}`);
  if (!peer.readableEnded) await new Promise((resolve) => peer.on("end", resolve));
  const [head, ...back] = Buffer.concat(sent).toString("latin1").split("\r\n\r\n");
  assert.match(
    head!,
    /^HTTP\/1.1 101 .*Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\nSec-WebSocket-Protocol: p$/s,
  );
  return { messages, back: Buffer.from(back.join("\r\n\r\n"), "latin1").toString("hex") };
}

const end = frame(0x88, "");
const ended = "8800";
const closed = (code: number) => `8802${code.toString(16).padStart(4, "0")}`;

describe("a WebSocket", () => {
  test("gives messages whole, however they are cut, and is closed when the client closes", async () => {
    const long = "é".repeat(300);
    const { messages, back } = await talk(frame(0x82, "a"), frame(0x01, "b"), frame(0x80, "c"), frame(0x81, long), end);
    assert.deepEqual([messages, back], [["binary a", "text bc", `text ${long}`], ended]);
  });

  test("answers pings, also amid a message", async () => {
    const { messages, back } = await talk(frame(0x01, "b"), frame(0x89, "hi"), frame(0x8a, "x"), frame(0x80, "c"), end);
    assert.deepEqual([messages, back], [["text bc"], `8a026869${ended}`]);
  });

  test.each<[string, number, Buffer[]]>([
    ["a frame without a mask", 1002, [Buffer.from([0x82, 1, 65])]],
    ["a reserved bit", 1002, [frame(0xc2, "a")]],
    ["an opcode that there is not", 1002, [frame(0x83, "a")]],
    ["a control frame in parts", 1002, [frame(0x09, "a")]],
    ["a part of nothing", 1002, [frame(0x80, "a")]],
    ["a message within a message", 1002, [frame(0x01, "a"), frame(0x81, "b")]],
    ["a message in parts without end", 1008, [Buffer.concat([frame(0x01, "a"), ...Array(70_000).fill(frame(0, ""))])]],
    ["a message that is too long", 1009, [Buffer.from([0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4])]],
  ])("with %s is closed with %i", async (_, code, frames) => {
    assert.deepEqual(await talk(...frames), { messages: [], back: closed(code) });
  });
});
