import assert from "node:assert/strict";
import { afterAll, beforeAll, test } from "vitest";
import { call } from "../../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../../testing.ts";

/** Two apiservers over one store, as a cluster with several has them. */
let one: TestApiserver;
let two: TestApiserver;
beforeAll(async () => {
  const serviceClusterIPRange = "10.96.0.0/24";
  one = await startTestApiserver({ serviceClusterIPRange });
  two = await startTestApiserver({ serviceClusterIPRange, etcdEndpoints: one.etcdEndpoints });
});
afterAll(async () => {
  await two?.close();
  await one?.close();
});

const services = "/api/v1/namespaces/default/services";
const create = (server: TestApiserver, name: string, spec: object = {}) =>
  call(server, services, {
    method: "POST",
    body: { metadata: { name }, spec: { type: "NodePort", ports: [{ port: 80 }], ...spec } },
  });

test("no address and no port is given twice, however many create at once", async () => {
  const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => create(i % 2 ? one : two, `s${i}`)));
  assert.deepEqual(new Set(answers.map(({ code }) => code)), new Set([201]));
  assert.equal(new Set(answers.map(({ json }) => json.spec.clusterIP)).size, 40);
  assert.equal(new Set(answers.map(({ json }) => json.spec.ports[0].nodePort)).size, 40);
});

test("a wanted address is honoured, refused while it is taken, and free again after a delete", async () => {
  const spec = { clusterIP: "10.96.0.10" };
  assert.equal((await create(one, "dns", spec)).json.spec.clusterIP, "10.96.0.10");
  const taken = await create(two, "other", spec);
  assert.equal(taken.code, 422);
  assert.match(taken.json.message, /failed to allocate IP 10.96.0.10: provided IP is already allocated/);
  assert.equal((await call(one, `${services}/dns`, { method: "DELETE" })).code, 200);
  assert.equal((await create(two, "other", spec)).code, 201);
});

test("a PUT makes a Service, with what it needs", async () => {
  const body = {
    metadata: { name: "put" },
    spec: { type: "LoadBalancer", externalTrafficPolicy: "Local", ports: [{ port: 80 }] },
  };
  const made = await call(one, `${services}/put`, { method: "PUT", body });
  assert.equal(made.code, 201);
  assert.ok(made.json.spec.clusterIP && made.json.spec.healthCheckNodePort && made.json.spec.ports[0].nodePort);
  const again = await call(two, `${services}/put`, { method: "PUT", body });
  assert.deepEqual([again.code, again.json.spec], [200, made.json.spec]);
});

test("a range that is used up says so, and nothing is left half made", async () => {
  const spec = { type: "ClusterIP" };
  let last = await create(one, "fill-0", spec);
  for (let i = 1; last.code === 201 && i < 300; i++) last = await create(one, `fill-${i}`, spec);
  assert.deepEqual(
    [last.code, last.json.message],
    [500, "Internal error occurred: failed to allocate a serviceIP: range is full"],
  );
  const { items } = (await call(two, services)).json;
  assert.equal(new Set(items.map(({ spec }: { spec: { clusterIP: string } }) => spec.clusterIP)).size, 254);
});
