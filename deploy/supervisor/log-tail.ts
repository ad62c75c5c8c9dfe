import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { attempt } from "../../base/attempt.ts";

/** The last line of a log, for people: the message of a JSON line, else the line itself. */
export function lastLine(path: string): string | undefined {
  const text = attempt(() => readTail(path, 16_384)) ?? "";
  const line = text.trimEnd().split("\n").at(-1) || undefined;
  const said = attempt(() => JSON.parse(line!) as { msg?: string; err?: { message?: string } });
  return [said?.msg, said?.err?.message].filter(Boolean).join(": ") || line;
}

function readTail(path: string, bytes: number): string {
  const fd = openSync(path, "r");
  try {
    const { size } = fstatSync(fd);
    const buffer = Buffer.alloc(Math.min(size, bytes));
    readSync(fd, buffer, 0, buffer.length, size - buffer.length);
    return buffer.toString("utf8");
  } finally {
    closeSync(fd);
  }
}
