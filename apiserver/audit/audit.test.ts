import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { afterAll, beforeAll, describe, test } from "vitest";
import { type Clock, systemClock } from "../../base/clock.ts";
import { parseFlags } from "../../base/flags.ts";
import { silentLogger } from "../../base/logger.ts";
import { createAuthority } from "../../pki/authority.ts";
import { call, configMap, TestWatch } from "../http.testing.ts";
import { auditAndEncryption, securityFlags } from "../security-flags.ts";
import { startTestApiserver } from "../testing.ts";
import { AuditLog } from "./log.ts";
import { decide, parsePolicy } from "./policy.ts";
import { Batches } from "./webhook.ts";

const policyOf = (...rules: string[]) =>
  parsePolicy(
    `{apiVersion: audit.k8s.io/v1, kind: Policy, omitStages: [RequestReceived], rules: [${rules.join(", ")}]}`,
  );

describe("the first rule that matches decides", () => {
  const policy = policyOf(
    "{level: None, users: [system:kube-proxy], verbs: [watch], resources: [{group: '', resources: [endpoints, services]}]}",
    "{level: None, nonResourceURLs: ['/livez*', /version]}",
    "{level: RequestResponse, resources: [{group: '', resources: [pods]}], omitStages: [ResponseStarted]}",
    "{level: Request, resources: [{group: '', resources: [configmaps], resourceNames: [one]}], namespaces: [kube-system]}",
    "{level: Metadata, resources: [{group: apps, resources: ['*/scale']}, {group: '', resources: ['secrets/*']}]}",
    "{level: Metadata, userGroups: [dev]}",
  );
  const resource = (verb: string, text: string, user = "u", ...groups: string[]) => {
    const [group, name, subresource, namespace, object] = text.split(":") as [string, string, string, string, string];
    const target = { group, version: "v1", resource: name, subresource, namespace, name: object };
    return { user: { name: user, groups }, verb, target };
  };
  test.each([
    ["a user, a verb and a resource", resource("watch", ":services:::", "system:kube-proxy"), "None"],
    ["not another verb", resource("get", ":services:::", "system:kube-proxy"), "None"],
    ["a path", { user: { name: "u", groups: ["dev"] }, verb: "get", path: "/version" }, "None"],
    ["a path's beginning", { user: { name: "u", groups: ["dev"] }, verb: "get", path: "/livez/ping" }, "None"],
    ["another path for a group", { user: { name: "u", groups: ["dev"] }, verb: "get", path: "/api" }, "Metadata"],
    ["a resource", resource("get", ":pods::ns:p"), "RequestResponse"],
    ["not its subresource", resource("get", ":pods:log:ns:p"), "None"],
    ["a name in a namespace", resource("get", ":configmaps::kube-system:one"), "Request"],
    ["not in another", resource("get", ":configmaps::default:one"), "None"],
    ["a subresource of all", resource("get", "apps:deployments:scale:ns:d"), "Metadata"],
    ["all subresources of one", resource("get", ":secrets:x:ns:d"), "Metadata"],
    ["a group of users", resource("get", "x:ys:::", "u", "dev"), "Metadata"],
  ])("%s", (_name, attributes, level) => {
    assert.equal(decide(policy, attributes).level, level);
  });

  test("stages are left out by the policy and by the rule", () => {
    assert.deepEqual(decide(policy, resource("get", ":pods:::")).omitStages, ["RequestReceived", "ResponseStarted"]);
  });

  test.each([
    ["{apiVersion: audit.k8s.io/v1, kind: Policy}", /0 rules/],
    [
      "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: All}]}",
      /rules\[0\].level: Unsupported value: "All"/,
    ],
    ["{kind: Policy}", /no audit.k8s.io\/v1 Policy/],
  ])("%s is refused", (text, message) => {
    assert.throws(() => parsePolicy(text), message);
  });
});

test("what a client does is written in stages, with what it sent and got", async () => {
  const lines: string[] = [];
  const policy = policyOf(
    "{level: None, resources: [{group: coordination.k8s.io}]}",
    "{level: RequestResponse, verbs: [create], resources: [{group: '', resources: [configmaps]}], omitManagedFields: true}",
    "{level: Metadata}",
  );
  const server = await startTestApiserver({
    audit: { policy, log: { write: (line) => void lines.push(line), close() {} } },
  });
  // biome-ignore lint/suspicious/noExplicitAny: tests look where they like
  const events = (): any[] => lines.map((line) => JSON.parse(line));
  try {
    const path = "/api/v1/namespaces/default/configmaps";
    const headers = { "user-agent": "test", "audit-id": "mine" };
    await call(server, path, { method: "POST", body: configMap("a"), headers });
    await call(server, `${path}/none`, { headers: { "impersonate-user": "jane" } });
    await call(server, "/version");
    const watch = new TestWatch(server, `${path}?watch=1`);
    await watch.until(() => watch.events.length > 0);
    watch.close();
    await call(server, path, { cert: null, headers: { authorization: "Bearer forged" } });
    while (events().filter(({ verb, stage }) => verb === "watch" && stage === "ResponseComplete").length === 0)
      await new Promise(setImmediate);
    const [created, denied, version, ...more] = events();
    const [unknown, ...watched] = [
      ...more.filter(({ verb }) => verb === "list"),
      ...more.filter(({ verb }) => verb === "watch"),
    ];
    assert.deepEqual(
      [unknown.user, unknown.responseStatus.code, unknown.requestURI, unknown.sourceIPs],
      [{ username: "", groups: [] }, 401, path, ["127.0.0.1"]],
    );
    assert.equal(created.auditID, "mine");
    assert.deepEqual(created.objectRef, { resource: "configmaps", namespace: "default", apiVersion: "v1" });
    assert.deepEqual(
      [created.level, created.stage, created.requestURI, created.verb],
      ["RequestResponse", "ResponseComplete", path, "create"],
    );
    assert.deepEqual(
      [created.user.username, created.userAgent, created.sourceIPs],
      ["kubernetes-admin", "test", ["127.0.0.1"]],
    );
    assert.deepEqual([created.requestObject, created.responseStatus], [configMap("a"), { metadata: {}, code: 201 }]);
    assert.deepEqual(
      [created.responseObject.metadata.name, created.responseObject.metadata.managedFields],
      ["a", undefined],
    );
    assert.match(created.annotations["authorization.k8s.io/decision"], /allow/);
    assert.deepEqual(
      [denied.impersonatedUser.username, denied.responseStatus.code, denied.requestObject],
      ["jane", 403, undefined],
    );
    assert.equal(denied.annotations["authorization.k8s.io/decision"], "forbid");
    assert.deepEqual(
      [version.requestURI, version.objectRef, version.responseStatus.code],
      ["/version", undefined, 200],
    );
    assert.deepEqual(
      watched.map(({ stage }) => stage),
      ["ResponseStarted", "ResponseComplete"],
    );
  } finally {
    await server.close();
  }
});

describe("the webhook", () => {
  // biome-ignore lint/suspicious/noExplicitAny: tests look where they like
  const lists: any[] = [];
  let answer = () => 200;
  let arrived = () => {};
  let receiver: https.Server;
  let config: { url: string; caBundle: string };
  beforeAll(async () => {
    const authority = await createAuthority("test");
    const identity = await authority.issue({ commonName: "t", ipAddresses: ["127.0.0.1"], usages: ["server"] });
    receiver = https.createServer(identity, async (request, response) => {
      lists.push(await json(request));
      response.writeHead(answer()).end();
      arrived();
    });
    await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
    const url = `https://127.0.0.1:${(receiver.address() as AddressInfo).port}/audit`;
    config = { url, caBundle: Buffer.from(authority.cert).toString("base64") };
  });
  afterAll(() => receiver.close());
  const until = async (count: number) => {
    while (lists.length < count) await new Promise<void>((resolve) => (arrived = resolve));
  };
  const policy = policyOf("{level: Metadata, verbs: [create]}");
  const batch = { bufferSize: 100, maxSize: 2, maxWaitMs: 3_600_000, qps: 1000, burst: 1000 };
  const started = async (mode: string, more: object = {}) => {
    lists.length = 0;
    answer = () => 200;
    const webhook = { config, mode, initialBackoffMs: 1, batch: { ...batch, ...more } };
    const server = await startTestApiserver({ audit: { policy, webhook } });
    const path = "/api/v1/namespaces/default/configmaps";
    const create = (name: string) => call(server, path, { method: "POST", body: configMap(name) });
    return { create, close: () => server.close() };
  };
  const namesIn = (list: { items: { requestURI: string; verb: string }[] }) => list.items.map(({ verb }) => verb);

  test("gets batches when they are full, and what is left when the server stops", async () => {
    const { create, close } = await started("batch");
    for (const name of ["a", "b", "c"]) assert.equal((await create(name)).code, 201);
    await until(1);
    assert.deepEqual([lists[0].kind, lists[0].apiVersion, lists[0].metadata], ["EventList", "audit.k8s.io/v1", {}]);
    assert.deepEqual(namesIn(lists[0]), ["create", "create"]);
    assert.equal(lists.length, 1);
    await close();
    assert.deepEqual(lists.slice(1).map(namesIn), [["create"]]);
  });

  test("gets each event before the request is answered when it blocks", async () => {
    const { create, close } = await started("blocking");
    assert.equal((await create("a")).code, 201);
    assert.deepEqual(lists.map(namesIn), [["create"]]);
    let refusals = 2;
    answer = () => (refusals-- > 0 ? 500 : 204);
    assert.equal((await create("b")).code, 201);
    assert.equal(lists.length, 4, "tried again until it was taken");
    answer = () => 500;
    assert.equal((await create("c")).code, 201, "what cannot be told is answered all the same");
    assert.equal(lists.length, 9, "after five tries");
    await close();
  });

  test("gets what waits too long, is throttled, and loses what does not fit", () => {
    let now = 0;
    const timers: { at: number; run: () => void }[] = [];
    const clock = {
      monotonic: () => now,
      after(ms: number, run: () => void) {
        const timer = { at: now + ms, run };
        timers.push(timer);
        return () => void (timers.includes(timer) && timers.splice(timers.indexOf(timer), 1));
      },
    } as unknown as Clock;
    const runTo = (time: number) => {
      for (;;) {
        const due = timers.filter(({ at }) => at <= time).sort((a, b) => a.at - b.at)[0];
        if (due === undefined) break;
        timers.splice(timers.indexOf(due), 1);
        now = due.at;
        due.run();
      }
      now = time;
    };
    const sent: string[] = [];
    let dropped = 0;
    const deliver = async (lines: string[]) => void sent.push(`${now}: ${lines.join("")}`);
    const options = { bufferSize: 5, maxSize: 2, maxWaitMs: 100, qps: 10, burst: 2 };
    const batches = new Batches({ ...options, clock, deliver, dropped: () => dropped++ });
    batches.write("a");
    runTo(99);
    assert.deepEqual(sent, []);
    runTo(1000);
    for (const line of "bcdefghijklm") batches.write(line);
    runTo(2000);
    assert.deepEqual(sent, ["100: a", "1000: bc", "1000: de", "1000: fg", "1100: hi", "1200: jk", "1300: l"]);
    assert.equal(dropped, 1);
  });

  test("of batches that nobody takes, no more than 250 are kept", () => {
    let [sent, dropped] = [0, 0];
    const deliver = () => new Promise<void>(() => void sent++);
    const options = { ...batch, maxSize: 1, qps: Number.POSITIVE_INFINITY, clock: systemClock, deliver };
    const batches = new Batches({ ...options, dropped: () => dropped++ });
    for (let i = 0; i < 300; i++) batches.write("a");
    assert.deepEqual([sent, dropped], [250, 50]);
  });
});

test.each([
  ["audit-log-mode", "later", /invalid audit mode later, allowed modes are "batch,blocking"/],
  ["audit-webhook-mode", "later", /invalid audit mode later/],
  ["audit-webhook-batch-max-size", "0", /invalid audit batch webhook maxSize 0, must be a positive number/],
])("--%s %s is refused", (name, value, message) => {
  const dir = mkdtempSync(join(tmpdir(), "audit-flags-"));
  try {
    writeFileSync(join(dir, "policy"), "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata}]}");
    const argv = [`--audit-policy-file=${dir}/policy`, `--audit-webhook-config-file=${dir}/none`, `--${name}=${value}`];
    const flags = parseFlags(securityFlags, argv);
    assert.throws(() => auditAndEncryption(flags, systemClock, silentLogger), message);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

describe("the file", () => {
  const dir = mkdtempSync(join(tmpdir(), "audit-"));
  afterAll(() => rmSync(dir, { recursive: true }));

  test("begins anew when it is full, and keeps as many old ones as it shall", () => {
    let now = Date.parse("2026-01-01T00:00:00Z");
    const clock = { now: () => now } as never;
    const options = { path: join(dir, "sub/audit.log"), maxSizeMegabytes: 1, maxAgeDays: 0, maxBackups: 2 };
    const log = new AuditLog(options, clock, assert.fail);
    for (let i = 0; i < 8; i++) {
      log.write(`${i}${"x".repeat(600_000)}`);
      now += 1000;
    }
    log.close();
    const again = new AuditLog(options, clock, assert.fail);
    again.write("last");
    again.close();
    again.write("too late");
    const files = readdirSync(join(dir, "sub")).sort();
    assert.deepEqual(files, ["audit-2026-01-01T00-00-06.000.log", "audit-2026-01-01T00-00-07.000.log", "audit.log"]);
    assert.match(readFileSync(options.path, "utf8"), /^7x+\nlast\n$/);
  });
});
