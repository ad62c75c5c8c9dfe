import { type FileHandle, open, stat } from "node:fs/promises";
import { type Clock, sleep } from "../base/clock.ts";

/**
 * Reads a container's log in CRI's format and gives back what the container wrote. One line of the file is
 *
 *   2026-01-02T03:04:05.678901234Z stdout F the text of a line
 *
 * with P instead of F for a part of a line that goes on in the next one.
 */
export interface LogOptions {
  follow?: boolean;
  timestamps?: boolean;
  /** The last so many lines of the file. */
  tailLines?: number;
  /** Only what was written at or after this time. */
  sinceMs?: number;
  limitBytes?: number;
}

export interface LogLine {
  timestamp: string;
  stream: string;
  partial: boolean;
  content: Buffer;
}

export interface LogSource {
  clock: Clock;
  signal: AbortSignal;
  /** Whether the container may still write. */
  isRunning(): boolean;
}

/**
 * Yields what there is, and with `follow` what comes, until the container has ended and all is read or `signal` aborts.
 * Follows the log through rotation: the file that takes the name's place is read from its start.
 */
export async function* readLog(path: string, options: LogOptions, source: LogSource): AsyncGenerator<Buffer> {
  let left = options.limitBytes ?? Number.POSITIVE_INFINITY;
  for await (const bytes of lines(path, options, source)) {
    if (left <= 0) return;
    const part = bytes.length > left ? bytes.subarray(0, left) : bytes;
    left -= part.length;
    yield part;
  }
}

async function* lines(
  path: string,
  { follow = false, timestamps = false, tailLines, sinceMs }: LogOptions,
  { signal, isRunning, clock }: LogSource,
): AsyncGenerator<Buffer> {
  let file: FileHandle | undefined;
  let continues = false; // the last line was a part
  try {
    file = await open(path);
    let position = tailLines === undefined ? 0 : await tailOffset(file, tailLines);
    let rest: Buffer = Buffer.alloc(0);
    for (;;) {
      const running = isRunning(); // asked before the read: what an ended container wrote is there by then
      const chunk = await readSome(file, position);
      if (chunk.length > 0) {
        position += chunk.length;
        rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
        const out: Buffer[] = [];
        for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
          const line = parseLine(rest.subarray(0, end));
          rest = rest.subarray(end + 1);
          if (line === undefined || (sinceMs !== undefined && Date.parse(line.timestamp) < sinceMs)) continue;
          if (timestamps && !continues) out.push(Buffer.from(`${line.timestamp} `));
          out.push(line.content);
          if (!line.partial) out.push(newline);
          continues = line.partial;
        }
        if (out.length > 0) yield Buffer.concat(out);
        continue;
      }
      if (!follow || signal.aborted) return;
      const next = await rotated(path, file);
      if (next !== undefined) {
        await file.close();
        file = next;
        position = 0;
        rest = Buffer.alloc(0);
      } else if (running) {
        await sleep(clock, pollMs, signal);
      } else return;
    }
  } finally {
    await file?.close();
  }
}

const newline = Buffer.from("\n");
const chunkBytes = 64 * 1024;

/** Undefined for a line that is not in CRI's format. */
export function parseLine(line: Buffer): LogLine | undefined {
  const first = line.indexOf(32);
  const second = line.indexOf(32, first + 1);
  if (first < 0 || second < 0) return undefined;
  const third = line.indexOf(32, second + 1);
  const end = third < 0 ? line.length : third;
  const tags = line.toString("latin1", second + 1, end).split(":");
  return {
    timestamp: line.toString("latin1", 0, first),
    stream: line.toString("latin1", first + 1, second),
    partial: tags[0] === "P",
    content: line.subarray(Math.min(end + 1, line.length)),
  };
}

/** Where the last `count` lines begin. */
async function tailOffset(file: FileHandle, count: number): Promise<number> {
  const { size } = await file.stat();
  if (count <= 0) return size;
  let found = 0;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - chunkBytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(end - start), 0, end - start, start);
    for (let i = bytesRead - 1; i >= 0; i--) {
      // The newline at the very end closes the last line; the one before it opens it.
      if (buffer[i] === 10 && start + i !== size - 1 && ++found === count) return start + i + 1;
    }
    end = start;
  }
  return 0;
}

async function readSome(file: FileHandle, position: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(chunkBytes), 0, chunkBytes, position);
  return buffer.subarray(0, bytesRead);
}

/** The file that has taken the place of `file`. */
async function rotated(path: string, file: FileHandle): Promise<FileHandle | undefined> {
  const [there, ours] = await Promise.all([stat(path).catch(() => undefined), file.stat()]);
  if (there === undefined || there.ino === ours.ino) return undefined;
  return open(path).catch(() => undefined);
}

/** How late what comes is noticed while a log is followed. */
const pollMs = 50;
