import { closeSync, existsSync, openSync, readSync, watch } from "node:fs";
import { StartError } from "../base/process.ts";
import { logFile } from "../deploy/lab/paths.ts";
import { processesOf } from "../deploy/lab/processes.ts";
import type { LabRef } from "./lab-ref.ts";

/** Writes a process's log to stdout; with `follow` also what is added, until the reader is interrupted. */
export async function logs({ lab, paths }: LabRef, process: string, follow: boolean): Promise<void> {
  const known = ["supervisor", ...processesOf(lab, paths, { dist: "", imagesFile: "" }).map(({ name }) => name)];
  if (!known.includes(process)) throw new StartError(`no process is named ${process}; there are: ${known.join(", ")}`);
  const path = logFile(paths, process);
  if (!existsSync(path)) throw new StartError(`${process} has not written a log yet (${path})`);
  const fd = openSync(path, "r");
  copyRest(fd);
  if (!follow) return closeSync(fd);
  await new Promise<void>((resolve) => {
    const watcher = watch(path, () => copyRest(fd));
    copyRest(fd); // what came before the watch
    globalThis.process.once("SIGINT", () => {
      watcher.close();
      resolve();
    });
  });
}

function copyRest(fd: number): void {
  const buffer = Buffer.alloc(65_536);
  for (;;) {
    const length = readSync(fd, buffer, 0, buffer.length, null);
    if (length === 0) return;
    process.stdout.write(Buffer.from(buffer.subarray(0, length)));
  }
}
