import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { attempt } from "../base/attempt.ts";
import { StartError } from "../base/process.ts";
import { type LabFile, readLabFile } from "../deploy/lab/lab-file.ts";
import { type LabPaths, labPaths, labsHome } from "../deploy/lab/paths.ts";
import { isLocked } from "../deploy/lab/slots.ts";

/** Which lab a command means. */
export interface LabOptions {
  name?: string;
  dir?: string;
}

export interface LabRef {
  lab: LabFile;
  paths: LabPaths;
  socket: string;
}

export const defaultName = "default";

export function labDir({ name = defaultName, dir }: LabOptions): string {
  return dir === undefined ? join(labsHome(), name) : resolve(dir);
}

/**
 * The lab that was named; without a name the only one that runs, else the one named `default`. A StartError when there
 * is no such lab.
 */
export async function findLab(options: LabOptions): Promise<LabRef> {
  if (options.name !== undefined || options.dir !== undefined) return loadLab(options);
  const running: string[] = [];
  for (const name of existsSync(labsHome()) ? readdirSync(labsHome()) : []) {
    const ref = attempt(() => loadLab({ name }));
    if (ref !== undefined && (await isRunning(ref))) running.push(name);
  }
  if (running.length > 1) throw new StartError(`several labs run (${running.join(", ")}): say which with --name`);
  return loadLab({ name: running[0] ?? defaultName });
}

function loadLab(options: LabOptions): LabRef {
  const dir = labDir(options);
  const lab = readLabFile(dir);
  if (lab === undefined) {
    throw new StartError(`there is no lab in ${dir}: make one with \`kubelab up${nameFlag(options)}\``);
  }
  const paths = labPaths(dir);
  // The short path itself: one through the link may be too long for a socket. No link: it was never started.
  const run = attempt(() => readlinkSync(paths.run)) ?? paths.run;
  return { lab, paths, socket: join(run, "supervisor.sock") };
}

export const isRunning = ({ paths }: LabRef): Promise<boolean> => isLocked(paths.dir);

export function nameFlag({ name, dir }: LabOptions): string {
  if (dir !== undefined) return ` --dir ${dir}`;
  return name === undefined || name === defaultName ? "" : ` --name ${name}`;
}
