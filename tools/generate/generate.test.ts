import { existsSync, readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { generateAll } from "./all.ts";

const files = generateAll();

test.each([...files.keys()])("%s is what `npm run generate` makes", (path) => {
  expect(existsSync(path) ? readFileSync(path, "utf8") : "").toBe(files.get(path));
});

test.each([...new Set([...files.keys()].map((path) => path.slice(0, path.lastIndexOf("/"))))])(
  "%s holds nothing else",
  (folder) => {
    expect(
      readdirSync(folder)
        .map((file) => `${folder}/${file}`)
        .filter((path) => !files.has(path)),
    ).toEqual([]);
  },
);
