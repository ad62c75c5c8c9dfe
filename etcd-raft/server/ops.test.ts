import assert from "node:assert/strict";
import net from "node:net";
import { afterAll, beforeAll, describe, test } from "vitest";
import { startTestCluster, type TestCluster } from "./testing.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startTestCluster(3);
  await cluster.client.put({ key: "a", value: "1" });
  const { member } = cluster.members[0]!;
  while (!member.published) await member.linearizable(() => undefined);
});
afterAll(() => cluster?.close());

const get = async (path: string, method = "GET") => {
  const response = await fetch(`${cluster.endpoints[0]}${path}`, { method });
  return [response.status, await response.text()] as const;
};

describe("pages of a member that is well", () => {
  const all = "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n";
  const rows: [path: string, code: number, body: string][] = [
    ["/health", 200, '{"health":"true","reason":""}'],
    ["/health?serializable=true", 200, '{"health":"true","reason":""}'],
    ["/livez", 200, "ok\n"],
    ["/livez?verbose", 200, "[+]serializable_read ok\nok\n"],
    ["/livez/serializable_read", 200, "ok\n"],
    ["/readyz", 200, "ok\n"],
    ["/readyz?verbose", 200, `${all}ok\n`],
    ["/readyz?verbose&exclude=linearizable_read", 200, "[+]data_corruption ok\n[+]serializable_read ok\nok\n"],
    ["/readyz?verbose&exclude=nothing_of_the_kind", 200, `${all}ok\n`],
    ["/readyz/linearizable_read?verbose", 200, "[+]linearizable_read ok\nok\n"],
    ["/readyz/nothing", 404, "404 page not found\n"],
    ["/livez/linearizable_read", 404, "404 page not found\n"],
    ["/readyz/data_corruption/more", 404, "404 page not found\n"],
    ["/version", 200, '{"etcdserver":"3.6.0","etcdcluster":"3.6.0","storage":"3.6.0"}'],
  ];
  for (const [path, code, body] of rows) {
    test(path, async () => {
      const [status, text] = await get(path);
      // The patch is the release's own.
      assert.deepEqual([status, text.replace(/("etcdserver":"3\.6)\.\d+/, "$1.0")], [code, body]);
    });
  }

  test.each(["/health", "/livez", "/readyz", "/version"])("%s is only read", async (path) => {
    assert.deepEqual(await get(path, "POST"), [405, "Method Not Allowed\n"]);
  });
});

test("every origin may ask, as etcd's default --cors says", async () => {
  const asked = await fetch(`${cluster.endpoints[0]}/v3/kv/range`, { method: "OPTIONS" });
  for (const answer of [asked, await fetch(`${cluster.endpoints[0]}/version`)]) {
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("access-control-allow-origin"), "*");
    assert.equal(answer.headers.get("access-control-allow-methods"), "POST, GET, OPTIONS, PUT, DELETE");
    assert.equal(answer.headers.get("access-control-allow-headers"), "accept, content-type, authorization");
  }
});

test("a corrupt member: not ready, and the check is named; alive all the same", async () => {
  const { member } = cluster.members[0]!;
  const alarm = { memberID: 5n, alarm: 2 };
  await member.write({ alarm: { ...alarm, action: 1 } });
  try {
    assert.deepEqual(await get("/health"), [503, '{"health":"false","reason":"ALARM CORRUPT"}\n']);
    assert.deepEqual(await get("/health?exclude=CORRUPT"), [200, '{"health":"true","reason":""}']);
    assert.deepEqual(await get("/health?exclude=NOSPACE"), [503, '{"health":"false","reason":"ALARM CORRUPT"}\n']);
    assert.deepEqual(await get("/readyz"), [
      503,
      "[-]data_corruption failed: alarm activated: CORRUPT\n[+]serializable_read ok\n[+]linearizable_read ok\n\n",
    ]);
    assert.equal((await get("/readyz?exclude=data_corruption"))[0], 200);
    assert.equal((await get("/readyz/data_corruption"))[0], 503);
    assert.equal((await get("/livez"))[0], 200);
  } finally {
    await member.write({ alarm: { ...alarm, action: 2 } });
  }
});

test("metrics count what was done, also over gRPC", async () => {
  const value = async (line: string) => {
    const text = (await get("/metrics"))[1];
    const found = new RegExp(`^${line.replace(/[{}"]/g, "\\$&")} (\\S+)$`, "m").exec(text)?.[1];
    assert.ok(found, `${line} is not in:\n${text}`);
    return Number(found);
  };
  const started = 'grpc_server_started_total{grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"}';
  const refused =
    'grpc_server_handled_total{grpc_code="InvalidArgument",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"}';
  const client = cluster.clientOf(0);
  await client.range({ key: "a" });
  const before = [await value(started), await value("etcd_mvcc_put_total"), await value("etcd_mvcc_range_total")];
  await client.range({ key: "a" });
  await client.put({ key: "a", value: "2" });
  await client.put({ key: "", value: "2" }).catch(() => {});
  const after = [await value(started), await value("etcd_mvcc_put_total"), await value("etcd_mvcc_range_total")];
  assert.deepEqual(after, [before[0]! + 1, before[1]! + 1, before[2]! + 1]);
  assert.equal(await value(refused), 1);
  assert.equal(await value('etcd_cluster_version{cluster_version="3.6"}'), 1);
  assert.ok((await value("process_resident_memory_bytes")) > 1e6);
  await client.leaseGrant({ ID: 9n, TTL: 600 });
  await client.leaseRevoke(9n);
  assert.deepEqual(
    [await value("etcd_debugging_lease_granted_total"), await value("etcd_debugging_lease_revoked_total")],
    [1, 1],
  );
});

test("metrics of the way to the others: bytes, round trips, who is there and who was missed", async () => {
  const values = async (i = 0) => {
    const text = await (await fetch(`${cluster.endpoints[i]}/metrics`)).text();
    const lines = text.matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm);
    return new Map([...lines].map(([, name, labels, n]) => [`${name}{${labels ?? ""}}`, Number(n)]));
  };
  const index = (await cluster.leader()) || 1;
  const [self, other] = [0, index].map((i) => cluster.members[i]!.member.id.toString(16));
  const sent = `etcd_network_peer_sent_bytes_total{To="${other}"}`;
  const grows = [
    /^etcd_network_peer_(sent|received)_bytes_total/, // from the leader or to it, whoever that is by now
    /^etcd_network_client_grpc_received_bytes_total/,
    /^etcd_network_client_grpc_sent_bytes_total/,
    /^etcd_disk_wal_write_bytes_total/,
  ];
  const sums = (all: Map<string, number>) =>
    grows.map((name) => [...all].reduce((sum, [key, n]) => (name.test(key) ? sum + n : sum), 0));
  const before = await values();
  await cluster.clientOf(0).put({ key: "large", value: "x".repeat(100_000) });
  await cluster.clientOf(0).range({ key: "large" });
  const after = await values();
  const grown = sums(after).map((bytes, i) => bytes - sums(before)[i]!);
  assert.ok(
    grown.every((bytes) => bytes >= 100_000 && bytes < 1_000_000),
    `${grown}`,
  );
  assert.ok(after.get(sent)! > 0);
  assert.ok(after.get(`etcd_network_peer_received_bytes_total{From="${other}"}`)! > 0);
  assert.equal(after.get(`etcd_network_known_peers{Local="${self}",Remote="${other}"}`), 1);
  assert.equal(after.get(`etcd_network_active_peers{Local="${self}",Remote="${other}"}`), 1);
  const trips = `etcd_network_peer_round_trip_time_seconds_count{To="${other}"}`;
  for (const end = performance.now() + 60_000; !(await values()).get(trips); ) assert.ok(performance.now() < end);
  await cluster.stop(index);
  const missed = `etcd_network_peer_sent_failures_total{To="${other}"}`;
  const third = 3 - index; // one of the two that are left leads, and misses it
  for (const end = performance.now() + 60_000; ; assert.ok(performance.now() < end))
    if ((await values()).get(missed) || (await values(third)).get(missed)) break;
  const kept = (await values()).get(sent)!;
  await cluster.start(index);
  assert.ok(kept >= after.get(sent)!, "what a connection that is gone has carried still counts");
});

test("a member without a leader: alive, not ready, and not healthy unless only it is asked for", async () => {
  await Promise.all([cluster.stop(1), cluster.stop(2)]);
  const deadline = performance.now() + 20_000;
  let health = await get("/health");
  while (health[0] === 200 && performance.now() < deadline) health = await get("/health");
  while (!health[1].includes("NO LEADER") && performance.now() < deadline) health = await get("/health");
  assert.deepEqual(health, [503, '{"health":"false","reason":"RAFT NO LEADER"}\n']);
  assert.deepEqual(await get("/health?serializable=true"), [200, '{"health":"true","reason":""}']);
  assert.equal((await get("/livez"))[0], 200);
  assert.match((await get("/readyz"))[1], /^\[-\]linearizable_read failed: range error: etcdserver: no leader$/m);
  assert.equal((await get("/readyz?exclude=linearizable_read"))[0], 200);
  await Promise.all([cluster.start(1), cluster.start(2)]);
  await cluster.leader();
});

test.each(["//", "//a:b/", "/\\"])("a path that is no URL (%s) is one that is not there", async (path) => {
  const socket = net.connect(Number(new URL(cluster.endpoints[0]!).port), "127.0.0.1");
  socket.end(`GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`);
  assert.match((await socket.toArray()).join(""), /^HTTP\/1\.1 404 /);
});
