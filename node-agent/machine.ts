import { statfsSync } from "node:fs";
import os from "node:os";
import { readText } from "../base/read-text.ts";

/** What this machine is; read once. */
export interface Machine {
  cpus: number;
  memoryBytes: number;
  diskBytes: number;
  machineId: string;
  systemUuid: string;
  bootId: string;
  kernelVersion: string;
  osImage: string;
  architecture: string;
}

/** What is left of it; read often. */
export interface Resources {
  memoryBytes: number;
  diskBytes: number;
  inodesShare: number;
  pids: number;
}

export function readMachine(directory: string): Machine {
  const release = read("/etc/os-release");
  const machineId = read("/etc/machine-id");
  const { blocks, bsize } = statfsSync(directory);
  return {
    cpus: os.cpus().length,
    memoryBytes: os.totalmem(),
    diskBytes: blocks * bsize,
    machineId,
    systemUuid: read("/sys/class/dmi/id/product_uuid") || machineId,
    bootId: read("/proc/sys/kernel/random/boot_id"),
    kernelVersion: os.release(),
    osImage: /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(release)?.[1] ?? os.type(),
    architecture: os.arch() === "x64" ? "amd64" : os.arch(),
  };
}

export function readResources(directory: string): Resources {
  const { bavail, bsize, ffree, files } = statfsSync(directory);
  const available = /^MemAvailable:\s*(\d+) kB$/m.exec(read("/proc/meminfo"))?.[1];
  const tasks = /^\S+ \S+ \S+ \d+\/(\d+) /.exec(read("/proc/loadavg"))?.[1] ?? "0";
  return {
    memoryBytes: available === undefined ? os.freemem() : Number(available) * 1024,
    diskBytes: bavail * bsize,
    inodesShare: files === 0 ? 1 : ffree / files,
    pids: Number(read("/proc/sys/kernel/pid_max") || "32768") - Number(tasks),
  };
}

const read = (path: string) => readText(path).trim();
