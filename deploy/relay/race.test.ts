import { once } from "node:events";
import { Duplex, duplexPair } from "node:stream";
import { expect, test } from "vitest";
import { VirtualClock } from "../../client/testing/virtual-clock.ts";
import { isGreeting, race } from "./race.ts";

const greeting = Buffer.from([22, 3, 1, 0, 2, 7, 7]);
/** What has been asked for goes to whom has the connection, never to two. */
const question = Buffer.from([23, 3, 3, 0, 1, 9]);

function pair(): [Duplex, Duplex] {
  const [a, b] = duplexPair({ allowHalfOpen: false });
  a.on("close", () => b.destroy());
  b.on("close", () => a.destroy());
  return [a!, b!];
}

/** A client before servers a, b, ...; what `refuse` names takes no connection. */
class Scene {
  readonly clock = new VirtualClock();
  readonly client: Duplex;
  readonly servers: Record<string, { socket: Duplex; heard: string; closed: boolean }> = {};
  closed = false;
  heard = "";

  constructor(names: string, refuse = "") {
    const [client, ours] = pair();
    this.client = client;
    client.on("data", (chunk: Buffer) => (this.heard += chunk)).on("close", () => (this.closed = true));
    race(ours, [...names], {
      clock: this.clock,
      patienceMs: 300,
      connect: async (name) => {
        if (refuse.includes(name)) throw new Error("refused");
        const [near, socket] = pair();
        const server = { socket, heard: "", closed: false };
        this.servers[name] = server;
        socket.on("data", (chunk: Buffer) => (server.heard += chunk.toString("hex")));
        near.on("close", () => (server.closed = true));
        return near;
      },
    });
  }

  /** Moves time, and lets streams say all that they have to. */
  async advance(ms: number): Promise<void> {
    await this.clock.advance(ms);
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  get asked(): string {
    return Object.keys(this.servers).join("");
  }
}

test("the next one hears the same greeting when the first is silent, and has the connection when it answers", async () => {
  const scene = new Scene("abc");
  scene.client.write(greeting.subarray(0, 3));
  scene.client.write(greeting.subarray(3));
  await scene.advance(299);
  expect(scene.asked).toBe("a");
  await scene.advance(1);
  const { a, b } = scene.servers;
  expect([a!.heard, b!.heard]).toEqual([greeting.toString("hex"), greeting.toString("hex")]);
  b!.socket.write("hello");
  await scene.advance(1000);
  scene.client.write(question);
  await scene.advance(0);
  expect(scene.heard).toBe("hello");
  expect(b!.heard).toBe(Buffer.concat([greeting, question]).toString("hex"));
  expect([a!.closed, scene.asked]).toEqual([true, "ab"]);
  b!.socket.end();
  await scene.advance(0);
  expect(scene.closed).toBe(true);
});

test("the first may still be the first to answer", async () => {
  const scene = new Scene("ab");
  scene.client.write(greeting);
  await scene.advance(300);
  scene.servers["a"]!.socket.write("late");
  await scene.advance(0);
  expect([scene.heard, scene.servers["b"]!.closed]).toEqual(["late", true]);
});

test.each([
  ["that refuses", "a", async () => {}],
  ["that closes without an answer", "", async ({ servers }: Scene) => void servers["a"]!.socket.destroy()],
])("one %s is passed over at once", async (_, refuse, act) => {
  const scene = new Scene("ab", refuse);
  scene.client.write(greeting);
  await scene.advance(0);
  await act(scene);
  await scene.advance(0);
  expect(scene.servers["b"]!.heard).toBe(greeting.toString("hex"));
});

test("who has said more than a greeting is not led to another", async () => {
  const scene = new Scene("ab");
  scene.client.write(Buffer.concat([greeting, question]));
  await scene.advance(1000);
  expect(scene.asked).toBe("a");
});

test("a client that is silent waits with the first", async () => {
  const scene = new Scene("ab");
  await scene.advance(10_000);
  expect(scene.asked).toBe("a");
});

test("nobody is left", async () => {
  const scene = new Scene("ab", "ab");
  await scene.advance(0);
  expect(scene.closed).toBe(true);
});

test.each<[string, number[], boolean]>([
  ["nothing yet", [], true],
  ["a part of a record", [22, 3, 1], true],
  ["two records of a handshake", [22, 3, 1, 0, 1, 1, 22, 3, 1, 0, 9, 1], true],
  ["early data behind it", [22, 3, 1, 0, 1, 1, 20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 1, 1], false],
  ["a request without TLS", [...Buffer.from("GET / HTTP/1.1")], false],
])("is %s no more than a greeting?", (_, bytes, is) => {
  expect(isGreeting(Buffer.from(bytes))).toBe(is);
});

test("what a server said before it closed reaches a client that is slow to take it", async () => {
  let taken!: () => void;
  const write = (_chunk: Buffer, _encoding: string, done: () => void) => {
    taken = done;
  };
  const client = new Duplex({ read() {}, write });
  const server = new Duplex({ allowHalfOpen: false, read() {}, write: (_chunk, _encoding, done) => done() });
  race(client, ["a"], { clock: new VirtualClock(), patienceMs: 300, connect: async () => server });
  client.push(question);
  server.push("an answer");
  server.push(null);
  await once(server, "close");
  expect(client.destroyed).toBe(false);
  taken();
  await once(client, "finish");
});
