import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "vitest";
import { quote } from "./scripts.ts";

const texts = [
  "plain",
  "",
  "two words",
  "it's",
  '$HOME `id` \\ "x"',
  "new\nline",
  "-n",
  "*",
  "é=ü",
  "a;b|c&d>e",
  "~",
  "#x",
  "!",
];

test("a quoted text comes out of the shell as it went in", () => {
  const script = `for text in ${texts.map(quote).join(" ")}; do printf '%s\\0' "$text"; done`;
  assert.deepEqual(execFileSync("sh", ["-c", script], { encoding: "utf8" }).split("\0").slice(0, -1), texts);
});
