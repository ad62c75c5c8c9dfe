import { posix } from "node:path";
import { isWithin, type MountEntry, mountOf } from "./mountinfo.ts";

/**
 * What a container sees as its root file system (DESIGN decision 10): a tmpfs with a skeleton of directories, links and
 * files, and mounts on it. Read-only from the machine: /usr /bin /sbin /lib* /etc/ssl /etc/ld.so* /etc/alternatives,
 * Node's own folder and the image's bundle. Its own: /tmp /dev /proc, /etc/{hosts,hostname,resolv.conf,passwd,group}, and
 * the volumes of the Pod. Nothing else of the machine. Pure: the machine is told by `HostView`.
 */
export interface RootfsPlan {
  directories: string[];
  /** Symbolic links; their targets are relative, so that the skeleton can be filled through them. */
  links: { path: string; target: string }[];
  files: { path: string; content: string }[];
  /** In the order they are to be made. */
  mounts: PlannedMount[];
}

export interface PlannedMount {
  /** A path of the machine, or of the root itself when `ownSource`. */
  source: string;
  ownSource?: true;
  /** Inside the container. */
  target: string;
  fstype: string;
  options: string[];
}

export interface HostView {
  /** What lies at a path of the machine; links are not followed. */
  kind(path: string): "dir" | "file" | "link" | undefined;
  readlink(path: string): string;
  mounts: readonly MountEntry[];
}

export interface RootfsRequest {
  host: HostView;
  /** Further read-only folders or files of the machine: Node's folder, the bundle. */
  readOnly: { source: string; target: string }[];
  /** The Pod's volumes. */
  volumes: { source: string; target: string; readonly: boolean; isDirectory: boolean }[];
  /** Empty directories that the image asks for. */
  dirs: string[];
  files: { path: string; content: string }[];
  /** May do to the kernel what root may: nothing of /proc is masked. */
  privileged: boolean;
}

export function planRootfs(request: RootfsRequest): RootfsPlan {
  const { host } = request;
  const plan: RootfsPlan = {
    directories: [...emptyDirs, ...request.dirs.map(inRoot)],
    links: [...ownLinks],
    files: [...request.files],
    mounts: [],
  };
  for (const path of systemPaths) {
    if (host.kind(path) === "link" && !path.startsWith("/etc/"))
      plan.links.push({ path, target: relativeLink(path, host.readlink(path)) });
    else addReadOnly(plan, host, path, path);
  }
  if (host.kind("/etc/ssl/private") === "dir")
    plan.mounts.push({ source: "tmpfs", target: "/etc/ssl/private", fstype: "tmpfs", options: ["ro", "mode=0700"] });
  for (const { source, target } of request.readOnly) {
    if (!systemPaths.some((path) => target === source && isWithin(source, path)))
      addReadOnly(plan, host, source, target);
  }
  for (const device of devices) {
    if (host.kind(device) !== undefined) addMountPoint(plan, device, false, { source: device, options: ["bind"] });
  }
  plan.mounts.push(...ownMounts, ...(request.privileged ? [] : guardProc(host)));
  const parentsFirst = request.volumes
    .map((volume) => ({ ...volume, target: inRoot(volume.target) }))
    .sort((a, b) => a.target.split("/").length - b.target.split("/").length);
  for (const { source, target, readonly, isDirectory } of parentsFirst) {
    const options = readonly ? readOnlyBind(host, source, "rbind") : ["rbind"];
    addMountPoint(plan, target, isDirectory, { source, options });
  }
  return plan;
}

/** The mounts as fstab(5) for `mount --all --fstab`, on the root that is assembled at `root`. */
export function fstab(mounts: readonly PlannedMount[], root: string): string {
  const lines = mounts.map(({ source, ownSource, target, fstype, options }) => {
    const from = escapeField(ownSource ? root + source : source);
    return `${from} ${escapeField(root + target)} ${fstype} ${options.join(",")} 0 0\n`;
  });
  return lines.join("");
}

function addReadOnly(plan: RootfsPlan, host: HostView, source: string, target: string): void {
  const kind = host.kind(source);
  if (kind === undefined) return;
  const inside = host.mounts.some((mount) => mount.mountPoint !== source && isWithin(mount.mountPoint, source));
  // A user namespace may not bind a tree without the mounts of the machine that lie in it.
  const options = readOnlyBind(host, source, inside ? "rbind" : "bind");
  addMountPoint(plan, target, kind === "dir", { source, options });
}

/** The paths of /proc through which root of a container would be root of the machine (runc's lists). */
function guardProc(host: HostView): PlannedMount[] {
  const guards: PlannedMount[] = [];
  for (const path of readOnlyProc) {
    const options = ["bind", "ro", "nosuid", "nodev", "noexec"];
    if (host.kind(path)) guards.push({ source: path, ownSource: true, target: path, fstype: "none", options });
  }
  for (const path of maskedProc) {
    const kind = host.kind(path);
    if (kind === "dir") guards.push({ source: "tmpfs", target: path, fstype: "tmpfs", options: ["ro"] });
    else if (kind) guards.push({ source: "/dev/null", target: path, fstype: "none", options: ["bind"] });
  }
  return guards;
}

/** A user namespace may not drop these flags of a mount when it makes it read-only, so they are named again. */
function readOnlyBind(host: HostView, source: string, bind: "bind" | "rbind"): string[] {
  const flags = mountOf(host.mounts, source)?.options ?? [];
  return [bind, "ro", ...flags.filter((flag) => ["nosuid", "nodev", "noexec"].includes(flag))];
}

function addMountPoint(
  plan: RootfsPlan,
  target: string,
  isDirectory: boolean,
  mount: { source: string; options: string[] },
): void {
  const covered = plan.mounts.some((other) => other.options.includes("ro") && isWithin(target, other.target));
  if (!covered) {
    if (isDirectory) plan.directories.push(target);
    else if (!plan.files.some((file) => file.path === target)) plan.files.push({ path: target, content: "" });
  }
  plan.mounts.push({ ...mount, target, fstype: "none" });
}

/** `..` cannot lead out. */
const inRoot = (path: string): string => posix.normalize(`/${path}`).replace(/(?<=.)\/$/, "");

function relativeLink(path: string, target: string): string {
  return target.startsWith("/") ? posix.relative(posix.dirname(path), target) : target;
}

function escapeField(text: string): string {
  return text.replace(/[\s\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

const systemPaths = [
  ...["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"],
  ...["/etc/ssl", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives"],
];
const emptyDirs = [
  ...["/proc", "/dev/pts", "/dev/shm", "/etc", "/tmp", "/root", "/home", "/mnt", "/opt", "/srv", "/run/lock"],
  ...["/var/cache", "/var/lib", "/var/log", "/var/tmp", "/.old"],
];
const devices = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
const readOnlyProc = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
const maskedProc = ["acpi", "kcore", "keys", "latency_stats", "timer_list", "sched_debug", "scsi"].map(
  (n) => `/proc/${n}`,
);
const ownLinks = [
  { path: "/dev/fd", target: "../proc/self/fd" },
  { path: "/dev/stdin", target: "../proc/self/fd/0" },
  { path: "/dev/stdout", target: "../proc/self/fd/1" },
  { path: "/dev/stderr", target: "../proc/self/fd/2" },
  { path: "/dev/ptmx", target: "pts/ptmx" },
  { path: "/var/run", target: "../run" },
];
const ownMounts: PlannedMount[] = [
  { source: "proc", target: "/proc", fstype: "proc", options: ["nosuid", "nodev", "noexec"] },
  { source: "devpts", target: "/dev/pts", fstype: "devpts", options: ["newinstance", "ptmxmode=0666", "mode=0620"] },
  { source: "tmpfs", target: "/dev/shm", fstype: "tmpfs", options: ["nosuid", "nodev", "mode=1777"] },
];
