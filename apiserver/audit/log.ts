import {
  createWriteStream,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
  type WriteStream,
} from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import type { Clock } from "../../base/clock.ts";

export interface AuditLogOptions {
  /** `-` is stdout. */
  path: string;
  /** A file that has reached this is renamed to NAME-TIME.EXT, and a new one begun. */
  maxSizeMegabytes: number;
  /** Older ones go after this many days, or when there are more than so many; 0: never. */
  maxAgeDays: number;
  maxBackups: number;
}

/** The audit log as a file of lines (`--audit-log-*`). What the disk has no room for is reported by `onError`. */
export class AuditLog {
  readonly #options: AuditLogOptions;
  readonly #clock: Clock;
  readonly #onError: (error: Error) => void;
  #stream: WriteStream | NodeJS.WriteStream;
  #size = 0;

  /** Throws what opening a file throws. */
  constructor(options: AuditLogOptions, clock: Clock, onError: (error: Error) => void) {
    this.#options = options;
    this.#clock = clock;
    this.#onError = onError;
    this.#stream = this.#open();
  }

  write(line: string): void {
    const bytes = Buffer.byteLength(line) + 1;
    const { path, maxSizeMegabytes } = this.#options;
    if (path !== "-" && this.#size > 0 && this.#size + bytes > maxSizeMegabytes * 1024 * 1024) this.#rotate();
    this.#size += bytes;
    this.#stream.write(`${line}\n`);
  }

  /** Resolves when all is written. */
  close(): Promise<void> {
    const stream = this.#stream;
    return this.#options.path === "-" ? Promise.resolve() : new Promise((resolve) => stream.end(resolve));
  }

  #open(): WriteStream | NodeJS.WriteStream {
    const { path } = this.#options;
    if (path === "-") return process.stdout;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    const stream = createWriteStream(path, { fd: openSync(path, "a", 0o600) });
    stream.on("error", this.#onError);
    return stream;
  }

  #rotate(): void {
    const { path, maxAgeDays, maxBackups } = this.#options;
    const [dir, extension] = [dirname(path), extname(path)];
    const name = basename(path, extension);
    const now = this.#clock.now();
    this.#stream.end();
    try {
      const time = new Date(now).toISOString().slice(0, 23).replaceAll(":", "-");
      renameSync(path, join(dir, `${name}-${time}${extension}`));
      const old = readdirSync(dir)
        .filter((file) => file.startsWith(`${name}-`) && file.endsWith(extension))
        .sort()
        .reverse();
      for (const [i, file] of old.entries()) {
        const tooMany = maxBackups > 0 && i >= maxBackups;
        const tooOld = maxAgeDays > 0 && now - statSync(join(dir, file)).mtimeMs > maxAgeDays * 86_400_000;
        if (tooMany || tooOld) unlinkSync(join(dir, file));
      }
    } catch (error) {
      this.#onError(error as Error);
    }
    this.#stream = this.#open();
  }
}
