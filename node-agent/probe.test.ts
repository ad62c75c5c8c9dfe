import assert from "node:assert/strict";
import http from "node:http";
import type net from "node:net";
import type { AddressInfo } from "node:net";
import { afterEach, describe, test } from "vitest";
import type { HTTPGetAction } from "../api/generated/core-v1.ts";
import { listenHere } from "../base/outside.ts";
import { VirtualClock } from "../client/testing/virtual-clock.ts";
import type { CriRuntime } from "./cri-runtime.ts";
import { httpGet, portNumber, tcpSocket } from "./probe-net.ts";
import { nextTry, observe, type ProbeState } from "./probe-state.ts";
import { Prober } from "./prober.ts";
import { runProbe } from "./run-probe.ts";
import { container, info, podOf, sandbox } from "./testing/pods.ts";

describe("observe", () => {
  const probe = { failureThreshold: 3, successThreshold: 2 };
  const rows: [string, boolean, string, boolean][] = [
    ["one success is not enough for two", false, "+", false],
    ["two are", false, "++", true],
    ["a failure between them starts the count over", false, "+-+", false],
    ["two failures are borne", true, "--", true],
    ["the third is not", true, "---", false],
    ["failures count in a row only", true, "--+--", true],
  ];
  test.each(rows)("%s", (_, before, outcomes, expected) => {
    let state: ProbeState = { result: before, streak: 0, last: undefined };
    for (const outcome of outcomes) state = observe(state, outcome === "+", probe);
    assert.equal(state.result, expected);
  });
});

test("a container that comes up is tried at 50, 100, 200, ... ms until a period is reached", () => {
  const probe = { periodSeconds: 1 };
  const waits = Array.from({ length: 6 }, (_, i) => nextTry(probe, true, i));
  assert.deepEqual(
    waits.map(({ afterMs }) => afterMs),
    [50, 100, 200, 400, 800, 1000],
  );
  assert.deepEqual(
    waits.map(({ counts }) => counts),
    [false, false, false, false, false, true],
  );
  assert.deepEqual(nextTry(probe, false, 0), { afterMs: 1000, counts: true });
});

describe("Prober", () => {
  function setUp(probes: Parameters<typeof container>[1]) {
    const clock = new VirtualClock();
    const answers = { Startup: false, Liveness: true, Readiness: true };
    const tried: string[] = [];
    const told: string[] = [];
    let changes = 0;
    const main = container("main", probes);
    const prober = new Prober({
      clock,
      async run(probe) {
        const type = probe === main.startupProbe ? "Startup" : probe === main.livenessProbe ? "Liveness" : "Readiness";
        tried.push(type);
        return { ok: answers[type], message: "no" };
      },
      onChange: () => changes++,
      onUnhealthy: (_, message) => told.push(message),
    });
    const pod = podOf({ containers: [main] });
    const runtime = { runtimeName: "kubelab", sandboxes: [sandbox()], containers: [info("main")] };
    prober.update(pod, runtime, "192.168.77.1", false);
    return { clock, answers, tried, told, prober, pod, runtime, changes: () => changes };
  }

  test("liveness and readiness wait for startup", async () => {
    const startupProbe = { periodSeconds: 1, failureThreshold: 30 };
    const { clock, answers, tried, prober } = setUp({ startupProbe, livenessProbe: {}, readinessProbe: {} });
    await clock.advance(3000);
    assert.deepEqual([...new Set(tried)], ["Startup"]);
    assert.equal(prober.isStarted("main-0"), false);
    answers.Startup = true;
    await clock.advance(1100);
    assert.equal(prober.isStarted("main-0"), true);
    assert.equal(prober.isReady("main-0"), true);
    assert.ok(tried.includes("Liveness"));
    const startups = tried.filter((type) => type === "Startup").length;
    await clock.advance(20_000);
    assert.equal(tried.filter((type) => type === "Startup").length, startups, "never again once passed");
  });

  test("a startup probe that fails too often gives up on the container", async () => {
    const { clock, prober } = setUp({ startupProbe: { periodSeconds: 1, failureThreshold: 2 } });
    await clock.advance(1900);
    assert.equal(prober.unhealthy().size, 0, "tries while it comes up do not count");
    await clock.advance(3000);
    assert.equal(prober.unhealthy().get("main-0"), "Container main failed startup probe, will be restarted");
  });

  test("a container turns unready after so many failures, and its Pod is told once", async () => {
    const { clock, answers, told, prober, changes } = setUp({
      readinessProbe: { periodSeconds: 1, failureThreshold: 2 },
    });
    await clock.advance(100);
    assert.equal(prober.isReady("main-0"), true);
    assert.equal(changes(), 1);
    answers.Readiness = false;
    await clock.advance(1000);
    assert.equal(prober.isReady("main-0"), true);
    await clock.advance(1000);
    assert.equal(prober.isReady("main-0"), false);
    assert.equal(changes(), 2);
    assert.deepEqual(told, ["Readiness probe failed: no", "Readiness probe failed: no"]);
  });

  test("probes end with their container", async () => {
    const { clock, tried, prober, pod } = setUp({ livenessProbe: { periodSeconds: 1 } });
    await clock.advance(1500);
    prober.update(pod, { runtimeName: "kubelab", sandboxes: [], containers: [] }, "", false);
    const before = tried.length;
    await clock.advance(5000);
    assert.equal(tried.length, before);
  });

  test("a container that the agent finds ready stays ready until its probe says otherwise", () => {
    const pod = podOf(
      { containers: [container("main", { readinessProbe: {} })] },
      {
        containerStatuses: [
          { name: "main", ready: true, restartCount: 0, image: "", imageID: "", containerID: "kubelab://main-0" },
        ],
      },
    );
    const prober = new Prober({
      clock: new VirtualClock(),
      run: async () => ({ ok: false, message: "" }),
      onChange() {},
      onUnhealthy() {},
    });
    prober.update(pod, { runtimeName: "kubelab", sandboxes: [sandbox()], containers: [info("main")] }, "", false);
    assert.equal(prober.isReady("main-0"), true);
    prober.stop();
  });
});

describe("over the network", () => {
  const servers: net.Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });
  const main = container("main");
  async function serve(code: number): Promise<number> {
    const server = http.createServer((request, response) => {
      response.writeHead(code, { location: "/elsewhere" });
      response.end(request.headers["user-agent"]);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return (server.address() as AddressInfo).port;
  }

  const codes: [number, boolean][] = [
    [200, true],
    [302, true],
    [404, false],
    [500, false],
  ];
  test.each(codes)("HTTP %i: %s", async (code, ok) => {
    const port = await serve(code);
    const outcome = await httpGet({ path: "/x", port }, main, "127.0.0.1", 5000);
    assert.deepEqual(outcome, { ok, message: ok ? "" : `HTTP probe failed with statuscode: ${code}` });
  });

  test("a refused connection is told as upstream tells it", async () => {
    const at = await listenHere("127.0.0.1", 0);
    const { port } = at.address() as AddressInfo;
    at.close();
    const refused = `dial tcp 127.0.0.1:${port}: connect: connection refused`;
    assert.deepEqual(await tcpSocket({ port }, main, "127.0.0.1", 5000), { ok: false, message: refused });
    const { message } = await httpGet({ port }, main, "127.0.0.1", 5000);
    assert.equal(message, `Get "http://127.0.0.1:${port}/": ${refused}`);
  });

  test("a server that does not answer in time", async () => {
    const silent = await listenHere("127.0.0.1", 0);
    servers.push(silent);
    const sockets: net.Socket[] = [];
    silent.on("connection", (socket) => sockets.push(socket));
    const { port } = silent.address() as AddressInfo;
    const { ok, message } = await httpGet({ port }, main, "127.0.0.1", 50);
    assert.equal(ok, false);
    assert.match(message, /context deadline exceeded \(Client.Timeout exceeded while awaiting headers\)$/);
    for (const socket of sockets) socket.destroy();
  });

  test("no Pod's spec ends the agent: what HTTP does not know is a failure, what URLs do not is escaped", async () => {
    const port = await serve(200);
    const run = (httpGet: HTTPGetAction, timeoutSeconds = 5) =>
      runProbe({} as CriRuntime, { httpGet, timeoutSeconds }, main, info("main"), "127.0.0.1");
    assert.equal((await run({ port, path: "/a b/ü" })).ok, true);
    assert.equal((await run({ port, path: "/\ud800" })).ok, false);
    assert.equal((await run({ port, httpHeaders: [{ name: "x", value: "a\nb" }] })).ok, false);
    assert.equal((await run({ port }, 2 ** 31 - 1)).ok, true);
  });

  test("ports may be named", () => {
    const ports = [{ name: "web", containerPort: 8080 }];
    assert.equal(portNumber("web", { ...main, ports }), 8080);
    assert.equal(portNumber("8081", { ...main, ports }), 8081);
    assert.throws(() => portNumber("nosuch", { ...main, ports }), { message: "invalid port: nosuch" });
  });
});
