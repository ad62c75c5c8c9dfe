import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, expect, test } from "vitest";
import { InternalRaftRequest, type PutRequest } from "../../proto/generated/etcdserverpb.ts";
import { peer } from "../../tools/peers.ts";
import type { Entry } from "../raft/types.ts";
import { nodeDisk } from "./disk.ts";
import { openWal } from "./wal.ts";

const etcd = peer("etcd");
const root = mkdtempSync(join(tmpdir(), "real-etcd-"));
let running: ChildProcess | undefined;

afterEach(async () => {
  await kill();
  rmSync(root, { recursive: true, force: true });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

/** A real etcd of one member on the data directory; returns its client URL once it serves. */
async function start(): Promise<string> {
  const client = `http://127.0.0.1:${await freePort()}`;
  const peerUrl = `http://127.0.0.1:${await freePort()}`;
  const child = spawn(etcd!, [
    "--name=m",
    `--data-dir=${root}/data`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=m=${peerUrl}`,
  ]);
  running = child;
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stderr })) {
    lines.push(line);
    if (line.includes("ready to serve")) return client;
  }
  throw new Error(`etcd ended: ${lines.slice(-10).join("\n")}`);
}

async function kill(): Promise<void> {
  if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
  const gone = once(running, "exit");
  running.kill("SIGKILL");
  await gone;
}

async function call(client: string, path: string, body: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(`${client}/v3/${path}`, { method: "POST", body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Record<string, unknown>;
}

const base64 = (text: string) => Buffer.from(text).toString("base64");
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

/** Undefined for other requests; etcd 3.4 also has entries of the v2 store's requests, which are none of these. */
function putOf(data: Uint8Array): PutRequest | undefined {
  try {
    return InternalRaftRequest.decode(data).put;
  } catch {
    return undefined;
  }
}

test.skipIf(!etcd)("the WAL of a killed etcd is read, gone on with, and read by etcd again", async () => {
  const dir = `${root}/data/member/wal`;
  let client = await start();
  for (let i = 1; i <= 20; i++) {
    await call(client, "kv/put", { key: base64(`key-${i}`), value: base64("v".repeat(100 * i)) });
  }
  await kill();

  const { wal, metadata, hardState, replay, snapshots } = await openWal(dir, nodeDisk);
  const entries: Entry[] = [];
  entries.push(...(await replay(0, (run) => void entries.push(...run))));
  expect(metadata.nodeId).not.toBe(0n);
  expect(snapshots[0]).toEqual({ index: 0, term: 0 });
  expect(entries.map((entry) => entry.index)).toEqual(Array.from({ length: entries.length }, (_, i) => i + 1));
  expect(entries[0]!.type).toBe(1); // the member adds itself
  const puts = entries
    .filter((entry) => entry.type === 0)
    .map((entry) => putOf(entry.data))
    .filter((put) => put !== undefined);
  expect(puts.map((put) => [text(put.key), put.value.length])).toEqual(
    Array.from({ length: 20 }, (_, i) => [`key-${i + 1}`, 100 * (i + 1)]),
  );

  const { term, index } = entries.at(-1)!;
  const put = { key: Buffer.from("ours"), value: Buffer.from("written by our WAL") };
  const data = InternalRaftRequest.encode({ header: { ID: 0x1234567890abcdefn }, put });
  await wal.save({ ...hardState!, term, commit: index + 1 }, [{ term, index: index + 1, type: 0, data }]);
  await wal.close();

  client = await start();
  const { kvs } = (await call(client, "kv/range", { key: base64("ours") })) as { kvs: { value: string }[] };
  expect(text(Buffer.from(kvs[0]!.value, "base64"))).toBe("written by our WAL");
});
