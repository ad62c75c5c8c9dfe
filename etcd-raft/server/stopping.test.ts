import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { test } from "vitest";
import { type Disk, nodeDisk } from "../wal/disk.ts";
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
