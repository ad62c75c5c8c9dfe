import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { type Clock, sleep } from "../../base/clock.ts";
import { readText } from "../../base/read-text.ts";
import type { LinuxContainerResources } from "../../proto/generated/runtime.v1.ts";
import type { MountEntry } from "./mountinfo.ts";

/**
 * One cgroup a container, in each hierarchy where we may make one: the unified one (v2; limits where its controllers are
 * there, always `cgroup.kill` and `cpu.stat`) and v1's memory and cpu controllers, which many machines still mount beside
 * it. Only the container's own processes are members; its shim is not.
 */
export class Cgroups {
  /** What cannot be done here, for the log; empty when limits and stats work. */
  readonly missing: string[] = [];
  readonly #folders: Partial<Record<Hierarchy, string>> = {};
  readonly #clock: Clock;

  constructor(mounts: readonly MountEntry[], rootDir: string, clock: Clock) {
    this.#clock = clock;
    for (const [hierarchy, mountPoint] of Object.entries(findHierarchies(mounts)) as [Hierarchy, string][]) {
      const folder = `${mountPoint}/${cgroupName(rootDir)}`;
      if (!attempt(() => mkdirSync(`${folder}/probe`, { recursive: true }))) continue;
      if (hierarchy === "unified") enableControllers(mountPoint, folder);
      const usable = hierarchy !== "unified" || attempt(() => writeFileSync(`${folder}/probe/cgroup.procs`, ""));
      attempt(() => rmdirSync(`${folder}/probe`));
      if (usable) this.#folders[hierarchy] = folder;
    }
    if (!this.#unifiedHas("memory") && !this.#folders.memory) this.missing.push("memory limits and OOMKilled");
    if (!this.#unifiedHas("cpu") && !this.#folders.cpu) this.missing.push("cpu limits");
    if (!this.#folders.unified && !this.#folders.memory) this.missing.push("container stats");
  }

  /** Gives back the `cgroup.procs` files to join. */
  create(id: string, limits: LinuxContainerResources | undefined): string[] {
    return this.#each(id).flatMap(([hierarchy, folder]) => {
      if (!attempt(() => mkdirSync(folder, { recursive: true }))) return [];
      for (const [file, value] of Object.entries(limits === undefined ? {} : limitFiles(hierarchy, limits)))
        attempt(() => writeFileSync(`${folder}/${file}`, value));
      return [`${folder}/cgroup.procs`];
    });
  }

  kill(id: string): void {
    const folder = this.#folders.unified;
    if (folder) attempt(() => writeFileSync(`${folder}/${id}/cgroup.kill`, "1"));
  }

  /** How often the kernel killed a process of the container for its memory limit. */
  oomKills(id: string): number {
    const files = { unified: "memory.events", memory: "memory.oom_control", cpu: undefined };
    return this.#each(id).reduce((sum, [hierarchy, folder]) => {
      const file = files[hierarchy];
      return sum + (file === undefined ? 0 : (keyed(`${folder}/${file}`)["oom_kill"] ?? 0));
    }, 0);
  }

  stats(id: string): { cpuNanoseconds?: number; memoryBytes?: number; workingSetBytes?: number } {
    const folders = Object.fromEntries(this.#each(id)) as Partial<Record<Hierarchy, string>>;
    const usec = folders.unified ? keyed(`${folders.unified}/cpu.stat`)["usage_usec"] : undefined;
    const current = number(`${folders.unified}/memory.current`) ?? number(`${folders.memory}/memory.usage_in_bytes`);
    const detail = keyed(`${this.#unifiedHas("memory") ? folders.unified : folders.memory}/memory.stat`);
    const inactive = detail["total_inactive_file"] ?? detail["inactive_file"] ?? 0;
    return {
      ...(usec === undefined ? {} : { cpuNanoseconds: usec * 1000 }),
      ...(current === undefined ? {} : { memoryBytes: current, workingSetBytes: Math.max(0, current - inactive) }),
    };
  }

  /** A cgroup stays busy for a moment after its last process: tried again for half a second. */
  async remove(id: string): Promise<void> {
    for (const [, folder] of this.#each(id)) {
      for (let i = 0; i < 25 && existsSync(folder) && !attempt(() => rmdirSync(folder)); i++)
        await sleep(this.#clock, 20);
    }
  }

  /** Leaves no empty folder behind when no container is left. */
  close(): void {
    for (const folder of Object.values(this.#folders)) attempt(() => rmdirSync(folder));
  }

  #each(id: string): [Hierarchy, string][] {
    return (Object.entries(this.#folders) as [Hierarchy, string][]).map(([name, folder]) => [name, `${folder}/${id}`]);
  }

  #unifiedHas(controller: string): boolean {
    const folder = this.#folders.unified;
    return folder !== undefined && readText(`${folder}/cgroup.subtree_control`).split(/\s/).includes(controller);
  }
}

/** The folder of a runtime in each hierarchy, unique on the machine. `rootDir`: its --root-dir, links resolved. */
export function cgroupName(rootDir: string): string {
  return `kubelab-${createHash("sha256").update(rootDir).digest("hex").slice(0, 12)}`;
}

/**
 * For whoever ends a lab by ending its processes at once: takes away the empty cgroups that its runtimes had no time to
 * remove. What still has processes stays.
 */
export function removeCgroups(mounts: readonly MountEntry[], rootDir: string): void {
  for (const mountPoint of Object.values(findHierarchies(mounts))) {
    const folder = `${mountPoint}/${cgroupName(rootDir)}`;
    if (!existsSync(folder)) continue;
    for (const entry of readdirSync(folder, { withFileTypes: true }))
      if (entry.isDirectory()) attempt(() => rmdirSync(`${folder}/${entry.name}`));
    attempt(() => rmdirSync(folder));
  }
}

type Hierarchy = "unified" | "memory" | "cpu";

export function findHierarchies(mounts: readonly MountEntry[]): Partial<Record<Hierarchy, string>> {
  const v1 = (controller: string) =>
    mounts.findLast((mount) => mount.fstype === "cgroup" && mount.superOptions.includes(controller))?.mountPoint;
  const found = {
    unified: mounts.findLast((mount) => mount.fstype === "cgroup2")?.mountPoint,
    memory: v1("memory"),
    cpu: v1("cpu"),
  };
  return Object.fromEntries(Object.entries(found).filter(([, mountPoint]) => mountPoint !== undefined));
}

/** File -> value; zero means no limit, as in CRI. */
export function limitFiles(hierarchy: Hierarchy, limits: LinuxContainerResources): Record<string, string> {
  const { memoryLimitInBytes: memory, cpuQuota, cpuPeriod, cpuShares } = limits;
  const period = cpuPeriod || 100_000;
  const files: Record<string, string> = {};
  if (hierarchy === "unified") {
    if (memory > 0) files["memory.max"] = String(memory);
    if (memory > 0) files["memory.swap.max"] = "0";
    if (cpuQuota > 0) files["cpu.max"] = `${cpuQuota} ${period}`;
    if (cpuShares > 0) files["cpu.weight"] = String(weightOf(cpuShares));
  } else if (hierarchy === "memory") {
    if (memory > 0) files["memory.limit_in_bytes"] = String(memory);
  } else {
    if (cpuQuota > 0) files["cpu.cfs_period_us"] = String(period);
    if (cpuQuota > 0) files["cpu.cfs_quota_us"] = String(cpuQuota);
    if (cpuShares > 0) files["cpu.shares"] = String(cpuShares);
  }
  return files;
}

/** KEP-2254: shares 2..262144 become weight 1..10000. */
function weightOf(shares: number): number {
  return Math.floor(1 + ((Math.min(Math.max(shares, 2), 262_144) - 2) * 9999) / 262_142);
}

function enableControllers(mountPoint: string, folder: string): void {
  for (const parent of [mountPoint, folder]) {
    for (const controller of ["cpu", "memory", "pids"])
      attempt(() => writeFileSync(`${parent}/cgroup.subtree_control`, `+${controller}`));
  }
}

function keyed(path: string): Record<string, number> {
  const pairs = readText(path)
    .split("\n")
    .map((line) => line.split(" "));
  return Object.fromEntries(pairs.filter((pair) => pair.length === 2).map(([key, value]) => [key, Number(value)]));
}

function number(path: string): number | undefined {
  const text = readText(path).trim();
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

function attempt(action: () => void): boolean {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}
