import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { Code, EtcdClient, GrpcError } from "../../etcd-raft/client/client.ts";
import { startTestMember } from "../../etcd-raft/server/testing.ts";
import { Storage } from "./storage.ts";
import { decodeValue, encodeValue } from "./stored-object.ts";

const value = (text: string) => encodeValue({ kind: "ConfigMap", apiVersion: "v1", metadata: { name: text } });

describe("a Txn whose answer got lost", () => {
  let store: Awaited<ReturnType<typeof startTestMember>>;
  let etcd: EtcdClient;
  /** What happens to the next Txns, in order. */
  let fate: ("answer lost" | "request lost" | (() => Promise<unknown>))[] = [];
  let key = "";
  const storage = () =>
    new Storage({
      range: (request, options) => etcd.range(request, options),
      async txn(request, options) {
        const next = fate.shift();
        if (next === "request lost") throw new GrpcError(Code.Unavailable, "etcdserver: leader changed");
        if (typeof next === "function") {
          await next();
          throw new GrpcError(Code.Unavailable, "etcdserver: leader changed");
        }
        const response = await etcd.txn(request, options);
        if (next === "answer lost") throw new GrpcError(Code.DeadlineExceeded, "etcdserver: request timed out");
        return response;
      },
    });

  beforeAll(async () => {
    store = await startTestMember();
    etcd = new EtcdClient({ endpoints: [store.endpoint] });
  });
  afterAll(async () => {
    etcd?.close();
    await store?.close();
  });
  let count = 0;
  beforeEach(() => {
    key = `/registry/configmaps/default/${count++}`;
    fate = [];
  });
  const stored = async () => (await etcd.range({ key })).kvs[0];

  test("but which happened, is a success: our own value is there", async () => {
    fate = ["answer lost"];
    const outcome = await storage().commit([{ key, revision: 0, value: value("a") }]);
    assert.deepEqual(outcome, { committed: true, revision: (await stored())!.modRevision });
    assert.equal((await stored())!.version, 1);
  });

  test("and which did not happen, happens now", async () => {
    fate = ["request lost", "request lost"];
    assert.ok((await storage().commit([{ key, revision: 0, value: value("a") }])).committed);
    assert.equal((await stored())!.version, 1);
  });

  test("of an update that happened, is a success", async () => {
    const { header } = await etcd.put({ key, value: value("a") });
    fate = ["answer lost"];
    const outcome = await storage().commit([{ key, revision: header!.revision, value: value("b") }]);
    assert.deepEqual(outcome, { committed: true, revision: (await stored())!.modRevision });
  });

  test("of a delete that happened, is a success", async () => {
    const { header } = await etcd.put({ key, value: value("a") });
    fate = ["answer lost"];
    assert.ok((await storage().commit([{ key, revision: header!.revision }])).committed);
    assert.equal(await stored(), undefined);
  });

  test("while another wrote, is refused and tells what is there", async () => {
    const { header } = await etcd.put({ key, value: value("a") });
    fate = [() => etcd.put({ key, value: value("other") })];
    const outcome = await storage().commit([{ key, revision: header!.revision, value: value("b") }]);
    assert.ok(!outcome.committed);
    assert.equal(outcome.current[0]!.parse().metadata.name, "other");
  });
});

describe("a value", () => {
  const bytes = (text: string) => decodeValue("k", Buffer.from(text), 7).bytes.toString();

  test.each([
    [
      "in our order takes the revision as the first of its metadata",
      '{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},"spec":{}}',
      '{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"7","name":"a"},"spec":{}}',
    ],
    [
      "in another order is put into ours",
      '{"metadata":{"name":"a","resourceVersion":"3"},"kind":"Pod","apiVersion":"v1"}',
      '{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"7","name":"a"}}',
    ],
    [
      "with a revision in it loses that",
      '{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"3","name":"a"}}',
      '{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"7","name":"a"}}',
    ],
  ])("%s", (_name, text, expected) => {
    assert.equal(bytes(text), expected);
  });

  test.each(["", "{}", "[]", "null", '{"metadata":{}}', "not JSON", "k8s\0rubbish"])(
    "that is no object (%j) is an error",
    (text) => {
      assert.throws(() => bytes(text));
    },
  );

  test("of a deleted object can carry the deletion's revision", () => {
    const object = decodeValue("k", value("a"), 9).at(1234567);
    assert.equal(object.parse().metadata.resourceVersion, "1234567");
    assert.equal(object.at(1).bytes.toString(), decodeValue("k", value("a"), 1).bytes.toString());
  });
});
