import { closeSync, mkdirSync, openSync, readdirSync, renameSync, statSync, unlinkSync, writeSync } from "node:fs";
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

/**
 * The audit log as a file of lines (`--audit-log-*`), handed to the system before write() returns. What cannot be
 * written is reported by `onError`, what comes after close() is lost.
 */
export class AuditLog {
  readonly #options: AuditLogOptions;
  readonly #clock: Clock;
  readonly #onError: (error: Error) => void;
  #fd: number;
  #size = 0;

  /** Throws what opening a file throws. */
  constructor(options: AuditLogOptions, clock: Clock, onError: (error: Error) => void) {
    this.#options = options;
    this.#clock = clock;
    this.#onError = onError;
    this.#fd = this.#open();
  }

  write(line: string): void {
    if (this.#fd < 0) return;
    const bytes = Buffer.from(`${line}\n`);
    const { path, maxSizeMegabytes } = this.#options;
    try {
      const full = this.#size > 0 && this.#size + bytes.length > maxSizeMegabytes * 1024 * 1024;
      if (path !== "-" && full) this.#rotate();
      this.#size += bytes.length;
      writeSync(this.#fd, bytes);
    } catch (error) {
      this.#onError(error as Error);
    }
  }

  close(): void {
    if (this.#options.path !== "-") closeSync(this.#fd);
    this.#fd = -1; // whose number another file may get
  }

  #open(): number {
    const { path } = this.#options;
    if (path === "-") return process.stdout.fd;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    return openSync(path, "a", 0o600);
  }

  #rotate(): void {
    const { path, maxAgeDays, maxBackups } = this.#options;
    const [dir, extension] = [dirname(path), extname(path)];
    const name = basename(path, extension);
    const now = this.#clock.now();
    closeSync(this.#fd);
    const time = new Date(now).toISOString().slice(0, 23).replaceAll(":", "-");
    renameSync(path, join(dir, `${name}-${time}${extension}`));
    this.#fd = this.#open();
    const old = readdirSync(dir)
      .filter((file) => file.startsWith(`${name}-`) && file.endsWith(extension))
      .sort()
      .reverse();
    for (const [i, file] of old.entries()) {
      const tooMany = maxBackups > 0 && i >= maxBackups;
      const tooOld = maxAgeDays > 0 && now - statSync(join(dir, file)).mtimeMs > maxAgeDays * 86_400_000;
      if (tooMany || tooOld) unlinkSync(join(dir, file));
    }
  }
}
