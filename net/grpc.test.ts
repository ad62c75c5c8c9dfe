import assert from "node:assert/strict";
import http2 from "node:http2";
import { type AddressInfo, connect } from "node:net";
import { afterAll, beforeAll, describe, test } from "vitest";
import { listenHere } from "../base/outside.ts";
import { createAuthority } from "../pki/authority.ts";
import { KVService, LeaseService, MaintenanceService, WatchService } from "../proto/generated/etcdserverpb.ts";
import { GrpcClient } from "./grpc-client.ts";
import { Code, GrpcError } from "./grpc-error.ts";
import { GrpcFront } from "./grpc-front.ts";
import type { CallContext } from "./grpc-server.ts";
import { Flag, FrameType, frame, preface, Setting, settingsFrame, uint32Frame } from "./http2/frames.ts";
import { encodeHeaders } from "./http2/hpack.ts";
import { GrpcJsClient } from "./testing/grpc-js-client.ts";
import type { TlsMaterial } from "./tls.ts";

const wideId = 0xfedcba9876543210n;

/** Through our client and through grpc-js, with mutual TLS as our processes use it. */
describe.each<[string, typeof GrpcClient | typeof GrpcJsClient]>([
  ["our client", GrpcClient],
  ["grpc-js", GrpcJsClient],
])("GrpcFront and %s", (_, Client) => {
  let server: GrpcFront;
  let client: GrpcClient | GrpcJsClient;
  let target: string;
  let caller: { peer: CallContext["peer"]; token: string | undefined };
  const aborted = new Set<string>();
  const watchForAbort = (name: string, context: CallContext) =>
    new Promise<void>((resolve) =>
      context.signal.addEventListener("abort", () => {
        aborted.add(name);
        resolve();
      }),
    );

  beforeAll(async () => {
    const authority = await createAuthority("test");
    const issue = async (commonName: string): Promise<TlsMaterial> => {
      const pair = await authority.issue({
        commonName,
        organizations: ["g1", "g2"],
        dnsNames: ["localhost"],
        usages: ["client", "server"],
      });
      return { cert: Buffer.from(pair.cert), key: Buffer.from(pair.key), ca: Buffer.from(authority.cert) };
    };
    server = new GrpcFront({ tls: await issue("server"), clientCertificates: "require" });
    server.addService(KVService, {
      Put: (request, context) => {
        caller = { peer: context.peer, token: context.metadata["token"] };
        if (request.lease !== 0n) {
          const trailers = { "x-bin": Buffer.from([1, 2]), "x-text": "y" };
          throw new GrpcError(Code.NotFound, "etcdserver: requested lease not found: 100% käse", { trailers });
        }
        return { header: { clusterId: wideId, memberId: 1n, revision: 2 ** 40, raftTerm: 3 }, prevKv: undefined };
      },
      Range: async (request) => ({
        header: undefined,
        kvs: [
          {
            key: request.key,
            value: Buffer.alloc(request.limit, 7),
            createRevision: 1,
            modRevision: 1,
            version: 1,
            lease: 0n,
          },
        ],
        more: false,
        count: 1,
      }),
      Txn: (_request, context) => watchForAbort("txn", context).then(() => ({})),
    });
    server.addService(WatchService, {
      Watch: (_context, call) => ({
        onMessage: (request) => void call.send({ watchId: request.createRequest?.startRevision ?? -1 }),
        onEnd: () => call.end(),
      }),
    });
    server.addService(MaintenanceService, {
      Snapshot: async (_request, context, send) => {
        const gone = watchForAbort("snapshot", context);
        for (let i = 0; !context.signal.aborted; i++) {
          if (!send({ blob: Buffer.alloc(64 * 1024, i), remainingBytes: i })) {
            await Promise.race([send.drained(), gone]);
          }
        }
      },
    });
    const listener = await listenHere("127.0.0.1", 0);
    server.serve(listener);
    target = `localhost:${(listener.address() as AddressInfo).port}`;
    client = new Client(target, { tls: await issue("user") });
  });
  afterAll(async () => {
    client.close();
    await server.close(0);
  });

  test("a unary call keeps 64-bit values and tells the handler who calls", async () => {
    const put = await client.unary(
      KVService.Put,
      { key: Buffer.from("a") },
      { timeoutMs: 5000, metadata: { token: "t" } },
    );
    assert.deepEqual(put.header, { clusterId: wideId, memberId: 1n, revision: 2 ** 40, raftTerm: 3 });
    assert.deepEqual(caller, { peer: { commonName: "user", organizations: ["g1", "g2"] }, token: "t" });
  });

  test("an error keeps its code, its text and its trailers", async () => {
    await assert.rejects(client.unary(KVService.Put, { lease: -1n }), (error: GrpcError) => {
      assert.equal(error.code, Code.NotFound);
      assert.equal(error.message, "etcdserver: requested lease not found: 100% käse");
      assert.deepEqual(error.trailers["x-bin"], Buffer.from([1, 2]));
      assert.equal(error.trailers["x-text"], "y");
      return true;
    });
  });

  test("a method that is not built is Unimplemented", async () => {
    await assert.rejects(client.unary(LeaseService.LeaseGrant, {}), (e: GrpcError) => e.code === Code.Unimplemented);
  });

  test("answers larger than every window arrive whole, several at once", async () => {
    const sizes = [0, 1, 16_383, 16_384, 65_535, 65_536, 1_000_000, 3_000_001];
    const answers = await Promise.all(
      sizes.map((limit) => client.unary(KVService.Range, { key: Buffer.from("k"), limit })),
    );
    assert.deepEqual(
      answers.map(({ kvs }) => kvs[0]!.value.length),
      sizes,
    );
    assert.ok(answers.every(({ kvs }) => kvs[0]!.value.every((byte) => byte === 7)));
  });

  test("large requests arrive whole", async () => {
    const put = await client.unary(KVService.Put, { key: Buffer.from("a"), value: Buffer.alloc(1_500_000, 1) });
    assert.equal(put.header?.revision, 2 ** 40);
  });

  test("a bidirectional stream answers in order and ends with the caller", async () => {
    const stream = client.bidi(WatchService.Watch);
    for (let i = 1; i <= 500; i++) stream.send({ createRequest: { startRevision: i } });
    stream.end();
    const ids: number[] = [];
    for await (const response of stream) ids.push(response.watchId);
    assert.deepEqual(
      ids,
      Array.from({ length: 500 }, (__, i) => i + 1),
    );
  });

  test("a caller that leaves a stream, or lets a deadline pass, aborts the handler", async () => {
    let bytes = 0;
    for await (const { blob } of client.serverStream(MaintenanceService.Snapshot, {})) {
      bytes += blob.length;
      if (bytes > 4_000_000) break;
    }
    await assert.rejects(
      client.unary(KVService.Txn, {}, { timeoutMs: 50 }),
      (e: GrpcError) => e.code === Code.DeadlineExceeded,
    );
    await waitUntil(() => aborted.has("snapshot") && aborted.has("txn"));
  });

  test("a stranger without a certificate of the authority is refused", async () => {
    const stranger = await createAuthority("stranger");
    const { cert, key } = await stranger.issue({ commonName: "user", usages: ["client"] });
    const other = new Client(target, {
      tls: { cert: Buffer.from(cert), key: Buffer.from(key), ca: Buffer.from(stranger.cert) },
    });
    await assert.rejects(other.unary(KVService.Put, {}), (e: GrpcError) => e.code === Code.Unavailable);
    other.close();
  });
});

test("close lets running calls end, tells their callers all of it, and waits for nothing else", async () => {
  const front = new GrpcFront();
  let begun = () => {};
  let go = () => {};
  const running = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  front.addService(KVService, {
    Range: async ({ limit }) => {
      begun();
      await gate;
      return { header: undefined, kvs: [], more: false, count: limit };
    },
    DeleteRange: () => ({ header: undefined, deleted: 0, prevKvs: [] }),
  });
  const listener = await listenHere("127.0.0.1", 0);
  front.serve(listener);
  const address = `127.0.0.1:${(listener.address() as AddressInfo).port}`;
  const [busy, idle] = [new GrpcClient(address), new GrpcClient(address)];
  try {
    await idle.unary(KVService.DeleteRange, { key: Buffer.from("k") });
    const answer = busy.unary(KVService.Range, { key: Buffer.from("k"), limit: 7 });
    await running;
    let closed = false;
    const closing = front.close(2 ** 31 - 1).then(() => {
      closed = true;
    });
    await assert.rejects(
      new GrpcClient(address).unary(KVService.DeleteRange, { key: Buffer.from("k") }, { timeoutMs: 5000 }),
      (e: GrpcError) => e.code === Code.Unavailable,
    );
    assert.ok(!closed);
    go();
    assert.equal((await answer).count, 7);
    await closing;
  } finally {
    busy.close();
    idle.close();
  }
});

async function waitUntil(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error("waited 10 s in vain");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test("requests that do not come to their end fill no memory: what is too much is refused, what ends makes room", async () => {
  const front = new GrpcFront({ maxUnfinishedBytes: 100_000 });
  front.addService(KVService, { Put: () => ({}) });
  const listener = await listenHere("127.0.0.1", 0);
  front.serve(listener);
  const session = http2.connect(`http://127.0.0.1:${(listener.address() as AddressInfo).port}`);
  const headers = { ":method": "POST", ":path": KVService.Put.path, "content-type": "application/grpc" };
  /** Sends the head of a message of 50,000 bytes and 40,000 of them; tells the status once there is one. */
  const begin = () => {
    const stream = session.request(headers, { endStream: false });
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(50_000, 1);
    const status = new Promise<string>((resolve) => {
      const hear = (told: http2.IncomingHttpHeaders) => told["grpc-status"] && resolve(String(told["grpc-status"]));
      stream.on("response", hear).on("trailers", hear);
    });
    stream.resume();
    stream.write(Buffer.concat([prefix, Buffer.alloc(40_000)]));
    return { stream, status };
  };
  try {
    const begun = [begin(), begin(), begin()];
    const refused = await Promise.race(begun.map(async (one) => ({ one, status: await one.status })));
    assert.equal(refused.status, String(Code.ResourceExhausted));
    const [gone, kept] = begun.filter((one) => one !== refused.one);
    gone!.stream.close(http2.constants.NGHTTP2_CANCEL);
    await new Promise((resolve) => gone!.stream.on("close", resolve));
    const next = begin();
    for (const { stream } of [kept!, next]) stream.end(Buffer.alloc(10_000));
    for (const { status } of [kept!, next]) assert.notEqual(await status, String(Code.ResourceExhausted));
  } finally {
    session.destroy();
    await front.close(0);
  }
});

test("who opens every window and does not read fills no memory, and gets all once it reads", async () => {
  const server = new GrpcFront();
  const total = 512;
  let sent = 0;
  let stuck!: () => void;
  const isStuck = new Promise<void>((resolve) => {
    stuck = resolve;
  });
  server.addService(MaintenanceService, {
    Snapshot: async (_request, _context, send) => {
      for (; sent < total; sent++) {
        const goesOn = send({ blob: Buffer.alloc(256 * 1024) });
        await new Promise(setImmediate);
        if (goesOn) continue;
        stuck();
        await send.drained();
      }
      stuck();
    },
  });
  const listener = await listenHere("127.0.0.1", 0);
  server.serve(listener);
  const socket = connect((listener.address() as AddressInfo).port, "127.0.0.1").pause();
  const headers = encodeHeaders([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", MaintenanceService.Snapshot.path],
    ["content-type", "application/grpc"],
  ]);
  socket.write(preface);
  socket.write(settingsFrame({ [Setting.initialWindowSize]: 2 ** 31 - 1 }));
  socket.write(uint32Frame(FrameType.windowUpdate, 0, 2 ** 31 - 1 - 65_535));
  socket.write(frame(FrameType.headers, Flag.endHeaders, 1, headers));
  socket.write(frame(FrameType.data, Flag.endStream, 1, Buffer.alloc(5)));
  await isStuck;
  assert.ok(sent < total / 4, `${sent} messages of a quarter of a megabyte`);
  let received = 0;
  const all = new Promise<void>((resolve) =>
    socket.on("data", (chunk: Buffer) => {
      received += chunk.length;
      if (received > total * 256 * 1024) resolve();
    }),
  );
  socket.resume();
  await all;
  socket.destroy();
  await server.close(0);
});
