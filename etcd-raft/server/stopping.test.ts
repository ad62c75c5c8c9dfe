import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { test } from "vitest";
import { type Disk, nodeDisk } from "../wal/disk.ts";
import { held } from "./start.ts";
import { startTestCluster } from "./testing.ts";

test("clients of a member that stops are sent away, and no more let in, before its last snapshot is written", async () => {
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let onWriting = () => {};
  const writing = new Promise<void>((resolve) => {
    onWriting = resolve;
  });
  const disk: Disk = {
    ...nodeDisk,
    async open(path, mode) {
      if (path.endsWith("/db.tmp")) {
        onWriting();
        await released;
      }
      return nodeDisk.open(path, mode);
    },
  };
  const cluster = await startTestCluster(1, { disk });
  try {
    await cluster.client.put({ key: "a", value: Buffer.from("1") });
    const port = Number(new URL(cluster.endpoints[0]!).port);
    const connected = net.connect(port, "127.0.0.1").on("error", () => {});
    await once(connected, "connect");
    const stopped = cluster.stop(0);
    await writing;
    if (!connected.closed) await once(connected.resume(), "close");
    const late = net.connect(port, "127.0.0.1");
    await assert.rejects(once(late, "connect"), { code: "ECONNREFUSED" });
    await assert.rejects(cluster.client.put({ key: "a", value: Buffer.from("2") }, { timeoutMs: 1000 }));
    release();
    await stopped;
  } finally {
    release();
    await cluster.close();
  }
});

test("connections that speak HTTP/1.1 end with the member, also one that waits for events", async () => {
  const cluster = await startTestCluster(1);
  try {
    const idle = net.connect(Number(new URL(cluster.endpoints[0]!).port), "127.0.0.1");
    idle.write("GET /version HTTP/1.1\r\nhost: a\r\n\r\n");
    await once(idle, "data");
    const events = await fetch(`${cluster.endpoints[0]}/debug/raft/events?follow=true`);
    const ended = once(idle.resume(), "close");
    await cluster.stop(0);
    await ended;
    await events.text().catch(() => {});
  } finally {
    await cluster.close();
  }
});

test("who connects before a member serves, and goes again, does it no harm", async () => {
  const listener = net.createServer();
  await once(listener.listen(0, "127.0.0.1"), "listening");
  const { port } = listener.address() as net.AddressInfo;
  const served: net.Socket[] = [];
  try {
    const begin = held(listener);
    const connect = async () => {
      const accepted = once(listener, "connection") as Promise<[net.Socket]>;
      const early = net.connect(port, "127.0.0.1");
      await once(early, "connect");
      return { early, socket: (await accepted)[0] };
    };
    const gone = await connect();
    const closed = new Promise((resolve) => gone.socket.once("close", resolve));
    gone.early.resetAndDestroy();
    await closed;
    const { early } = await connect();
    begin(() => listener.on("connection", (socket) => served.push(socket)));
    assert.equal(served.length, 1);
    early.destroy();
  } finally {
    for (const socket of served) socket.destroy();
    listener.close();
  }
});
