import assert from "node:assert/strict";
import { test } from "vitest";
import { mergeEnv, resolveCommand } from "./command.ts";

const image = { entrypoint: ["entry", "-e"], cmd: ["cmd", "-c"] };

test.each([
  ["the image alone: entrypoint with cmd", [], [], ["entry", "-e", "cmd", "-c"]],
  ["args replace cmd", [], ["a"], ["entry", "-e", "a"]],
  ["command replaces both", ["c"], [], ["c"]],
  ["command and args", ["c"], ["a"], ["c", "a"]],
])("%s", (_title, command, args, want) => {
  assert.deepEqual(resolveCommand(image, command, args), want);
});

test("the Pod's env wins over the image's", () => {
  assert.deepEqual(
    mergeEnv(
      [
        ["A", "1"],
        ["B", "2"],
      ],
      [["A", "3"]],
    ),
    [
      ["A", "3"],
      ["B", "2"],
    ],
  );
});
