import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { call, configMap, TestWatch } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";

let server: TestApiserver;
const open: TestWatch[] = [];
beforeAll(async () => {
  server = await startTestApiserver();
  await call(server, "/api/v1/namespaces", { method: "POST", body: { metadata: { name: "pages" } } });
  for (const name of ["a", "b", "c", "d", "e"])
    await call(server, pages, {
      method: "POST",
      body: { ...configMap(name), metadata: { name, labels: { odd: String("ace".includes(name)) } } },
    });
});
afterAll(async () => {
  for (const watch of open) watch.close();
  await server?.close();
});

const maps = "/api/v1/namespaces/default/configmaps";
const pages = "/api/v1/namespaces/pages/configmaps";
const watch = (path: string, headers?: Record<string, string>) => {
  const opened = new TestWatch(server, path, headers);
  open.push(opened);
  return opened;
};
const put = (name: string, extra: object = {}) =>
  call(server, maps, { method: "POST", body: configMap(name, extra) }).then(
    ({ json }) => json.metadata.resourceVersion as string,
  );
const names = (json: { items: { metadata: { name: string } }[] }) =>
  json.items.map(({ metadata }) => metadata.name).join("");

describe("lists", () => {
  test("come in pages that all show one moment, with what remains", async () => {
    const first = (await call(server, `${pages}?limit=2`)).json;
    assert.deepEqual([names(first), first.metadata.remainingItemCount], ["ab", 3]);
    await call(server, `${pages}/d`, { method: "DELETE" });
    const second = (await call(server, `${pages}?limit=2&continue=${first.metadata.continue}`)).json;
    assert.deepEqual([names(second), second.metadata.remainingItemCount], ["cd", 1]);
    assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion);
    const third = (await call(server, `${pages}?limit=2&continue=${second.metadata.continue}`)).json;
    assert.deepEqual([names(third), third.metadata.continue], ["e", undefined]);
    await call(server, pages, { method: "POST", body: configMap("d") });
  });

  test("with a selector are filled page by page and do not say what remains", async () => {
    const first = (await call(server, `${pages}?limit=2&labelSelector=odd%3Dtrue`)).json;
    assert.deepEqual([names(first), first.metadata.remainingItemCount], ["ac", undefined]);
    const rest = (await call(server, `${pages}?limit=2&labelSelector=odd%3Dtrue&continue=${first.metadata.continue}`))
      .json;
    assert.equal(names(rest), "e");
  });

  test.each([
    ["resourceVersion=0 ignores the limit", "?limit=2&resourceVersion=0", "abcde"],
    ["a field selector by name is one object", "?fieldSelector=metadata.name%3Dc", "c"],
    ["a set-based selector", "?labelSelector=odd+in+(false)", "b"],
  ])("%s", async (_name, query, expected) => {
    assert.equal(names((await call(server, `${pages}${query}`)).json), expected);
  });

  test("Exact shows the past, NotOlderThan the present", async () => {
    const before = (await call(server, pages)).json.metadata.resourceVersion;
    await call(server, pages, { method: "POST", body: configMap("f") });
    const exact = await call(server, `${pages}?resourceVersion=${before}&resourceVersionMatch=Exact`);
    assert.equal(names(exact.json), "abcde");
    assert.equal(exact.json.metadata.resourceVersion, before);
    const newer = await call(server, `${pages}?resourceVersion=${before}&resourceVersionMatch=NotOlderThan`);
    assert.equal(names(newer.json), "abcdef");
    await call(server, `${pages}/f`, { method: "DELETE" });
  });

  test("a page whose moment is compacted: 410, with a token that goes on in the present", async () => {
    const first = (await call(server, `${pages}?limit=2`)).json;
    await put("after-first-page");
    await server.etcd.compact({ revision: Number((await call(server, maps)).json.metadata.resourceVersion) });
    const gone = await call(server, `${pages}?limit=2&continue=${first.metadata.continue}`);
    assert.deepEqual([gone.code, gone.json.reason], [410, "Expired"]);
    const rest = await call(server, `${pages}?continue=${gone.json.metadata.continue}`);
    assert.equal(names(rest.json), "cde");
  });

  test("as a Table and as metadata only, when the client takes it", async () => {
    const table = await call(server, pages, {
      headers: { accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json" },
    });
    assert.equal(table.json.kind, "Table");
    assert.deepEqual(
      table.json.columnDefinitions.map(({ name }: { name: string }) => name),
      ["Name", "Data", "Age"],
    );
    assert.deepEqual(table.json.rows[0].cells.slice(0, 2), ["a", 0]);
    assert.equal(table.json.rows[0].object.kind, "PartialObjectMetadata");
    const accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
    const partial = await call(server, pages, { headers: { accept } });
    assert.deepEqual(Object.keys(partial.json.items[0]), ["kind", "apiVersion", "metadata"]);
  });
});

describe("watches", () => {
  test("from a list's resourceVersion tell each change once, in order", async () => {
    const { resourceVersion } = (await call(server, maps)).json.metadata;
    const watched = watch(`${maps}?watch=true&resourceVersion=${resourceVersion}`);
    await put("w1");
    await call(server, `${maps}/w1`, {
      method: "PATCH",
      body: { data: { a: "b" } },
      headers: { "content-type": "application/merge-patch+json" },
    });
    const { json } = await call(server, `${maps}/w1`, { method: "DELETE" });
    await watched.until(() => watched.events.length === 3);
    assert.deepEqual(watched.lines, ["ADDED w1", "MODIFIED w1", "DELETED w1"]);
    const revisions = watched.events.map(({ object }) => Number(object.metadata.resourceVersion));
    assert.deepEqual(
      revisions,
      [...revisions].sort((a, b) => a - b),
    );
    assert.equal(watched.events[2]!.object.metadata.uid, json.details.uid);
  });

  test("without a resourceVersion begin with what is there", async () => {
    const watched = watch(`${pages}?watch=1&labelSelector=odd%3Dtrue`);
    await watched.until(() => watched.events.length === 3);
    assert.deepEqual(watched.lines, ["ADDED a", "ADDED c", "ADDED e"]);
  });

  test("with sendInitialEvents say when the present is told", async () => {
    const watched = watch(
      `${pages}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`,
    );
    await watched.until(() => watched.events.at(-1)?.type === "BOOKMARK");
    const { object } = watched.events.at(-1)!;
    assert.equal(object.metadata.annotations["k8s.io/initial-events-end"], "true");
    assert.equal(watched.events.filter(({ type }) => type === "ADDED").length, 5);
    const refused = await call(server, `${pages}?watch=true&sendInitialEvents=true`);
    assert.equal(refused.code, 422);
  });

  test("with sendInitialEvents=false begin with the next change", async () => {
    const watched = watch(`${maps}?watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan`);
    for (let i = 0; watched.events.length === 0; i++) await put(`next-${i}`);
    assert.match(watched.events[0]!.object.metadata.name, /^next-/);
  });

  test("end after timeoutSeconds, with a last bookmark for who wants one", async () => {
    const { resourceVersion } = (await call(server, pages)).json.metadata;
    const newer = await put("elsewhere");
    const watched = watch(
      `${pages}?watch=true&resourceVersion=${resourceVersion}&timeoutSeconds=1&allowWatchBookmarks=true`,
    );
    await watched.until(() => watched.ended);
    assert.deepEqual(watched.lines, ["BOOKMARK"]);
    assert.ok(Number(watched.events[0]!.object.metadata.resourceVersion) >= Number(newer));
  });

  test("from before what is known get an ERROR event 410 and end", async () => {
    const later = await startTestApiserver({ etcdEndpoints: server.etcdEndpoints });
    const watched = new TestWatch(later, `${maps}?watch=true&resourceVersion=1`);
    await watched.until(() => watched.ended);
    await later.close();
    const [{ type, object }] = watched.events as [
      { type: string; object: { code: number; reason: string; message: string } },
    ];
    assert.deepEqual([type, object.code, object.reason], ["ERROR", 410, "Expired"]);
    assert.match(object.message, /^too old resource version: 1 \(\d+\)$/);
  });

  test("as Tables carry one row an event", async () => {
    const { resourceVersion } = (await call(server, maps)).json.metadata;
    const accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    const watched = watch(`${maps}?watch=true&resourceVersion=${resourceVersion}`, { accept });
    await put("row", { data: { a: "b" } });
    await watched.until(() => watched.events.length === 1);
    assert.deepEqual(watched.events[0]!.object.rows[0].cells.slice(0, 2), ["row", 1]);
  });
});
