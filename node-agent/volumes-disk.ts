import fs from "node:fs/promises";
import { dirname, join } from "node:path";
import { ConfigError } from "./env.ts";
import type { VolumeFile, VolumePlan } from "./volumes.ts";

/**
 * Makes a volume on disk and returns the path to mount. Files appear all at once: they lie in a directory of their own,
 * `..data` is a symbolic link to it that is replaced by a rename, and the names that programs open are links through
 * `..data` (upstream's atomic writer). A plan that is already there changes nothing.
 */
export async function makeVolume(directory: string, plan: VolumePlan, now: Date): Promise<string> {
  if (plan.type === "HostPath") return hostPath(plan.path, plan.kind);
  await fs.mkdir(directory, { recursive: true });
  if (plan.type === "Files") await writeFiles(directory, plan.files, now);
  else await fs.chmod(directory, 0o777); // whatever the umask: containers run as any user
  return directory;
}

async function writeFiles(directory: string, files: ReadonlyMap<string, VolumeFile>, now: Date): Promise<void> {
  const data = join(directory, "..data");
  const old = await fs.readlink(data).catch(() => undefined);
  if (old !== undefined && (await isSame(join(directory, old), files))) return;
  const name = `..${now.toISOString().replace(/[-:]/g, "_")}`;
  for (const [path, { content, mode }] of files) {
    const file = join(directory, name, path);
    await fs.mkdir(dirname(file), { recursive: true });
    await fs.writeFile(file, content);
    await fs.chmod(file, mode);
  }
  await fs.mkdir(join(directory, name), { recursive: true });
  await fs.rm(`${data}_tmp`, { force: true }); // of an agent that was killed right here
  await fs.symlink(name, `${data}_tmp`);
  await fs.rename(`${data}_tmp`, data);
  const tops = new Set([...files.keys()].map((path) => path.split("/")[0]!));
  for (const top of tops) {
    const link = join(directory, top);
    if ((await fs.lstat(link).catch(() => undefined)) === undefined) await fs.symlink(join("..data", top), link);
  }
  for (const entry of await fs.readdir(directory)) {
    const stale = entry.startsWith("..") ? entry !== "..data" && entry !== name : !tops.has(entry);
    if (stale) await fs.rm(join(directory, entry), { recursive: true, force: true });
  }
}

async function isSame(directory: string, files: ReadonlyMap<string, VolumeFile>): Promise<boolean> {
  const found = (await fs.readdir(directory, { recursive: true, withFileTypes: true }).catch(() => [])).filter((e) =>
    e.isFile(),
  );
  if (found.length !== files.size) return false;
  for (const [path, { content }] of files) {
    const there = await fs.readFile(join(directory, path)).catch(() => undefined);
    if (there === undefined || !there.equals(content)) return false;
  }
  return true;
}

/**
 * The path `below` in a volume, made where it is missing. A link that a container has put there may not lead out of it:
 * the runtime would mount any part of the machine (CVE-2017-1002101). Differs: upstream mounts what it looked at by its
 * descriptor; here a container of the same Pod could still exchange it right before the mount.
 */
export async function pathBelow(volume: string, below: string): Promise<string> {
  if (below === "") return volume;
  if (below.startsWith("/") || below.split("/").includes("..")) throw new Error(`${below} is no path in a volume`);
  const top = await fs.realpath(volume);
  let path = top;
  for (const part of below.split("/")) {
    const next = join(path, part);
    if ((await fs.lstat(next).catch(() => undefined)) === undefined) await fs.mkdir(next, { recursive: true });
    path = await fs.realpath(next);
    if (path !== top && !path.startsWith(`${top}/`)) throw new Error(`${next} leads out of the volume`);
  }
  return path;
}

/** Upstream's HostPathType: the `OrCreate` ones are made, the others must be there. */
async function hostPath(path: string, kind: string): Promise<string> {
  if (kind === "DirectoryOrCreate") await fs.mkdir(path, { recursive: true, mode: 0o755 });
  if (kind === "FileOrCreate") await fs.writeFile(path, "", { flag: "a", mode: 0o644 });
  const found = await fs.stat(path).catch(() => undefined);
  const wrong = (what: string) => new ConfigError(`hostPath type check failed: ${path} is not a ${what}`);
  if (kind.startsWith("Directory") && !found?.isDirectory()) throw wrong("directory");
  if (kind.startsWith("File") && !found?.isFile()) throw wrong("file");
  if (kind === "Socket" && !found?.isSocket()) throw wrong("socket file");
  if (kind === "CharDevice" && !found?.isCharacterDevice()) throw wrong("character device");
  if (kind === "BlockDevice" && !found?.isBlockDevice()) throw wrong("block device");
  if (kind === "" && found === undefined) await fs.mkdir(path, { recursive: true, mode: 0o755 }); // as runtimes do
  return path;
}
