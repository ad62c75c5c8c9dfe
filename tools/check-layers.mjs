// check-layers: reads the table of folders in ARCHITECTURE.md and reports every import that it does not allow. Tests may
// import upwards; nobody else.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

export function readTable(markdown) {
  const folders = new Map();
  for (const line of markdown.split("\n")) {
    const cells = line.split("|").map((cell) => cell.trim());
    const [, layer, folder, , allowed] = cells;
    if (!/^\d$/.test(layer ?? "") || !/^`[\w-]+\/`$/.test(folder)) continue;
    folders.set(folder.slice(1, -2), { layer: Number(layer), allowed });
  }
  if (folders.size === 0) throw new Error("ARCHITECTURE.md has no table of folders");
  return folders;
}

/** Undefined when `from` may import `to`, else the reason. */
export function verdict(folders, from, to) {
  const [fromTop, toTop] = [from.split("/")[0], to.split("/")[0]];
  if (fromTop === toTop) return undefined;
  const rule = folders.get(fromTop);
  if (rule === undefined) return `${fromTop}/ is not in the table of folders`;
  for (const word of rule.allowed.split(",").map((part) => part.trim().replaceAll("`", ""))) {
    if (word === "all") return undefined; // tools/ too
    if (/^\d$/.test(word) && folders.get(toTop)?.layer === Number(word)) return undefined;
    if (to === word || to.startsWith(`${word}/`)) return undefined;
  }
  return `${fromTop}/ may import only: ${rule.allowed}`;
}

const relativeImport = /(?:^|\n)\s*(?:import|export)\s[^;]*?from\s*"(\.[^"]+)"|import\(\s*"(\.[^"]+)"\s*\)/g;

function importsOf(file) {
  const found = [...readFileSync(file, "utf8").matchAll(relativeImport)];
  return found.map(([, from, loaded]) => normalize(join(dirname(file), from ?? loaded)));
}

function main() {
  const folders = readTable(readFileSync("ARCHITECTURE.md", "utf8"));
  const listed = ["ls-files", "--cached", "--others", "--exclude-standard", "*.ts", "*.tsx"];
  const files = execFileSync("git", listed, { encoding: "utf8" }).split("\n").filter(Boolean);
  const product = files.filter((file) => file.includes("/") && !/^(tools|docs)\//.test(file) && !isTest(file));
  const wrong = [];
  for (const file of product) {
    for (const target of importsOf(file)) {
      const why = isTest(target) ? "only tests import test helpers" : verdict(folders, file, target);
      if (why !== undefined) wrong.push(`${file} imports ${target}: ${why}`);
    }
  }
  for (const line of wrong) console.error(line);
  if (wrong.length > 0) process.exitCode = 1;
  else console.log(`layers: ${product.length} files, every import points down`);
}

function isTest(file) {
  return /(\.test\.ts|(^|\/)testing\/.*\.ts|(^|\/)testing(-[\w-]+)?\.ts|\/e2e\/.*\.ts|\.testing\.ts)$/.test(file);
}

if (process.argv[1]?.endsWith("check-layers.mjs")) main();
