import assert from "node:assert/strict";
import http2 from "node:http2";
import net, { type AddressInfo } from "node:net";
import * as grpc from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, test } from "vitest";
import { listenHere } from "../base/outside.ts";
import { KVService, MaintenanceService, WatchService } from "../proto/generated/etcdserverpb.ts";
import type { Method } from "../proto/wire.ts";
import { GrpcClient } from "./grpc-client.ts";
import { Code, type GrpcError } from "./grpc-error.ts";
import { GrpcFront } from "./grpc-front.ts";
import { FrameType, frame, settingsFrame } from "./http2/frames.ts";

const withCode = (code: Code) => (error: GrpcError) => error.code === code;
const portOf = (listener: net.Server) => (listener.address() as AddressInfo).port;

/** A method as grpc-js serves it. */
function served<Q, R>({ path, kind, request, response }: Method<Q, R>): grpc.MethodDefinition<Q, R> {
  return {
    path,
    requestStream: kind === "bidi",
    responseStream: kind !== "unary",
    requestSerialize: (message) => Buffer.from(request.encode(message as never)),
    requestDeserialize: (bytes) => request.decode(bytes),
    responseSerialize: (message) => Buffer.from(response.encode(message as never)),
    responseDeserialize: (bytes) => response.decode(bytes),
  };
}

describe("against a server of grpc-js", () => {
  let server: grpc.Server;
  let client: GrpcClient;
  let cancelled: Promise<void>;
  let written = 0;

  beforeEach(async () => {
    server = new grpc.Server({ "grpc.max_concurrent_streams": 3, "grpc.max_receive_message_length": -1 });
    let tell = () => {};
    cancelled = new Promise((resolve) => (tell = resolve));
    const service = {
      Put: served(KVService.Put),
      Range: served(KVService.Range),
      Snapshot: served(MaintenanceService.Snapshot),
      Watch: served(WatchService.Watch),
    };
    server.addService(service as unknown as grpc.ServiceDefinition, {
      Put: (
        call: grpc.ServerUnaryCall<{ key: Uint8Array; value: Uint8Array; lease: bigint }, unknown>,
        done: grpc.sendUnaryData<unknown>,
      ) => {
        const trailers = new grpc.Metadata();
        trailers.set("x-bin", Buffer.from([1, 2]));
        const asked = call.metadata.get("token").join();
        if (call.request.lease === 1n) call.on("cancelled", tell);
        else if (asked === "") done(null, { header: { revision: call.request.value.length } });
        else done({ code: grpc.status.NOT_FOUND, details: `no 100% käse for ${asked}`, metadata: trailers });
      },
      Range: (_call: unknown, done: grpc.sendUnaryData<unknown>) =>
        done(null, { kvs: [{ key: Buffer.from("k"), value: Buffer.alloc(5_000_000, 3) }] }),
      Snapshot: (call: grpc.ServerWritableStream<unknown, unknown>) => {
        call.on("cancelled", tell);
        const more = () => {
          while (!call.cancelled) {
            written += 64 * 1024;
            if (!call.write({ blob: Buffer.alloc(64 * 1024, 1) })) break;
          }
          if (!call.cancelled) call.once("drain", more);
        };
        more();
      },
      Watch: (call: grpc.ServerDuplexStream<{ createRequest: { startRevision: number } }, unknown>) => {
        call.on("data", ({ createRequest }) => call.write({ watchId: createRequest.startRevision }));
        call.on("end", () => call.end());
      },
    });
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      ),
    );
    client = new GrpcClient(`127.0.0.1:${port}`);
  });
  afterEach(() => {
    client.close();
    server.forceShutdown();
  });

  test("more calls than the server takes at once are answered in their turn", async () => {
    const sizes = Array.from({ length: 50 }, (_, i) => i * 1000);
    const answers = await Promise.all(sizes.map((size) => client.unary(KVService.Put, { value: Buffer.alloc(size) })));
    assert.deepEqual(
      answers.map(({ header }) => header!.revision),
      sizes,
    );
  });

  test("messages larger than all windows pass both ways", async () => {
    const { header } = await client.unary(KVService.Put, { value: Buffer.alloc(7_000_000) });
    assert.equal(header!.revision, 7_000_000);
    const { kvs } = await client.unary(KVService.Range, {});
    assert.ok(kvs[0]!.value.length === 5_000_000 && kvs[0]!.value.every((byte) => byte === 3));
  });

  test("an error keeps its code, its text and its trailers", async () => {
    const metadata = { Token: ["a", "b"] };
    await assert.rejects(client.unary(KVService.Put, {}, { metadata }), (error: GrpcError) => {
      assert.deepEqual([error.code, error.message], [Code.NotFound, "no 100% käse for a, b"]);
      assert.deepEqual(error.trailers["x-bin"], Buffer.from([1, 2]));
      return true;
    });
    await assert.rejects(client.unary(KVService.Txn, {}), withCode(Code.Unimplemented));
  });

  test("a deadline ends a call, and the server hears of it", async () => {
    const late = client.unary(KVService.Put, { lease: 1n }, { timeoutMs: 50 });
    await assert.rejects(
      late,
      (e: GrpcError) => e.code === Code.DeadlineExceeded && e.message === "context deadline exceeded",
    );
    await cancelled;
  });

  test("a signal ends a call, before it begins too", async () => {
    const controller = new AbortController();
    const call = client.unary(KVService.Put, { lease: 1n }, { signal: controller.signal });
    await client.unary(KVService.Put, {});
    controller.abort();
    await assert.rejects(call, withCode(Code.Canceled));
    await cancelled;
    await assert.rejects(client.unary(KVService.Put, {}, { signal: controller.signal }), withCode(Code.Canceled));
  });

  test("a reader that is slow holds the server up, and gets everything", async () => {
    written = 0;
    const stream = client.serverStream(MaintenanceService.Snapshot, {})[Symbol.asyncIterator]();
    let read = 0;
    for (let i = 0; i < 100; i++) read += (await stream.next()).value!.blob.length;
    for (let before = -1; before !== written; ) {
      before = written;
      for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(written - read < 16 * 1024 * 1024, `${written - read} octets under way to somebody who does not read`);
    for (let i = 0; i < 200; i++) read += (await stream.next()).value!.blob.length;
    assert.equal(read, 300 * 64 * 1024);
    await stream.return!(undefined);
    await cancelled;
  });

  test("a unary call that is answered by many messages fails, and the server hears of it", async () => {
    await assert.rejects(client.unary(MaintenanceService.Snapshot, {}), /more than one message in a unary answer/);
    await cancelled;
  });

  test("a bidirectional stream may be written to before there is a connection", async () => {
    const stream = client.bidi(WatchService.Watch);
    for (let i = 1; i <= 300; i++) stream.send({ createRequest: { startRevision: i } });
    stream.end();
    const ids: number[] = [];
    for await (const { watchId } of stream) ids.push(watchId);
    assert.deepEqual(
      ids,
      Array.from({ length: 300 }, (_, i) => i + 1),
    );
  });

  test("a server that shuts down lets calls end, and takes no new ones", async () => {
    const stream = client.bidi(WatchService.Watch);
    stream.send({ createRequest: { startRevision: 1 } });
    const answers = stream[Symbol.asyncIterator]();
    assert.equal((await answers.next()).value!.watchId, 1);
    const down = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    await assert.rejects(
      retry(() => client.unary(KVService.Put, {})),
      withCode(Code.Unavailable),
    );
    stream.send({ createRequest: { startRevision: 2 } });
    assert.equal((await answers.next()).value!.watchId, 2);
    stream.end();
    assert.equal((await answers.next()).done, true);
    await down;
  });
});

/** Until it fails. */
async function retry(call: () => Promise<unknown>): Promise<never> {
  for (;;) await call();
}

describe("connections", () => {
  const fronts: GrpcFront[] = [];
  const clients: GrpcClient[] = [];
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    for (const front of fronts.splice(0)) await front.close(0);
  });
  const clientOf = (target: string) => {
    const client = new GrpcClient(target);
    clients.push(client);
    return client;
  };
  async function serve(name: number, port = 0): Promise<{ port: number; front: GrpcFront }> {
    const front = new GrpcFront();
    front.addService(KVService, {
      Put: () => ({ header: { revision: name } }),
      Range: () => new Promise<never>(() => {}),
    });
    const listener = await listenHere("127.0.0.1", port);
    front.serve(listener);
    fronts.push(front);
    return { port: portOf(listener), front };
  }
  const ask = async (client: GrpcClient) =>
    (await client.unary(KVService.Put, {}, { timeoutMs: 5000 })).header!.revision;

  test("of several addresses the first that answers is used, and the next one when it is gone", async () => {
    const [one, two] = [await serve(1), await serve(2)];
    const client = clientOf(`ipv4:127.0.0.1:1,127.0.0.1:${one.port},127.0.0.1:${two.port}`);
    assert.equal(await ask(client), 1);
    const open = client.unary(KVService.Range, {});
    await ask(client);
    const lost = assert.rejects(open, withCode(Code.Unavailable));
    await one.front.close(0);
    await lost;
    assert.equal(await ask(client), 2);
  });

  test("who refuses is told at once, with the reason; ready waits for one to come", async () => {
    const { port, front } = await serve(1);
    await front.close(0);
    const client = clientOf(`127.0.0.1:${port}`);
    await assert.rejects(client.unary(KVService.Put, {}), (error: GrpcError) => {
      assert.deepEqual([error.code, error.message], [Code.Unavailable, `connect ECONNREFUSED 127.0.0.1:${port}`]);
      return true;
    });
    await assert.rejects(client.ready(20), /Failed to connect before the deadline: connect ECONNREFUSED/);
    const ready = client.ready(10_000);
    await serve(7, port);
    await ready;
    assert.equal(await ask(client), 7);
  });

  test("who accepts and says nothing is left for the next address", async () => {
    const mute = await listenHere("127.0.0.1", 0);
    const { port } = await serve(3);
    try {
      assert.equal(await ask(clientOf(`ipv4:127.0.0.1:${portOf(mute)},127.0.0.1:${port}`)), 3);
    } finally {
      mute.close();
    }
  });

  test("who falls silent while a call runs is noticed by pings", async () => {
    const { port } = await serve(1);
    const sockets: net.Socket[] = [];
    let silent = false;
    const relay = net.createServer((socket) => {
      const onward = net.connect({ host: "127.0.0.1", port });
      sockets.push(socket, onward);
      socket.on("data", (chunk) => silent || onward.write(chunk)).on("error", () => {});
      onward.on("data", (chunk) => silent || socket.write(chunk)).on("error", () => {});
    });
    await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
    const client = new GrpcClient(`127.0.0.1:${portOf(relay)}`, { keepaliveMs: 20 });
    try {
      assert.equal(await ask(client), 1);
      const open = client.unary(KVService.Range, {});
      await ask(client);
      silent = true;
      await assert.rejects(open, /no answer from 127.0.0.1:\d+ to a ping/);
    } finally {
      client.close();
      for (const socket of sockets) socket.destroy();
      relay.close();
    }
  });

  test("close ends what runs, and nothing begins any more", async () => {
    const { port } = await serve(1);
    const client = clientOf(`127.0.0.1:${port}`);
    await ask(client);
    const open = client.unary(KVService.Range, {});
    client.close();
    await assert.rejects(open, withCode(Code.Unavailable));
    await assert.rejects(ask(client), withCode(Code.Canceled));
  });

  test("what speaks no HTTP/2 is Unavailable, at once and with the reason", async () => {
    const stranger = net.createServer(
      (socket) => void socket.on("error", () => {}).write("HTTP/1.1 400 Bad Request\r\n"),
    );
    await new Promise<void>((resolve) => stranger.listen(0, "127.0.0.1", resolve));
    try {
      await assert.rejects(clientOf(`127.0.0.1:${portOf(stranger)}`).unary(KVService.Put, {}), (error: GrpcError) => {
        assert.deepEqual([error.code, error.message], [Code.Unavailable, "frame of 4740180 bytes"]);
        return true;
      });
    } finally {
      stranger.close();
    }
  });

  test("ready goes on when who took us in sends us away at once", async () => {
    let connections = 0;
    const goaway = frame(FrameType.goaway, 0, 0, Buffer.alloc(8));
    const busy = net.createServer((socket) => {
      socket.on("error", () => {}).resume();
      socket.write(Buffer.concat(++connections < 3 ? [settingsFrame({}), goaway] : [settingsFrame({})]));
    });
    await new Promise<void>((resolve) => busy.listen(0, "127.0.0.1", resolve));
    try {
      await clientOf(`127.0.0.1:${portOf(busy)}`).ready(5000);
      assert.equal(connections, 3);
    } finally {
      busy.close();
    }
  });

  test("a request that cannot be encoded fails its call, with a connection and without", async () => {
    const { port } = await serve(1);
    const client = clientOf(`127.0.0.1:${port}`);
    const metadata = { token: null as unknown as string };
    for (let i = 0; i < 2; i++) {
      await assert.rejects(client.unary(KVService.Put, {}, { metadata }), withCode(Code.Internal));
      await ask(client);
    }
  });
});

test.each<[string, http2.OutgoingHttpHeaders, Code, string]>([
  ["a proxy's 503 with a text", { ":status": 503 }, Code.Unavailable, "HTTP 503"],
  ["a 404 with a text", { ":status": 404 }, Code.Unimplemented, "HTTP 404"],
  ["early hints, then trailers only", { "grpc-status": 5, "grpc-message": "no" }, Code.NotFound, "no"],
])("an answer that is %s", async (_, headers, code, message) => {
  const server = http2.createServer();
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.additionalHeaders({ ":status": 103 });
    stream.respond(headers, { endStream: ":status" in headers === false });
    if (":status" in headers) stream.end("<html>upstream connect error");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = new GrpcClient(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  try {
    await assert.rejects(client.unary(KVService.Put, {}), (error: GrpcError) => {
      assert.deepEqual([error.code, error.message], [code, message]);
      return true;
    });
  } finally {
    client.close();
    server.close();
  }
});
