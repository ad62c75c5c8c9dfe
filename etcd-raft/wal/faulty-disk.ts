import { type Clock, sleep } from "../../base/clock.ts";
import type { Faults } from "../../base/faults.ts";
import type { Disk, DiskFile } from "./disk.ts";

/** A disk that is slow, full or failing while `faults` say so. */
export function faultyDisk(disk: Disk, faults: Faults, clock: Clock): Disk {
  const synced = async (): Promise<void> => {
    const { syncDelayMs, syncFails } = faults.disk;
    if (syncDelayMs > 0) await sleep(clock, syncDelayMs);
    if (syncFails) throw failure("EIO", "i/o error, fdatasync");
  };
  return {
    ...disk,
    async open(path, mode) {
      const file = await disk.open(path, mode);
      return faultyFile(file, await file.size(), faults, synced);
    },
    freeBytes: async (dir) => (faults.disk.full ? 0 : disk.freeBytes!(dir)),
    async syncDir(dir) {
      if (faults.size > 0) await synced();
      await disk.syncDir(dir);
    },
  };
}

function faultyFile(file: DiskFile, sizeAtStart: number, faults: Faults, synced: () => Promise<void>): DiskFile {
  let size = sizeAtStart;
  const grow = (to: number) => {
    if (to > size && faults.disk.full) throw failure("ENOSPC", "no space left on device, write");
    size = Math.max(size, to);
  };
  return {
    size: () => file.size(),
    read: (position, length, into) => file.read(position, length, into),
    async write(position, bytes) {
      grow(position + bytes.length);
      await file.write(position, bytes);
    },
    async writeThrough(position, bytes) {
      grow(position + bytes.length);
      if (faults.size > 0) await synced();
      await file.writeThrough(position, bytes);
    },
    async sync() {
      if (faults.size > 0) await synced();
      await file.sync();
    },
    async truncate(to) {
      grow(to);
      size = to;
      await file.truncate(to);
    },
    close: () => file.close(),
  };
}

const failure = (code: string, text: string): Error =>
  Object.assign(new Error(`${code}: ${text} (a fault that was asked for)`), { code });
