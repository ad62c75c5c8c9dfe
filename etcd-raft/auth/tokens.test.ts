import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { seededRand } from "../../base/rand.ts";
import type { CallContext } from "../../net/grpc-server.ts";
import { callersOf } from "../server/access.ts";
import type { Member } from "../server/member.ts";
import { Tokens, tokenIndex } from "./tokens.ts";

test("sixteen letters, a dot and the entry that made it", () => {
  assert.match(Tokens.prefix(seededRand(1)), /^[a-zA-Z]{16}$/);
  assert.equal(tokenIndex(`${Tokens.prefix(seededRand(1))}.17`), 17);
  for (const other of ["", "abc", "abc.", "a.b.c", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"])
    assert.equal(tokenIndex(other), undefined);
});

test("a token ends five minutes after its last use", () => {
  const tokens = new Tokens();
  tokens.add("a.1", "ann", 0);
  assert.equal(tokens.userOf("a.1", 299_999), "ann");
  assert.equal(tokens.userOf("a.1", 599_998), "ann");
  assert.equal(tokens.userOf("a.1", 899_998), undefined);
});

test("those of one user, or all, count no more", () => {
  const tokens = new Tokens(1000);
  for (const user of ["ann", "bob"]) tokens.add(`${user}.1`, user, 0);
  tokens.invalidate("ann");
  assert.deepEqual([tokens.userOf("ann.1", 0), tokens.userOf("bob.1", 0)], [undefined, "bob"]);
  tokens.invalidate();
  assert.equal(tokens.userOf("bob.1", 0), undefined);
});

describe("a caller with a token that another member gave out", () => {
  const callerOf = (appliedIndex: number) => {
    const tokens = new Tokens();
    const member = {
      appliedIndex,
      applier: { auth: { enabled: true, revision: 7 }, tokens },
      config: { clock: { monotonic: () => 0 } },
      async linearizable(fn: () => unknown) {
        tokens.add("abc.10", "ann", 0); // by then its entry is applied
        return fn();
      },
    } as unknown as Member;
    const context = { metadata: { token: "abc.10" } } as unknown as CallContext;
    return callersOf(member, { clientCertAuth: false }).as(context, (who) => who);
  };

  test("waits until its entry has been applied here", async () => {
    assert.deepEqual(await callerOf(9), { username: "ann", revision: 7 });
  });

  test("is refused at once when that was long ago", () => {
    assert.throws(() => callerOf(10), { message: "etcdserver: invalid auth token" });
  });
});

test.each([
  [true, "ann"],
  [false, undefined],
])("with --client-cert-auth=%s a certificate's common name is the user: %s", (clientCertAuth, user) => {
  const member = { applier: { auth: { enabled: true, revision: 7 } }, config: {} } as unknown as Member;
  const context = { metadata: {}, peer: { commonName: "ann" } } as unknown as CallContext;
  const who = callersOf(member, { clientCertAuth }).as(context, (found) => found);
  assert.equal((who as { username: string } | undefined)?.username, user);
});
