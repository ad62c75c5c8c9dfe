/** One line of /proc/PID/mountinfo (proc(5)). */
export interface MountEntry {
  mountPoint: string;
  options: string[];
  fstype: string;
  superOptions: string[];
}

export function parseMountinfo(text: string): MountEntry[] {
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const [left, right] = line.split(" - ");
      const fields = left!.split(" ");
      const [fstype, , superOptions] = right!.split(" ");
      return {
        mountPoint: unescapeOctal(fields[4]!),
        options: fields[5]!.split(","),
        fstype: fstype!,
        superOptions: (superOptions ?? "").split(","),
      };
    });
}

/** The mount that `path` lies on: the longest mount point above it, the latest if stacked. */
export function mountOf(mounts: readonly MountEntry[], path: string): MountEntry | undefined {
  let best: MountEntry | undefined;
  for (const mount of mounts) {
    if (isWithin(path, mount.mountPoint) && mount.mountPoint.length >= (best?.mountPoint.length ?? 0)) best = mount;
  }
  return best;
}

/** `path` is `folder` or lies below it. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === "/" ? "/" : `${folder}/`);
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
