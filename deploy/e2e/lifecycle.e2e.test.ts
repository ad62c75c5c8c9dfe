import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { addressesOf } from "../lab/addresses.ts";
import type { LabFile } from "../lab/lab-file.ts";
import { eventually, finish, foreignStore, TestLab, type User, users } from "../testing/lab.ts";

/** How labs come and go, with one member and no nodes: what is left behind, and what is said when it cannot be. */
const labs: TestLab[] = [];
const newLab = (name: string, user?: User): TestLab => {
  const lab = new TestLab(name, user);
  labs.push(lab);
  return lab;
};
afterEach(async () => {
  await Promise.all(labs.splice(0).map((lab) => lab.remove()));
});
const small = ["--members", "1", "--nodes", "0"];

describe.each(users)("a lab of $name", (user) => {
  test("status tells what runs; a second up says so and does nothing; down ends all and keeps the data", async () => {
    const lab = newLab("life", user);
    await lab.up("--members", "3", "--nodes", "0");
    const status = await lab.status();
    const { outside } = addressesOf({ mode: "netns", slot: status.slot });
    expect(status).toMatchObject({ name: "life", mode: "netns", preset: "lan", nodes: [] });
    expect(status.members.map(({ name, clientUrl }) => `${name} ${clientUrl}`)).toEqual(
      [1, 2, 3].map((i) => `etcd-${i} https://${outside.member(i)}:2379`),
    );
    expect(status.members.map(({ role }) => role).sort()).toEqual(["follower", "follower", "leader"]);
    expect(status.apiservers).toMatchObject([
      { url: `https://${outside.apiserver(1)}:6443`, grpcUrl: `https://${outside.apiserver(1)}:6444` },
    ]);
    expect(await lab.must("status")).toMatch(/^etcd-1 +(leader|follower) +\d+ +0 +term \d+, commit index \d+/m);
    expect(await lab.must("kubeconfig")).toBe(`${join(lab.dir, "kubeconfig")}\n`);

    const again = await lab.up();
    expect(again).toContain("lab life is already running");
    expect((await lab.status()).members.map(({ pid }) => pid)).toEqual(status.members.map(({ pid }) => pid));

    expect(await lab.must("down")).toContain("lab life is down");
    expect(lab.processes()).toEqual([]);
    expect(existsSync(join(lab.dir, "members/etcd-1"))).toBe(true);
    expect((await lab.kubelab("status")).stderr).toContain("lab life is not running: start it with `kubelab up");
  });

  test("Ctrl-C in the foreground leaves no process, mount, network namespace or socket behind", async () => {
    const lab = newLab("front", user);
    const child = spawn(process.execPath, lab.command(["up", ...small, "--rm"]), lab.spawnOptions);
    const result = finish(child);
    let said = "";
    child.stdout!.on("data", (bytes) => (said += bytes));
    await eventually("the report", () => said.includes("Ctrl-C stops everything"));
    const { slot } = await lab.status();
    const namespaces = new Set(lab.processes().map(networkOf));
    namespaces.delete(networkOf(process.pid));
    expect(namespaces.size).toBeGreaterThanOrEqual(4); // member, apiserver, controller-manager, scheduler
    child.kill("SIGINT");
    expect(await result).toMatchObject({ code: 0, stderr: "" });
    expect(lab.processes()).toEqual([]);
    expect(existsSync(lab.dir)).toBe(false);
    expect(allPids().filter((pid) => namespaces.has(networkOf(pid)))).toEqual([]);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(lab.home);
    const sockets = new RegExp(`kubelab(-${user.uid})?/${slot}/|${lab.home}`);
    expect(
      readFileSync("/proc/net/unix", "utf8")
        .split("\n")
        .filter((line) => sockets.test(line)),
    ).toEqual([]);
  });

  test("kill -9 of the supervisor ends everything, and the next up brings the lab back", async () => {
    const lab = newLab("orphan", user);
    await lab.up(...small);
    const supervisor = lab.processes().find((pid) => commandLine(pid).includes("supervisor.mjs"))!;
    process.kill(supervisor, "SIGKILL");
    await eventually("no process left", () => lab.processes().length === 0);
    await lab.up();
    expect((await lab.status()).members[0]!.role).toBe("leader");
  });
});

describe("processes", () => {
  test("one that dies is restarted; a killed one stays down until start; a stopped one is woken by start", async () => {
    const lab = newLab("procs");
    await lab.up(...small);
    const first = await lab.pidOf("scheduler");
    process.kill(first!, "SIGKILL");
    await eventually("another process", async () => ![null, first].includes(await lab.pidOf("scheduler")));
    expect((await lab.status()).components.find(({ name }) => name === "scheduler")).toMatchObject({
      restarts: 1,
      lastExit: "SIGKILL",
    });

    expect(await lab.must("kill", "leader", "--signal", "TERM")).toBe("TERM sent to etcd-1\n");
    await eventually("no process", async () => (await lab.pidOf("etcd-1")) === null);
    expect((await lab.kubelab("kill", "leader")).stderr).toBe("kubelab: no member leads at the moment\n");
    expect(await lab.must("start", "etcd-1")).toBe("started etcd-1\n");
    await eventually("a leader", async () => (await lab.status()).members[0]!.role === "leader");

    await lab.must("kill", "etcd-1", "--signal", "STOP");
    expect((await lab.status()).members[0]!.role).toBe("stopped");
    await lab.must("start", "etcd-1");
    await eventually("a leader", async () => (await lab.status()).members[0]!.role === "leader");
  });

  test("with --no-restart one that dies stays down", async () => {
    const lab = newLab("norestart");
    await lab.up(...small, "--no-restart");
    process.kill((await lab.pidOf("scheduler"))!, "SIGKILL");
    await eventually("its end", async () => (await lab.pidOf("scheduler")) === null);
    expect((await lab.status()).components.find(({ name }) => name === "scheduler")).toMatchObject({ state: "Down" });
  });

  // Another program's member is reached over a relay, which takes every connection and ends it then.
  test.skipIf(foreignStore)("the port of a dead member refuses at once", async () => {
    const lab = newLab("refuse");
    await lab.up(...small);
    const { hostname, port } = new URL((await lab.status()).members[0]!.clientUrl);
    expect(await connects(hostname, Number(port))).toBe("connected");
    await lab.must("kill", "etcd-1");
    expect(await connects(hostname, Number(port))).toBe("ECONNREFUSED");
  });

  test("logs prints what a process wrote, for as long as it is read; an unknown name lists the known ones", async () => {
    const lab = newLab("logs");
    await lab.up(...small);
    expect(await lab.must("logs", "etcd-1")).toMatch(/^\{"level":"info"/);
    const following = spawn(process.execPath, lab.command(["logs", "etcd-1", "--follow"]), lab.spawnOptions);
    following.stdout?.once("data", () => following.stdout?.destroy());
    const ended = finish(following);
    await lab.must("kill", "etcd-1");
    await lab.must("start", "etcd-1"); // and says more
    expect(await ended).toMatchObject({ code: 0, stderr: "" });
    for (const verb of ["logs", "kill", "start"]) {
      const { code, stderr } = await lab.kubelab(verb, "etcd-9");
      expect({ code, stderr }).toEqual({
        code: 1,
        stderr: expect.stringMatching(/^kubelab: no process is named etcd-9; there are: .*etcd-1, .*\n$/),
      });
    }
  });
});

test("several labs run side by side", async () => {
  const [a, b] = [newLab("one"), newLab("two", users.at(-1))];
  await Promise.all([a.up(...small), b.up(...small)]);
  const [first, second] = await Promise.all([a.status(), b.status()]);
  expect(first.slot).not.toBe(second.slot);
  await a.must("down");
  expect((await b.status()).members[0]!.role).toBe("leader");
});

describe("what cannot be is one clear line, exit code 1, and nothing left over", () => {
  const refused = async (lab: TestLab, args: string[], env: Record<string, string> = {}): Promise<string> => {
    const { code, stdout, stderr } = await lab.run(process.execPath, lab.command(["up", "--detach", ...args]), env);
    expect({ code, stdout, lines: stderr.trimEnd().split("\n").length }).toEqual({ code: 1, stdout: "", lines: 1 });
    expect(lab.processes()).toEqual([]);
    return stderr;
  };

  test("an address of the lab that another program has taken", async () => {
    const lab = newLab("taken");
    await lab.up(...small);
    const { hostname } = new URL((await lab.status()).members[0]!.clientUrl);
    await lab.must("down");
    const taker = net.createServer().listen(2379, hostname);
    try {
      expect(await refused(lab, small)).toMatch(
        /^kubelab: cannot listen on 127\.1\d\d\.0\.201:2379: EADDRINUSE: another program has this lab's address; stop it, or/,
      );
    } finally {
      taker.close();
    }
    await lab.up();
  });

  test("a lab of another version", async () => {
    const lab = newLab("version");
    mkdirSync(lab.dir, { recursive: true });
    writeFileSync(join(lab.dir, "lab.json"), JSON.stringify({ formatVersion: 2 } satisfies Partial<LabFile>));
    expect(await refused(lab, [])).toContain(
      "has format version 2, this kubelab reads 1: use the kubelab that made it",
    );
    expect(readFileSync(join(lab.dir, "lab.json"), "utf8")).toBe('{"formatVersion":2}');
  });

  test("a program that the lab's network needs is missing", async () => {
    const lab = newLab("missing");
    const bin = join(lab.home, "bin");
    mkdirSync(bin);
    for (const program of ["unshare", "nsenter", "mount", "sh"]) symlinkSync(which(program), join(bin, program));
    expect(await refused(lab, ["--mode", "netns"], { PATH: bin })).toBe(
      "kubelab: mode netns is not possible here: `ip` is missing: install the package iproute2\n",
    );
    expect(existsSync(lab.dir)).toBe(false);
  });

  test("another mode than the lab was made with", async () => {
    const lab = newLab("mode");
    await lab.up(...small);
    await lab.must("down");
    expect(await refused(lab, ["--mode", "host"])).toContain(
      "lab mode was made with mode netns, which is fixed for its life",
    );
  });

  test.each([
    [["--members", "2"], "--members must be 1, 3 or 5, not 2"],
    [["--preset", "moon"], "--preset must be one of lan, etcd-defaults, wan, not moon"],
  ])("%j", async (args, line) => {
    expect(await refused(newLab("bad"), args)).toBe(`kubelab: ${line}\n`);
  });
});

function allPids(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** The network namespace of a process; empty when it is gone. */
function networkOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return "";
  }
}

function commandLine(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, "utf8");
}

function which(program: string): string {
  const found = process.env["PATH"]!.split(":")
    .map((dir) => join(dir, program))
    .find((path) => existsSync(path));
  if (found === undefined) throw new Error(`${program} is not on the PATH`);
  return found;
}

function connects(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(port, host);
    socket.on("connect", () => {
      socket.destroy();
      resolve("connected");
    });
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

test("ranges and domain of its own: Services, Pods and tokens have them, and the demo serves", async () => {
  const lab = newLab("ranges");
  const ranges = ["--service-cidr", "10.200.0.0/16", "--pod-network-cidr", "10.50.0.0/16"];
  await lab.up("--members", "1", "--nodes", "1", "--demo", ...ranges, "--service-dns-domain", "lab.example");
  const json = async (path: string) => JSON.parse((await lab.rest(path)).body);
  const kubernetes = await json("/api/v1/namespaces/default/services/kubernetes");
  expect(kubernetes.spec.clusterIP).toBe("10.200.0.1");
  const pods = await json("/api/v1/pods");
  expect(pods.items.length).toBeGreaterThan(0);
  for (const { status } of pods.items) expect(status.podIP).toMatch(/^10\.50\./);
  const { issuer } = await json("/.well-known/openid-configuration");
  expect(issuer).toBe("https://kubernetes.default.svc.lab.example");
  await lab.must("down");
  const changed = await lab.kubelab("up", "--service-cidr", "10.201.0.0/16");
  expect(changed.stderr).toContain("was made with serviceCidr 10.200.0.0/16, which is fixed for its life");
});
