import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { afterEach, test } from "vitest";
import { ownsSocket, Relay } from "./relay.ts";

const servers: net.Server[] = [];
let relay: Relay | undefined;
afterEach(() => {
  relay?.close();
  for (const server of servers.splice(0)) server.close();
});

async function port(onSocket: (socket: net.Socket) => void): Promise<number> {
  const server = net.createServer(onSocket).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  return (server.address() as net.AddressInfo).port;
}

async function freePort(): Promise<number> {
  const free = await port(() => {});
  const server = servers.pop()!;
  server.close();
  await once(server, "close");
  return free;
}

test.each(["in", "out", "both"] as const)(
  "what is cut off (%s) is kept, and all of it comes once that is healed",
  async (direction) => {
    const target = await port((socket) => socket.pipe(socket));
    const front = await freePort();
    const at = (port: number) => ({ host: "127.0.0.1", port });
    relay = await Relay.start(at(front), at(target), () => [["us", process.pid]]);
    const socket = net.connect(front, "127.0.0.1");
    const echoed: string[] = [];
    socket.on("data", (chunk) => echoed.push(chunk.toString()));
    socket.write("a");
    await once(socket, "data");
    relay.faults.set("cut", { type: "block", peer: "us", direction });
    socket.write("b");
    // What the relay would let through has come by the time a connection that is not cut has made a round trip.
    const beside = net.connect(target, "127.0.0.1");
    beside.write("x");
    await once(beside, "data");
    assert.deepEqual(echoed, ["a"]);
    relay.faults.clear("*");
    await once(socket, "data");
    assert.deepEqual(echoed, ["a", "b"]);
    beside.destroy();
    socket.destroy();
  },
);

test("who dialled is found by the socket that its process holds", async () => {
  let accepted: net.Socket | undefined;
  const target = await port((socket) => (accepted = socket));
  const socket = net.connect(target, "127.0.0.1");
  await Promise.all([once(socket, "connect"), once(servers.at(-1)!, "connection")]);
  const { localAddress, localPort, remoteAddress } = accepted!;
  const elsewhere = { localAddress, localPort, remoteAddress, remotePort: 1 } as net.Socket;
  assert.ok(ownsSocket(process.pid, accepted!));
  assert.ok(!ownsSocket(process.ppid, accepted!));
  assert.ok(!ownsSocket(process.pid, elsewhere));
  socket.destroy();
  accepted?.destroy();
});
