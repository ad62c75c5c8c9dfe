import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { sleep, systemClock } from "../../base/clock.ts";
import { readText } from "../../base/read-text.ts";
import { GrpcClient } from "../../net/grpc-client.ts";
import { type ContainerConfig, ContainerState, RuntimeServiceService } from "../../proto/generated/runtime.v1.ts";
import type { Init } from "../../proto/wire.ts";

/** For the tests: a node without its cluster. The real runtime process, in namespaces of its own where the mode wants them. */
export type Place = "root" | "user" | "host";

export const nodeIp = "192.168.77.1";

export class TestNode {
  dir = "";
  readonly place: Place;
  readonly podCidr: string;
  cri!: GrpcClient;
  readonly #uid: number | undefined;
  #holder: ChildProcess | undefined;
  /** Outer pid of the namespace's init. */
  #init: number | undefined;
  #runtime: ChildProcess | undefined;
  readonly #names = new Map<string, string>();
  stderr = "";

  constructor(place: Place) {
    this.place = place;
    const isRoot = process.getuid!() === 0;
    this.#uid = isRoot && place !== "root" ? 61_000 + (process.pid % 4000) : undefined;
    this.podCidr = place === "host" ? `127.213.${process.pid % 250}.0/24` : "10.244.1.0/24";
  }

  async start(): Promise<void> {
    this.dir = mkdtempSync(join(tmpdir(), "kubelab-rt-"));
    chmodSync(this.dir, 0o755);
    for (const folder of ["state", "logs", "volume", "bundle"]) mkdirSync(join(this.dir, folder));
    await build({
      entryPoints: { runtime: "node-agent/runtime/main.ts", "images/echo": "deploy/images/echo/main.ts" },
      outdir: join(this.dir, "bundle"),
      outExtension: { ".js": ".mjs" },
      bundle: true,
      platform: "node",
      format: "esm",
      logLevel: "error",
      banner: { js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);` },
    });
    cpSync("deploy/images.yaml", join(this.dir, "images.yaml"));
    if (this.#uid !== undefined) {
      for (const path of ["", "state", "logs", "volume"]) chownSync(join(this.dir, path), this.#uid, this.#uid);
    }
    if (this.place !== "host") await this.#hold();
    await this.startRuntime();
    this.cri = new GrpcClient(`unix:${this.dir}/cri.sock`);
    await this.cri.ready(15_000);
    await this.cri.unary(RuntimeServiceService.UpdateRuntimeConfig, {
      runtimeConfig: { networkConfig: { podCidr: this.podCidr } },
    });
  }

  /** A process that holds network, mount and PID namespace; killing it ends all that is in them. */
  async #hold(): Promise<void> {
    const user = this.place === "user" ? ["--user", "--map-root-user"] : [];
    const script = `ip link set lo up && ip addr add ${nodeIp}/32 dev lo && echo ready && exec sleep infinity`;
    const args = [
      ...user,
      "-n",
      "-m",
      "-p",
      "--propagation",
      "private",
      "--kill-child",
      "--mount-proc",
      "sh",
      "-c",
      script,
    ];
    const [command, ...rest] = this.#asUser(["unshare", "--fork", ...args]);
    this.#holder = spawn(command!, rest, { stdio: ["ignore", "pipe", "inherit"] });
    await new Promise<void>((resolve, reject) => {
      this.#holder!.stdout!.once("data", () => resolve());
      this.#holder!.once("exit", () => reject(new Error("no namespaces")));
    });
    const unshare = this.#holder.pid!;
    this.#init = Number(readFileSync(`/proc/${unshare}/task/${unshare}/children`, "utf8").trim());
  }

  #asUser(command: string[]): string[] {
    if (this.#uid === undefined) return command;
    return ["setpriv", `--reuid=${this.#uid}`, `--regid=${this.#uid}`, "--clear-groups", ...command];
  }

  /** The command as seen from the node: inside its namespaces. */
  inside(command: string[]): string[] {
    if (this.#init === undefined) return this.#asUser(command);
    const user = this.place !== "user" ? [] : this.#uid === undefined ? ["-U", "--preserve-credentials"] : ["-U"];
    return ["nsenter", "-t", String(this.#init), ...user, "-n", "-m", "-p", "--", ...command];
  }

  run(...command: string[]): string {
    const [program, ...args] = this.inside(command);
    const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };
    return execFileSync(program!, args, { encoding: "utf8", env, stdio: ["ignore", "pipe", "pipe"], timeout: 30_000 });
  }

  kill(pid: number): void {
    this.run("sh", "-c", `kill -9 ${pid}`);
  }

  async startRuntime(): Promise<void> {
    const [program, ...args] = this.inside([
      process.execPath,
      join(this.dir, "bundle/runtime.mjs"),
      `--listen=unix://${this.dir}/cri.sock`,
      `--root-dir=${this.dir}/state`,
      "--node-name=node-1",
      `--node-ip=${this.place === "host" ? "127.0.0.1" : nodeIp}`,
      `--mode=${this.place === "host" ? "host" : "netns"}`,
      `--images-file=${this.dir}/images.yaml`,
      `--images-dir=${this.dir}/bundle/images`,
    ]);
    const child = spawn(program!, args, { stdio: ["ignore", "ignore", "pipe"] });
    this.#runtime = child;
    child.stderr!.on("data", (chunk: Buffer) => {
      this.stderr += chunk;
    });
    await until(`the runtime serves: ${this.stderr}`, () => {
      assert.equal(child.exitCode, null, `the runtime ended: ${this.stderr}`);
      return this.stderr.includes("Serving CRI");
    });
  }

  /** kill -9 of the runtime itself; nsenter's child, where there are namespaces. */
  async killRuntime(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#runtime!;
    this.stderr = "";
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    const inner = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim();
    process.kill(this.#init === undefined || inner === "" ? child.pid! : Number(inner), signal);
    await ended;
  }

  /** HTTP from the node. */
  fetch(ip: string, options: { path?: string; json?: boolean } = {}): Promise<string> {
    const url = `http://${ip}:8080${options.path ?? "/"}`;
    const headers = options.json ? ["-H", "accept: application/json"] : [];
    return until(`${url} answers`, () => {
      try {
        return this.run("curl", "-sS", "--max-time", "5", ...headers, url);
      } catch {
        return undefined;
      }
    });
  }

  /**
   * Command lines of all processes of the node, but for the runtime, the holder of the namespaces and the one that looks. In
   * host mode they are known by our directory, which their arguments or their HOME name.
   */
  processes(): string[] {
    if (this.place === "host") {
      return this.#hostPids().map((pid) => `#${pid} ${readText(`/proc/${pid}/cmdline`).replaceAll("\0", " ")}`);
    }
    const look = `exec 2> /dev/null; for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline && echo "#$p"; done; true`;
    const own = /^(sh -c exec 2|exec 2|tr |sleep infinity #\/proc\/1$|#)|runtime\.mjs/;
    const lines = this.run("sh", "-c", look).split("\n");
    return lines.filter((line) => line.trim() && !own.test(line));
  }

  #hostPids(): string[] {
    return readdirSync("/proc").filter((pid) => {
      if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
      const line = readText(`/proc/${pid}/cmdline`);
      return line && !line.includes("runtime.mjs") && (line + readText(`/proc/${pid}/environ`)).includes(this.dir);
    });
  }

  /** The lines of a log as `stdout text`; entries that say the line goes on are joined, as every reader of CRI logs does. */
  log(name: string): string[] {
    const lines: string[] = [];
    const open: Record<string, number> = {};
    for (const entry of readFileSync(join(this.dir, "logs", name), "utf8")
      .split("\n")
      .slice(0, -1)) {
      const [, stream = "", tag, text = ""] = /^\d{4}-\d\d-\d\dT[\d:.]+Z (stdout|stderr) ([FP]) (.*)$/.exec(entry)!;
      const index = open[stream] ?? lines.push(`${stream} `) - 1;
      lines[index] = lines[index]! + text;
      if (tag === "P") open[stream] = index;
      else delete open[stream];
    }
    return lines;
  }

  async close(): Promise<void> {
    this.cri?.close();
    await this.killRuntime("SIGTERM").catch(() => {});
    const holder = this.#holder;
    if (holder && holder.exitCode === null) {
      const ended = new Promise((resolve) => holder.once("exit", resolve));
      holder.kill("SIGKILL");
      await ended;
    }
    if (this.place === "host") for (const pid of this.#hostPids()) process.kill(Number(pid), "SIGKILL");
    rmSync(this.dir, { recursive: true, force: true });
  }

  async runPod(name: string): Promise<{ id: string; ip: string }> {
    const config = this.podConfig(name);
    const { podSandboxId: id } = await this.cri.unary(RuntimeServiceService.RunPodSandbox, { config });
    const { status } = await this.cri.unary(RuntimeServiceService.PodSandboxStatus, { podSandboxId: id });
    this.#names.set(id, name);
    return { id, ip: status!.network!.ip };
  }

  podConfig(name: string) {
    return {
      metadata: { name, uid: `uid-${name}`, namespace: "default", attempt: 0 },
      hostname: name,
      logDirectory: join(this.dir, "logs"),
      labels: { app: name },
      dnsConfig: { servers: ["10.96.0.10"], searches: ["cluster.local"], options: ["ndots:5"] },
    };
  }

  /** Creates and starts a container, by default busybox with log POD.log; gives back its id. */
  async runContainer(podSandboxId: string, config: Init<ContainerConfig>): Promise<string> {
    const metadata = { name: "main", attempt: 0 };
    const full = { image: { image: "busybox" }, metadata, logPath: `${this.#names.get(podSandboxId)}.log`, ...config };
    const { containerId } = await this.cri.unary(RuntimeServiceService.CreateContainer, { podSandboxId, config: full });
    await this.cri.unary(RuntimeServiceService.StartContainer, { containerId });
    return containerId;
  }

  async status(containerId: string) {
    const { status, info } = await this.cri.unary(RuntimeServiceService.ContainerStatus, {
      containerId,
      verbose: true,
    });
    return { ...status!, pid: (JSON.parse(info["info"]!) as { pid: number }).pid };
  }

  exited(containerId: string) {
    return until(`container ${containerId} exits`, async () => {
      const status = await this.status(containerId);
      return status.state === ContainerState.CONTAINER_EXITED ? status : undefined;
    });
  }

  async removePod(podSandboxId: string): Promise<void> {
    await this.cri.unary(RuntimeServiceService.StopPodSandbox, { podSandboxId });
    await this.cri.unary(RuntimeServiceService.RemovePodSandbox, { podSandboxId });
  }

  async removeAllPods(): Promise<void> {
    const { items } = await this.cri.unary(RuntimeServiceService.ListPodSandbox, {});
    for (const { id } of items) await this.removePod(id);
  }

  leftOver(): string[] {
    const folders = ["sandboxes", "containers"].flatMap((each) => readdirSync(join(this.dir, "state", each)));
    if (this.place === "host") return [...this.processes(), ...folders];
    const mounts = this.run("cat", "/proc/self/mounts")
      .split("\n")
      .filter((line) => line.includes(this.dir));
    const links = this.run("ip", "-o", "link")
      .split("\n")
      .filter((line) => line && !line.includes(" lo:"));
    return [...this.processes(), ...folders, ...mounts, ...links];
  }
}

/** Asks again until there is an answer; the deadline is for hangs. */
export async function until<T>(what: string, ask: () => T | undefined | Promise<T | undefined>): Promise<T> {
  const deadline = systemClock.monotonic() + 20_000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (systemClock.monotonic() > deadline) throw new Error(`waited in vain: ${what}`);
    await sleep(systemClock, 20);
  }
}
