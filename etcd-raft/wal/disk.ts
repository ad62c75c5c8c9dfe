import { constants, fdatasync, write } from "node:fs";
import * as fs from "node:fs/promises";
import { dirname, resolve } from "node:path";

/** The few verbs the WAL needs of a disk. `nodeDisk` is the real one; `lab/sim` has one that forgets at a crash. */
export interface Disk {
  /** Names in a directory, sorted; undefined when there is no such directory. */
  list(dir: string): Promise<string[] | undefined>;
  makeDir(dir: string): Promise<void>; // with its parents; their names are durable when it resolves
  /** A file, or a directory with all that is in it; no error if it is not there. */
  remove(path: string): Promise<void>;
  /** Opens for reading and writing; `create` makes it, or empties it if it is there. */
  open(path: string, mode: "existing" | "create"): Promise<DiskFile>;
  rename(from: string, to: string): Promise<void>;
  syncDir(dir: string): Promise<void>; // makes the names in a directory durable
  freeBytes?(dir: string): Promise<number>; // bytes that are left where a directory is
}

export interface DiskFile {
  size(): Promise<number>;
  /**
   * Up to `length` bytes from `position`; fewer at the end of the file. `into`: a buffer of at least that size which they
   * may be put in, for a reader that is done with what it read before: fresh memory costs as much as the bytes.
   */
  read(position: number, length: number, into?: Buffer): Promise<Uint8Array>;
  /** All of `bytes`, which the caller leaves alone until this resolves. Beyond the end the file grows. */
  write(position: number, bytes: Uint8Array): Promise<void>;
  /**
   * `write`, and these bytes are durable when it resolves: what a log waits for, in one request to the kernel. Where it had
   * to allocate, that costs a journal commit of the file system; bytes that the file holds already (zeros) cost least.
   */
  writeThrough(position: number, bytes: Uint8Array): Promise<void>;
  sync(): Promise<void>; // fdatasync: resolves when what was written before is durable
  truncate(size: number): Promise<void>; // cuts, or extends with zeros
  close(): Promise<void>;
}

/** The file is whole and durable under its name, or, when this fails, it is not there. */
export async function writeWhole(
  path: string,
  disk: Disk,
  write: (file: DiskFile) => Promise<void>,
  part = ".tmp",
): Promise<void> {
  const file = await disk.open(path + part, "create");
  try {
    await write(file);
    await file.sync();
    await file.close();
  } catch (error) {
    await file.close();
    await disk.remove(path + part);
    throw error;
  }
  await disk.rename(path + part, path);
  await disk.syncDir(dirname(path));
}

/** Files 0600, directories 0700. */
export const nodeDisk: Disk = {
  async list(dir) {
    try {
      return (await fs.readdir(dir)).sort();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  },
  async makeDir(dir) {
    const first = await fs.mkdir(dir, { recursive: true, mode: 0o700 });
    if (first === undefined) return;
    for (let made = resolve(dir); made.length >= first.length; made = dirname(made))
      await nodeDisk.syncDir(dirname(made));
  },
  remove: (path) => fs.rm(path, { recursive: true, force: true }),
  async open(path, mode) {
    return openFile(await fs.open(path, mode === "create" ? "w+" : "r+", 0o600));
  },
  rename: (from, to) => fs.rename(from, to),
  async freeBytes(dir) {
    const { bavail, bsize } = await fs.statfs(dir);
    return bavail * bsize;
  },
  async syncDir(dir) {
    const handle = await fs.open(dir, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
};

/** A file that is only looked at, and may be somebody else's. */
export const openReadOnly = async (path: string): Promise<Pick<DiskFile, "size" | "read" | "close">> =>
  openFile(await fs.open(path, "r"));

function openFile(handle: fs.FileHandle): DiskFile {
  let through: Promise<fs.FileHandle | undefined> | undefined;
  return {
    size: async () => (await handle.stat()).size,
    async read(position, length, into) {
      const buffer = into ?? Buffer.allocUnsafeSlow(length);
      let filled = 0;
      while (filled < length) {
        const { bytesRead } = await handle.read(buffer, filled, length - filled, position + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return buffer.subarray(0, filled);
    },
    write: (position, bytes) => writeAll(handle.fd, position, bytes),
    async writeThrough(position, bytes) {
      through ??= openThrough(handle);
      const other = await through;
      if (other !== undefined) return writeAll(other.fd, position, bytes);
      await writeAll(handle.fd, position, bytes);
      await sync(handle.fd);
    },
    sync: () => sync(handle.fd),
    truncate: (size) => handle.truncate(size),
    async close() {
      await (await through)?.close();
      await handle.close();
    },
  };
}

/** The same file (its name may have changed), opened so that a write returns when it is durable. Undefined: not on this system. */
const openThrough = async (handle: fs.FileHandle): Promise<fs.FileHandle | undefined> =>
  fs.open(`/proc/self/fd/${handle.fd}`, constants.O_WRONLY | constants.O_DSYNC).catch(() => undefined);

// By callbacks: the promises of node:fs cost a third of a small synced write.
function writeAll(fd: number, position: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const from = (done: number): void =>
      write(fd, bytes, done, bytes.length - done, position + done, (error, written) => {
        if (error) reject(error);
        else if (done + written < bytes.length) from(done + written);
        else resolve();
      });
    from(0);
  });
}

const sync = (fd: number): Promise<void> =>
  new Promise((resolve, reject) => fdatasync(fd, (error) => (error ? reject(error) : resolve())));
