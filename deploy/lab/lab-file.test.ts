import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { formatVersion, type LabFile, readLabFile, reconcileLab, writeLabFile } from "./lab-file.ts";
import { checkedRequest } from "./request.ts";

const lab: LabFile = { formatVersion, name: "a", mode: "netns", slot: 3, members: 3, nodes: 2, preset: "lan" };
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "kubelab-lab-file-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

test("what is written is read", () => {
  writeLabFile(dir, lab);
  expect(readLabFile(dir)).toEqual(lab);
});

test("an empty folder holds no lab", () => {
  expect(readLabFile(dir)).toBeUndefined();
});

test.each([
  ["of another version", JSON.stringify({ ...lab, formatVersion: 99 }), "has format version 99, this kubelab reads 1"],
  ["that is no JSON", "{", "is not JSON"],
  ["with a field missing", JSON.stringify({ ...lab, slot: undefined }), "lacks a field"],
])("a lab %s is refused with the way out", (_, text, line) => {
  writeFileSync(join(dir, "lab.json"), text);
  expect(() => readLabFile(dir)).toThrow(line);
  expect(() => readLabFile(dir)).toThrow(`remove ${dir}`);
});

test.each([
  ["members", { name: "a", members: 5 }, "was made with members 3, which is fixed for its life; it cannot become 5"],
  ["apiservers", { name: "a", apiservers: 2 }, "was made with apiservers 1"],
  ["a size that was left out", { name: "a", snapshotCount: 9 }, "was made with snapshotCount not set"],
  ["mode", { name: "a", mode: "host" as const }, "was made with mode netns"],
  ["preset", { name: "a", preset: "wan" as const }, "was made with preset lan"],
])("%s is fixed for the life of a lab", (_, asked, line) => {
  expect(() => reconcileLab(lab, asked)).toThrow(line);
});

test("nodes may come and go between two starts, and what is not asked for stays", () => {
  expect(reconcileLab(lab, { name: "a", nodes: 4 })).toEqual({ ...lab, nodes: 4 });
  expect(reconcileLab(lab, { name: "a", members: 3, apiservers: 1 })).toEqual(lab);
});

test.each([
  [{ name: "A" }, 'lab name "A"'],
  [{ name: "../x" }, 'lab name "../x"'],
  [{ name: "a", members: 2 }, "--members must be 1, 3 or 5, not 2"],
  [{ name: "a", apiservers: 6 }, "--apiservers must be between 1 and 5, not 6"],
  [{ name: "a", snapshotCount: 0 }, "--snapshot-count must be a whole number above 0, not 0"],
  [{ name: "a", nodes: 200 }, "--nodes must be between 0 and 199, not 200"],
  [{ name: "a", preset: "moon" }, "--preset must be one of lan, etcd-defaults, wan, not moon"],
  [{ name: "a", mode: "vm" }, "--mode must be netns or host, not vm"],
])("%o is refused", (asked, line) => {
  expect(() => checkedRequest(asked)).toThrow(line);
});
