import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { afterEach, describe, test } from "vitest";
import type { Service } from "../api/generated/core-v1.ts";
import type { EndpointSlice } from "../api/generated/discovery-v1.ts";
import { systemClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { createRegistry } from "../base/metrics.ts";
import { listenHere } from "../base/outside.ts";
import { seededRand } from "../base/rand.ts";
import { listenersOf, nodePortAddresses } from "./addresses.ts";
import { proxyMetrics } from "./metrics.ts";
import { Proxier } from "./proxier.ts";

/** Real sockets on 127.97.x.y: Services 127.97.96.x, backends 127.97.244.x. */
const clusterIP = "127.97.96.1";
const port = 18080;
const key = "default/web";

class Lab {
  readonly state: { service: Service | undefined; slices: EndpointSlice[] } = { service: undefined, slices: [] };
  readonly failures: string[] = [];
  readonly registry = createRegistry();
  readonly servers: net.Server[] = [];
  readonly proxier = new Proxier(
    {
      nodeName: "node-1",
      clock: systemClock,
      rand: seededRand(1),
      log: silentLogger,
      metrics: proxyMetrics(this.registry),
      listenersOf: (route) =>
        listenersOf(route, { mode: "host", nodePortAddresses: ["127.97.0.1"], outsideHost: undefined }),
      onListenFailed: (_, message) => this.failures.push(message),
      onNote: () => {},
    },
    { service: () => this.state.service, slicesOf: () => this.state.slices },
  );

  /** A backend that runs `serve` for each connection, by default sending its address and ending. */
  async backend(n: number, serve?: (socket: net.Socket) => void): Promise<string> {
    const ip = `127.97.244.${n}`;
    const server = await listenHere(ip, 8080);
    (server as { allowHalfOpen?: boolean }).allowHalfOpen = true;
    server.on("connection", (socket) => {
      socket.on("error", () => {});
      if (serve) serve(socket);
      else socket.end(ip);
    });
    this.servers.push(server);
    return ip;
  }

  route(ips: string[], spec: Partial<Service["spec"]> = {}): void {
    const ports = [{ port, protocol: "TCP" as const, nodePort: 30081 }];
    this.state.service = {
      metadata: { name: "web", namespace: "default", uid: "u1" },
      spec: { type: "NodePort", clusterIP, clusterIPs: [clusterIP], ports, ...spec },
    };
    this.state.slices = [
      {
        metadata: { name: "web-1", namespace: "default" },
        addressType: "IPv4",
        ports: [{ port: 8080, protocol: "TCP" }],
        endpoints: ips.map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
      },
    ];
    this.proxier.changed(key);
  }

  async metric(name: string): Promise<number> {
    const metric = await this.registry.getSingleMetric(name)!.get();
    return metric.values.reduce((sum, { value }) => sum + value, 0);
  }

  close(): void {
    this.proxier.close();
    for (const server of this.servers) server.close();
  }
}

let lab: Lab;
afterEach(() => lab.close());

/** What the Service answers, or the error code. */
async function ask(host = clusterIP, at = port): Promise<string> {
  const socket = net.connect({ host, port: at });
  let text = "";
  socket.on("data", (data) => {
    text += data;
  });
  try {
    await once(socket, "end");
    return text;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "error";
  } finally {
    socket.destroy();
  }
}

/** Asks until the answer is `expected`: changes of routes take effect within a tick or two. */
async function until(expected: string | RegExp, host?: string, at?: number): Promise<void> {
  for (let i = 0; i < 2000; i++) {
    const answer = await ask(host, at);
    if (typeof expected === "string" ? answer === expected : expected.test(answer)) return;
  }
  assert.fail(`the Service never answered ${expected}`);
}

/** A connection to the Service, as soon as it listens. */
async function connect(): Promise<net.Socket> {
  for (let i = 0; i < 2000; i++) {
    const socket = net.connect({ host: clusterIP, port, allowHalfOpen: true });
    const error = await once(socket, "connect").then(
      () => undefined,
      (e: NodeJS.ErrnoException) => e.code,
    );
    if (error === undefined) return socket;
    assert.equal(error, "ECONNREFUSED");
  }
  return assert.fail("the Service never listened");
}

describe("a Service", () => {
  test("spreads connections evenly over its endpoints, on ClusterIP and NodePort", async () => {
    lab = new Lab();
    const ips = [await lab.backend(1), await lab.backend(2), await lab.backend(3)];
    lab.route(ips);
    await until(/127/);
    const answers = [];
    for (let i = 0; i < 30; i++) answers.push(await ask());
    for (const ip of ips) assert.equal(answers.filter((answer) => answer === ip).length, 10);
    await until(/127/, "127.97.0.1", 30081);
  });

  test("passes over endpoints that cannot be reached", async () => {
    lab = new Lab();
    const alive = await lab.backend(1);
    lab.route(["127.97.244.8", alive, "127.97.244.9"]);
    await until(alive);
    for (let i = 0; i < 12; i++) assert.equal(await ask(), alive);
    assert.ok((await lab.metric("kubelab_proxy_connect_failures_total")) >= 12);
  });

  test("resets the connection when no endpoint can be reached", async () => {
    lab = new Lab();
    lab.route(["127.97.244.8", "127.97.244.9"]);
    await until("ECONNRESET");
  });

  test("refuses at once without endpoints, and serves again when they are back", async () => {
    lab = new Lab();
    const ip = await lab.backend(1);
    lab.route([ip]);
    await until(ip);
    lab.route([]);
    await until("ECONNREFUSED");
    lab.route([ip]);
    await until(ip);
    lab.state.service = undefined;
    lab.proxier.changed(key);
    await until("ECONNREFUSED");
  });

  test("with ClientIP affinity keeps a client at its endpoint until that is gone", async () => {
    lab = new Lab();
    const ips = [await lab.backend(1), await lab.backend(2), await lab.backend(3)];
    lab.route(ips, { sessionAffinity: "ClientIP" });
    await until(/127/);
    const first = await ask();
    for (let i = 0; i < 6; i++) assert.equal(await ask(), first);
    const rest = ips.filter((ip) => ip !== first);
    lab.route(rest, { sessionAffinity: "ClientIP" });
    await until(new RegExp(rest.join("|")));
    const second = await ask();
    for (let i = 0; i < 6; i++) assert.equal(await ask(), second);
  });

  test("passes each side's FIN on alone", async () => {
    lab = new Lab();
    const ip = await lab.backend(1, (socket) => {
      let heard = "";
      socket.on("data", (data) => {
        heard += data;
      });
      socket.on("end", () => socket.end(`heard ${heard}`)); // answers only after the client's FIN
    });
    lab.route([ip]);
    const socket = await connect();
    socket.end("hello");
    let text = "";
    for await (const data of socket) text += data;
    assert.equal(text, "heard hello");
  });

  test("passes a reset on as a reset", async () => {
    lab = new Lab();
    const ip = await lab.backend(1, (socket) => socket.once("data", () => socket.resetAndDestroy()));
    lab.route([ip]);
    const socket = await connect();
    socket.write("x");
    const [error] = (await once(socket, "close").catch((e) => [e])) as [NodeJS.ErrnoException];
    assert.equal(error.code, "ECONNRESET");
  });

  test("carries 8 MB both ways unharmed, and counts the bytes", async () => {
    lab = new Lab();
    const ip = await lab.backend(1, (socket) => socket.pipe(socket));
    lab.route([ip]);
    const sent = Buffer.alloc(8 << 20, "0123456789abcdef");
    const socket = await connect();
    socket.end(sent);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    assert.ok(Buffer.concat(chunks).equals(sent));
    for (let i = 0; i < 1000 && (await lab.metric("kubelab_proxy_connections")) > 0; i++)
      await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await lab.metric("kubelab_proxy_bytes_total"), 2 * sent.length);
  });

  test("loses no request while its endpoints change under load, and keeps the connections that stand", async () => {
    lab = new Lab();
    const echo = (socket: net.Socket) => socket.pipe(socket);
    const ips = [await lab.backend(1, echo), await lab.backend(2, echo), await lab.backend(3, echo)];
    const exchange = async (socket: net.Socket, text: string) => {
      socket.write(text);
      const [data] = (await once(socket, "data")) as [Buffer];
      assert.equal(String(data), text);
    };
    lab.route(ips);
    const standing = await connect();
    await exchange(standing, "before");
    let asked = 0;
    let stop = false;
    const load = async () => {
      while (!stop) {
        const socket = net.connect({ host: clusterIP, port });
        await exchange(socket, `request ${++asked}`);
        socket.destroy();
      }
    };
    const loads = [load(), load(), load(), load()];
    for (let round = 0; round < 60; round++) {
      lab.route(ips.filter((_, i) => round % 4 === 3 || i !== round % 4)); // one endpoint at a time is away
      const target = asked + 10;
      while (asked < target) await new Promise((resolve) => setImmediate(resolve));
    }
    stop = true;
    await Promise.all(loads);
    assert.ok(asked >= 600);
    await exchange(standing, "after");
    standing.destroy();
  });

  test("whose address is taken says so once and serves as soon as it is free", async () => {
    lab = new Lab();
    const squatter = await listenHere(clusterIP, port);
    const ip = await lab.backend(1);
    lab.route([ip]);
    for (let i = 0; i < 2000 && lab.failures.length === 0; i++) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(lab.failures, [`cannot listen on ${clusterIP}:${port}: EADDRINUSE`]);
    squatter.close();
    for (let i = 0; i < 60_000 && (await ask()) !== ip; i++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await ask(), ip);
    assert.equal(lab.failures.length, 1);
  });
});

describe("--nodeport-addresses", () => {
  const local = ["127.0.0.1", "192.168.77.1", "10.0.0.5"];
  const rows: [string, string[], string[]][] = [
    ["none: the node's own address", [], ["192.168.77.1"]],
    ["addresses are taken as they are", ["127.100.0.1", "127.100.0.2"], ["127.100.0.1", "127.100.0.2"]],
    ["a CIDR selects among this node's addresses", ["192.168.0.0/16", "10.0.0.0/8"], ["192.168.77.1", "10.0.0.5"]],
    ["all of them", ["0.0.0.0/0"], local],
  ];
  test.each(rows)("%s", (_, values, expected) => {
    assert.deepEqual(nodePortAddresses(values, "192.168.77.1", local), expected);
  });
  test("anything else is refused by name", () => {
    assert.throws(() => nodePortAddresses(["lo"], "192.168.77.1", local), /--nodeport-addresses.*"lo"/);
  });
});
