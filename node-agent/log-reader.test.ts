import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "vitest";
import { systemClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { type LogOptions, readLog } from "./log-reader.ts";
import { rotateLog } from "./log-rotation.ts";
import { info } from "./testing/pods.ts";

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kubelab-log-"));
  path = join(directory, "0.log");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const at = (second: number) => `2026-01-01T00:00:0${second}.000000001Z`;
const line = (second: number, text: string, tag = "F") => `${at(second)} stdout ${tag} ${text}\n`;
const source = { clock: systemClock, signal: new AbortController().signal, isRunning: () => false };

async function read(options: LogOptions): Promise<string> {
  let text = "";
  for await (const bytes of readLog(path, options, source)) text += bytes;
  return text;
}

describe("readLog", () => {
  const three = line(1, "one") + line(2, "two") + line(3, "three");
  const rows: [string, string, LogOptions, string][] = [
    ["gives back what was written", three, {}, "one\ntwo\nthree\n"],
    ["with the time of each line", line(1, "one"), { timestamps: true }, `${at(1)} one\n`],
    ["the last lines only", three, { tailLines: 2 }, "two\nthree\n"],
    ["no lines", three, { tailLines: 0 }, ""],
    ["more lines than there are", three, { tailLines: 9 }, "one\ntwo\nthree\n"],
    ["since a time", three, { sinceMs: Date.parse(at(2)) }, "two\nthree\n"],
    ["so many bytes", three, { limitBytes: 5 }, "one\nt"],
    ["joins the parts of a long line", line(1, "lo", "P") + line(1, "ng"), {}, "long\n"],
    ["with one time for a line in parts", line(1, "lo", "P") + line(2, "ng"), { timestamps: true }, `${at(1)} long\n`],
    ["keeps empty lines and spaces", line(1, "") + line(1, "  x "), {}, "\n  x \n"],
    ["leaves out the line that is being written", `${line(1, "one")}2026-01-01T`, {}, "one\n"],
    ["reads an empty log", "", { tailLines: 5 }, ""],
  ];
  test.each(rows)("%s", async (_, content, options, expected) => {
    writeFileSync(path, content);
    assert.equal(await read(options), expected);
  });

  test("finds the last lines of a log that is longer than its buffer", async () => {
    const lines = Array.from({ length: 5000 }, (_, i) => line(1, `${"x".repeat(60)} ${i}`));
    writeFileSync(path, lines.join(""));
    const text = await read({ tailLines: 3000 });
    assert.equal(text.split("\n").length - 1, 3000);
    assert.ok(text.startsWith(`${"x".repeat(60)} 2000\n`));
  });

  test("follows a log through rotation until the container has ended", async () => {
    writeFileSync(path, line(1, "one"));
    let running = true;
    const texts: string[] = [];
    const steps = [
      () => appendFileSync(path, line(2, "two")),
      () => {
        appendFileSync(path, line(3, "three"));
        renameSync(path, `${path}.1`);
        writeFileSync(path, line(4, "four"));
      },
      () => {
        appendFileSync(path, line(5, "five"));
        running = false;
      },
    ];
    const following = { ...source, isRunning: () => running };
    for await (const bytes of readLog(path, { follow: true }, following)) {
      texts.push(String(bytes));
      if (/one|two|four/.test(String(bytes))) steps.shift()?.();
    }
    assert.equal(texts.join(""), "one\ntwo\nthree\nfour\nfive\n");
  });

  test("stops following when the reader is gone", async () => {
    writeFileSync(path, line(1, "one"));
    const controller = new AbortController();
    const following = { ...source, signal: controller.signal, isRunning: () => true };
    for await (const _ of readLog(path, { follow: true }, following)) controller.abort();
  });
});

describe("rotateLog", () => {
  const options = (now: string, reopenLog: () => Promise<void>) => ({
    runtime: { reopenLog },
    now: new Date(now),
    log: silentLogger,
    limits: { maxBytes: 10, maxFiles: 3 },
  });
  const container = () => ({ ...info("main"), logPath: path });
  const reopen = async () => writeFileSync(path, "");

  test("moves a log that is too large aside, and keeps so many files", async () => {
    for (let second = 1; second < 6; second++) {
      writeFileSync(path, `${second} 0123456789`);
      await rotateLog(container(), options(`2026-01-02T03:04:0${second}Z`, reopen));
    }
    assert.deepEqual(readdirSync(directory).sort(), ["0.log", "0.log.20260102-030404", "0.log.20260102-030405"]);
  });

  test("leaves a small log alone", async () => {
    writeFileSync(path, "small");
    await rotateLog(container(), options("2026-01-02T03:04:05Z", reopen));
    assert.deepEqual(readdirSync(directory), ["0.log"]);
  });

  test("takes it back when the runtime cannot open a new one: nothing written is lost", async () => {
    writeFileSync(path, "0123456789 all of it");
    await rotateLog(
      container(),
      options("2026-01-02T03:04:05Z", () => Promise.reject(new Error("no"))),
    );
    assert.equal(readFileSync(path, "utf8"), "0123456789 all of it");
  });
});
