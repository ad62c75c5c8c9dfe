import * as fs from "node:fs/promises";

/** The few verbs the WAL needs of a disk. `nodeDisk` is the real one; `lab/sim` has one that forgets at a crash. */
export interface Disk {
  /** Names in a directory, sorted; undefined when there is no such directory. */
  list(dir: string): Promise<string[] | undefined>;
  /** With its parents. */
  makeDir(dir: string): Promise<void>;
  /** A file, or a directory with all that is in it; no error if it is not there. */
  remove(path: string): Promise<void>;
  /** Opens for reading and writing; `create` makes it, or empties it if it is there. */
  open(path: string, mode: "existing" | "create"): Promise<DiskFile>;
  rename(from: string, to: string): Promise<void>;
  /** Makes the names in a directory durable. */
  syncDir(dir: string): Promise<void>;
}

export interface DiskFile {
  size(): Promise<number>;
  /** Up to `length` bytes from `position`; fewer at the end of the file. */
  read(position: number, length: number): Promise<Uint8Array>;
  /** All of `bytes`, which the caller leaves alone until this resolves. Beyond the end the file grows. */
  write(position: number, bytes: Uint8Array): Promise<void>;
  /** fdatasync: resolves when what was written before is durable. */
  sync(): Promise<void>;
  /** Cuts, or extends with zeros. */
  truncate(size: number): Promise<void>;
  close(): Promise<void>;
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
    await fs.mkdir(dir, { recursive: true, mode: 0o700 });
  },
  remove: (path) => fs.rm(path, { recursive: true, force: true }),
  async open(path, mode) {
    return openFile(await fs.open(path, mode === "create" ? "w+" : "r+", 0o600));
  },
  rename: (from, to) => fs.rename(from, to),
  async syncDir(dir) {
    const handle = await fs.open(dir, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
};

function openFile(handle: fs.FileHandle): DiskFile {
  return {
    size: async () => (await handle.stat()).size,
    async read(position, length) {
      const buffer = Buffer.allocUnsafeSlow(length);
      let filled = 0;
      while (filled < length) {
        const { bytesRead } = await handle.read(buffer, filled, length - filled, position + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return buffer.subarray(0, filled);
    },
    async write(position, bytes) {
      let done = 0;
      while (done < bytes.length) {
        const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
        done += bytesWritten;
      }
    },
    sync: () => handle.datasync(),
    truncate: (size) => handle.truncate(size),
    close: () => handle.close(),
  };
}
