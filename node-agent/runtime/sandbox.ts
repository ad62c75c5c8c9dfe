import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { readText } from "../../base/read-text.ts";
import { removeTree, writeAtomic, writeJson } from "./fs.ts";
import { interfaceName, type PodNetwork, setUpPodNetwork, tearDownPodNetwork } from "./network.ts";
import { isAlive, type ProcessIdentity, parseStat, signalProcess } from "./proc.ts";
import type { SandboxRecord } from "./records.ts";
import { oneLine, toolPath } from "./run.ts";
import { pauseScript } from "./scripts.ts";

/**
 * A Pod's place: its namespaces, held by a pause process, and its address. Containers come and go in it; the address stays
 * until it is stopped. In host mode it is the address alone.
 */
export class Sandbox {
  readonly record: SandboxRecord;
  readonly dir: string;
  readonly #hostMode: boolean;
  /** Called once when the pause process ends by itself. */
  readonly #onLost: () => void;
  #pause: ProcessIdentity | undefined;
  #child: ChildProcess | undefined;
  #lost = false;

  constructor(record: SandboxRecord, dir: string, options: { hostMode: boolean; onLost: () => void }) {
    this.record = record;
    this.dir = dir;
    this.#hostMode = options.hostMode;
    this.#onLost = options.onLost;
  }

  get id(): string {
    return this.record.id;
  }

  get ready(): boolean {
    if (this.record.stopped) return false;
    return this.#hostMode || (this.pause !== undefined && isAlive(this.pause));
  }

  get pause(): ProcessIdentity | undefined {
    this.#pause ??= parseStat(readText(`${this.dir}/pause`));
    return this.#pause;
  }

  /** Its address is its own as long as this is true; afterwards another sandbox may have it. */
  get holdsAddress(): boolean {
    return !this.record.stopped && this.record.ip !== "";
  }

  save(): void {
    writeJson(`${this.dir}/sandbox.json`, this.record);
  }

  /** Makes the namespaces, then the network. Throws; `stop` then cleans up. */
  async start(nodeIp: string): Promise<void> {
    if (this.#hostMode) return;
    const { dir, record } = this;
    writeAtomic(`${dir}/pause.sh`, pauseScript(dir, record.hostNetwork ? "" : record.config.hostname));
    const network = this.#network;
    if (network !== undefined) writeFileSync(network.netns, "", { flag: "a" });
    const args = ["--ipc", "--uts", ...(network === undefined ? [] : [`--net=${network.netns}`])];
    await this.#spawnPause([...args, "sh", `${dir}/pause.sh`]);
    if (network !== undefined) await setUpPodNetwork(network, nodeIp);
  }

  /** For a pause process that is not our child: looks whether it is still there. */
  check(): void {
    if (this.#child === undefined && !this.record.stopped && !this.ready) this.#loss();
  }

  /** Ends the pause process and gives the network back. Idempotent. Containers must have ended. */
  async stop(): Promise<void> {
    if (this.record.stopped && !existsSync(`${this.dir}/netns`)) return;
    this.#lost = true; // on purpose
    if (this.pause !== undefined) signalProcess(this.pause, "SIGKILL");
    else this.#child?.kill("SIGKILL");
    if (!this.#hostMode && this.#network !== undefined) await tearDownPodNetwork(this.#network);
    this.record.stopped = true;
    this.save();
  }

  remove(): void {
    removeTree(`${this.dir}/sandbox.json`); // first: half of a directory is no sandbox
    removeTree(this.dir);
  }

  get #network(): PodNetwork | undefined {
    const { id, ip, hostNetwork } = this.record;
    return hostNetwork ? undefined : { interfaceName: interfaceName(id), ip, netns: `${this.dir}/netns` };
  }

  #loss(): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#onLost();
  }

  #spawnPause(args: string[]): Promise<void> {
    const env = { PATH: toolPath };
    const child = spawn("unshare", args, { cwd: "/", env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    return new Promise((resolve, reject) => {
      let problem = "";
      child.stderr.on("data", (chunk: Buffer) => {
        problem += chunk.toString();
      });
      child.stdout.once("data", () => {
        child.off("error", fail).off("close", fail);
        child.on("exit", () => this.#loss());
        resolve();
      });
      const fail = (cause: unknown) =>
        reject(
          new Error(
            `failed to create sandbox: ${oneLine(problem) || (cause instanceof Error ? cause.message : "the pause process ended")}`,
          ),
        );
      child.once("error", fail);
      child.once("close", fail);
    });
  }
}
