import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { afterEach, test } from "vitest";
import { ownsSocket, PeerRelays } from "./relay.ts";

const servers: net.Server[] = [];
let relays: PeerRelays | undefined;
afterEach(() => {
  relays?.close();
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

test("bytes pass; nothing passes from or to who is cut off, and all of it comes once that is healed", async () => {
  const target = await port((socket) => socket.pipe(socket));
  const front = await freePort();
  relays = await PeerRelays.start([front], [target]);
  const socket = net.connect(front, "127.0.0.1");
  const echoed: string[] = [];
  socket.on("data", (chunk) => echoed.push(chunk.toString()));
  socket.write("a");
  await once(socket, "data");
  relays.cutOff(0);
  socket.write("b");
  // What the relay would let through has come by the time a connection that is not cut has made a round trip.
  const beside = net.connect(target, "127.0.0.1");
  beside.write("x");
  await once(beside, "data");
  assert.deepEqual(echoed, ["a"]);
  relays.cutOff();
  await once(socket, "data");
  assert.deepEqual(echoed, ["a", "b"]);
  beside.destroy();
  socket.destroy();
});

test("who dialled is found by the socket that its process holds", async () => {
  let accepted: net.Socket | undefined;
  const target = await port((socket) => (accepted = socket));
  const socket = net.connect(target, "127.0.0.1");
  await once(socket, "connect");
  assert.ok(ownsSocket(process.pid, socket.localPort!, target));
  assert.ok(!ownsSocket(process.ppid, socket.localPort!, target));
  assert.ok(!ownsSocket(process.pid, target - 1, socket.localPort!));
  socket.destroy();
  accepted?.destroy();
});
