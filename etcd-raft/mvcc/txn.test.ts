import assert from "node:assert/strict";
import { describe, test } from "vitest";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import type { Init, MessageCodec } from "../../proto/wire.ts";
import { checkPut, checkRange, checkTxn } from "./check.ts";
import { range } from "./range.ts";
import { Store } from "./store.ts";
import { deleteRange, put, txn } from "./txn.ts";

/** A request as it arrives: encoded and decoded. */
const message = <T>(codec: MessageCodec<T>, init: Init<T>): T => codec.decode(codec.encode(init));
const b = (text: string) => Buffer.from(text, "latin1");
const leases = { has: (id: bigint) => id === 7n };

/** a=1 (revision 2), b=2 (3), ba=3 (4), c=4 (5), a=5 (6) */
function filled(): Store {
  const store = new Store();
  for (const [key, value] of [
    ["a", "1"],
    ["b", "2"],
    ["ba", "3"],
    ["c", "4"],
    ["a", "5"],
  ] as const) {
    put(store, leases, message(pb.PutRequest, { key: b(key), value: b(value) }));
  }
  return store;
}

const get = (store: Store, init: Init<pb.RangeRequest>) => {
  const request = message(pb.RangeRequest, init);
  checkRange(request);
  const { kvs, more, count, header } = range(store, request, store.revision);
  const found = kvs.map(({ key, value }) => `${Buffer.from(key)}=${Buffer.from(value)}`).join(" ");
  return { found, more, count, revision: header!.revision };
};

describe("Range", () => {
  const all = { key: b("\0"), rangeEnd: b("\0") };
  const rows: [string, Init<pb.RangeRequest>, string, { more?: boolean; count: number }][] = [
    ["a key alone", { key: b("b") }, "b=2", { count: 1 }],
    ["an absent key is no error", { key: b("x") }, "", { count: 0 }],
    ["key and end zero: everything", all, "a=5 b=2 ba=3 c=4", { count: 4 }],
    ["end zero: everything from key on", { key: b("b"), rangeEnd: b("\0") }, "b=2 ba=3 c=4", { count: 3 }],
    ["a prefix", { key: b("b"), rangeEnd: b("c") }, "b=2 ba=3", { count: 2 }],
    ["an end before the key is empty, not an error", { key: b("c"), rangeEnd: b("a") }, "", { count: 0 }],
    ["a past revision", { ...all, revision: 3 }, "a=1 b=2", { count: 2 }],
    ["a negative revision is the present one", { key: b("a"), revision: -3 }, "a=5", { count: 1 }],
    ["a limit keeps the full count and says more", { ...all, limit: 2 }, "a=5 b=2", { more: true, count: 4 }],
    ["a limit that is just enough", { ...all, limit: 4 }, "a=5 b=2 ba=3 c=4", { count: 4 }],
    [
      "filters leave count alone and come before the limit",
      { ...all, minModRevision: 4, limit: 2 },
      "a=5 ba=3",
      { more: true, count: 4 },
    ],
    ["max create revision", { ...all, maxCreateRevision: 3 }, "a=5 b=2", { count: 4 }],
    ["keys only", { ...all, keysOnly: true }, "a= b= ba= c=", { count: 4 }],
    ["count only", { ...all, countOnly: true }, "", { count: 4 }],
    ["descending keys", { ...all, sortOrder: 2 }, "c=4 ba=3 b=2 a=5", { count: 4 }],
    [
      "by value, limit after the sort",
      { ...all, sortOrder: 2, sortTarget: 4, limit: 1 },
      "a=5",
      { more: true, count: 4 },
    ],
    [
      "a target without order sorts what the limit left",
      { ...all, sortTarget: 3, limit: 2 },
      "b=2 ba=3",
      { more: true, count: 4 },
    ],
  ];
  for (const [name, request, found, { more = false, count }] of rows) {
    test(name, () => {
      // With a limit and a target but no order the reading stops after limit + 1 keys, then sorts, then cuts.
      assert.deepEqual(get(filled(), request), { found, more, count, revision: 6 });
    });
  }

  const refused: [string, Init<pb.RangeRequest>, RegExp][] = [
    ["no key", {}, /^GrpcError: etcdserver: key is not provided$/],
    ["an unknown order", { key: b("a"), sortOrder: 9 }, /^GrpcError: etcdserver: invalid sort option$/],
    ["a revision to come", { key: b("a"), revision: 7 }, /required revision is a future revision$/],
  ];
  for (const [name, request, error] of refused) {
    test(`refuses ${name}`, () => assert.throws(() => get(filled(), request), error));
  }
});

describe("Put", () => {
  test("gives the previous value when asked, and counts versions until the key is deleted", () => {
    const store = filled();
    const response = put(store, leases, message(pb.PutRequest, { key: b("a"), value: b("6"), prevKv: true }));
    assert.equal(Buffer.from(response.prevKv!.value).toString(), "5");
    assert.equal(response.header!.revision, 7);
    assert.deepEqual([store.at("a")!.version, store.at("a")!.create], [3, 2]);
    deleteRange(store, message(pb.DeleteRangeRequest, { key: b("a") }));
    put(store, leases, message(pb.PutRequest, { key: b("a") }));
    assert.deepEqual([store.at("a")!.version, store.at("a")!.create], [1, 9]);
  });

  test("keeps value or lease when told to ignore them, and detaches the lease otherwise", () => {
    const store = filled();
    const attached = new Set<string>();
    const tracked = new Store({
      attach: (id, key) => attached.add(`${id}/${key}`),
      detach: (id, key) => attached.delete(`${id}/${key}`),
    });
    put(tracked, leases, message(pb.PutRequest, { key: b("a"), value: b("v"), lease: 7n }));
    put(tracked, leases, message(pb.PutRequest, { key: b("a"), ignoreLease: true, value: b("w") }));
    assert.deepEqual([...attached], ["7/a"]);
    put(tracked, leases, message(pb.PutRequest, { key: b("a"), ignoreValue: true }));
    assert.equal(get(tracked, { key: b("a") }).found, "a=w");
    assert.deepEqual([...attached], []);
    const absent = message(pb.PutRequest, { key: b("x"), ignoreValue: true });
    assert.throws(() => put(store, leases, absent), /etcdserver: key not found$/);
    assert.throws(
      () => put(store, leases, message(pb.PutRequest, { key: b("x"), lease: 8n })),
      /requested lease not found$/,
    );
    assert.equal(store.revision, 6);
  });

  test("refuses contradictions", () => {
    const check = (init: Init<pb.PutRequest>) => () => checkPut(message(pb.PutRequest, init));
    assert.throws(check({ key: b("a"), ignoreValue: true, value: b("v") }), /etcdserver: value is provided$/);
    assert.throws(check({ key: b("a"), ignoreLease: true, lease: 7n }), /etcdserver: lease is provided$/);
    assert.throws(check({ value: b("v") }), /etcdserver: key is not provided$/);
  });
});

describe("DeleteRange", () => {
  test("of nothing makes no revision; of something gives number and old values", () => {
    const store = filled();
    const none = deleteRange(store, message(pb.DeleteRangeRequest, { key: b("x") }));
    assert.deepEqual([none.header!.revision, none.deleted], [6, 0]);
    const two = deleteRange(store, message(pb.DeleteRangeRequest, { key: b("b"), rangeEnd: b("c"), prevKv: true }));
    assert.deepEqual([two.header!.revision, two.deleted], [7, 2]);
    assert.deepEqual(
      two.prevKvs.map((kv) => Buffer.from(kv.value).toString()),
      ["2", "3"],
    );
  });
});

describe("which of several failures is told", () => {
  const missing = { requestPut: { key: b("x"), ignoreValue: true, lease: 8n } };
  const leased = { requestPut: { key: b("a"), lease: 8n } };
  const future = { requestRange: { key: b("a"), revision: 99 } };
  const rows: [string, Init<pb.TxnRequest>, RegExp][] = [
    ["a put alone in a txn: the key before the lease", { success: [missing] }, /key not found$/],
    ["puts before ranges, whatever their order", { success: [future, leased] }, /requested lease not found$/],
    ["nested puts too", { success: [future, { requestTxn: { success: [missing] } }] }, /key not found$/],
    ["a branch that is not taken: none", { failure: [missing, future] }, /^$/],
  ];
  for (const [name, request, error] of rows) {
    test(name, () => {
      let told = "";
      try {
        txn(filled(), leases, message(pb.TxnRequest, request));
      } catch (e) {
        told = (e as Error).message;
      }
      assert.match(told, error);
    });
  }

  test("of a put alone: the lease before the key", () => {
    const request = message(pb.PutRequest, missing.requestPut);
    assert.throws(() => put(filled(), leases, request), /requested lease not found$/);
  });
});

describe("Compare", () => {
  const [EQUAL, GREATER, LESS, NOT_EQUAL] = [0, 1, 2, 3];
  const [VERSION, CREATE, MOD, VALUE, LEASE] = [0, 1, 2, 3, 4];
  const rows: [string, Init<pb.Compare>, boolean][] = [
    ["mod revision equal", { key: b("a"), target: MOD, result: EQUAL, modRevision: 6 }, true],
    ["create revision less", { key: b("a"), target: CREATE, result: LESS, createRevision: 3 }, true],
    ["version greater", { key: b("a"), target: VERSION, result: GREATER, version: 2 }, false],
    ["value greater, bytewise", { key: b("a"), target: VALUE, result: GREATER, value: b("4z") }, true],
    ["lease not equal", { key: b("a"), target: LEASE, result: NOT_EQUAL, lease: 1n }, true],
    ["an absent key has mod revision 0", { key: b("x"), target: MOD, result: EQUAL, modRevision: 0 }, true],
    [
      "an absent key has no value, not even an empty one",
      { key: b("x"), target: VALUE, result: EQUAL, value: b("") },
      false,
    ],
    ["nor one that differs", { key: b("x"), target: VALUE, result: NOT_EQUAL, value: b("1") }, false],
    [
      "all keys of a range must satisfy",
      { key: b("a"), rangeEnd: b("c"), target: MOD, result: GREATER, modRevision: 3 },
      false,
    ],
    ["and do", { key: b("a"), rangeEnd: b("c"), target: MOD, result: GREATER, modRevision: 2 }, true],
  ];
  for (const [name, compare, succeeded] of rows) {
    test(name, () => {
      const response = txn(filled(), leases, message(pb.TxnRequest, { compare: [compare] }));
      assert.deepEqual([response.succeeded, response.header!.revision], [succeeded, 6]);
    });
  }
});

describe("Txn", () => {
  test("makes one revision; later operations see earlier ones; headers inside carry the revision alone", () => {
    const store = filled();
    const response = txn(
      store,
      leases,
      message(pb.TxnRequest, {
        success: [
          { requestRange: { key: b("n") } },
          { requestPut: { key: b("n"), value: b("1") } },
          { requestRange: { key: b("n") } },
          {
            requestTxn: {
              compare: [{ key: b("n"), target: 0, version: 0 }],
              success: [{ requestDeleteRange: { key: b("b"), rangeEnd: b("c") } }],
            },
          },
          { requestRange: { key: b("a"), rangeEnd: b("\0"), countOnly: true } },
        ],
      }),
    );
    assert.equal(response.header!.revision, 7);
    const [before, first, after, nested, last] = response.responses;
    assert.deepEqual([before!.responseRange!.header!.revision, before!.responseRange!.count], [6, 0]);
    assert.equal(first!.responsePut!.header!.revision, 7);
    assert.deepEqual([after!.responseRange!.header!.revision, after!.responseRange!.kvs[0]!.modRevision], [7, 7]);
    assert.equal(nested!.responseTxn!.succeeded, true, "compares look at the state before the transaction");
    assert.equal(nested!.responseTxn!.responses[0]!.responseDeleteRange!.deleted, 2);
    assert.equal(last!.responseRange!.count, 3);
    assert.deepEqual(
      store.changesFrom(7, 9).map((v) => [v.key, v.main, v.sub]),
      [
        ["n", 7, 0],
        ["b", 7, 1],
        ["ba", 7, 2],
      ],
    );
  });

  test("is refused whole: what fails on the chosen path fails before the first write", () => {
    const store = filled();
    const success = [{ requestPut: { key: b("n") } }, { requestRange: { key: b("a"), revision: 99 } }];
    assert.throws(() => txn(store, leases, message(pb.TxnRequest, { success })), /future revision/);
    const lease = [{ requestPut: { key: b("n") } }, { requestPut: { key: b("m"), lease: 8n } }];
    assert.throws(() => txn(store, leases, message(pb.TxnRequest, { success: lease })), /lease not found/);
    assert.equal(store.revision, 6);
    txn(store, leases, message(pb.TxnRequest, { success: [{ requestPut: { key: b("n") } }], failure: success }));
    assert.equal(store.revision, 7, "the other branch is not looked at");
  });

  const put_ = (key: string) => ({ requestPut: { key: b(key) } });
  const delete_ = (key: string, end = "") => ({ requestDeleteRange: { key: b(key), rangeEnd: b(end) } });
  const nested = (success: Init<pb.RequestOp>[], failure: Init<pb.RequestOp>[] = []) => ({
    requestTxn: { success, failure },
  });
  const rows: [string, Init<pb.TxnRequest>, RegExp | undefined][] = [
    ["128 operations", { success: Array.from({ length: 128 }, (_, i) => put_(`${i}`)) }, undefined],
    [
      "129 operations",
      { success: Array.from({ length: 129 }, (_, i) => put_(`${i}`)) },
      /too many operations in txn request/,
    ],
    [
      "nested ones beyond what the outer leaves",
      { success: [nested(Array.from({ length: 128 }, (_, i) => put_(`${i}`)))] },
      /too many operations/,
    ],
    ["an empty operation", { success: [{}] }, /key not found/],
    ["a compare without key", { compare: [{}] }, /key is not provided/],
    ["a key put twice", { success: [put_("a"), put_("a")] }, /duplicate key given in txn request/],
    ["a put inside a deletion", { success: [delete_("a", "c"), put_("b")] }, /duplicate key/],
    ["a put inside an open deletion", { success: [delete_("a", "\0"), put_("b")] }, /duplicate key/],
    ["a put beside a deletion", { success: [delete_("a", "b"), put_("b")] }, undefined],
    ["deletions that overlap", { success: [delete_("a", "c"), delete_("b")] }, undefined],
    ["both branches of a nested one on the same key", { success: [nested([put_("a")], [put_("a")])] }, undefined],
    ["two nested ones on the same key", { success: [nested([put_("a")]), nested([put_("a")])] }, /duplicate key/],
    ["a put that a nested deletion covers", { success: [put_("a"), nested([delete_("a")])] }, /duplicate key/],
    ["the same key in both branches", { success: [put_("a")], failure: [put_("a")] }, undefined],
  ];
  for (const [name, request, error] of rows) {
    test(`${error ? "refuses" : "allows"} ${name}`, () => {
      const check = () => checkTxn(message(pb.TxnRequest, request), 128);
      if (error) assert.throws(check, error);
      else check();
    });
  }
});
