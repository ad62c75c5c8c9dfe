/** The few verbs the WAL needs of a disk. `nodeDisk` is the real one; `lab/sim` has one that forgets at a crash. */
export interface Disk {
  /** Names in a directory, sorted; undefined when there is no such directory. */
  list(dir: string): Promise<string[] | undefined>;
  /** With its parents. */
  makeDir(dir: string): Promise<void>;
  removeDir(dir: string): Promise<void>;
  /** Opens for reading and writing; `create` makes it, or empties it if it is there. */
  open(path: string, mode: "existing" | "create"): Promise<DiskFile>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes the names in a directory durable. */
  syncDir(dir: string): Promise<void>;
}

export interface DiskFile {
  size(): Promise<number>;
  /** Up to `length` bytes from `position`; fewer at the end of the file. */
  read(position: number, length: number): Promise<Uint8Array>;
  /** All of `bytes`, which the caller leaves alone until this resolves. */
  write(position: number, bytes: Uint8Array): Promise<void>;
  /** fdatasync: resolves when what was written before is durable. */
  sync(): Promise<void>;
  /** Cuts, or extends with zeros. */
  truncate(size: number): Promise<void>;
  close(): Promise<void>;
}

export declare const nodeDisk: Disk;
