import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { ClientConnection } from "./client-connection.ts";
import type { Abort } from "./connection.ts";
import { ErrorCode, Flag, FrameSplitter, FrameType, frame, settingsFrame, uint32Frame } from "./frames.ts";
import { encodeHeaders, type Header } from "./hpack.ts";

const request = encodeHeaders([[":method", "POST"]]);
const ok = encodeHeaders([[":status", "200"]]);
const flushed = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
const payload = (bytes: Buffer) => ({
  length: bytes.length,
  copy: (into: Buffer, at: number, from: number, to: number) => void bytes.copy(into, at, from, to),
});

/** A connection under test: what it wrote as frames, and what it told. */
function connect(firstId = 1) {
  const written: { type: number; flags: number; id: number; payload: Buffer }[] = [];
  const told: string[] = [];
  const splitter = new FrameSplitter(1 << 24, (type, flags, id, bytes) => {
    written.push({ type, flags, id, payload: Buffer.from(bytes) });
  });
  const output = { write: (bytes: Buffer) => splitter.push(bytes), end: () => void told.push("end") };
  const connection = new ClientConnection(
    output,
    {
      onReady: () => void told.push("ready"),
      onLeaving: (message) => void told.push(`leaving: ${message}`),
      onBusy: (busy) => void told.push(busy ? "busy" : "idle"),
    },
    firstId,
  );
  const events = (name: string) => ({
    onHeaders: (headers: readonly Header[], end: boolean) =>
      void told.push(`${name} ${headers[0]![1]}${end ? " end" : ""}`),
    onData: (bytes: Buffer, end: boolean) => void told.push(`${name} ${bytes.length}${end ? " end" : ""}`),
    onAbort: ({ code, message }: Abort) => void told.push(`${name} ${code}: ${message}`),
  });
  const ask = (name: string, bytes = Buffer.from("?")) => connection.request(request, payload(bytes), events(name));
  const sent = (type: number, id: number) => written.filter((one) => one.type === type && one.id === id);
  return { connection, written, told, events, ask, sent };
}

test("a request is headers and data whose last frame ends our side; the answer's trailers end the stream", async () => {
  const { connection, told, ask, sent } = connect();
  ask("a", Buffer.alloc(20_000));
  connection.receive(settingsFrame({}));
  connection.receive(frame(FrameType.headers, Flag.endHeaders, 1, ok));
  connection.receive(frame(FrameType.data, 0, 1, Buffer.alloc(3)));
  connection.receive(frame(FrameType.headers, Flag.endHeaders | Flag.endStream, 1, ok));
  await flushed();
  assert.deepEqual(told, ["busy", "ready", "a 200", "a 3", "idle", "a 200 end"]);
  assert.deepEqual(
    sent(FrameType.data, 1).map(({ flags, payload: { length } }) => [flags, length]),
    [
      [0, 16_384],
      [Flag.endStream, 20_000 - 16_384],
    ],
  );
  assert.equal(sent(FrameType.rstStream, 1).length, 0);
});

test("requests beyond the server's limit wait in order, and one that is cancelled meanwhile is never sent", async () => {
  const { connection, told, ask, sent } = connect();
  connection.receive(settingsFrame({ 3: 1 }));
  ask("a");
  const b = ask("b");
  ask("c", Buffer.from("cc"));
  connection.cancel(b);
  await flushed();
  assert.equal(sent(FrameType.headers, 3).length, 0);
  connection.receive(frame(FrameType.headers, Flag.endHeaders | Flag.endStream, 1, ok));
  await flushed();
  assert.equal(Buffer.concat(sent(FrameType.data, 3).map((one) => one.payload)).toString(), "cc");
  assert.deepEqual(told, ["ready", "busy", "a 200 end"]);
});

test("GOAWAY: what the server did not look at is refused, the rest may end, and then the connection ends", async () => {
  const { connection, told, ask } = connect();
  ask("a");
  ask("b");
  connection.receive(
    frame(FrameType.goaway, 0, 0, Buffer.concat([Buffer.from([0, 0, 0, 1]), Buffer.alloc(4), Buffer.from("bye")])),
  );
  assert.deepEqual(told, ["busy", "leaving: GOAWAY 0 bye", `b ${ErrorCode.refusedStream}: GOAWAY 0 bye`]);
  connection.receive(frame(FrameType.headers, Flag.endHeaders | Flag.endStream, 1, ok));
  assert.deepEqual(told.slice(3), ["idle", "end", "a 200 end"]);
});

test("nothing is written after the end, not even the answer to a ping that came with GOAWAY", async () => {
  const { connection, told, sent } = connect();
  const ping = frame(FrameType.ping, 0, 0, Buffer.alloc(8, 1));
  connection.receive(Buffer.concat([ping, frame(FrameType.goaway, 0, 0, Buffer.alloc(8)), ping]));
  await flushed();
  assert.deepEqual(told, ["leaving: GOAWAY 0", "end"]);
  assert.equal(sent(FrameType.ping, 0).length, 1);
});

test("a connection whose only request waited and was cancelled is idle", () => {
  const { connection, told, ask } = connect();
  connection.receive(settingsFrame({ 3: 0 }));
  connection.cancel(ask("a"));
  assert.deepEqual(told, ["ready", "busy", "idle"]);
});

test("a connection whose stream ids come to their end is left for another, and ends with its last stream", () => {
  const first = 2 ** 31 - 200_003;
  const { connection, told, ask } = connect(first);
  ask("a");
  connection.receive(frame(FrameType.headers, Flag.endHeaders | Flag.endStream, first, ok));
  assert.deepEqual(told, ["busy", "leaving: its stream ids are used up", "idle", "end", "a 200 end"]);
});

describe("the end of a stream", () => {
  test("reset by the server: told once", () => {
    const { connection, told, ask } = connect();
    ask("a");
    connection.receive(uint32Frame(FrameType.rstStream, 1, 8));
    connection.receive(uint32Frame(FrameType.rstStream, 1, 8));
    connection.closed("gone");
    assert.deepEqual(told, ["busy", "a 8: Received RST_STREAM with code 8", "idle"]);
  });

  test("cancelled by us: the server is told, and what still comes is not", async () => {
    const { connection, told, ask, sent } = connect();
    connection.cancel(ask("a"));
    connection.receive(frame(FrameType.headers, Flag.endHeaders, 1, ok));
    connection.receive(frame(FrameType.data, Flag.endStream, 1, Buffer.from("x")));
    await flushed();
    assert.deepEqual(told, ["busy", "idle"]);
    assert.equal(sent(FrameType.rstStream, 1)[0]!.payload.readUInt32BE(0), ErrorCode.cancel);
  });

  test("answered before we have ended our side: the server is told to expect no more", async () => {
    const { connection, events, sent } = connect();
    const stream = connection.open(request, events("a"));
    connection.sendData(stream, Buffer.alloc(100_000));
    connection.receive(frame(FrameType.headers, Flag.endHeaders | Flag.endStream, 1, ok));
    connection.sendData(stream, Buffer.from("late"));
    connection.receive(uint32Frame(FrameType.windowUpdate, 0, 1_000_000));
    await flushed();
    assert.equal(sent(FrameType.rstStream, 1).length, 1);
    assert.equal(Buffer.concat(sent(FrameType.data, 1).map((one) => one.payload)).length, 65_535);
  });

  test("with the connection: all hear of it, those that were not sent as refused", () => {
    const { connection, told, ask } = connect();
    connection.receive(settingsFrame({ 3: 1 }));
    ask("a");
    ask("b");
    connection.closed("gone");
    assert.deepEqual(told, ["ready", "busy", "a undefined: gone", `b ${ErrorCode.refusedStream}: gone`]);
  });
});

test("who does not take data keeps the stream's window shut until it does, and nobody else's", async () => {
  const { connection, events, sent } = connect();
  const stream = connection.open(request, events("a"));
  stream.paused = true;
  const data = frame(FrameType.data, 0, 1, Buffer.alloc(16_384));
  for (let i = 0; i < 128; i++) connection.receive(data);
  await flushed();
  assert.equal(sent(FrameType.windowUpdate, 1).length, 0);
  assert.ok(sent(FrameType.windowUpdate, 0).length > 1, "the connection's window is given back");
  connection.resume(stream);
  await flushed();
  assert.equal(sent(FrameType.windowUpdate, 1)[0]!.payload.readUInt32BE(0), 128 * 16_384);
});

test.each<[string, Buffer, number]>([
  ["an answer that nobody asked for", frame(FrameType.headers, Flag.endHeaders, 9, ok), ErrorCode.protocol],
  ["data of a stream that was never opened", frame(FrameType.data, 0, 9, Buffer.alloc(1)), ErrorCode.protocol],
  ["a pushed stream", frame(FrameType.pushPromise, 0, 1, Buffer.alloc(4)), ErrorCode.protocol],
  ["more data than the window", dataBeyondWindow(), ErrorCode.flowControl],
  ["a GOAWAY that is too short", frame(FrameType.goaway, 0, 0, Buffer.alloc(4)), ErrorCode.frameSize],
  ["HTTP/1.1", Buffer.from("HTTP/1.1 400 Bad Request\r\n"), ErrorCode.frameSize],
])("%s ends the connection, and every call hears of it", async (_, bytes, code) => {
  const { connection, told, ask, written } = connect();
  ask("a").paused = true;
  connection.receive(bytes);
  await flushed();
  assert.equal(written.find(({ type }) => type === FrameType.goaway)!.payload.readUInt32BE(4), code);
  const [end, leaving, last] = told.filter((line) => !/^a \d/.test(line)).slice(1);
  assert.equal(end, "end");
  assert.equal(last, leaving!.replace("leaving", "a undefined"));
});

function dataBeyondWindow(): Buffer {
  return Buffer.concat(new Array(257).fill(frame(FrameType.data, 0, 1, Buffer.alloc(16_384))));
}
