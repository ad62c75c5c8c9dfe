import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { GrpcClient } from "../../net/grpc-client.ts";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import type { Method } from "../../proto/wire.ts";
import { Code } from "../client/client.ts";
import { errorTable } from "../errors.ts";
import { startTestCluster, type TestCluster } from "./testing.ts";

const b = (text: string) => Buffer.from(text);
const { KVService: kv, LeaseService: lease, MaintenanceService: maintenance, AuthService: auth } = pb;

/** What a client is told, code and text: clients tell failures apart by the text, then by the code. */
describe("the failures of the v3 API", () => {
  let cluster: TestCluster;
  let client: GrpcClient;
  beforeAll(async () => {
    cluster = await startTestCluster(1, { flags: ["--bcrypt-cost=4", "--quota-backend-bytes=1000000"] });
    client = new GrpcClient(cluster.endpoints[0]!.replace("http://", ""));
    for (const value of ["1", "2", "3"]) await cluster.client.put({ key: "a", value });
    await cluster.client.compact({ revision: 3 });
  });
  afterAll(async () => {
    client?.close();
    await cluster?.close();
  });

  const put = { requestPut: { key: b("a") } };
  const many = Array.from({ length: 129 }, () => ({ requestRange: { key: b("a") } }));
  // biome-ignore lint/suspicious/noExplicitAny: methods of different types
  const rows: [what: string, method: Method<any, any>, request: object, code: Code, text: string][] = [
    ["no key to read", kv.Range, {}, Code.InvalidArgument, "key is not provided"],
    ["no key to put", kv.Put, {}, Code.InvalidArgument, "key is not provided"],
    ["no key to delete", kv.DeleteRange, {}, Code.InvalidArgument, "key is not provided"],
    ["no key to compare", kv.Txn, { compare: [{}] }, Code.InvalidArgument, "key is not provided"],
    ["an operation that is none", kv.Txn, { success: [{}] }, Code.InvalidArgument, "key not found"],
    ["to keep the value of no key", kv.Put, { key: b("x"), ignoreValue: true }, Code.InvalidArgument, "key not found"],
    [
      "a value that is to be ignored",
      kv.Put,
      { key: b("a"), value: b("v"), ignoreValue: true },
      Code.InvalidArgument,
      "value is provided",
    ],
    [
      "a lease that is to be ignored",
      kv.Put,
      { key: b("a"), lease: 7n, ignoreLease: true },
      Code.InvalidArgument,
      "lease is provided",
    ],
    ["129 operations", kv.Txn, { success: many }, Code.InvalidArgument, "too many operations in txn request"],
    ["a key put twice", kv.Txn, { success: [put, put] }, Code.InvalidArgument, "duplicate key given in txn request"],
    ["an order that is none", kv.Range, { key: b("a"), sortOrder: 7 }, Code.InvalidArgument, "invalid sort option"],
    ["a target that is none", kv.Range, { key: b("a"), sortTarget: 7 }, Code.InvalidArgument, "invalid sort option"],
    [
      "more than 1.5 MiB",
      auth.UserAdd,
      { name: "x".repeat(1_600_000), options: { noPassword: true } },
      Code.InvalidArgument,
      "request is too large",
    ],
    [
      "a revision that is gone",
      kv.Range,
      { key: b("a"), revision: 2 },
      Code.OutOfRange,
      "mvcc: required revision has been compacted",
    ],
    [
      "a revision to come",
      kv.Range,
      { key: b("a"), revision: 99 },
      Code.OutOfRange,
      "mvcc: required revision is a future revision",
    ],
    [
      "to compact what is compacted",
      kv.Compact,
      { revision: 3 },
      Code.OutOfRange,
      "mvcc: required revision has been compacted",
    ],
    [
      "to compact what is to come",
      kv.Compact,
      { revision: 99 },
      Code.OutOfRange,
      "mvcc: required revision is a future revision",
    ],
    [
      "the hash of what is gone",
      maintenance.HashKV,
      { revision: 2 },
      Code.OutOfRange,
      "mvcc: required revision has been compacted",
    ],
    [
      "the hash of what is to come",
      maintenance.HashKV,
      { revision: 99 },
      Code.OutOfRange,
      "mvcc: required revision is a future revision",
    ],
    ["a lease for ages", lease.LeaseGrant, { TTL: 9_000_000_001 }, Code.OutOfRange, "too large lease TTL"],
    ["no such lease to revoke", lease.LeaseRevoke, { ID: 5n }, Code.NotFound, "requested lease not found"],
    ["no such lease to attach", kv.Put, { key: b("a"), lease: 5n }, Code.NotFound, "requested lease not found"],
    [
      "no room",
      kv.Put,
      { key: b("a"), value: Buffer.alloc(1_000_000) },
      Code.ResourceExhausted,
      "mvcc: database space exceeded",
    ],
    [
      "no such member to lead",
      maintenance.MoveLeader,
      { targetID: 5n },
      Code.FailedPrecondition,
      "bad leader transferee",
    ],
    ["auth without root", auth.AuthEnable, {}, Code.FailedPrecondition, "root user does not exist"],
    [
      "a token while auth is off",
      auth.Authenticate,
      { name: "a" },
      Code.FailedPrecondition,
      "authentication is not enabled",
    ],
    ["a user without a name", auth.UserAdd, {}, Code.InvalidArgument, "user name is empty"],
    ["a role without a name", auth.RoleAdd, {}, Code.InvalidArgument, "role name is empty"],
    ["no such user", auth.UserGet, { name: "nobody" }, Code.FailedPrecondition, "user name not found"],
    ["no such role", auth.RoleGet, { role: "none" }, Code.FailedPrecondition, "role name not found"],
  ];
  test.each(rows)("%s", async (_, method, request, code, text) => {
    await assert.rejects(client.unary(method, request, { timeoutMs: 20_000 }), {
      code,
      message: `etcdserver: ${text}`,
    });
    if (text.endsWith("space exceeded")) {
      await client.unary(maintenance.Alarm, { action: 2, alarm: 1, memberID: cluster.members[0]!.member.id });
    }
  });

  test("more than 512 KiB above that is refused by the transport, in grpc-go's words", async () => {
    const value = Buffer.alloc(1.5 * 2 ** 20 + 2 ** 19);
    const length = pb.PutRequest.encode({ key: b("a"), value }).length;
    await assert.rejects(client.unary(kv.Put, { key: b("a"), value }, { timeoutMs: 20_000 }), {
      code: Code.ResourceExhausted,
      message: `grpc: received message larger than max (${length} vs. ${value.length})`,
    });
  });

  test("any client-api-version is served", async () => {
    const metadata = { "client-api-version": "99" };
    assert.equal((await client.unary(kv.Range, { key: b("a") }, { metadata })).count, 1);
  });

  test("an rpc that is not there is Unimplemented", async () => {
    for (const [path, message] of [
      ["/etcdserverpb.KV/RangeStream", "unknown method RangeStream for service etcdserverpb.KV"],
      ["/other.KV/Range", "unknown service other.KV"],
    ]) {
      const asked = client.unary({ ...kv.Range, path: path! }, { key: b("a") });
      await assert.rejects(asked, { code: Code.Unimplemented, message });
    }
  });
});

/** As etcd's `api/v3rpc/rpctypes` has them; those of some are Unknown over the wire, though declared otherwise. */
const codes: [Code, string][] = [
  [
    Code.InvalidArgument,
    `key is not provided / key not found / value is provided / lease is provided / too many operations in txn request
    / duplicate key given in txn request / invalid sort option / given member URLs are invalid / request is too large
    / wrong downgrade target version format / invalid downgrade target version / user name is empty / role name is empty
    / authentication failed, invalid user ID or password / permission not given / invalid auth management
    / revision of auth store is old`,
  ],
  [
    Code.OutOfRange,
    `mvcc: required revision has been compacted / mvcc: required revision is a future revision / too large lease TTL`,
  ],
  [Code.ResourceExhausted, "mvcc: database space exceeded"],
  [Code.Unknown, "too many requests / re-configuration failed due to not enough started members / unknown method"],
  [Code.NotFound, "requested lease not found / member not found"],
  [
    Code.FailedPrecondition,
    `lease already exists / member ID already exist / Peer URLs already exists / can only promote a learner member
    / can only promote a learner member which is in sync with leader / too many learner members in cluster / not leader
    / rpc not supported for learner / bad leader transferee / cluster has a downgrade job in progress
    / no inflight downgrade job / root user does not exist / root user does not have root role / user name already exists
    / user name not found / role name already exists / role name not found / role is not granted to the user
    / permission is not granted to the role / authentication is not enabled`,
  ],
  [
    Code.Unavailable,
    `no leader / leader changed / server stopped / request timed out / request timed out, possibly due to previous leader failure
    / request timed out, possibly due to connection lost / unhealthy cluster`,
  ],
  [Code.DataLoss, "corrupt cluster"],
  [Code.PermissionDenied, "permission denied"],
  [Code.Unauthenticated, "invalid auth token"],
];

test.each(codes)("the failures of code %i", (code, texts) => {
  const ours = Object.values(errorTable).filter((row) => row[0] === code);
  assert.deepEqual(ours.map((row) => row[1]).sort(), texts.split(/\s+\/ /).sort());
});
