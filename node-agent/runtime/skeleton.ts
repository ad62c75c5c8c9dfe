import { chmodSync, lstatSync, mkdirSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { readText } from "../../base/read-text.ts";
import { parseMountinfo } from "./mountinfo.ts";
import type { HostView, RootfsPlan } from "./rootfs.ts";

/** Writes the plan's directories, links and files to `folder`; the container's setup copies it onto its tmpfs. */
export function writeSkeleton(folder: string, plan: RootfsPlan): void {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  for (const { path, target } of plan.links) {
    mkdirSync(folder + dirname(path), { recursive: true });
    symlinkSync(target, folder + path);
  }
  for (const path of plan.directories) mkdirSync(folder + path, { recursive: true });
  for (const { path, content } of plan.files) {
    mkdirSync(folder + dirname(path), { recursive: true });
    writeFileSync(folder + path, content, { mode: 0o644 });
  }
  for (const path of ["/tmp", "/var/tmp"]) chmodSync(folder + path, 0o1777);
}

export function hostView(): HostView {
  return {
    kind(path) {
      const stat = lstatSync(path, { throwIfNoEntry: false });
      if (stat === undefined) return undefined;
      return stat.isDirectory() ? "dir" : stat.isSymbolicLink() ? "link" : "file";
    },
    readlink: (path) => readlinkSync(path),
    mounts: parseMountinfo(readText("/proc/self/mountinfo")),
  };
}
