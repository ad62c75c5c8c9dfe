import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http2 from "node:http2";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterAll, afterEach, describe, test } from "vitest";
import { preface, settingsFrame } from "../../net/http2/frames.ts";
import { peer } from "../../tools/peers.ts";
import { EtcdClient } from "../client/client.ts";
import { parseConfig } from "./config.ts";
import { freePorts } from "./testing.ts";

const etcd = peer("etcd");
const dir = mkdtempSync(join(tmpdir(), "flags-"));
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const program = join(process.cwd(), "dist/etcd-raft.mjs");
const run = (args: string[], env: Record<string, string> = {}) =>
  promisify(execFile)(program, args, { timeout: 30_000, env: { ...process.env, ...env }, cwd: dir }).then(
    (out) => ({ code: 0, ...out }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  );

/** A member that runs until the test ends; resolves with what it wrote until it was ready. */
async function start(
  args: string[],
  env: Record<string, string> = {},
): Promise<{ lines: string[]; stop(): Promise<number | null> }> {
  const child = spawn(program, args, { env: { ...process.env, ...env }, cwd: dir });
  const lines: string[] = [];
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const gone = once(child, "exit");
    child.kill("SIGTERM");
    return (await gone)[0] as number | null;
  };
  cleanups.push(stop);
  await new Promise<void>((resolve, reject) => {
    for (const stream of [child.stderr, child.stdout])
      createInterface({ input: stream }).on("line", (line) => {
        lines.push(line);
        if (line.includes("ready to serve client requests")) resolve();
      });
    child.once("exit", (code) => reject(new Error(`exited with ${code}: ${lines.join("\n")}`)));
  });
  return { lines, stop };
}

let count = 0;
async function alone(): Promise<{ args: string[]; client: string; peer: string; data: string }> {
  const [a, b] = await freePorts(2);
  const [client, peerURL, data] = [`http://127.0.0.1:${a}`, `http://127.0.0.1:${b}`, join(dir, `data-${++count}`)];
  const args = [
    ...[`--data-dir=${data}`, `--listen-client-urls=${client}`, `--advertise-client-urls=${client}`],
    ...[
      `--listen-peer-urls=${peerURL}`,
      `--initial-advertise-peer-urls=${peerURL}`,
      `--initial-cluster=default=${peerURL}`,
    ],
  ];
  return { args, client, peer: peerURL, data };
}

describe("a configuration that cannot be is one line and exit code 1, and leaves nothing", () => {
  const file = (name: string, content = "") => {
    writeFileSync(join(dir, name), content);
    return join(dir, name);
  };
  const rows: [string, string[], RegExp][] = [
    ["a name that is not in the cluster", ["--name=x"], /^couldn't find local name "x" in the initial cluster config/],
    [
      "peer URLs that differ from the cluster's",
      ["--initial-advertise-peer-urls=http://127.0.0.1:9"],
      /^--initial-cluster has default=\S+ but --initial-advertise-peer-urls is http:\/\/127\.0\.0\.1:9: they must be the same/,
    ],
    ["one URL for two", ["--initial-cluster=default=http://127.0.0.1:9,b=http://127.0.0.1:9"], /duplicate urls/],
    ["https without a certificate", ["--listen-client-urls=https://127.0.0.1:9"], /^cannot listen on TLS for https:/],
    ["https for metrics without a certificate", ["--listen-metrics-urls=https://127.0.0.1:9"], /^cannot listen on TLS/],
    [
      "a certificate that is not there",
      ["--cert-file=no.crt", "--key-file=no.key", "--listen-client-urls=https://127.0.0.1:0"],
      /^certificate file no\.crt does not exist/,
    ],
    [
      "a certificate that is none",
      [
        `--cert-file=${file("a.crt", "x")}`,
        `--key-file=${file("a.key", "x")}`,
        "--listen-client-urls=https://127.0.0.1:0",
      ],
      /^cannot use the TLS files \S+a\.crt, \S+a\.key: /,
    ],
    [
      "a key for tokens that is not there",
      ["--auth-token=jwt,priv-key=no.key,sign-method=RS256"],
      /^--auth-token: no\.key: ENOENT/,
    ],
    [
      "an election near the heartbeat",
      ["--heartbeat-interval=500"],
      /should be at least as 5 times as --heartbeat-interval/,
    ],
    ["a log that cannot be written", ["--log-outputs=/no/such/dir/log"], /^--log-outputs: ENOENT/],
    ["a configuration file that is not there", ["--config-file=no.yml"], /^--config-file no\.yml: ENOENT/],
    ["an unbuilt flag", ["--force-new-cluster=true"], /^flag --force-new-cluster of etcd's is not built here/],
  ];
  for (const [name, flags, message] of rows) {
    test(name, async () => {
      const { args, data } = await alone();
      const kept = args.filter((arg) => !flags.some((flag) => flag.split("=")[0] === arg.split("=")[0]));
      const { code, stdout, stderr } = await run([...kept, ...flags]);
      assert.equal(code, 1, stderr);
      assert.equal(stdout, "");
      assert.match(stderr, message);
      assert.equal(stderr.indexOf("\n"), stderr.length - 1, stderr);
      assert.equal(existsSync(data), false);
    });
  }
});

test.skipIf(!etcd)("every flag of Debian's etcd is known: taken, or refused with a reason", () => {
  const text = execFileSync(etcd!, ["--help"], { stdio: ["ignore", "pipe", "pipe"] }).toString();
  const flags = [...text.matchAll(/^ {2}--([\w-]+) ('(.*)'|\S+)$/gm)].map(
    ([, name, raw, quoted]) => [name!, quoted ?? raw!] as const,
  );
  assert.ok(flags.length > 60, `${flags.length} flags`);
  // Their defaults are spelled differently, or changed since 3.4, or belong to other flags.
  const defaults: Record<string, string> = {
    "data-dir": "d",
    "wal-dir": "d",
    "max-concurrent-streams": "4294967295",
    "initial-cluster": "default=http://localhost:2380",
    "log-outputs": "default",
    logger: "zap",
  };
  for (const [name, value] of flags) {
    try {
      const given = defaults[name] ?? value;
      parseConfig([`--${name}=${given}`]);
    } catch (error) {
      assert.doesNotMatch((error as Error).message, /unknown option/i, name);
      assert.match((error as Error).message, new RegExp(`--${name}`), name);
      assert.fail(`${name}: its default is refused: ${(error as Error).message}`);
    }
  }
});

describe("a running member", () => {
  test("goes by its data, and tells when they look like another member's", async () => {
    const { args } = await alone();
    await (await start(args)).stop();
    const other = await alone();
    const { lines } = await start([args[0]!, ...other.args.slice(1)]);
    assert.ok(lines.some((line) => line.includes("has other peer URLs than --initial-advertise-peer-urls")));
  });

  test("takes flags with = and without, ETCD_* variables, and says when it is ready", async () => {
    const { args, client } = await alone();
    const spaced = args.flatMap((arg) => [arg.slice(0, arg.indexOf("=")), arg.slice(arg.indexOf("=") + 1)]);
    const { lines, stop } = await start(spaced, {
      ETCD_HEARTBEAT_INTERVAL: "20",
      ETCD_ELECTION_TIMEOUT: "200",
      ETCD_NOPE: "1",
    });
    const etcd = new EtcdClient({ endpoints: [client] });
    await etcd.put({ key: "a", value: "1" });
    etcd.close();
    assert.ok(lines.some((line) => line.includes("Unrecognized environment variables") && line.includes("ETCD_NOPE")));
    assert.equal(await stop(), 0);
  });

  test("is told everything by --config-file, and nothing else counts", async () => {
    const { args, client } = await alone();
    const yaml = args.map((arg) => arg.slice(2).replace("=", ": ")).join("\n");
    writeFileSync(join(dir, "etcd.yml"), `${yaml}\nheartbeat-interval: 20\nelection-timeout: 200\n`);
    await start(["--config-file", join(dir, "etcd.yml"), "--listen-client-urls=http://127.0.0.1:1"], {
      ETCD_NAME: "other",
    });
    const etcd = new EtcdClient({ endpoints: [client] });
    await etcd.put({ key: "a", value: "1" });
    etcd.close();
  });

  test("keeps its WAL where --wal-dir says, over a restart", async () => {
    const { args, client, data } = await alone();
    const wal = join(dir, "a-wal");
    const put = async (key: string) => {
      const etcd = new EtcdClient({ endpoints: [client] });
      const { header } = await etcd.put({ key, value: "1" });
      etcd.close();
      return header!.revision;
    };
    const first = await start([...args, `--wal-dir=${wal}`]);
    assert.equal(await put("a"), 2);
    await first.stop();
    assert.ok(existsSync(wal) && !existsSync(`${data}/member/wal`));
    await start([...args, `--wal-dir=${wal}`]);
    assert.equal(await put("b"), 3);
  });

  test("writes its log where and how it is told", async () => {
    const { args } = await alone();
    const log = join(dir, "member.log");
    const outputs = `--log-outputs=stdout,${log}`;
    const { lines, stop } = await start([...args, outputs, "--log-format=console", "--log-level=info"]);
    const ready = lines.find((line) => line.includes("ready to serve client requests"))!;
    assert.match(ready, /^\S+Z\tinfo\tready to serve client requests\t\{/);
    await stop(); // by then both are written
    assert.ok(readFileSync(log, "utf8").includes(ready));
  });

  test("serves HTTP/1.1 elsewhere with --listen-client-http-urls, and then not beside gRPC", async () => {
    const { args, client } = await alone();
    const [port] = await freePorts(1);
    const http = `http://127.0.0.1:${port}`;
    await start([...args, `--listen-client-http-urls=${http}`]);
    assert.match(await (await fetch(`${http}/version`)).text(), /"etcdserver":"3\.6\./);
    const body = JSON.stringify({ key: Buffer.from("a").toString("base64") });
    assert.equal((await fetch(`${http}/v3/kv/range`, { method: "POST", body })).status, 200);
    await assert.rejects(fetch(`${client}/version`));
    const etcd = new EtcdClient({ endpoints: [client] });
    await etcd.put({ key: "a", value: "1" });
    etcd.close();
  });
});

test("a client that is silent is asked, and cut off when it does not answer", async () => {
  const { args, client } = await alone();
  await start([
    ...args,
    "--grpc-keepalive-interval=100ms",
    "--grpc-keepalive-timeout=100ms",
    "--max-concurrent-streams=7",
  ]);
  const { hostname, port } = new URL(client);
  const mute = net.connect(Number(port), hostname);
  mute.write(Buffer.concat([preface, settingsFrame({})]));
  mute.resume();
  const alive = http2.connect(client);
  const pings = new Promise<void>((resolve) => {
    let seen = 0;
    alive.on("ping", () => void (++seen === 4 && resolve()));
  });
  const closed = new Promise((_, reject) => alive.once("close", () => reject(new Error("who answers was cut off"))));
  closed.catch(() => {});
  await once(mute, "close");
  await Promise.race([pings, closed]); // answered by node:http2 itself
  assert.equal(alive.remoteSettings.maxConcurrentStreams, 7);
  alive.destroy();
});

test("--version is etcd's first line", async () => {
  for (const flag of ["--version", "-version"]) assert.match((await run([flag])).stdout, /^etcd Version: 3\.6\.\d+\n/);
});
