import assert from "node:assert/strict";
import { test } from "vitest";
import { frameLog } from "./log-format.ts";
import { LogFile } from "./log-pump.ts";

const now = Date.parse("2026-03-04T05:06:07.089Z");
const stamp = "2026-03-04T05:06:07.089Z stdout";

test.each([
  ["a line", "hello\n", [`${stamp} F hello`]],
  ["several lines, empty ones too", "a\n\nb\n", [`${stamp} F a`, `${stamp} F `, `${stamp} F b`]],
  ["an unfinished line is written at once, as partial", "a\nb", [`${stamp} F a`, `${stamp} P b`]],
  ["what ends it is a full one", "c\nd\n", [`${stamp} F c`, `${stamp} F d`]],
  ["the newline alone may come later", "\n", [`${stamp} F `]],
  ["nothing", "", []],
])("%s", (_title, chunk, want) => {
  assert.deepEqual(frameLog("stdout", Buffer.from(chunk), now).toString().split("\n").slice(0, -1), want);
});

test("a line over 16 KiB is cut into partial entries", () => {
  const entries = frameLog("stderr", Buffer.from(`${"x".repeat(40_000)}\n`), now)
    .toString()
    .split("\n")
    .slice(0, -1);
  const cut = entries.map((entry) => / (\S+) ([FP]) (.*)$/.exec(entry)!.slice(1));
  assert.deepEqual(
    cut.map(([stream, tag, text]) => [stream, tag, text!.length]),
    [
      ["stderr", "P", 16_384],
      ["stderr", "P", 16_384],
      ["stderr", "F", 7232],
    ],
  );
});

test("bytes stay as they are, also in the middle of a character", () => {
  const bytes = Buffer.from("é\n");
  const framed = Buffer.concat([
    frameLog("stdout", bytes.subarray(0, 1), now),
    frameLog("stdout", bytes.subarray(1), now),
  ]);
  const head = Buffer.byteLength(`${stamp} P `);
  assert.deepEqual(
    Buffer.concat([framed.subarray(head, head + 1), framed.subarray(2 * head + 2, 2 * head + 3)]),
    bytes.subarray(0, 2),
  );
});

test("a full disk costs lines of a log, not the runtime", () => {
  const file = new LogFile("/dev/full");
  file.write(Buffer.from("lost"));
  file.reopen();
  file.close();
});
