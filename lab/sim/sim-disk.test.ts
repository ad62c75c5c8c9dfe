import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type Clock, systemClock } from "../../base/clock.ts";
import { seededRand } from "../../base/rand.ts";
import { type Disk, nodeDisk } from "../../etcd-raft/wal/disk.ts";
import { SimDisk } from "./sim-disk.ts";

const root = mkdtempSync(join(tmpdir(), "disk-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const always = { alive: true, enter: (fn: () => void) => fn() };

const disks: [string, Disk, string][] = [
  ["the real disk", nodeDisk, root],
  ["the simulated disk", new SimDisk(systemClock, seededRand(1)).view(always), "/root"],
];

/** What the WAL relies on, of both disks. */
describe.each(disks)("%s", (_, disk, top) => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const text = (data: Uint8Array) => new TextDecoder().decode(data);

  async function fresh(name: string): Promise<string> {
    const dir = `${top}/${name}`;
    await disk.makeDir(dir);
    return dir;
  }

  test("a directory that is not there has no list; one that is has sorted names", async () => {
    const dir = await fresh("list");
    expect(await disk.list(`${dir}/none`)).toBeUndefined();
    expect(await disk.list(dir)).toEqual([]);
    for (const name of ["b", "a"]) await (await disk.open(`${dir}/${name}`, "create")).close();
    await disk.makeDir(`${dir}/c/d`);
    await disk.makeDir(`${dir}/c/d`);
    expect(await disk.list(dir)).toEqual(["a", "b", "c"]);
    await disk.remove(`${dir}/c`);
    await disk.remove(`${dir}/c`);
    expect(await disk.list(dir)).toEqual(["a", "b"]);
  });

  test("what is written at a position is read there", async () => {
    const file = await disk.open(`${await fresh("write")}/f`, "create");
    await file.write(0, bytes("hello world"));
    await file.writeThrough(6, bytes("W"));
    await file.sync();
    expect(text(await file.read(0, 100))).toBe("hello World");
    expect(text(await file.read(6, 3))).toBe("Wor");
    expect(await file.read(100, 3)).toHaveLength(0);
    await file.write(13, bytes("!")); // the gap is zeros
    expect([...(await file.read(10, 10))]).toEqual([..."d\0\0!"].map((c) => c.charCodeAt(0)));
    expect(await file.size()).toBe(14);
    await file.close();
  });

  test("truncating cuts, and extends with zeros even where something was", async () => {
    const file = await disk.open(`${await fresh("truncate")}/f`, "create");
    await file.write(0, bytes("abcdef"));
    await file.truncate(2);
    expect(await file.size()).toBe(2);
    await file.truncate(5);
    expect(text(await file.read(0, 10))).toBe("ab\0\0\0");
    await file.close();
  });

  test("opening keeps what is there, creating empties it, and what is not there is an error", async () => {
    const dir = await fresh("open");
    await expect(disk.open(`${dir}/f`, "existing")).rejects.toThrow("ENOENT");
    const made = await disk.open(`${dir}/f`, "create");
    await made.write(0, bytes("kept"));
    await made.close();
    const kept = await disk.open(`${dir}/f`, "existing");
    expect(text(await kept.read(0, 10))).toBe("kept");
    await kept.close();
    const emptied = await disk.open(`${dir}/f`, "create");
    expect(await emptied.size()).toBe(0);
    await emptied.close();
  });

  test("renaming moves files and directories over what is there", async () => {
    const dir = await fresh("rename");
    const file = await disk.open(`${dir}/a`, "create");
    await file.write(0, bytes("a"));
    await (await disk.open(`${dir}/b`, "create")).close();
    await disk.rename(`${dir}/a`, `${dir}/b`);
    await disk.syncDir(dir);
    await file.writeThrough(1, bytes("+")); // an open file does not care for its name
    await file.close();
    expect(await disk.list(dir)).toEqual(["b"]);
    const moved = await disk.open(`${dir}/b`, "existing");
    expect(text(await moved.read(0, 10))).toBe("a+");
    await moved.close();
    await disk.makeDir(`${dir}/x.tmp`);
    await (await disk.open(`${dir}/x.tmp/f`, "create")).close();
    await disk.rename(`${dir}/x.tmp`, `${dir}/x`);
    expect(await disk.list(`${dir}/x`)).toEqual(["f"]);
    await expect(disk.rename(`${dir}/none`, `${dir}/y`)).rejects.toThrow("ENOENT");
  });
});

describe("a crash of the simulated disk", () => {
  const atOnce: Clock = {
    ...systemClock,
    after(_, fn) {
      queueMicrotask(fn);
      return () => {};
    },
  };

  /** Runs `work`, crashes, and returns what is found then, for many seeds. */
  async function afterCrash<T>(work: (disk: Disk) => Promise<unknown>, find: (disk: Disk) => Promise<T>): Promise<T[]> {
    const found: T[] = [];
    for (let seed = 1; seed <= 20; seed++) {
      const disk = new SimDisk(atOnce, seededRand(seed));
      await work(disk.view(always));
      disk.crash();
      found.push(await find(disk.view(always)));
    }
    return found;
  }

  const content = async (disk: Disk) => {
    if (!(await disk.list("/"))!.includes("f")) return "no file";
    const file = await disk.open("/f", "existing");
    return Buffer.from(await file.read(0, 4096)).toString("latin1");
  };

  async function synced(disk: Disk) {
    const file = await disk.open("/f", "create");
    await file.write(0, Buffer.alloc(1024, "a"));
    await file.sync();
    await disk.syncDir("/");
    return file;
  }

  test("keeps what was synced", async () => {
    expect(new Set(await afterCrash(synced, content))).toEqual(new Set(["a".repeat(1024)]));
  });

  test("keeps what was written through", async () => {
    const found = await afterCrash(async (d) => (await synced(d)).writeThrough(0, Buffer.alloc(1024, "b")), content);
    expect(new Set(found)).toEqual(new Set(["b".repeat(1024)]));
  });

  test("keeps or loses each sector that was not", async () => {
    const found = await afterCrash(async (disk) => (await synced(disk)).write(0, Buffer.alloc(1024, "b")), content);
    const [a, b] = ["a".repeat(512), "b".repeat(512)];
    expect(new Set(found)).toEqual(new Set([a + a, a + b, b + a, b + b]));
  });

  test("keeps a directory that was made, with its parents", async () => {
    const found = await afterCrash(
      (disk) => disk.makeDir("/a/b/c"),
      (disk) => disk.list("/a/b"),
    );
    expect(found.every((names) => names?.join() === "c")).toBe(true);
  });

  test("may lose a name whose directory was not synced", async () => {
    const found = await afterCrash(async (disk) => {
      const file = await disk.open("/f", "create");
      await file.write(0, Buffer.from("x"));
      await file.sync();
    }, content);
    expect(new Set(found)).toEqual(new Set(["no file", "x"]));
  });
});
