import { once } from "node:events";
import http, { type IncomingMessage } from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Fault, Faults } from "../base/faults.ts";
import { seededRand } from "../base/rand.ts";
import { VirtualClock } from "../client/testing/virtual-clock.ts";
import { createAuthority } from "../pki/authority.ts";
import { FaultyLink, faultyAgent } from "./faulty-link.ts";

type Step =
  | { set: Fault }
  | { clear: boolean }
  | { send: string; way?: string }
  | { after: number }
  | { arrived: string[] };
const link = (fault: Partial<Fault> & Pick<Fault, "type">): Step => {
  return { set: { peer: "a", direction: "out", ...fault } as Fault };
};

const stories: [string, Step[]][] = [
  ["without faults bytes pass at once", [{ send: "x" }, { arrived: ["x"] }]],
  [
    "a delay keeps each back for so long",
    [
      link({ type: "delay", ms: 50 }),
      { send: "x" },
      { after: 30 },
      { send: "y" },
      { after: 20 },
      { arrived: ["x"] },
    ].concat([{ after: 29 }, { arrived: ["x"] }, { after: 1 }, { arrived: ["x", "y"] }]),
  ],
  [
    "what is late stays before what comes after the delay",
    [
      link({ type: "delay", ms: 50 }),
      { send: "x" },
      { clear: true },
      { send: "y" },
      { arrived: [] },
      { after: 50 },
    ].concat([{ arrived: ["x", "y"] }]),
  ],
  [
    "jitter never overtakes",
    [
      link({ type: "delay", ms: 10, jitterMs: 90 }),
      ...[..."abcdefgh"].map((send) => ({ send })),
      { after: 100 },
    ].concat([{ arrived: [..."abcdefgh"] }]),
  ],
  [
    "a throttle lets so many bytes a second pass",
    [
      link({ type: "throttle", bytesPerSecond: 10 }),
      { send: "12345" },
      { send: "6" },
      { after: 499 },
      { arrived: [] },
    ].concat([{ after: 1 }, { arrived: ["12345"] }, { after: 100 }, { arrived: ["12345", "6"] }]),
  ],
  [
    "what a throttle kept waiting goes at once when it is over",
    [link({ type: "throttle", bytesPerSecond: 1 }), { send: "12345" }, { clear: true }, { arrived: ["12345"] }],
  ],
  [
    "a stall keeps everything, in order, until it is over",
    [link({ type: "stall" }), { send: "x" }, { send: "y" }, { after: 9000 }, { arrived: [] }, { clear: true }].concat([
      { arrived: ["x", "y"] },
    ]),
  ],
  [
    "one way can be blocked while the other is open",
    [link({ type: "block" }), { send: "x" }, { send: "y", way: "in" }, { arrived: ["y"] }, { clear: true }].concat([
      { arrived: ["y", "x"] },
    ]),
  ],
  ["another peer's fault is not ours", [link({ type: "block", peer: "b" }), { send: "x" }, { arrived: ["x"] }]],
];

test.each(stories)("%s", async (_, steps) => {
  const [faults, clock] = [new Faults(), new VirtualClock()];
  const one = new FaultyLink(faults, ["a"], clock, seededRand(1));
  const arrived: string[] = [];
  for (const step of steps) {
    if ("set" in step) faults.set("f", step.set);
    else if ("clear" in step) faults.clear("*");
    else if ("send" in step)
      one.pass(step.way === "in" ? "in" : "out", step.send.length, () => arrived.push(step.send));
    else if ("after" in step) await clock.advance(step.after);
    else expect(arrived).toEqual(step.arrived);
  }
});

test("a connection that is made during a stall is stalled, too", () => {
  const faults = new Faults();
  faults.set("f", { type: "stall", peer: "a", direction: "out" });
  const one = new FaultyLink(faults, ["a"], new VirtualClock());
  const arrived: string[] = [];
  one.pass("out", 5, () => arrived.push("hello"));
  expect(arrived).toEqual([]);
  faults.clear("f");
  expect(arrived).toEqual(["hello"]);
});

test("a connection that is made while one way is blocked is dead both ways, until that is over", () => {
  const [faults, clock] = [new Faults(), new VirtualClock()];
  faults.set("f", { type: "block", peer: "a", direction: "in" });
  const one = new FaultyLink(faults, ["a"], clock);
  const arrived: string[] = [];
  one.pass("out", 5, () => arrived.push("hello"));
  faults.set("g", { type: "delay", peer: "a", direction: "out", ms: 0 });
  expect(arrived).toEqual([]);
  faults.clear("f");
  expect(arrived).toEqual(["hello"]);
});

describe.each(["http", "https"])("what an agent connects over %s", (scheme) => {
  let server: http.Server;
  let ca: string | undefined;
  const large = Buffer.alloc(5_000_000, "x");

  beforeAll(async () => {
    const echo: http.RequestListener = (request, response) => void request.pipe(response);
    const authority = scheme === "https" ? await createAuthority("test") : undefined;
    ca = authority?.cert;
    const pair = await authority?.issue({ commonName: "s", ipAddresses: ["127.0.0.1"], usages: ["server"] });
    server = pair ? https.createServer(pair, echo) : http.createServer(echo);
    await once(server.listen(0, "127.0.0.1"), "listening");
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  async function exchange(agent: http.Agent, body: Buffer): Promise<Buffer> {
    const { port } = server.address() as AddressInfo;
    const options = { host: "127.0.0.1", port, method: "POST", agent, ca };
    const request = (ca ? https : http).request(options);
    request.end(body);
    const [answer] = (await once(request, "response")) as [IncomingMessage];
    return buffer(answer);
  }

  test.each<[string, Fault]>([
    ["is cut, though it is another address of the range", { type: "block", peer: "127.0.0.0/8", direction: "both" }],
    ["says nothing while it is stalled", { type: "stall", peer: "127.0.0.1", direction: "out" }],
    ["hears nothing while it is stalled", { type: "stall", peer: "127.0.0.1", direction: "in" }],
  ])("%s, and loses nothing of what is more than waits", async (_, fault) => {
    const faults = new Faults();
    const agent = faultyAgent(new (ca ? https : http).Agent({ keepAlive: true }), faults);
    expect(`${await exchange(agent, Buffer.from("a"))}`).toBe("a");
    faults.set("f", fault);
    let answered = false;
    const waiting = exchange(agent, large).finally(() => (answered = true));
    // Were it let through, it would have come by the time that another has had as much.
    const free = faultyAgent(new (ca ? https : http).Agent(), new Faults());
    expect((await exchange(free, large)).equals(large)).toBe(true);
    expect(answered).toBe(false);
    faults.clear("*");
    expect((await waiting).equals(large)).toBe(true);
    agent.destroy();
  });

  test("is late as a whole, not once for each write", async () => {
    const faults = new Faults();
    faults.set("f", { type: "delay", peer: "127.0.0.1", direction: "out", ms: 150 });
    const agent = faultyAgent(new (ca ? https : http).Agent(), faults);
    const writes = 100;
    const { port } = server.address() as AddressInfo;
    const request = (ca ? https : http).request({ host: "127.0.0.1", port, method: "POST", agent, ca });
    const begin = performance.now();
    for (let i = 0; i < writes; i++) {
      request.write("x");
      await new Promise((resolve) => setImmediate(resolve));
    }
    request.end();
    const [answer] = (await once(request, "response")) as [IncomingMessage];
    expect(`${await buffer(answer)}`).toBe("x".repeat(writes));
    const tookMs = performance.now() - begin;
    expect(tookMs).toBeGreaterThan(149);
    expect(tookMs).toBeLessThan(writes * 150);
  });
});
