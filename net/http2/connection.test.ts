import assert from "node:assert/strict";
import { describe, test } from "vitest";
import type { Http2Stream } from "./connection.ts";
import { ErrorCode, Flag, FrameSplitter, FrameType, frame, preface, settingsFrame, uint32Frame } from "./frames.ts";
import { encodeHeaders } from "./hpack.ts";
import { type Http2Limits, ServerConnection } from "./server-connection.ts";

const block = encodeHeaders([
  [":method", "POST"],
  [":path", "/x"],
]);
const open = (id: number, flags: number = Flag.endStream) =>
  frame(FrameType.headers, Flag.endHeaders | flags, id, block);
type Frame = { type: number; flags: number; id: number; payload: Buffer };

/** A connection under test: what it wrote as frames, and the streams that it opened. */
function connect(limits: Http2Limits = {}) {
  const written: Frame[] = [];
  const streams: Http2Stream[] = [];
  const received: [text: string, end: boolean][] = [];
  let ended = false;
  const splitter = new FrameSplitter(1 << 24, (type, flags, id, payload) => {
    written.push({ type, flags, id, payload: Buffer.from(payload) });
  });
  splitter.push(preface);
  const connection = new ServerConnection(
    {
      write: (bytes) => splitter.push(bytes),
      end: () => {
        ended = true;
      },
    },
    (stream) => {
      stream.events = { onData: (payload, end) => received.push([payload.toString(), end]), onAbort() {} };
      streams.push(stream);
    },
    limits,
  );
  connection.receive(preface);
  return { connection, written, streams, received, ended: () => ended };
}

const flushed = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
const dataOf = (frames: Frame[]) =>
  Buffer.concat(frames.filter(({ type }) => type === FrameType.data).map((f) => f.payload));

describe("flow control towards the peer", () => {
  test("data waits for the stream's window, then for the connection's, and trailers come last", async () => {
    const { connection, written, streams } = connect();
    connection.receive(settingsFrame({ 4: 10 }));
    connection.receive(open(1));
    connection.sendHeaders(streams[0]!, block, false);
    connection.sendData(streams[0]!, Buffer.alloc(70_000, 1));
    connection.sendEnd(streams[0]!, block);
    await flushed();
    assert.equal(dataOf(written).length, 10);
    connection.receive(uint32Frame(FrameType.windowUpdate, 1, 100_000));
    await flushed();
    assert.equal(dataOf(written).length, 65_535, "the connection's first window");
    connection.receive(uint32Frame(FrameType.windowUpdate, 0, 100_000));
    await flushed();
    assert.equal(dataOf(written).length, 70_000);
    const last = written.at(-1)!;
    assert.deepEqual([last.type, last.flags & Flag.endStream], [FrameType.headers, Flag.endStream]);
  });

  test("a stream without window does not hold up another", async () => {
    const { connection, written, streams } = connect();
    connection.receive(settingsFrame({ 4: 0 }));
    connection.receive(open(1));
    connection.receive(open(3));
    connection.sendData(streams[0]!, Buffer.alloc(5));
    connection.receive(uint32Frame(FrameType.windowUpdate, 3, 5));
    connection.sendData(streams[1]!, Buffer.alloc(5));
    await flushed();
    assert.deepEqual(
      written.filter(({ type }) => type === FrameType.data).map(({ id }) => id),
      [3],
    );
  });
});

const continuation = (flags: number, id: number, bytes = 0) =>
  frame(FrameType.continuation, flags, id, Buffer.alloc(bytes));
const resetFlood = Array.from({ length: 2000 }, (_, i) => [
  open(2 * i + 1, 0),
  uint32Frame(FrameType.rstStream, 2 * i + 1, ErrorCode.cancel),
]).flat();

test.each<[string, Buffer[], number]>([
  ["an even stream id", [open(2)], ErrorCode.protocol],
  ["DATA on a stream that was never opened", [frame(FrameType.data, 0, 5, Buffer.alloc(1))], ErrorCode.protocol],
  ["a frame above 16 KiB", [frame(FrameType.data, 0, 1, Buffer.alloc(16_385))], ErrorCode.frameSize],
  ["CONTINUATION out of the blue", [continuation(Flag.endHeaders, 1)], ErrorCode.protocol],
  ["another frame inside a header block", [frame(FrameType.headers, 0, 1, block), open(3)], ErrorCode.protocol],
  [
    "an endless header block",
    [frame(FrameType.headers, 0, 1, block), ...Array(40_000).fill(continuation(0, 1))],
    ErrorCode.enhanceYourCalm,
  ],
  [
    "a header block that does not decode",
    [frame(FrameType.headers, Flag.endHeaders, 1, Buffer.from([0x80]))],
    ErrorCode.compression,
  ],
  ["WINDOW_UPDATE of zero", [uint32Frame(FrameType.windowUpdate, 0, 0)], ErrorCode.protocol],
  ["a window beyond 2^31-1", [uint32Frame(FrameType.windowUpdate, 0, 2 ** 31 - 1)], ErrorCode.flowControl],
  [
    "more padding than payload",
    [open(1, 0), frame(FrameType.data, Flag.padded, 1, Buffer.from([9, 0]))],
    ErrorCode.protocol,
  ],
  ["a rapid reset attack", resetFlood, ErrorCode.enhanceYourCalm],
])("%s ends the connection with its error code", (_, frames, code) => {
  const { connection, written, ended } = connect();
  for (const bytes of frames) if (!ended()) connection.receive(bytes);
  assert.ok(ended());
  const goaway = written.find(({ type }) => type === FrameType.goaway)!;
  assert.equal(goaway.payload.readUInt32BE(4), code);
});

test("who cancels thousands of watches that were open together goes on", () => {
  const { connection, streams, ended } = connect();
  const ids = Array.from({ length: 3000 }, (_, i) => 2 * i + 1);
  for (const id of ids) connection.receive(open(id));
  for (const id of ids) connection.receive(uint32Frame(FrameType.rstStream, id, 8));
  connection.receive(open(6001));
  assert.deepEqual([ended(), streams.length], [false, 3001]);
});

test("a server that goes refuses what was sent before its GOAWAY was heard, lets running streams end, and ends then", async () => {
  const { connection, written, streams, ended } = connect();
  connection.receive(open(1));
  connection.leave();
  await flushed();
  const ping = written.find(({ type }) => type === FrameType.ping)!;
  const answer = frame(FrameType.ping, Flag.ack, 0, ping.payload);
  connection.receive(open(3));
  await flushed();
  const reset = written.find(({ type, id }) => type === FrameType.rstStream && id === 3)!;
  assert.equal(reset.payload.readUInt32BE(0), ErrorCode.refusedStream);
  connection.receive(frame(FrameType.ping, Flag.ack, 0, Buffer.alloc(8))); // of a sign of life
  connection.receive(answer);
  assert.ok(!ended(), "one runs");
  connection.sendHeaders(streams[0]!, Buffer.alloc(0), true);
  assert.ok(ended());
  assert.ok(written.some(({ type, id }) => type === FrameType.headers && id === 1));

  const idle = connect();
  idle.connection.leave();
  await flushed();
  assert.ok(!idle.ended(), "it has not heard yet");
  idle.connection.receive(answer);
  assert.ok(idle.ended());
});

test("a stranger's protocol is answered with GOAWAY", () => {
  const frames: number[] = [];
  let ended = false;
  const splitter = new FrameSplitter(1 << 24, (type) => frames.push(type));
  splitter.push(preface);
  const end = () => {
    ended = true;
  };
  new ServerConnection({ write: (bytes) => splitter.push(bytes), end }, () => {}).receive(
    Buffer.from("GET / HTTP/1.1\r\n\r\n"),
  );
  assert.ok(ended && frames.includes(FrameType.goaway));
});

test("frames arrive whole however the bytes are cut", () => {
  const bytes = Buffer.concat([open(1, 0), frame(FrameType.data, Flag.endStream, 1, Buffer.from("hello"))]);
  for (let size = 1; size <= bytes.length; size++) {
    const { connection, received } = connect();
    for (let at = 0; at < bytes.length; at += size) connection.receive(bytes.subarray(at, at + size));
    assert.deepEqual(received, [["hello", true]], `pieces of ${size} bytes`);
  }
});

describe("pings and limits, as gRPC servers in Go have them", () => {
  const ping = frame(FrameType.ping, 0, 0, Buffer.alloc(8));
  const goaway = (frames: Frame[]) => frames.find(({ type }) => type === FrameType.goaway)?.payload;
  /** Pings at these times, with a stream running or not, and what was sent before each. */
  const rows: [name: string, streams: number, times: number[], answers: boolean, cut: boolean][] = [
    ["five seconds apart, while a call runs", 1, [0, 5000, 10_000, 15_000, 20_000, 25_000], false, false],
    ["too often three times", 1, [0, 1000, 2000, 3000], false, true],
    ["too often twice", 1, [0, 1000, 2000, 7000], false, false],
    ["too often, but something was answered in between", 1, [0, 10, 20, 30, 40, 50], true, false],
    ["half a minute apart without a call", 0, [0, 30_000, 60_000, 90_000], false, true],
    ["two hours apart without a call", 0, [0, 7_200_000, 14_400_000, 21_600_000], false, false],
  ];
  for (const [name, streams, times, answers, cut] of rows) {
    test(`${name}: ${cut ? "cut off" : "fine"}`, async () => {
      let now = 0;
      const { connection, written, streams: opened, ended } = connect({ pings: { minTimeMs: 5000, now: () => now } });
      if (streams > 0) connection.receive(open(1, 0));
      for (const at of times) {
        now = at;
        if (answers) connection.sendData(opened[0]!, Buffer.from("x"));
        connection.receive(ping);
      }
      await flushed();
      assert.equal(ended(), cut);
      assert.equal(goaway(written)?.toString("latin1", 8), cut ? "too_many_pings" : undefined);
    });
  }

  test("pings behind data that waited for a window do not count: clients measure the way with them", async () => {
    const { connection, streams, ended } = connect({ pings: { minTimeMs: 5000, now: () => 0 } });
    connection.receive(settingsFrame({ 4: 10 }));
    connection.receive(open(1, 0));
    connection.sendData(streams[0]!, Buffer.alloc(1000, 1));
    for (let i = 0; i < 20; i++) {
      connection.receive(uint32Frame(FrameType.windowUpdate, 1, 10));
      connection.receive(ping);
    }
    await flushed();
    assert.equal(ended(), false);
  });

  test("a ping of ours is answered without counting, and tells that the peer lives", async () => {
    const { connection, written } = connect({ pings: { minTimeMs: 5000, now: () => 0 } });
    connection.heard();
    assert.equal(connection.heard(), false);
    connection.ping();
    await flushed();
    assert.equal(written.filter(({ type, flags }) => type === FrameType.ping && flags === 0).length, 1);
    for (let i = 0; i < 10; i++) connection.receive(frame(FrameType.ping, Flag.ack, 0, Buffer.alloc(8)));
    assert.equal(connection.heard(), true);
    assert.equal(goaway(written), undefined);
  });

  test("more streams than allowed are refused, and the limit is announced", async () => {
    const { connection, written, streams } = connect({ maxStreams: 2 });
    for (const id of [1, 3, 5]) connection.receive(open(id, 0));
    await flushed();
    assert.equal(streams.length, 2);
    const settings = written.find(({ type }) => type === FrameType.settings)!.payload;
    assert.ok(settings.includes(Buffer.from([0, 3, 0, 0, 0, 2])));
    const refused = written.find(({ type }) => type === FrameType.rstStream)!;
    assert.deepEqual([refused.id, refused.payload.readUInt32BE(0)], [5, ErrorCode.refusedStream]);
  });
});
