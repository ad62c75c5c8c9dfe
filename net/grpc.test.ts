import assert from "node:assert/strict";
import { test } from "vitest";
import { listenHere } from "../base/outside.ts";
import { KVService, WatchService } from "../proto/generated/etcdserverpb.ts";
import { GrpcClient } from "./grpc-client.ts";
import { Code, GrpcError } from "./grpc-error.ts";
import { GrpcServer } from "./grpc-server.ts";

test("unary, errors with trailers and bidirectional streams pass through grpc-js both ways", async () => {
  const server = new GrpcServer();
  server.addService(KVService, {
    Put: (request: { key: Uint8Array; lease: bigint }) => {
      if (request.lease === 0xfedcba9876543210n - (1n << 64n))
        throw new GrpcError(Code.NotFound, "etcdserver: requested lease not found", {
          trailers: { "x-bin": Buffer.from([1, 2]) },
        });
      return {
        header: { clusterId: 0xfedcba9876543210n, memberId: 1n, revision: 2 ** 40, raftTerm: 3 },
        prevKv: undefined,
      };
    },
  });
  server.addService(WatchService, {
    Watch: (_context: unknown, call: { send(r: object): boolean; end(): void }) => ({
      onMessage: (request: { createRequest?: { startRevision: number } }) =>
        void call.send({ watchId: request.createRequest?.startRevision ?? -1, events: [] }),
      onEnd: () => call.end(),
    }),
  } as never);
  const listener = await listenHere("127.0.0.1", 0);
  server.serve(listener);
  const client = new GrpcClient(`127.0.0.1:${(listener.address() as { port: number }).port}`);
  try {
    const put = await client.unary(KVService.Put, { key: Buffer.from("a") }, { timeoutMs: 5000 });
    assert.deepEqual(put.header, { clusterId: 0xfedcba9876543210n, memberId: 1n, revision: 2 ** 40, raftTerm: 3 });
    const failure = client.unary(KVService.Put, { lease: 0xfedcba9876543210n });
    await assert.rejects(
      failure,
      (e: GrpcError) => e.code === Code.NotFound && (e.trailers["x-bin"] as Buffer).equals(Buffer.from([1, 2])),
    );
    const stream = client.bidi(WatchService.Watch);
    stream.send({ createRequest: { startRevision: 7 } });
    stream.send({ createRequest: { startRevision: 8 } });
    stream.end();
    const ids: number[] = [];
    for await (const response of stream) ids.push(response.watchId);
    assert.deepEqual(ids, [7, 8]);
  } finally {
    client.close();
    await server.close(0);
  }
});
