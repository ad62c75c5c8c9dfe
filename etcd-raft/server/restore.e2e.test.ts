import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, test } from "vitest";
import { peer } from "../../tools/peers.ts";
import { startEtcd } from "./testing/etcd.ts";
import { freePorts, startTestMember } from "./testing.ts";

const etcd = peer("etcd");
const etcdctl = peer("etcdctl");

/** Backups of both kinds, restored by our command, started by both kinds of servers. */
describe.skipIf(!etcd || !etcdctl)("etcd-raft restore", () => {
  const dir = mkdtempSync(join(tmpdir(), "restore-"));
  const running = new Set<ChildProcess>();
  /** What was saved, and what was to be seen then. */
  const saved: Record<"ours" | "real", { file: string; content: string }> = {} as never;

  const ctl = async (endpoints: string, ...args: string[]) => {
    const env = { ...process.env, ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: endpoints };
    return (await promisify(execFile)(etcdctl!, args, { env, timeout: 60_000, maxBuffer: 1 << 28 })).stdout;
  };
  const run = (...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> =>
    promisify(execFile)(process.execPath, ["dist/etcd-raft.mjs", ...args], { timeout: 60_000 }).then(
      (out) => ({ code: 0, ...out }),
      (error: { code: number; stdout: string; stderr: string }) => error,
    );
  const must = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, 0, stderr);
    return stdout;
  };

  /** Keys, history, a compaction, leases and users. */
  async function fill(endpoint: string): Promise<void> {
    await ctl(endpoint, "lease", "grant", "5000");
    const lease = /lease (\w+) granted/.exec(await ctl(endpoint, "lease", "grant", "6000"))![1]!;
    for (let i = 0; i < 40; i++)
      await ctl(endpoint, "put", `key-${i % 10}`, `value-${i}`, ...(i === 35 ? ["--lease", lease] : []));
    await ctl(endpoint, "del", "key-3");
    await ctl(endpoint, "compact", "20");
    await ctl(endpoint, "put", "big", "x".repeat(100_000));
    await ctl(endpoint, "role", "add", "app");
    await ctl(endpoint, "role", "grant-permission", "app", "read", "key-");
    await ctl(endpoint, "user", "add", "ann:pw");
    await ctl(endpoint, "user", "grant-role", "ann", "app");
  }

  /** Everything that a client can see and that must be the same after a restore. */
  async function seen(endpoint: string): Promise<string> {
    const { header, kvs } = JSON.parse(await ctl(endpoint, "get", "", "--from-key", "-w", "json"));
    const [{ HashKV }] = JSON.parse(await ctl(endpoint, "endpoint", "hashkv", "-w", "json"));
    const old = JSON.parse(await ctl(endpoint, "get", "", "--from-key", "--rev=30", "-w", "json"));
    const leases = (await ctl(endpoint, "lease", "list")).split("\n").slice(1).sort();
    const users = [await ctl(endpoint, "user", "get", "ann"), await ctl(endpoint, "role", "get", "app")];
    return JSON.stringify({
      revision: header.revision,
      kvs,
      hash: HashKV.hash,
      compact: HashKV.compact_revision,
      old: old.kvs,
      leases,
      users,
    });
  }

  beforeAll(async () => {
    const ours = await startTestMember();
    try {
      await fill(ours.endpoint);
      saved.ours = { file: join(dir, "ours.db"), content: await seen(ours.endpoint) };
      await ctl(ours.endpoint, "snapshot", "save", saved.ours.file);
    } finally {
      await ours.close();
    }
    const real = await startEtcd(etcd!);
    try {
      await fill(real.endpoint);
      saved.real = { file: join(dir, "real.db"), content: await seen(real.endpoint) };
      await ctl(real.endpoint, "snapshot", "save", saved.real.file);
    } finally {
      await real.close();
    }
  });
  afterEach(async () => {
    for (const child of running) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    }
    running.clear();
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  async function start(command: string[], args: string[]): Promise<void> {
    const child = spawn(command[0]!, [...command.slice(1), ...args]);
    running.add(child);
    const lines: string[] = [];
    await new Promise<void>((resolve, reject) => {
      child.once("exit", (code) => reject(new Error(`${command} exited with ${code}: ${lines.slice(-8).join("\n")}`)));
      createInterface({ input: child.stderr }).on("line", (line) => {
        lines.push(line);
        if (line.includes("ready to serve client requests")) resolve();
      });
    });
  }
  const servers = { ours: [process.execPath, "dist/etcd-raft.mjs"], real: [etcd!] };
  let count = 0;

  /** Restores `file` to a cluster of `size` and starts it; returns the clients' endpoints. */
  async function restored(file: string, size: number, by: "ours" | "real", ...flags: string[]): Promise<string[]> {
    const ports = await freePorts(2 * size);
    const base = join(dir, `cluster-${++count}`);
    const names = Array.from({ length: size }, (_, i) => `m${i}`);
    const peerURL = (i: number) => `http://127.0.0.1:${ports[2 * i]}`;
    const endpoint = (i: number) => `http://127.0.0.1:${ports[2 * i + 1]}`;
    const common = (i: number) => [
      `--name=m${i}`,
      `--data-dir=${base}/m${i}`,
      `--initial-cluster=${names.map((name, j) => `${name}=${peerURL(j)}`).join(",")}`,
      `--initial-cluster-token=restored`,
      `--initial-advertise-peer-urls=${peerURL(i)}`,
    ];
    mkdirSync(base);
    for (const i of names.keys()) {
      assert.match(
        await must("restore", file, ...common(i), ...flags),
        /^restored \S+ at revision \d+ to \S+: member \w+ of/,
      );
    }
    await Promise.all(
      names.map((_, i) =>
        start(servers[by], [
          ...common(i),
          `--listen-peer-urls=${peerURL(i)}`,
          `--listen-client-urls=${endpoint(i)}`,
          `--advertise-client-urls=${endpoint(i)}`,
        ]),
      ),
    );
    return names.map((_, i) => endpoint(i));
  }

  for (const from of ["real", "ours"] as const) {
    for (const [by, size] of [
      ["ours", 3],
      ["real", 3],
      ["ours", 1],
    ] as const) {
      test(`what ${from === "real" ? "etcd" : "ours"} saved, on ${size} of ${by === "real" ? "etcd's" : "ours"}`, async () => {
        const endpoints = await restored(saved[from].file, size, by);
        for (const endpoint of endpoints) assert.equal(await seen(endpoint), saved[from].content);
        await ctl(endpoints[0]!, "put", "after", "1");
        assert.equal(await ctl(endpoints.at(-1)!, "get", "after"), "after\n1\n");
        const list = await ctl(endpoints[0]!, "member", "list");
        assert.equal(list.match(/started/g)?.length, size, list);
      });
    }
  }

  test("with the revision raised, what the old cluster may have promised since is compacted", async () => {
    const { revision, kvs } = JSON.parse(saved.ours.content);
    for (const by of ["ours", "real"] as const) {
      const flags = ["--bump-revision", "1000000", "--mark-compacted"];
      const [endpoint] = await restored(saved.ours.file, 1, by, ...flags);
      const now = JSON.parse(await ctl(endpoint!, "get", "", "--from-key", "-w", "json"));
      assert.equal(now.header.revision, revision + 1_000_000);
      assert.deepEqual(now.kvs, kvs);
      await assert.rejects(
        ctl(endpoint!, "get", "a", `--rev=${revision + 10}`),
        /required revision has been compacted/,
      );
      await ctl(endpoint!, "put", "after", "1");
    }
  });

  test("the WAL may live elsewhere, and a copied state file does where its hash is not looked for", async () => {
    const [port, client] = await freePorts(2);
    const url = `http://127.0.0.1:${port}`;
    const wal = join(dir, "wal-elsewhere");
    const flags = [
      `--data-dir=${dir}/w`,
      `--wal-dir=${wal}`,
      `--initial-cluster=default=${url}`,
      `--initial-advertise-peer-urls=${url}`,
    ];
    const copy = join(dir, "copy.db");
    writeFileSync(copy, readFileSync(saved.real.file).subarray(0, -32));
    chmodSync(copy, 0o400);
    assert.match((await run("restore", copy, ...flags)).stderr, /has no hash at its end/);
    await must("snapshot", "restore", ...flags, "--skip-hash-check", copy);
    assert.ok(readdirSync(wal).some((name) => name.endsWith(".wal")));
    assert.equal(existsSync(`${dir}/w/member/wal`), false);
    const urls = [`--listen-peer-urls=${url}`, `--listen-client-urls=http://127.0.0.1:${client}`];
    await start(servers.ours, [...flags, ...urls, `--advertise-client-urls=http://127.0.0.1:${client}`]);
    assert.equal(await seen(`http://127.0.0.1:${client}`), saved.real.content);
  });

  test("snapshot status says what etcdctl says", async () => {
    for (const { file } of Object.values(saved)) {
      const theirs = JSON.parse(await ctl("", "snapshot", "status", file, "-w", "json"));
      assert.deepEqual(JSON.parse(await must("snapshot", "status", file, "-w", "json")), theirs);
    }
  });

  describe("bad input is one line, and nothing is left", () => {
    const bytes = () => readFileSync(saved.ours.file);
    const spoiled = (change: (all: Buffer) => Buffer) => {
      const file = join(dir, "spoiled.db");
      writeFileSync(file, change(bytes()));
      return file;
    };
    const rows: [string, () => string[], RegExp][] = [
      ["no file", () => [], /^etcd-raft restore needs the file of a snapshot/],
      [
        "a file that is not there",
        () => [join(dir, "none.db")],
        /^ENOENT: no such file or directory, open '\S+none\.db'/,
      ],
      [
        "a file cut short",
        () => [spoiled((all) => all.subarray(0, 10_000))],
        /spoiled\.db has no hash at its end, so it is cut short/,
      ],
      [
        "a file with another byte",
        () => [
          spoiled((all) => Buffer.concat([all.subarray(0, 9000), Buffer.from([all[9000]! ^ 1]), all.subarray(9001)])),
        ],
        /spoiled\.db is damaged: expected sha256 \w{64}, got \w{64}/,
      ],
      ["something else", () => ["package.json", "--skip-hash-check"], /package\.json is not a bbolt database/],
      ["a name that is not in the cluster", () => [saved.ours.file, "--name=x"], /couldn't find local name "x"/],
      [
        "other peer URLs than the cluster's",
        () => [saved.ours.file, "--initial-advertise-peer-urls=http://10.0.0.9:2380"],
        /--initial-advertise-peer-urls is http:\/\/10\.0\.0\.9:2380/,
      ],
      [
        "one half of raising the revision",
        () => [saved.ours.file, "--bump-revision=5"],
        /--bump-revision and --mark-compacted go together/,
      ],
      ["an unknown flag", () => [saved.ours.file, "--no-such=1"], /--no-such/],
      [
        "a data directory that is in use",
        () => [saved.ours.file, `--data-dir=${dir}`],
        /^data-dir "\S+" not empty or could not be read/,
      ],
      [
        "a WAL directory that is in use",
        () => [saved.ours.file, `--wal-dir=${dir}`],
        /^wal-dir "\S+" not empty or could not be read/,
      ],
      [
        "a place where nothing can be made",
        () => [saved.ours.file, `--data-dir=${saved.ours.file}/x`],
        /^data-dir "\S+ours\.db\/x" not empty or could not be read/,
      ],
    ];
    for (const [name, args, message] of rows) {
      test(name, async () => {
        const target = join(dir, "bad");
        const given = args();
        const data = given.some((arg) => arg.startsWith("--data-dir")) ? [] : [`--data-dir=${target}`];
        const { code, stdout, stderr } = await run("restore", ...given, ...data);
        assert.notEqual(code, 0);
        assert.equal(stdout, "");
        assert.match(stderr, message);
        assert.equal(stderr.indexOf("\n"), stderr.length - 1, stderr);
        assert.equal(existsSync(target) || existsSync(`${target}.restoring`), false);
      });
    }
  });
});
