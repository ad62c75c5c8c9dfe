import { lstatSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { StartError } from "../../base/process.ts";
import { writeCerts } from "./certs.ts";
import { writeKubeconfig } from "./kubeconfig.ts";
import { formatVersion, type LabFile, type LabRequest, readLabFile, reconcileLab, writeLabFile } from "./lab-file.ts";
import { chooseMode } from "./mode.ts";
import { type LabPaths, labPaths, runtimeDir } from "./paths.ts";
import { checkedRequest } from "./request.ts";
import { lockDir, lockSlot } from "./slots.ts";
import { createNetnsWorld, hostWorld, type World } from "./world.ts";

/** A lab that is ready for its processes. */
export interface PreparedLab {
  lab: LabFile;
  paths: LabPaths;
  modeReason: string;
  world: World;
}

/**
 * Makes or loads the lab in `dir`: claims the folder and a slot (for as long as this process lives), writes lab.json,
 * certificates and kubeconfig, and makes the lab's namespaces. Throws StartError when something stands in the way;
 * nothing is left over then, and a lab that was there before is as it was.
 */
export async function prepareLab(dir: string, asked: LabRequest): Promise<PreparedLab> {
  if ((await lockDir(dir)) === undefined) throw new StartError(`lab ${asked.name} is already running`);
  const kept = readLabFile(dir);
  const known = kept && reconcileLab(kept, asked);
  const { mode, reason } = await chooseMode(known?.mode ?? asked.mode);
  if (known !== undefined && known.mode !== mode) {
    throw new StartError(`lab ${known.name} was made in mode ${known.mode}, which is not possible here: ${reason}`);
  }
  const members = known?.members ?? asked.members ?? 3;
  const { slot } = await lockSlot(known?.slot, { members });
  const preset = asked.preset ?? "lan";
  const store = asked.store === "kubelab" ? undefined : asked.store;
  const lab = known ?? { ...asked, store, formatVersion, mode, slot, members, nodes: asked.nodes ?? 2, preset };
  checkedRequest({ ...lab, members: undefined, store: undefined }); // which ranges may be depends on the mode and the nodes
  const paths = labPaths(dir);
  let world: World | undefined;
  try {
    makeRuntimeDir(slot);
    writeLabFile(dir, lab);
    rmSync(paths.run, { force: true });
    symlinkSync(runtimeDir(slot), paths.run);
    const certs = writeCerts(lab, paths);
    certs.catch(() => {}); // told below
    world = mode === "netns" ? await createNetnsWorld(lab) : hostWorld();
    await certs;
    writeKubeconfig(lab, paths);
    return { lab, paths, modeReason: reason, world };
  } catch (error) {
    world?.end();
    await world?.ended;
    removeRuntimeDir(slot);
    if (known === undefined) rmSync(dir, { recursive: true, force: true });
    throw error;
  }
}

/** Below /tmp somebody else may have made it before us, to read our sockets. */
function makeRuntimeDir(slot: number): void {
  const dir = runtimeDir(slot);
  mkdirSync(join(dir, "faults"), { recursive: true, mode: 0o700 });
  const owner = lstatSync(dirname(dir)).uid;
  if (owner !== process.getuid!())
    throw new StartError(`${dirname(dir)} belongs to user ${owner}: remove it, or set XDG_RUNTIME_DIR`);
}

export function removeRuntimeDir(slot: number): void {
  rmSync(runtimeDir(slot), { recursive: true, force: true });
}
