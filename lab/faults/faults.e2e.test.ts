import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { ConfigMaps, Nodes } from "../../api/generated/resources.ts";
import { systemClock } from "../../base/clock.ts";
import { SupervisorClient } from "../../cli/supervisor-client.ts";
import type { createGrpcClient } from "../../client/grpc-client.ts";
import type { LabEvent } from "../../deploy/supervisor/events.ts";
import { eventually, foreignStore, TestLab, users } from "../../deploy/testing/lab.ts";
import { GrpcClient } from "../../net/grpc-client.ts";
import { readTls } from "../../net/tls.ts";
import { ClusterService } from "../../proto/generated/etcdserverpb.ts";
import { peer } from "../../tools/peers.ts";
import type { FaultReport, FaultRequest } from "./types.ts";

/** The machine's, or the unpacked one. */
const nft = execPath("nft") ?? peer("nft");
function execPath(program: string): string | undefined {
  return process.env["PATH"]!.split(":")
    .map((dir) => join(dir, program))
    .find((path) => existsSync(path));
}

/** Every fault at small size, on one lab a mode. Nothing here measures time but from below: what is delayed takes longer. */
describe.each([
  ["netns", ["--nodes", "2"], users[0]!],
  ["host", ["--mode", "host", "--nodes", "2"], users.at(-1)!],
  ["relay", ["--mode", "host", "--nodes", "0", "--relay"], users.at(-1)!],
] as const)("faults of a lab, %s", (mode, flags, user) => {
  const lab = new TestLab(`faults-${mode}`, user);
  let supervisor: SupervisorClient;
  let client: ReturnType<typeof createGrpcClient>;
  let names = 0;

  beforeAll(async () => {
    if (nft) vi.stubEnv("PATH", `${process.env["PATH"]}:${dirname(nft)}`);
    await lab.up(...flags);
    vi.unstubAllEnvs();
    supervisor = new SupervisorClient(join(lab.dir, "run", "supervisor.sock"));
    client = await lab.client();
  });

  /** Whatever a test did, the next finds a whole lab. */
  afterEach(async () => {
    await supervisor.heal();
    await eventually("every member follows or leads", async () => {
      const { members } = await supervisor.status();
      return members.every(({ role }) => role === "leader" || role === "follower");
    });
    await put();
  });

  afterAll(async () => {
    client?.close();
    await lab.remove();
  });

  const fault = (request: FaultRequest) => supervisor.fault(request);
  const roleOf = async (name: string) => (await supervisor.status()).members.find((one) => one.name === name)!.role;
  const leader = () =>
    eventually("a leader", async () => {
      return (await supervisor.status()).members.find(({ role }) => role === "leader")?.name;
    });
  /** Creates an object: when the apiserver says that it did. */
  async function put(data = ""): Promise<number> {
    const metadata = { namespace: "default", name: `f${++names}` };
    const made = await eventually("a write", () => client.create(ConfigMaps, { metadata, data: { data } } as never));
    return Date.parse(made.metadata.creationTimestamp!);
  }
  /** What was told of `subject` since `from`. */
  async function told(from: number, subject: string, fits: (event: LabEvent) => boolean): Promise<LabEvent> {
    return eventually(`an event of ${subject}`, async () =>
      (await supervisor.eventsSoFar()).slice(from).find((event) => event.subject === subject && fits(event)),
    );
  }
  const soFar = async () => (await supervisor.eventsSoFar()).length;
  const raft = (kind: string) => (event: LabEvent) => (event.details as { kind?: string }).kind === kind;
  const cutting = { netns: "namespaces", host: "socket hooks", relay: "relay" }[mode];
  /** What does not depend on how the network is cut, and what needs a network of its own: elsewhere it is not defined. */
  const define = (where: boolean) => (name: string, body: () => Promise<void>) => void (where && test(name, body));
  const once = define(mode !== "relay");
  const inNetns = define(mode === "netns");

  test("partition: a leader without followers is replaced, and follows when that is healed", async () => {
    const old = await leader();
    const report = await fault({ fault: "partition", target: "leader", peer: "followers" });
    expect(report).toMatchObject({ targets: [old], mechanism: cutting, undo: "everything passes again" });
    expect(report.peers).toHaveLength(2);
    await eventually("another leader", async () => {
      const { members } = await supervisor.status();
      return members.some(({ name, role }) => role === "leader" && name !== old);
    });
    expect(await supervisor.faults()).toEqual([report]);
    expect(await supervisor.heal(report.id)).toMatchObject([{ id: report.id, message: report.undo }]);
    await eventually("the old leader follows", async () => (await roleOf(old)) === "follower");
  });

  test("isolate, one way: a leader that hears nobody gives up", async () => {
    const [old, from] = [await leader(), await soFar()];
    await fault({ fault: "isolate", target: "leader", direction: "in" });
    await told(from, old, raft("LeaderLost"));
  });

  test("flap: the same leader is cut off and heard again, until that is healed", async () => {
    const [old, from] = [await leader(), await soFar()];
    const report = await fault({ fault: "flap", target: old, peer: "members", onMs: 1500, offMs: 500 });
    const lost = await told(from, old, raft("LeaderLost"));
    await told(from, old, (event) => raft("LeaderFound")(event) && event.monotonicMs > lost.monotonicMs);
    await supervisor.heal(report.id);
  });

  test("stall of the store: a write waits, and is done when that is healed", async () => {
    const report = await fault({ fault: "stall", target: "apiserver", peer: "members" });
    let done = false;
    const metadata = { namespace: "default", name: `f${++names}` };
    const write = client.create(ConfigMaps, { metadata } as never, { timeoutMs: 60_000 }).then(() => (done = true));
    await supervisor.status();
    expect(done).toBe(false);
    await supervisor.heal(report.id);
    await write.catch(() => put()); // a client may have given that connection up
  });

  test("delay and throttle: what passes takes at least so long", async () => {
    const took = async (size: number) => {
      const begin = systemClock.monotonic();
      await put("x".repeat(size));
      return systemClock.monotonic() - begin;
    };
    const slow = await fault({ fault: "delay", target: "apiserver", peer: "members", ms: 200, jitterMs: 50 });
    expect(slow.mechanism).toBe(mode === "relay" ? "relay" : "socket hooks");
    expect(await took(1)).toBeGreaterThan(400); // there and back
    await supervisor.heal(slow.id);
    await fault({ fault: "throttle", target: "apiserver", peer: "members", bytesPerSecond: 100_000, direction: "out" });
    expect(await took(50_000)).toBeGreaterThan(400);
  });

  test("delay between members: writes wait for the followers", async () => {
    await fault({ fault: "delay", target: "leader", peer: "followers", ms: 100, direction: "out" });
    const begin = systemClock.monotonic();
    await put();
    expect(systemClock.monotonic() - begin).toBeGreaterThan(100);
  });

  const ready = (node: string, wanted: string) =>
    eventually(`${node} Ready=${wanted}`, async () => {
      const { conditions } = (await client.get(Nodes, { name: node })).status!;
      return conditions?.find(({ type }) => type === "Ready")?.status === wanted;
    });
  /** What the apiserver asks of the agent's port 10250. */
  const agentOf = (node: string) => lab.rest(`/api/v1/nodes/${node}/proxy/healthz`);

  once("partition of a node and the apiserver: neither hears the other, until that is healed", async () => {
    await Promise.all([ready("node-1", "True"), ready("node-2", "True")]);
    const report = await fault({ fault: "partition", target: "apiserver", peer: "node-1" });
    expect(report.mechanism).toBe(cutting);
    let heard = false;
    const asked = agentOf("node-1").finally(() => (heard = true));
    asked.catch(() => {}); // it may give up before that is healed
    expect((await agentOf("node-2")).code).toBe(200);
    expect(heard).toBe(false);
    await ready("node-1", "Unknown");
    await ready("node-2", "True");
    await supervisor.heal(report.id);
    await ready("node-1", "True");
    expect((await agentOf("node-1")).code).toBe(200);
  });

  once("delay, throttle, stall and flap of what the apiserver asks of one agent", async () => {
    const took = async (node: string) => {
      const begin = systemClock.monotonic();
      expect((await agentOf(node)).code).toBe(200);
      return systemClock.monotonic() - begin;
    };
    const between = { target: "apiserver", peer: "node-1/agent" };
    await fault({ fault: "delay", ...between, ms: 150 });
    expect(await took("node-1")).toBeGreaterThan(300); // there and back
    await supervisor.heal();
    await fault({ fault: "throttle", ...between, bytesPerSecond: 500, direction: "out" });
    expect(await took("node-1")).toBeGreaterThan(100); // of which the request has more than 50
    await supervisor.heal();
    for (const request of [{ fault: "stall" }, { fault: "flap", onMs: 3_600_000, offMs: 1 }] as const) {
      const { mechanism } = await fault({ ...request, ...between });
      expect(mechanism).toBe("socket hooks");
      let heard: unknown;
      const asked = agentOf("node-1").then((answer) => (heard = answer));
      await agentOf("node-2");
      expect(heard).toBeUndefined();
      await supervisor.heal();
      expect(await asked).toMatchObject({ code: 200 });
    }
  });

  /** Sends 1,000 datagrams from one member to another; how many of them came. */
  async function datagrams(from: string, to: { name: string; address: string }): Promise<number> {
    const receiver = await lab.pidOf(to.name);
    /** Nobody listens there: the kernel counts what it has no port for. */
    const came = () => Number(/^Udp: \d+ (\d+)/m.exec(readFileSync(`/proc/${receiver}/net/snmp`, "utf8"))![1]);
    const before = came();
    const script = `const socket = require("dgram").createSocket("udp4");
      (function send(i) { i < 1000 ? socket.send("x", 9, "${to.address}", () => send(i + 1)) : socket.close() })(0)`;
    const own = process.getuid!() === 0 ? [] : ["-U", "--preserve-credentials"];
    const target = ["-t", `${await lab.pidOf(from)}`, ...own, "-n"];
    const { code, stderr } = await lab.run("nsenter", [...target, process.execPath, "-e", script]);
    expect(code, stderr).toBe(0);
    return came() - before;
  }

  test("drop: half of the packets are lost by nftables until that is healed, or it is refused with the reason", async () => {
    const asked = fault({ fault: "drop", target: "etcd-1", peer: "etcd-2", percent: 50 });
    const report = await asked.catch((error: Error) => error.message);
    if (mode !== "netns")
      return expect(report).toBe("packets are dropped in the lab's own networks: mode host has none");
    if (!nft) return expect(report).toMatch(/^packets cannot be dropped here: nft is not installed;/);
    expect(report).toMatchObject({ mechanism: "nftables" });
    const to = { name: "etcd-2", address: "192.168.77.202" };
    const lossy = await datagrams("etcd-1", to);
    expect(lossy).toBeGreaterThan(300);
    expect(lossy).toBeLessThan(700);
    await supervisor.heal();
    expect(await datagrams("etcd-1", to)).toBe(1000);
  });

  once("slow-disk, fail-fsync and fill-disk: the member says so, and one that ended comes back", async () => {
    const from = await soFar();
    const follower = await fault({ fault: "slow-disk", target: "follower", ms: 300 });
    const [victim] = follower.targets as [string];
    await put();
    await told(from, victim, raft("SlowFsync"));
    await fault({ fault: "fail-fsync", target: victim });
    await put();
    await told(from, victim, ({ type, message }) => type === "Exited" && message.includes("EIO"));
    await supervisor.heal();
    await eventually("it follows", async () => (await roleOf(victim)) === "follower");
    const full = await fault({ fault: "fill-disk", target: victim });
    expect(full).toMatchObject({ mechanism: "fault socket", targets: [victim] });
    await told(from, victim, (event) => raft("FaultsChanged")(event) && event.message.includes("full-disk"));
  });

  once("jump and skew: the wall clock lies, events do not", async () => {
    const hour = 3_600_000;
    const from = await soFar();
    const ahead = await fault({ fault: "jump", target: "apiserver,leader", ms: hour });
    const now = () => systemClock.now();
    expect((await put()) - now()).toBeGreaterThan(hour / 2);
    const event = await told(from, ahead.targets[1]!, raft("FaultsChanged"));
    expect(Math.abs(Date.parse(event.time) - now())).toBeLessThan(hour / 2);
    await supervisor.heal();
    await fault({ fault: "skew", target: "apiserver", rate: 100 });
    await eventually("it runs ahead by ten seconds", async () => (await put()) - now() > 10_000);
    await supervisor.heal();
    expect((await put()) - now()).toBeLessThan(2000);
  });

  once("pause, stop, kill and restart, by role; heal wakes and starts", async () => {
    const paused = await fault({ fault: "pause", target: "follower", seed: 3 });
    await eventually("it is stopped", async () => (await roleOf(paused.targets[0]!)) === "stopped");
    await expect(fault({ fault: "slow-disk", target: paused.targets[0]!, ms: 1 })).rejects.toThrow("is paused");
    expect((await fault({ fault: "resume", target: paused.targets[0]! })).undo).toBeNull();
    expect(await supervisor.faults()).toEqual([]);
    const stopped = await fault({ fault: "stop", target: "scheduler" });
    await eventually("it is down", async () => (await lab.pidOf("scheduler")) === null);
    expect((await supervisor.heal(stopped.id))[0]!.message).toBe("started again");
    const before = await lab.pidOf("apiserver-1");
    await fault({ fault: "restart", target: "apiserver" });
    expect(await lab.pidOf("apiserver-1")).not.toBe(before);
    await fault({ fault: "kill", target: "members" });
    expect((await supervisor.status()).members.map(({ pid }) => pid)).toEqual([null, null, null]);
  });

  once("corrupt and wipe: of a stopped member; what helps is a new one", async () => {
    const name = (await supervisor.status()).members.find(({ role }) => role === "follower")!.name;
    await expect(fault({ fault: "corrupt", target: name })).rejects.toThrow(
      `${name} runs: \`kubelab kill ${name}\` first`,
    );
    await fault({ fault: "kill", target: name });
    const { message, undo } = await fault({ fault: "corrupt", target: name, seed: 1 });
    expect(message).toMatch(/this cannot be undone: take the member out .*; offset \d+ of .*\.wal, 0x.. became 0x..$/);
    expect(undo).toBeNull();
    await fault({ fault: "wipe", target: name });
    expect(readdirSync(join(lab.dir, "members"))).not.toContain(name);
    const file = (one: string) => join(lab.dir, "certs", "etcd", one);
    const tls = readTls({ certFile: file("client.crt"), keyFile: file("client.key"), caFile: file("ca.crt") });
    const endpoints = (await supervisor.status()).members.filter((one) => one.pid).map(({ clientUrl }) => clientUrl);
    const etcd = new GrpcClient(new URL(endpoints[0]!).host, { tls });
    try {
      const { members } = await etcd.unary(ClusterService.MemberList, {});
      const { ID, peerURLs } = members.find((one) => one.name === name)!;
      await etcd.unary(ClusterService.MemberRemove, { ID });
      await eventually("it is added", () => etcd.unary(ClusterService.MemberAdd, { peerURLs, isLearner: false }));
    } finally {
      etcd.close();
    }
    await supervisor.start(name);
  });

  inNetns("pressure on a node ends with heal; a killed node comes back", async () => {
    const [cpu, memory] = [await fault({ fault: "cpu-pressure", target: "node-1", processes: 2 }), await memoryOf(40)];
    expect([cpu.mechanism, memory.mechanism]).toEqual(["children", "children"]);
    expect(pressing()).toHaveLength(3);
    await fault({ fault: "kill", target: "node-1" });
    await ready("node-1", "Unknown");
    await supervisor.heal();
    expect(pressing()).toHaveLength(0);
    await ready("node-1", "True");
  });
  const memoryOf = (megabytes: number): Promise<FaultReport> => {
    return fault({ fault: "memory-pressure", target: "node-1", megabytes });
  };
  const pressing = () =>
    readdirSync("/proc").filter((pid) => {
      try {
        const [program, flag, script] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        return program === process.execPath && flag === "-e" && /setImmediate\(turn\)|held\.push/.test(script!);
      } catch {
        return false; // no process, or gone
      }
    });

  inNetns("a delay outlives the death of the process that has it, and ends with heal", async () => {
    const { message } = await fault({ fault: "delay", target: "node-1", peer: "apiserver", ms: 30 });
    expect(message).toMatch(/; of what Pods ask for themselves only what passes their node's proxy$/);
    const from = await soFar();
    await fault({ fault: "kill", target: "apiserver" });
    await supervisor.start("apiserver-1");
    await told(from, "apiserver-1", ({ type }) => type === "Spawned");
    await put();
  });

  once("the command line: faults, heal, errors", async () => {
    expect(await lab.must("fault")).toMatch(/^kill +SIGKILL/);
    const timeline = spawn(process.execPath, lab.command(["timeline", "--follow"]), lab.spawnOptions);
    let told = "";
    timeline.stdout!.on("data", (text: Buffer) => (told += text));
    expect(await lab.must("fault", "slow-disk", "etcd-1", "ms=5", "seed=2")).toMatch(
      /^f\d+ {2}every sync of etcd-1 takes 5 ms longer \(fault socket\); heal: cleared in the process\n$/,
    );
    expect(await lab.must("faults")).toMatch(/^f\d+ {2}slow-disk {2}every sync/);
    await eventually("the timeline tells it", async () => /slow-disk: every sync of etcd-1/.test(told));
    timeline.kill("SIGINT");
    expect(await lab.must("heal")).toMatch(/^f\d+ {2}slow-disk of etcd-1: cleared in the process\n$/);
    expect(await lab.must("heal")).toBe("nothing is to be healed\n");
    expect((await lab.kubelab("fault", "delay", "etcd-1", "ms=x")).stderr).toBe(
      'kubelab: ms must be a number from 1 to 3600000, not "x"\n',
    );
    expect((await lab.kubelab("fault", "kill", "etcd-9")).stderr).toMatch(
      /^kubelab: no process is named etcd-9; there are: /,
    );
    expect((await lab.kubelab("heal", "f0")).stderr).toBe("kubelab: no fault f0 is active; there are: none\n");
  });

  test("events carry the machine's monotonic clock and boot id; faults and raft tell the details", async () => {
    const events = await supervisor.eventsSoFar();
    const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const now = systemClock.monotonic();
    expect(events.every((event) => event.bootId === bootId && event.monotonicMs <= now)).toBe(true);
    const told = events.filter(({ type }) => type === "Fault").map(({ details }) => details as FaultReport);
    const healed = events.filter(({ type }) => type === "Healed").map(({ details }) => (details as FaultReport).id);
    expect(told.length).toBeGreaterThan(5);
    expect(told.map(({ id }) => id)).toEqual(expect.arrayContaining(healed));
    const raftEvent = events.find(({ type }) => type === "Raft")!.details;
    expect(Object.keys(raftEvent)).toEqual(
      expect.arrayContaining(["kind", "term", "monotonicMs", ...(foreignStore ? [] : ["index", "life"])]),
    );
  });
});
