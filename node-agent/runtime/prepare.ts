import { mkdirSync, statSync } from "node:fs";
import { readText } from "../../base/read-text.ts";
import { type PodSandboxConfig, Signal } from "../../proto/generated/runtime.v1.ts";
import type { Container } from "./container.ts";
import { writeAtomic } from "./fs.ts";
import { bundleTarget, nodeFolder } from "./image-host.ts";
import type { Image } from "./images.ts";
import { privilegeArgs } from "./privileges.ts";
import { fstab, planRootfs } from "./rootfs.ts";
import type { Runtime } from "./runtime.ts";
import type { Sandbox } from "./sandbox.ts";
import { type ContainerScripts, setupScript, shimScript } from "./scripts.ts";
import { hostView, writeSkeleton } from "./skeleton.ts";

/** Writes what the shim needs to start the container: root skeleton, fstab, cgroups, and the two scripts. */
export function prepareContainer(runtime: Runtime, container: Container, sandbox: Sandbox, image: Image): void {
  const { hostMode, options } = runtime;
  const { dir, record } = container;
  const { linux } = record.config;
  const rootMountPoint = `${options.rootDir}/root`;
  if (hostMode) mkdirSync(`${dir}/work`, { recursive: true });
  else {
    const plan = planRootfs({
      host: hostView(),
      readOnly: [
        ...nodeFolder(process.execPath),
        ...("bundle" in image.needs ? [{ source: image.needs.bundle, target: bundleTarget(image.needs.bundle) }] : []),
      ],
      volumes: record.config.mounts.map((mount) => ({
        source: mount.hostPath,
        target: mount.containerPath,
        readonly: mount.readonly,
        isDirectory: isDirectory(mount.hostPath),
      })),
      dirs: [record.workingDir, ...image.dirs],
      privileged: linux?.securityContext?.privileged ?? false,
      files: etcFiles(sandbox.record.config, sandbox.record.ip),
    });
    writeSkeleton(`${dir}/skel`, plan);
    writeAtomic(`${dir}/fstab`, fstab(plan.mounts, rootMountPoint));
  }
  const scripts: ContainerScripts = {
    dir,
    pausePid: sandbox.pause?.pid,
    rootMountPoint,
    argv: record.argv,
    env: record.env,
    workingDir: hostMode ? `${dir}/work` : record.workingDir,
    cgroupProcs: options.cgroups.create(record.id, linux?.resources),
    oomScoreAdj: linux?.resources?.oomScoreAdj ?? 0,
    privileges: options.abilities.setpriv
      ? privilegeArgs(linux?.securityContext, readText("/proc/self/uid_map"))
      : undefined,
    readonlyRootfs: linux?.securityContext?.readonlyRootfs ?? false,
  };
  writeAtomic(`${dir}/setup.sh`, setupScript(scripts));
  writeAtomic(`${dir}/shim.sh`, shimScript(scripts));
}

/** A missing source of a volume becomes a directory, as in containerd. */
function isDirectory(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) mkdirSync(path, { recursive: true });
  return stat?.isDirectory() ?? true;
}

export function etcFiles({ hostname, dnsConfig }: PodSandboxConfig, ip: string): { path: string; content: string }[] {
  const { servers = [], searches = [], options = [] } = dnsConfig ?? {};
  const resolv = [
    ...servers.map((server) => `nameserver ${server}\n`),
    ...(searches.length ? [`search ${searches.join(" ")}\n`] : []),
    ...(options.length ? [`options ${options.join(" ")}\n`] : []),
  ];
  const own = ip && hostname ? `${ip}\t${hostname}\n` : "";
  return [
    { path: "/etc/hosts", content: `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n${own}` },
    { path: "/etc/hostname", content: hostname ? `${hostname}\n` : "" },
    { path: "/etc/resolv.conf", content: resolv.join("") },
    { path: "/etc/passwd", content: passwd },
    { path: "/etc/group", content: "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n" },
  ];
}

const passwd = `root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`;

/** The signal that asks a container to end. */
export function stopSignal(signal: Signal): NodeJS.Signals {
  const name = Object.entries(Signal).find(([, number]) => number === signal)?.[0];
  return name?.startsWith("SIG") && !name.startsWith("SIGRT") ? (name as NodeJS.Signals) : "SIGTERM";
}
