import type { Clock } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";
import type { Disk, DiskFile } from "../../etcd-raft/wal/disk.ts";

/**
 * A disk that forgets at a crash what was not synced: of a file each dirty sector of 512 bytes, and its size, is kept or
 * not by chance (so records are torn); of a directory some first ones of its unsynced changes are kept, as a journal
 * would. Operations take virtual time.
 */
export class SimDisk {
  readonly #clock: Clock;
  readonly #rand: Rand;
  readonly #root = createDir();
  slowness = 1; // factor on the time of every operation
  failNextSync = false;
  full = false; // no byte more: writes that need room fail
  lies = false; // a planted fault for the tests of the checkers: syncs that do nothing

  constructor(clock: Clock, rand: Rand) {
    this.#clock = clock;
    this.#rand = rand;
  }

  /**
   * The disk as one life of a process sees it: when that is over nothing is done any more and nothing answers. `enter` runs
   * an answer in that life: later if it is stalled, never once it is over.
   */
  view(life: { readonly alive: boolean; enter(fn: () => void): void }): Disk {
    /** Takes its time, then does `work` in that life. */
    const wait = <R>(ms: number, work: () => R): Promise<R> =>
      new Promise((resolve, reject) => {
        const spread = ms * this.slowness * (0.5 + this.#rand.next());
        this.#clock.after(spread, () =>
          life.enter(() => {
            try {
              resolve(work());
            } catch (error) {
              reject(error as Error);
            }
          }),
        );
      });
    return {
      list: (dir) =>
        wait(0.05, () => {
          const node = this.#find(dir);
          return node?.kind === "dir" ? [...node.entries.keys()].sort() : undefined;
        }),
      makeDir: async (dir) => {
        const changed = await wait(0.05, () => this.#makeDir(dir));
        if (changed.length === 0) return;
        await wait(0.5, none);
        for (const parent of changed) this.#syncDir(parent);
      },
      remove: (dir) =>
        wait(0.05, () => {
          const { parent, name } = this.#parent(dir);
          if (parent.entries.has(name)) change(parent, (entries) => entries.delete(name));
        }),
      open: (path, mode) =>
        wait(0.05, () => {
          const { parent, name } = this.#parent(path);
          let node = parent.entries.get(name);
          if (mode === "create") node ??= add(parent, name, createFile());
          if (node?.kind !== "file") throw new Error(`ENOENT: no such file or directory, open '${path}'`);
          if (mode === "create") resize(node, 0);
          return this.#file(node, { life, wait });
        }),
      rename: (from, to) =>
        wait(0.05, () => {
          const source = this.#parent(from);
          const target = this.#parent(to);
          const node = source.parent.entries.get(source.name);
          if (node === undefined) throw new Error(`ENOENT: no such file or directory, rename '${from}' -> '${to}'`);
          if (source.parent !== target.parent) throw new Error("renames stay within a directory");
          change(source.parent, (entries) => {
            entries.delete(source.name);
            entries.set(target.name, node);
          });
        }),
      syncDir: async (dir) => {
        const node = this.#find(dir);
        if (node?.kind !== "dir") throw new Error(`ENOENT: no such file or directory, open '${dir}'`);
        await wait(0.5, none);
        this.#syncDir(node);
      },
    };
  }

  crash(): void {
    crashNode(this.#root, this.#rand);
  }

  #file(file: SimFile, { life, wait }: View): DiskFile {
    const room = (size: number) => {
      if (this.full && size > file.size)
        throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    };
    return {
      size: () => wait(0.01, () => file.size),
      read: (position, length) =>
        wait(0.05, () => Uint8Array.prototype.slice.call(file.bytes, position, Math.min(file.size, position + length))),
      write: async (position, bytes) => {
        room(position + bytes.length);
        if (life.alive) write(file, position, bytes); // a crash while it waits may keep any part of it
        await wait(0.05, none);
      },
      writeThrough: async (position, bytes) => {
        room(position + bytes.length);
        if (life.alive) write(file, position, bytes);
        await this.#sync(file, sectorsOf(position, position + bytes.length), { life, wait });
      },
      sync: () => this.#sync(file, [...file.dirty], { life, wait }),
      truncate: async (size) => {
        room(size);
        if (life.alive) resize(file, size);
        await wait(0.05, none);
      },
      close: () => wait(0.01, none),
    };
  }

  /** Makes these sectors durable as they are now, and the size. */
  async #sync(file: SimFile, sectors: readonly number[], { life, wait }: View): Promise<void> {
    const fails = this.failNextSync && life.alive;
    if (fails) this.failNextSync = false;
    const copies = sectors.map((sector) => sectorOf(file.bytes, sector).slice());
    const { size } = file;
    await wait(1, none);
    if (fails) throw new Error("EIO: i/o error, fdatasync");
    if (this.lies) return;
    for (const [i, sector] of sectors.entries()) {
      const copy = copies[i]!;
      reserve(file, (sector + 1) * sectorBytes);
      file.durable.set(copy, sector * sectorBytes);
      if (Buffer.compare(copy, sectorOf(file.bytes, sector)) === 0) file.dirty.delete(sector);
    }
    file.durableSize = size;
  }

  #syncDir(dir: SimDir): void {
    if (!this.lies) for (const apply of dir.pending.splice(0)) apply(dir.durable);
  }

  /** The directories that have a new one in them. */
  #makeDir(path: string): SimDir[] {
    const changed: SimDir[] = [];
    let dir = this.#root;
    for (const name of path.split("/").filter(Boolean)) {
      let next = dir.entries.get(name);
      if (next === undefined) {
        changed.push(dir);
        next = add(dir, name, createDir());
      }
      if (next.kind !== "dir") throw new Error(`ENOTDIR: not a directory, '${path}'`);
      dir = next;
    }
    return changed;
  }

  #find(path: string): SimDir | SimFile | undefined {
    let node: SimDir | SimFile | undefined = this.#root;
    for (const name of path.split("/").filter(Boolean))
      node = node?.kind === "dir" ? node.entries.get(name) : undefined;
    return node;
  }

  #parent(path: string): { parent: SimDir; name: string } {
    const parts = path.split("/").filter(Boolean);
    const name = parts.pop() ?? "";
    const parent = this.#find(parts.join("/"));
    if (parent?.kind !== "dir") throw new Error(`ENOENT: no such file or directory, '${path}'`);
    return { parent, name };
  }
}

type View = { life: { readonly alive: boolean }; wait<R>(ms: number, work: () => R): Promise<R> };

const none = () => {};
const sectorBytes = 512;

interface SimFile {
  kind: "file";
  bytes: Buffer; // what programs see; zeros past `size`
  size: number;
  durable: Buffer;
  durableSize: number;
  dirty: Set<number>; // sectors that differ
}

type Entries = Map<string, SimDir | SimFile>;

interface SimDir {
  kind: "dir";
  entries: Entries;
  durable: Entries;
  pending: ((entries: Entries) => void)[]; // changes that lead from durable to entries
}

function createFile(): SimFile {
  return { kind: "file", bytes: Buffer.alloc(0), size: 0, durable: Buffer.alloc(0), durableSize: 0, dirty: new Set() };
}

const createDir = (): SimDir => ({ kind: "dir", entries: new Map(), durable: new Map(), pending: [] });

function change(dir: SimDir, apply: (entries: Entries) => void): void {
  apply(dir.entries);
  dir.pending.push(apply);
}

function add(dir: SimDir, name: string, node: SimDir | SimFile): SimDir | SimFile {
  change(dir, (entries) => entries.set(name, node));
  return node;
}

const sectorOf = (bytes: Buffer, sector: number): Buffer =>
  bytes.subarray(sector * sectorBytes, (sector + 1) * sectorBytes);

/** Both images reach `size`, in whole sectors. */
function reserve(file: SimFile, size: number): void {
  const bytes = Math.ceil(size / sectorBytes) * sectorBytes;
  for (const image of ["bytes", "durable"] as const) {
    if (file[image].length < bytes)
      file[image] = Buffer.concat([file[image], Buffer.alloc(bytes - file[image].length)]);
  }
}

function write(file: SimFile, position: number, bytes: Uint8Array): void {
  reserve(file, position + bytes.length);
  file.bytes.set(bytes, position);
  file.size = Math.max(file.size, position + bytes.length);
  markDirty(file, position, position + bytes.length);
}

function resize(file: SimFile, size: number): void {
  reserve(file, size);
  if (size < file.size) {
    file.bytes.fill(0, size);
    markDirty(file, size, file.size);
  }
  file.size = size;
}

function markDirty(file: SimFile, from: number, to: number): void {
  for (const sector of sectorsOf(from, to)) file.dirty.add(sector);
}

function sectorsOf(from: number, to: number): number[] {
  const first = Math.floor(from / sectorBytes);
  return Array.from({ length: Math.ceil(to / sectorBytes) - first }, (_, i) => first + i);
}

function crashNode(node: SimDir | SimFile, rand: Rand): void {
  if (node.kind === "file") {
    for (const sector of [...node.dirty].sort((a, b) => a - b)) {
      if (rand.below(2) === 0) node.durable.set(sectorOf(node.bytes, sector), sector * sectorBytes);
    }
    if (rand.below(2) === 0) node.durableSize = node.size;
    node.durable.fill(0, node.durableSize);
    node.bytes = Buffer.from(node.durable);
    node.size = node.durableSize;
    node.dirty.clear();
    return;
  }
  for (const apply of node.pending.splice(0, rand.below(node.pending.length + 1))) apply(node.durable);
  node.pending = [];
  node.entries = new Map(node.durable);
  for (const child of node.entries.values()) crashNode(child, rand);
}
