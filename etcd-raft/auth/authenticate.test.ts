import assert from "node:assert/strict";
import { test } from "vitest";
import type { CallContext } from "../../net/grpc-server.ts";
import { RangeRequest, TxnRequest } from "../../proto/generated/etcdserverpb.ts";
import { type Callers, callersOf } from "../server/access.ts";
import { authHandlers } from "../server/auth-service.ts";
import { kvHandlers } from "../server/kv-service.ts";
import { startTestCluster } from "../server/testing.ts";
import type { PasswordPool } from "./password.ts";

test("a password that is changed while it is compared does not let its owner in", async () => {
  const cluster = await startTestCluster(1);
  try {
    const { member } = cluster.members[0]!;
    const user = (name: string, hash: string) => ({ name, hashedPassword: Buffer.from(hash).toString("base64") });
    await member.write({ authUserAdd: { ...user("root", "first"), options: { noPassword: false } } });
    await member.write({ authUserGrantRole: { user: "root", role: "root" } });
    await member.write({ authEnable: {} });
    const root = () => ({ username: "root", revision: member.applier.auth.revision });
    const compared: string[] = [];
    const passwords = {
      async compare(_: string, hash: string) {
        compared.push(hash);
        if (compared.length === 1) await member.write({ authUserChangePassword: user("root", "second") }, root());
        return hash === "first";
      },
    } as unknown as PasswordPool;
    const callers = callersOf(member, { clientCertAuth: false });
    const { Authenticate } = authHandlers(member, callers, { bcryptCost: 4, passwords });
    const context = { metadata: {}, peer: undefined, signal: new AbortController().signal } as CallContext;
    await assert.rejects(
      async () => (Authenticate as (q: object, c: CallContext) => unknown)({ name: "root", password: "pw" }, context),
      {
        message: "etcdserver: authentication failed, invalid user ID or password",
      },
    );
    assert.deepEqual(compared, ["first", "second"]);
  } finally {
    await cluster.close();
  }
});

test("reads are judged too: Range and Txn, linearizable and not", async () => {
  const cluster = await startTestCluster(1);
  try {
    const { member } = cluster.members[0]!;
    await member.write({ authUserAdd: { name: "root", options: { noPassword: true } } });
    await member.write({ authUserAdd: { name: "ann", options: { noPassword: true } } });
    await member.write({ authUserGrantRole: { user: "root", role: "root" } });
    await member.write({ authEnable: {} });
    const ask = async (username: string, serializable: boolean, inTxn: boolean) => {
      const who = { username, revision: member.applier.auth.revision };
      const callers = { as: (_: CallContext, fn: (w: typeof who) => unknown) => fn(who) } as unknown as Callers;
      const { Range, Txn } = kvHandlers(member, callers);
      const range = RangeRequest.decode(RangeRequest.encode({ key: Buffer.from("a"), serializable }));
      const txn = TxnRequest.decode(TxnRequest.encode({ success: [{ requestRange: range }] }));
      return inTxn ? await Txn(txn, {} as CallContext) : await Range(range, {} as CallContext);
    };
    for (const [serializable, inTxn] of [
      [false, false],
      [true, false],
      [false, true],
      [true, true],
    ] as const) {
      await assert.rejects(ask("ann", serializable, inTxn), { message: "etcdserver: permission denied" });
      await ask("root", serializable, inTxn);
    }
  } finally {
    await cluster.close();
  }
});
