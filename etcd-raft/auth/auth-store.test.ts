import assert from "node:assert/strict";
import { describe, test } from "vitest";
import type { GrpcError } from "../../net/grpc-error.ts";
import { InternalRaftRequest, type TxnRequest } from "../../proto/generated/etcdserverpb.ts";
import type { Init } from "../../proto/wire.ts";
import { checkRequest } from "./apply.ts";
import { Access, AuthStore } from "./auth-store.ts";

const key = (text: string) => ({ key: Buffer.from(text), rangeEnd: Buffer.alloc(0) });
const range = (text: string) => ({ key: text, end: undefined });
const refuses = (fn: () => void, text: string) =>
  assert.throws(fn, (error: GrpcError) => error.message.replace("etcdserver: ", "") === text);

function enabled(): AuthStore {
  const auth = new AuthStore();
  auth.addUser({ name: "root", options: { noPassword: true } });
  auth.addRole("root");
  auth.grantRole("root", "root");
  auth.addUser({ name: "ann", hashedPassword: Buffer.from("hash").toString("base64") });
  auth.addRole("reader");
  auth.grantPermission("reader", { ...key("a"), permType: Access.read });
  auth.grantRole("ann", "reader");
  auth.enable();
  return auth;
}

describe("enabling", () => {
  test("needs a user root with the role root", () => {
    const auth = new AuthStore();
    refuses(() => auth.enable(), "root user does not exist");
    auth.addUser({ name: "root", options: { noPassword: true } });
    refuses(() => auth.enable(), "root user does not have root role");
    auth.grantRole("root", "root");
    auth.enable();
    assert.equal(auth.enabled, true);
  });

  test("every change makes a revision; enabling, and what changes nothing, does not", () => {
    const auth = enabled();
    const { revision } = auth;
    auth.enable();
    auth.grantRole("ann", "reader");
    assert.equal(auth.revision, revision);
    auth.addRole("other");
    assert.equal(auth.revision, revision + 1);
    auth.disable();
    assert.equal(auth.revision, revision + 2);
  });
});

test.each<[string, (auth: AuthStore) => void, string]>([
  ["a user without a name", (a) => a.addUser({ name: "" }), "user name is empty"],
  ["a user that is there", (a) => a.addUser({ name: "ann" }), "user name already exists"],
  ["an unknown user", (a) => a.deleteUser("bob"), "user name not found"],
  ["the password of an unknown user", (a) => a.changePassword({ name: "bob" }), "user name not found"],
  ["root, while auth is on", (a) => a.deleteUser("root"), "invalid auth management"],
  ["the role root, while auth is on", (a) => a.deleteRole("root"), "invalid auth management"],
  ["the role of root, while auth is on", (a) => a.revokeRole("root", "root"), "invalid auth management"],
  ["a role without a name", (a) => a.addRole(""), "role name is empty"],
  ["a role that is there", (a) => a.addRole("reader"), "role name already exists"],
  ["an unknown role", (a) => a.deleteRole("writer"), "role name not found"],
  ["granting an unknown role", (a) => a.grantRole("ann", "writer"), "role name not found"],
  ["revoking what was not granted", (a) => a.revokeRole("ann", "root"), "role is not granted to the user"],
  ["no permission", (a) => a.grantPermission("reader", undefined), "permission not given"],
  [
    "a permission on no key",
    (a) => a.grantPermission("reader", { ...key(""), permType: 0 }),
    "invalid auth management",
  ],
  [
    "a permission that is not there",
    (a) => a.revokePermission("reader", key("b")),
    "permission is not granted to the role",
  ],
  ["nobody", (a) => a.check(undefined, Access.read, range("a")), "user name is empty"],
  [
    "a key of others",
    (a) => a.check({ username: "ann", revision: a.revision }, Access.read, range("b")),
    "permission denied",
  ],
  [
    "writing with read",
    (a) => a.check({ username: "ann", revision: a.revision }, Access.write, range("a")),
    "permission denied",
  ],
  [
    "an old revision",
    (a) => a.check({ username: "ann", revision: a.revision - 1 }, Access.read, range("a")),
    "revision of auth store is old",
  ],
  ["a user as administrator", (a) => a.checkAdmin({ username: "ann" }), "permission denied"],
  [
    "a password where there is none",
    (a) => void a.passwordOf("root"),
    "auth: authentication failed, password was given for no password user",
  ],
])("refused: %s", (_, change, text) => {
  const auth = enabled();
  refuses(() => change(auth), text);
});

describe("of a Txn is looked at", () => {
  const bytes = (text: string) => Buffer.from(text);
  const put = (text: string, rest: object = {}) => ({ requestPut: { key: bytes(text), value: bytes("1"), ...rest } });
  const get = (text: string) => ({ requestRange: { key: bytes(text) } });
  const inner = { requestTxn: { failure: [put("b")] } };
  // ann reads "a" to "b", and writes "w".
  const rows: [name: string, txn: Init<TxnRequest>, refused: boolean][] = [
    ["nothing that is not there", { compare: [{ key: bytes("a") }], success: [get("a"), put("w")] }, false],
    ["what is compared", { compare: [{ key: bytes("w") }] }, true],
    ["a compared range, all of it", { compare: [{ key: bytes("a"), rangeEnd: bytes("c") }] }, true],
    ["what the one branch reads", { success: [get("w")] }, true],
    ["what the other branch reads", { failure: [get("w")] }, true],
    ["what the other branch puts", { failure: [put("a")] }, true],
    ["what a branch deletes", { success: [{ requestDeleteRange: { key: bytes("a") } }] }, true],
    ["what a nested one does", { success: [inner] }, true],
    ["the value before a put, which is read", { success: [put("w", { prevKv: true })] }, true],
    ["the value before a deletion", { success: [{ requestDeleteRange: { key: bytes("w"), prevKv: true } }] }, true],
    ["a lease whose keys are others'", { failure: [put("w", { lease: 7n })] }, true],
    ["a lease whose keys are its own", { failure: [put("w", { lease: 8n })] }, false],
  ];
  test.each(rows)("%s", (_, txn, refused) => {
    const auth = enabled();
    auth.grantPermission("reader", { permType: Access.read, key: bytes("a"), rangeEnd: bytes("b") });
    auth.grantPermission("reader", { ...key("w"), permType: Access.write });
    const request = InternalRaftRequest.decode(InternalRaftRequest.encode({ txn }));
    const who = { username: "ann", revision: auth.revision };
    const apply = () => checkRequest(auth, who, request, (lease) => (lease === 7n ? ["other"] : ["w"]));
    if (refused) refuses(apply, "permission denied");
    else apply();
  });
});

test("rights follow roles at once", () => {
  const auth = enabled();
  const may = (access: 0 | 1) => auth.check({ username: "ann", revision: auth.revision }, access, range("a"));
  may(Access.read);
  auth.grantPermission("reader", { ...key("a"), permType: Access.readWrite });
  may(Access.write);
  auth.deleteRole("reader");
  refuses(() => may(Access.read), "permission denied");
});

test("root may everything, and its role shows it", () => {
  const auth = enabled();
  auth.check({ username: "root", revision: auth.revision }, Access.write, { key: "a", end: null });
  auth.checkAdmin({ username: "root" });
  assert.deepEqual(auth.permissionsOf("root"), [
    { permType: Access.readWrite, key: new Uint8Array(0), rangeEnd: Buffer.from([0]) },
  ]);
});

test("its rows are all there is", () => {
  const auth = enabled();
  const copy = new AuthStore();
  copy.restore(auth.rows());
  assert.deepEqual(copy.rows(), auth.rows());
  assert.equal(copy.enabled, true);
  assert.equal(copy.revision, auth.revision);
  copy.check({ username: "ann", revision: copy.revision }, Access.read, range("a"));
});
