import type net from "node:net";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import type { KubernetesObject, ResourceType } from "../apimachinery/object.ts";
import {
  expired,
  isConflict,
  isExpired,
  isNotFound,
  isServiceUnavailable,
  StatusError,
} from "../apimachinery/status.ts";
import { systemClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { listenHere } from "../base/outside.ts";
import { Code, GrpcError } from "../net/grpc-error.ts";
import { GrpcFront } from "../net/grpc-front.ts";
import { ApiService } from "../proto/generated/api.ts";
import { createGrpcClient } from "./grpc-client.ts";
import { Informer } from "./informer.ts";
import { MemoryApi } from "./testing/memory-api.ts";

const Things: ResourceType<KubernetesObject> = {
  group: "example.com",
  version: "v1",
  resource: "things",
  kind: "Thing",
  namespaced: true,
};

const closers: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** The API in memory behind real sockets: what an apiserver's gRPC front does, without the apiserver. */
async function serve(api: MemoryApi, host = "127.0.0.1", port = 0) {
  const server = new GrpcFront();
  const bytes = (object: unknown) => ({ object: Buffer.from(JSON.stringify(object)) });
  const parse = (object: Uint8Array) => JSON.parse(Buffer.from(object).toString());
  const requests: unknown[] = [];
  async function answer<T>(request: unknown, work: () => Promise<T>) {
    requests.push(request);
    try {
      return bytes(await work());
    } catch (error) {
      throw asGrpc(error);
    }
  }
  server.addService(ApiService, {
    Get: (q) => answer(q, () => api.get(Things, q.target!)),
    List: (q) =>
      answer(q, async () => {
        const { resourceVersion, items } = await api.list(
          Things,
          q.target!.namespace ? { namespace: q.target!.namespace } : {},
        );
        return { metadata: { resourceVersion }, items };
      }),
    Create: (q) => answer(q, () => api.create(Things, parse(q.object))),
    Update: (q) => answer(q, () => api.update(Things, parse(q.object))),
    Patch: (q) => answer(q, () => api.patch(Things, q.target!, { type: "merge", body: parse(q.patch) })),
    Delete: (q) => answer(q, () => api.delete(Things, q.target!, parse(q.options)).then(() => ({}))),
    async Watch(q, { signal }, send) {
      try {
        for await (const events of api.watch(Things, { resourceVersion: q.resourceVersion, signal })) {
          const encoded = events.map((event) => ({
            type: event.type,
            object: Buffer.from(JSON.stringify(event.type === "BOOKMARK" ? { metadata: event } : event.object)),
          }));
          send({ events: encoded } as never);
        }
      } catch (error) {
        throw asGrpc(error);
      }
    },
  });
  const listener = await listenHere(host, port);
  server.serve(listener);
  closers.push(() => server.close(0));
  return { address: addressOf(listener), requests, close: () => server.close(0) };
}

function addressOf(listener: net.Server): string {
  const { address, port } = listener.address() as AddressInfo;
  return `${address}:${port}`;
}

function asGrpc(error: unknown): GrpcError {
  if (!(error instanceof StatusError)) return new GrpcError(Code.Internal, String(error));
  const trailers = { "kubernetes-status-bin": Buffer.from(JSON.stringify(error.status)) };
  return new GrpcError(Code.Unknown, error.message, { trailers, cause: error });
}

function connect(...servers: string[]) {
  const client = createGrpcClient({ servers });
  closers.push(() => client.close());
  return client;
}

const thing = (name: string) => ({ metadata: { namespace: "ns", name } });

describe("The API over gRPC", () => {
  test("every verb says what it is about, and gives the object as the server has it", async () => {
    const { address, requests } = await serve(new MemoryApi(systemClock));
    const client = connect(address);
    const created = await client.create(Things, thing("a"), { fieldManager: "me" });
    expect(await client.get(Things, { namespace: "ns", name: "a" })).toEqual(created);
    await client.patch(
      Things,
      created.metadata,
      { type: "merge", body: { spec: { x: 1 } } },
      { subresource: "status" },
    );
    const { items } = await client.list(Things, {
      namespace: "ns",
      labelSelector: "a=b",
      fieldSelector: "metadata.name=a",
    });
    await client.update(Things, items[0]!);
    await client.delete(Things, created.metadata, {
      gracePeriodSeconds: 5,
      preconditions: { uid: created.metadata.uid! },
    });
    const target = {
      group: "example.com",
      version: "v1",
      resource: "things",
      namespace: "ns",
      name: "",
      subresource: "",
    };
    expect(requests).toMatchObject([
      { target, fieldManager: "me" },
      { target: { ...target, name: "a" } },
      { target: { ...target, name: "a", subresource: "status" }, contentType: "application/merge-patch+json" },
      { target, labelSelector: "a=b", fieldSelector: "metadata.name=a" },
      { target: { ...target, name: "a" } },
      { target: { ...target, name: "a" } },
    ]);
    expect((await client.list(Things)).items).toEqual([]);
  });

  test("a failure is the server's own Status", async () => {
    const { address } = await serve(new MemoryApi(systemClock));
    const client = connect(address);
    const missing = await client.get(Things, { namespace: "ns", name: "x" }).catch((error) => error);
    expect(isNotFound(missing)).toBe(true);
    expect(missing.message).toBe('things.example.com "x" not found');
    const created = await client.create(Things, thing("a"));
    const stale = { ...created, metadata: { ...created.metadata, resourceVersion: "0" } };
    expect(isConflict(await client.update(Things, stale).catch((error) => error))).toBe(true);
  });

  test("a server that cannot be reached is 503 ServiceUnavailable", async () => {
    const { address, close } = await serve(new MemoryApi(systemClock));
    await close();
    expect(
      isServiceUnavailable(
        await connect(address)
          .list(Things)
          .catch((error) => error),
      ),
    ).toBe(true);
  });

  test("a watch from a revision that is gone fails with 410", async () => {
    const api = new MemoryApi(systemClock);
    const { address } = await serve(api);
    const client = connect(address);
    await client.create(Things, thing("a"));
    api.compact();
    const watch = async () => {
      for await (const _ of client.watch(Things, { resourceVersion: "0" })) return;
    };
    expect(isExpired(await watch().catch((error) => error))).toBe(true);
    expect(expired("x").code).toBe(410);
  });

  test("a watch ends quietly when its signal aborts", async () => {
    const { address } = await serve(new MemoryApi(systemClock));
    const client = connect(address);
    const controller = new AbortController();
    await client.create(Things, thing("a"));
    const seen: string[] = [];
    for await (const events of client.watch(Things, { resourceVersion: "0", signal: controller.signal })) {
      seen.push(...events.map(({ type }) => type));
      controller.abort();
    }
    expect(seen).toEqual(["ADDED"]);
  });

  test("when one of two servers dies, calls go to the other, and an informer misses nothing", async () => {
    const api = new MemoryApi(systemClock);
    const first = await serve(api, "127.77.0.1");
    const second = await serve(api, "127.77.0.2");
    const client = connect(first.address, second.address);
    const informer = new Informer(client, Things, { clock: systemClock, log: silentLogger });
    const stop = new AbortController();
    closers.push(() => stop.abort());
    const seen: string[] = [];
    const all = new Promise<void>((resolve) => {
      informer.on({
        onAdd({ metadata }) {
          seen.push(metadata.name);
          if (seen.length === 3) resolve();
        },
      });
    });
    void informer.run(stop.signal);
    await client.create(Things, thing("before"));
    await informer.synced;
    await first.close();
    await api.create(Things, thing("between"));
    const create = () =>
      client.create(Things, thing("after")).then(
        () => true,
        (error) => {
          if (isServiceUnavailable(error)) return false;
          throw error;
        },
      );
    while (!(await create())); // the first calls may find out that the server has gone
    await all;
    expect(seen).toEqual(["before", "between", "after"]);
  });
});
