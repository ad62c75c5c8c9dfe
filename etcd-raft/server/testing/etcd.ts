import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { freePorts } from "../testing.ts";

/** A real etcd with one member, for tests that compare. */
export async function startEtcd(
  path: string,
  flags: string[] = [],
): Promise<{ endpoint: string; close(): Promise<void> }> {
  const dir = mkdtempSync(join(tmpdir(), "etcd-"));
  const [client, peerPort] = await freePorts(2);
  const endpoint = `http://127.0.0.1:${client}`;
  const child = spawn(path, [
    `--data-dir=${dir}/data`,
    `--listen-client-urls=${endpoint}`,
    `--advertise-client-urls=${endpoint}`,
    `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
    ...flags,
  ]);
  const close = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    }
    rmSync(dir, { recursive: true, force: true });
  };
  await new Promise<void>((resolve, reject) => {
    child.once("exit", () => void close().then(() => reject(new Error("etcd did not start"))));
    createInterface({ input: child.stderr }).on("line", (line) => {
      if (line.includes("ready to serve client requests")) resolve();
    });
  });
  return { endpoint, close };
}
