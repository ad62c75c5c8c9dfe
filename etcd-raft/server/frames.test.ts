import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import net from "node:net";
import fc from "fast-check";
import { describe, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { silentLogger } from "../../base/logger.ts";
import { FrameDecoder, FrameKind, frameHead } from "./frames.ts";
import { askAt, dial, Peer } from "./peer.ts";

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

describe("whoever listens at a peer's address and is none", () => {
  const nonsense = ["HTTP/1.1 400 Bad Request\r\n\r\n", "\0\0\0\x01\x04"];

  test.each(nonsense)("%j ends the connection, not the process", async (answer) => {
    const server = net.createServer((socket) => void socket.on("error", () => {}).end(answer));
    await once(server.listen(0, "127.0.0.1"), "listening");
    const url = `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`;
    const heard = new EventEmitter();
    const peer = new Peer({ id: 2n, peerURLs: [url] }, {
      ...{ clusterId: 1n, self: 1n, peerURLs: [], clock: systemClock, log: silentLogger, traffic: { add() {} } },
      handlers: { onConnected() {}, onUnreachable: (_: bigint, reason: string) => heard.emit("unreachable", reason) },
    } as never);
    try {
      const unreachable = once(heard, "unreachable");
      peer.dial();
      await unreachable;
      await assert.rejects(askAt(url, undefined, FrameKind.members, new Uint8Array(0), 1000));
    } finally {
      peer.close();
      server.close();
    }
  });

  test("one that wants TLS where there are no certificates is as if it were down", async () => {
    const { socket } = dial("https://127.0.0.1:1", undefined);
    const [error] = await once(socket, "error");
    assert.match(error.message, /--peer-cert-file and --peer-key-file are missing/);
  });
});
