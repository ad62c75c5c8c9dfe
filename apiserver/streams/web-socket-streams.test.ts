import assert from "node:assert/strict";
import { once } from "node:events";
import { createRequire } from "node:module";
import { type AddressInfo, createServer } from "node:net";
import { afterAll, beforeAll, describe, test } from "vitest";
import type { TestNode } from "../../lab/testing/test-node/node.ts";
import { startTestNode } from "../../lab/testing/test-node/testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";

/** Streams on WebSockets, message by message, to the test node. kubectl and client-node: ../streams.e2e.test.ts. */
// biome-ignore lint/suspicious/noExplicitAny: the package has no types
const WebSocket = createRequire(import.meta.url)("ws") as any;
const pods = "/api/v1/namespaces/default/pods/one";

let server: TestApiserver;
let node: TestNode;
beforeAll(async () => {
  server = await startTestApiserver();
  node = await startTestNode(server);
});
afterAll(async () => {
  node?.close();
  await server?.close();
});

/** What came on each channel until the end, as text. */
async function talk(path: string, protocol: string, messages: (Buffer | string)[], end = false) {
  const socket = new WebSocket(server.url.replace("https", "wss") + path, [protocol], server.certs.admin);
  const channels: Record<string, string> = {};
  let first: string | undefined;
  socket.on("message", (data: Buffer) => {
    const base64 = protocol.includes("base64");
    const channel = base64 ? String.fromCharCode(data[0]!) : String(data[0]);
    first ??= `${channel} ${data.length - 1}`;
    const bytes = base64 ? Buffer.from(data.toString("latin1", 1), "base64") : data.subarray(1);
    channels[channel] = (channels[channel] ?? "") + bytes.toString("latin1");
    if (end && bytes.toString().endsWith("end")) socket.close();
  });
  await once(socket, "open");
  assert.equal(socket.protocol, protocol);
  for (const message of messages) socket.send(message);
  const [code] = await once(socket, "close");
  return { channels, code, first };
}

const to = (channel: number, text: string) => Buffer.concat([Buffer.of(channel), Buffer.from(text)]);
const success = '{"metadata":{},"status":"Success"}';

describe("a WebSocket to a Pod's stream", () => {
  test("of v5 begins with an empty message, says its input's end, and ends with the status", async () => {
    const path = `${pods}/exec?command=sh&command=-c&command=cat;echo%20err%20>%262&stdin=1&stdout=1&stderr=1`;
    const asked = [to(0, "in"), to(9, "nowhere"), Buffer.alloc(0), Buffer.of(255, 0)];
    const { channels, code, first } = await talk(path, "v5.channel.k8s.io", asked);
    assert.deepEqual([channels, code, first], [{ 1: "in", 2: "err\n", 3: success }, 1000, "1 0"]);
  });

  test("of v4 in base64 is text", async () => {
    const path = `${pods}/exec?command=head&command=-c3&stdin=1&stdout=1`;
    const asked = [`0${Buffer.from("abcdef").toString("base64")}`];
    const { channels } = await talk(path, "v4.base64.channel.k8s.io", asked);
    assert.deepEqual(channels, { 1: "abc", 3: success });
  });

  test("that the client leaves ends the process", async () => {
    const path = `${pods}/exec?command=sh&command=-c&command=echo%20$$;exec%20cat&stdin=1&stdout=1`;
    const socket = new WebSocket(server.url.replace("https", "wss") + path, ["v5.channel.k8s.io"], server.certs.admin);
    let pid = 0;
    while (!pid) pid = Number((await once(socket, "message"))[0].subarray(1));
    socket.close();
    const lives = () => {
      try {
        return process.kill(pid, 0);
      } catch {
        return false;
      }
    };
    while (lives()) await new Promise((resolve) => setImmediate(resolve));
  });

  test("port-forward of v4 has two channels a port, which begin with it", async () => {
    const target = createServer((socket) => socket.pipe(socket).on("error", () => {})).listen(0, "127.0.0.1");
    await once(target, "listening");
    const { port } = target.address() as AddressInfo;
    const number = Buffer.of(port & 255, port >> 8).toString("latin1");
    const { channels } = await talk(`${pods}/portforward?ports=${port}`, "v4.channel.k8s.io", [to(0, "the end")], true);
    assert.deepEqual(channels, { 0: `${number}the end`, 1: number });
    target.close();
  });

  test.each([
    ["portforward", "v4.channel.k8s.io", 400],
    ["exec?command=x", "v1.nope", 400], // passes through: the node's own answer
    ["attach?container=nope", "v5.channel.k8s.io", 400],
  ])("%s with %s is refused with %i before it is one", async (path, protocol, code) => {
    const socket = new WebSocket(
      `${server.url.replace("https", "wss")}${pods}/${path}`,
      [protocol],
      server.certs.admin,
    );
    const [, response] = await once(socket, "unexpected-response");
    assert.equal(response.statusCode, code);
    response.resume();
  });

  test("passes through the proxy of the node, which speaks it, too", async () => {
    const path = "/api/v1/nodes/n1/proxy/exec/default/one/c?command=cat&input=1&output=1";
    const { channels } = await talk(path, "v5.channel.k8s.io", [to(0, "x"), Buffer.of(255, 0)]);
    assert.deepEqual(channels, { 1: "x", 3: success });
    assert.match(node.asked.at(-1)!, /^GET \/exec\/.* websocket by kube-apiserver-kubelet-client$/);
  });
});
