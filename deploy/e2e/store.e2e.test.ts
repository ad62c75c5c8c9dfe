import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { freePorts } from "../../etcd-raft/server/testing.ts";
import type { RunFile } from "../../lab/experiments/run.ts";
import { peer } from "../../tools/peers.ts";
import { eventually, TestLab } from "../testing/lab.ts";

const etcd = peer("etcd");
const etcdctl = peer("etcdctl");
const kubectl = peer("kubectl");
const ours = [process.execPath, resolve("dist/etcd-raft.mjs")];

/** Debian's etcd in our members' place and back, and stores that run elsewhere: under the same apiserver, with its objects. */
describe.skipIf(!etcd || !etcdctl || !kubectl)("the store's swap", () => {
  const labs: TestLab[] = [];
  const children: ChildProcess[] = [];
  const newLab = (name: string) => {
    labs.push(new TestLab(name));
    return labs.at(-1)!;
  };
  const end = async (child: ChildProcess) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  };
  afterEach(() => Promise.all(children.splice(0).map(end)));
  afterAll(() => Promise.all(labs.map((lab) => lab.remove())));

  const k = async (lab: TestLab, ...args: string[]) => {
    const { code, stdout, stderr } = await lab.kubectl(kubectl!, ...args);
    expect(code, `kubectl ${args.join(" ")}\n${stdout}\n${stderr}`).toBe(0);
    return stdout;
  };
  const names = async (lab: TestLab) =>
    (await k(lab, "get", "configmaps", "-l", "swap", "-o", "name"))
      .replaceAll("configmap/", "")
      .split("\n")
      .filter(Boolean);
  const create = async (lab: TestLab, name: string) => {
    await k(lab, "create", "configmap", name);
    await k(lab, "label", "configmap", name, "swap=yes");
  };

  test("real etcd goes on with our members' folders, fails over under our apiserver, and we go on with its folders", async () => {
    const lab = newLab("swap");
    await lab.up("--nodes", "0", "--store", "kubelab");
    await create(lab, "ours");
    await lab.must("down");

    await lab.up("--store-binary", etcd!);
    expect(await names(lab)).toEqual(["ours"]);
    await create(lab, "etcds");
    const [killed] = (await lab.must("kill", "leader")).trim().split(" ").slice(-1);
    await create(lab, "after-the-kill");
    const events = await lab.must("timeline");
    expect(events).toMatch(/etcd-\d: [0-9a-f]+ became leader at term/);
    expect(events).toContain(`${killed}: SIGKILL`);
    const { code, stderr } = await lab.kubelab("fault", "slow-disk", killed === "etcd-1" ? "etcd-2" : "etcd-1", "ms=5");
    expect([code, stderr]).toEqual([1, expect.stringContaining("is another program")]);
    await lab.must("start", killed!);
    await experimentPasses(lab);
    await eventually(`${killed} is back`, async () => {
      const { members } = await lab.status();
      return members.every(({ role }) => role === "leader" || role === "follower");
    });
    await lab.must("down");

    await lab.up("--store", "kubelab");
    expect(await names(lab)).toEqual(["after-the-kill", "etcds", "ours"]);
    const { members } = await lab.status();
    const file = (name: string) => join(lab.dir, "certs", "etcd", name);
    const tls = ["--cacert", file("ca.crt"), "--cert", file("client.crt"), "--key", file("client.key")];
    const ctl = (...args: string[]) => lab.run(etcdctl!, [...tls, ...args], { ETCDCTL_API: "3" });
    const hashes = await ctl(
      "endpoint",
      "hashkv",
      `--endpoints=${members.map(({ clientUrl }) => clientUrl).join(",")}`,
    );
    expect(
      new Set(
        hashes.stdout
          .trim()
          .split("\n")
          .map((line) => line.split(", ").at(-1)),
      ).size,
    ).toBe(1);

    // By snapshot: to a real etcd elsewhere, and from there to a member of ours elsewhere.
    const snapshot = async (endpoint: string, to: string, ...auth: string[]) => {
      const saved = await lab.run(etcdctl!, [...auth, `--endpoints=${endpoint}`, "snapshot", "save", to], {
        ETCDCTL_API: "3",
      });
      expect(saved.code, saved.stderr).toBe(0);
    };
    await snapshot(members[0]!.clientUrl, join(lab.home, "ours.db"), ...tls);
    await lab.must("down");
    // Over TLS, with certificates of the first lab: a member's has 127.0.0.1.
    const serve = [
      "--cert-file",
      file("etcd-1.crt"),
      "--key-file",
      file("etcd-1.key"),
      "--trusted-ca-file",
      file("ca.crt"),
    ];
    const first = await elsewhere(lab, [etcd!], [etcdctl!, "snapshot", "restore"], "ours.db", "https", [
      ...serve,
      "--client-cert-auth",
    ]);
    const real = newLab("real");
    const trust = [
      "--store-cafile",
      file("ca.crt"),
      "--store-certfile",
      file("client.crt"),
      "--store-keyfile",
      file("client.key"),
    ];
    await real.up("--nodes", "0", "--store", `etcds://${first}`, ...trust);
    expect(await names(real)).toEqual(["after-the-kill", "etcds", "ours"]);
    await create(real, "elsewhere");
    expect((await real.status()).members).toMatchObject([{ name: first, role: "leader", pid: null }]);
    const env = await real.must("etcdctl-env");
    expect(env).toContain(`export ETCDCTL_ENDPOINTS='https://${first}'\nexport ETCDCTL_CACERT='${file("ca.crt")}'`);
    const nobody = await real.kubelab("kill", "leader");
    expect([nobody.code, nobody.stderr]).toEqual([1, expect.stringContaining("no member of it is in this lab")]);
    const unread = await real.kubelab("experiment", "run", "kill-leader", "--lab", "real");
    expect([unread.code, unread.stderr]).toEqual([2, expect.stringContaining("the store of lab real runs elsewhere")]);
    expect(await real.must("history", "list", "configmap", "elsewhere")).toContain("created");
    await snapshot(`https://${first}`, join(lab.home, "etcds.db"), ...tls);
    await real.must("down");
    const second = await elsewhere(lab, ours, [...ours, "restore"], "etcds.db");
    const back = newLab("back");
    await back.up("--nodes", "0", "--store", `etcd://${second}`);
    expect(await names(back)).toEqual(["after-the-kill", "elsewhere", "etcds", "ours"]);
  });

  /** Load, a killed leader, and all checkers, over real etcd's log. */
  async function experimentPasses(lab: TestLab): Promise<void> {
    const file = join(lab.home, "small.yaml");
    const store = "{ writers: 2, readers: 1, transactions: 1, leases: 1, watchers: 1 }";
    const schedule = "[{ at: 500ms, fault: kill, target: leader, for: 1s }]";
    const lines = ["description: small", "workload:", `  store: ${store}`, `schedule: ${schedule}`, "duration: 2500ms"];
    writeFileSync(file, [...lines, "expect: { lostWrites: 0 }", ""].join("\n"));
    const { code, stdout, stderr } = await lab.kubelab("experiment", "run", file, "--lab", lab.name, "--json");
    expect(code, stderr).toBe(0);
    const { verdict, versions, failovers } = JSON.parse(stdout) as RunFile;
    expect([verdict, versions.store]).toEqual(["passed", expect.stringMatching(/^etcd \d/)]);
    expect(failovers[0]!.steps.map(({ name }) => name)).toContain("election");
  }

  /** One member on what is restored from the file; its client endpoint. */
  async function elsewhere(
    lab: TestLab,
    program: string[],
    restore: string[],
    file: string,
    scheme = "http",
    more: string[] = [],
  ): Promise<string> {
    const [client, peers] = await freePorts(2);
    const dir = join(lab.home, `${file}.dir`);
    const [peerUrl, url] = [`http://127.0.0.1:${peers}`, `${scheme}://127.0.0.1:${client}`];
    const common = [
      "--name=one",
      `--data-dir=${dir}`,
      `--initial-cluster=one=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
    ];
    const restored = await lab.run(restore[0]!, [...restore.slice(1), join(lab.home, file), ...common], {
      ETCDCTL_API: "3",
    });
    expect(restored.code, restored.stderr).toBe(0);
    const urls = [`--listen-client-urls=${url}`, `--advertise-client-urls=${url}`, `--listen-peer-urls=${peerUrl}`];
    children.push(spawn(program[0]!, [...program.slice(1), ...common, ...urls, ...more], { stdio: "ignore" }));
    return `127.0.0.1:${client}`;
  }

  test("credentials for upstream's components are who they say, and may what RBAC lets them", async () => {
    const lab = newLab("credentials");
    await lab.up("--nodes", "0");
    const as = (component: string, ...args: string[]) =>
      lab.run(kubectl!, args, { KUBECONFIG: join(lab.dir, "credentials", component, "kubeconfig") });
    const line = await lab.must("credentials", "kube-scheduler");
    expect(line).toMatch(/^kube-scheduler \\\n {2}--kubeconfig=.*\/credentials\/kube-scheduler\/kubeconfig/m);
    await lab.must("credentials", "kubelet", "--node", "vm-1");
    const can = async (component: string, ...what: string[]) =>
      (await as(component, "auth", "can-i", ...what)).stdout.trim();
    expect(await can("kube-scheduler", "create", "pods", "--subresource=binding")).toBe("yes");
    expect(await can("kube-scheduler", "delete", "nodes")).toBe("no");
    expect(await can("kubelet-vm-1", "create", "nodes")).toBe("yes");
    const config = readFileSync(join(lab.dir, "credentials", "kubelet-vm-1", "kubeconfig"), "utf8");
    expect(config).toContain("name: system:node:vm-1");
    const wrong = await lab.kubelab("credentials", "kube-dns");
    expect(wrong.stderr).toContain(
      "no component is named kube-dns; there are: kube-scheduler, kube-controller-manager,",
    );
  });
});
