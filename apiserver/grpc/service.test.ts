import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import type { Pod } from "../../api/generated/core-v1.ts";
import { ConfigMaps, Namespaces, Pods, ServiceAccounts } from "../../api/generated/resources.ts";
import { isConflict, isExpired, isForbidden, isNotFound, type StatusError } from "../../apimachinery/status.ts";
import { createGrpcClient } from "../../client/grpc-client.ts";
import type { Client, WatchEvent } from "../../client/types.ts";
import { GrpcClient } from "../../net/grpc-client.ts";
import { Code, type GrpcError } from "../../net/grpc-error.ts";
import { HealthService } from "../../net/grpc-health.ts";
import { createAuthority } from "../../pki/authority.ts";
import { ApiService } from "../../proto/generated/api.ts";
import { pod } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";

let server: TestApiserver;
let client: Client & { close(): void };
const clientOf = (tls: TestApiserver["certs"]["admin"]) => createGrpcClient({ servers: [server.grpcAddress], tls });
beforeAll(async () => {
  server = await startTestApiserver();
  client = clientOf(server.certs.admin);
});
afterAll(async () => {
  client?.close();
  await server?.close();
});

const map = (name: string, data?: Record<string, string>) => ({
  metadata: { name, namespace: "default" },
  ...(data ? { data } : {}),
});
const key = (name: string) => ({ namespace: "default", name });

describe("the gRPC front", () => {
  test("has every verb", async () => {
    const created = await client.create(ConfigMaps, map("life", { a: "1" }));
    assert.equal(created.kind, "ConfigMap");
    assert.deepEqual(await client.get(ConfigMaps, key("life")), created);
    const updated = await client.update(ConfigMaps, { ...created, data: { a: "2" } });
    assert.deepEqual(updated.data, { a: "2" });
    await assert.rejects(client.update(ConfigMaps, { ...created, data: { a: "3" } }), isConflict);
    const patched = await client.patch(ConfigMaps, key("life"), { type: "merge", body: { data: { b: "4" } } });
    assert.deepEqual(patched.data, { a: "2", b: "4" });
    const { items } = await client.list(ConfigMaps, { namespace: "default", fieldSelector: "metadata.name=life" });
    assert.deepEqual(items, [patched]);
    await client.delete(ConfigMaps, key("life"));
    await assert.rejects(client.get(ConfigMaps, key("life")), isNotFound);
  });

  test("says how it is (grpc.health.v1), and ends what takes longer than its caller waits", async () => {
    const grpc = new GrpcClient(server.grpcAddress, { tls: server.certs.admin, serverName: "kubernetes" });
    try {
      assert.deepEqual(await grpc.unary(HealthService.Check, { service: "" }), { status: 1 });
      await assert.rejects(grpc.unary(HealthService.Check, { service: "x" }), { code: Code.NotFound });
      const target = { version: "v1", resource: "configmaps" };
      const watch = grpc.serverStream(ApiService.Watch, { target } as never, { timeoutMs: 300 });
      const events = async () => {
        for await (const _ of watch);
      };
      await assert.rejects(events(), { code: Code.DeadlineExceeded });
    } finally {
      grpc.close();
    }
  });

  test("binds Pods and writes status, each with the rights of its identity", async () => {
    const scheduler = clientOf(server.certs.scheduler);
    const node = clientOf(await server.certs.node("n1"));
    try {
      await client.create(Pods, { ...pod("bound"), metadata: { name: "bound", namespace: "default" } } as Pod);
      const binding = {
        apiVersion: "v1",
        kind: "Binding",
        metadata: { name: "bound" },
        target: { kind: "Node", name: "n1" },
      };
      await assert.rejects(node.createSubresource(Pods, key("bound"), "binding", binding), isForbidden);
      await scheduler.createSubresource(Pods, key("bound"), "binding", binding);
      const current = await node.get(Pods, key("bound"));
      assert.equal(current.spec!.nodeName, "n1");
      const status = { ...current, status: { ...current.status, phase: "Running" as const } };
      assert.equal((await node.update(Pods, status, { subresource: "status" })).status!.phase, "Running");
      await assert.rejects(node.delete(Namespaces, { name: "default" }), isForbidden);
    } finally {
      scheduler.close();
      node.close();
    }
  });

  test("sends a watch's events in order, those of one turn in one message", async () => {
    const { resourceVersion } = await client.list(ConfigMaps, { namespace: "default" });
    const stop = new AbortController();
    const batches: WatchEvent<{ metadata: { name: string } }>[][] = [];
    const done = (async () => {
      for await (const batch of client.watch(ConfigMaps, {
        namespace: "default",
        resourceVersion,
        signal: stop.signal,
      })) {
        batches.push(batch);
        if (batches.flat().length === 40) return;
      }
    })();
    await Promise.all(Array.from({ length: 40 }, (_, i) => client.create(ConfigMaps, map(`burst-${i}`))));
    await done;
    stop.abort();
    const revisions = batches
      .flat()
      .map((event) =>
        Number(event.type === "BOOKMARK" ? 0 : (event.object.metadata as { resourceVersion?: string }).resourceVersion),
      );
    assert.deepEqual(
      revisions,
      [...revisions].sort((a, b) => a - b),
    );
    assert.equal(new Set(revisions).size, 40);
  });

  test("a watch from a revision that is gone throws 410 Expired", async () => {
    const later = await startTestApiserver({ etcdEndpoints: server.etcdEndpoints });
    const other = createGrpcClient({ servers: [later.grpcAddress], tls: later.certs.admin });
    try {
      const watch = other.watch(ConfigMaps, { resourceVersion: "1" })[Symbol.asyncIterator]();
      await assert.rejects(watch.next(), isExpired);
    } finally {
      other.close();
      await later.close();
    }
  });

  test("a failure has the nearest gRPC code and its Status in the trailer", async () => {
    const grpc = new GrpcClient(server.grpcAddress, { tls: server.certs.admin, serverName: "kubernetes" });
    const target = { version: "v1", resource: "configmaps", namespace: "default", name: "nope" };
    try {
      await assert.rejects(grpc.unary(ApiService.Get, { target }), (error: GrpcError) => {
        assert.equal(error.code, Code.NotFound);
        assert.equal(
          JSON.parse(String(error.trailers["kubernetes-status-bin"])).message,
          'configmaps "nope" not found',
        );
        return true;
      });
      for (const bytes of [Buffer.from("{"), Buffer.from([0xff]), Buffer.alloc(0)])
        await assert.rejects(
          grpc.unary(ApiService.Create, { target: { ...target, name: "" }, object: bytes }),
          (e: GrpcError) => e.code === Code.InvalidArgument,
        );
      await assert.rejects(grpc.unary(ApiService.Get, {}), (e: GrpcError) => e.code === Code.NotFound);
    } finally {
      grpc.close();
    }
  });

  test("a bearer token does beside a certificate, with the rights of its user; a bad one is 401", async () => {
    const request = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { audiences: [] } };
    await client.create(ServiceAccounts, { metadata: { namespace: "default", name: "robot" } });
    const { status } = (await client.createSubresource(ServiceAccounts, key("robot"), "token", request)) as {
      status: { token: string };
    };
    let token = status.token;
    const { ca } = server.certs.admin;
    const bearer = createGrpcClient({ servers: [server.grpcAddress], tls: { ca }, token: () => token });
    try {
      await assert.rejects(bearer.get(ConfigMaps, key("x")), (error: StatusError) => {
        assert.match(error.message, /User "system:serviceaccount:default:robot" cannot get resource "configmaps"/);
        return error.code === 403;
      });
      token = "nonsense";
      await assert.rejects(bearer.get(ConfigMaps, key("x")), (error: StatusError) => error.code === 401);
    } finally {
      bearer.close();
    }
  });

  test("a caller acts as someone else who may, in several groups", async () => {
    const grpc = new GrpcClient(server.grpcAddress, { tls: server.certs.admin, serverName: "kubernetes" });
    try {
      const target = { version: "v1", resource: "nodes" };
      const as = (metadata: Record<string, string | string[]>) => grpc.unary(ApiService.List, { target }, { metadata });
      await as({ "impersonate-user": "jane", "impersonate-group": ["dev", "system:masters"] });
      await assert.rejects(as({ "impersonate-user": "jane" }), { code: Code.PermissionDenied });
      const anonymous = { "impersonate-user": "kubernetes-admin" };
      const scheduler = new GrpcClient(server.grpcAddress, { tls: server.certs.scheduler, serverName: "kubernetes" });
      await assert
        .rejects(scheduler.unary(ApiService.List, { target }, { metadata: anonymous }), { code: Code.PermissionDenied })
        .finally(() => scheduler.close());
    } finally {
      grpc.close();
    }
  });

  test("an object above the limit of REST is refused with its Status", async () => {
    const large = client.create(ConfigMaps, map("large", { a: "x".repeat(3 * 1024 * 1024) }));
    await assert.rejects(large, (error: StatusError) => error.status.reason === "RequestEntityTooLarge");
  });

  test("who has no credential is 401, and so is a certificate of another authority", async () => {
    const { ca } = server.certs.admin;
    const nobody = createGrpcClient({ servers: [server.grpcAddress], tls: { ca } });
    await assert
      .rejects(nobody.get(ConfigMaps, key("x")), (error: StatusError) => error.code === 401)
      .finally(() => nobody.close());
    const issued = await (await createAuthority("stranger")).issue({
      commonName: "x",
      organizations: ["system:masters"],
      usages: ["client"],
    });
    const stranger = clientOf({
      cert: Buffer.from(issued.cert),
      key: Buffer.from(issued.key),
      ca: server.certs.admin.ca,
    });
    try {
      await assert.rejects(
        stranger.get(ConfigMaps, key("x"), { timeoutMs: 2000 }),
        (error: StatusError) => error.code === 401,
      );
    } finally {
      stranger.close();
    }
  });
});
