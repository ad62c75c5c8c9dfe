import { execFileSync } from "node:child_process";
import { closeSync, fdatasyncSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { scratch } from "./process.ts";
import { percentile } from "./stats.ts";

/** What numbers were measured on; two files with different ones are not to be compared. */
export interface Machine {
  cores: number;
  cpu: string;
  memoryGb: number;
  kernel: string;
  node: string;
  filesystem: string;
  /** Of the minute before the run: what others did. */
  load: number;
  /** Of 4 KiB written to a file that has its length already, ms. */
  fdatasyncP50: number;
  fdatasyncP99: number;
}

export function describeMachine(): Machine {
  mkdirSync(scratch, { recursive: true });
  const syncs = probeDisk(500);
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? "unknown",
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    filesystem: execFileSync("stat", ["-f", "-c", "%T", scratch], { encoding: "utf8" }).trim(),
    load: loadavg()[0]!,
    fdatasyncP50: percentile(syncs, 0.5),
    fdatasyncP99: percentile(syncs, 0.99),
  };
}

export function machineText(machine: Machine): string {
  const { cores, cpu, memoryGb, kernel, node, filesystem, load, fdatasyncP50, fdatasyncP99 } = machine;
  const disk = `${filesystem}, fdatasync ${fdatasyncP50.toFixed(2)} ms (p99 ${fdatasyncP99.toFixed(2)})`;
  return `${cores} x ${cpu}, ${memoryGb} GB, Linux ${kernel}, Node ${node}, ${disk}, load ${load.toFixed(1)} before`;
}

function probeDisk(count: number): number[] {
  const file = join(scratch, `fdatasync-${process.pid}`);
  const fd = openSync(file, "w");
  try {
    const block = Buffer.alloc(4096, 1);
    ftruncateSync(fd, count * block.length);
    for (let i = 0; i < count; i++) writeSync(fd, block, 0, block.length, i * block.length);
    fdatasyncSync(fd);
    const times = Array.from({ length: count }, (_, i) => {
      const started = systemClock.monotonic();
      writeSync(fd, block, 0, block.length, i * block.length);
      fdatasyncSync(fd);
      return systemClock.monotonic() - started;
    });
    return times.sort((a, b) => a - b);
  } finally {
    closeSync(fd);
    rmSync(file);
  }
}
