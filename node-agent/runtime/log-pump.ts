import { closeSync, constants, mkdirSync, openSync, writeSync } from "node:fs";
import net from "node:net";
import { dirname } from "node:path";
import { attempt } from "../../base/attempt.ts";
import type { Clock } from "../../base/clock.ts";
import { frameLog, type Stream } from "./log-format.ts";

/** The log file of one container, in the place the agent asked for. It may be moved away: `reopen` starts a new one. */
export class LogFile {
  readonly #path: string;
  #fd: number;

  constructor(path: string) {
    this.#path = path;
    mkdirSync(dirname(path), { recursive: true });
    this.#fd = openSync(path, "a", 0o640);
  }

  /** What a full disk does not take is lost, as with containerd: one container's log must not end the runtime. */
  write(bytes: Buffer): void {
    attempt(() => {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done);
    });
  }

  reopen(): void {
    const fd = openSync(this.#path, "a", 0o640);
    closeSync(this.#fd);
    this.#fd = fd;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/**
 * Moves a container's output from its FIFO to the log file. What is read is written in the same turn. Opened read-only
 * while the shim holds the other end: end of file comes when the last process of the container and the shim are gone.
 */
export class LogPump {
  readonly #socket: net.Socket;
  readonly ended: Promise<void>;

  constructor(fifo: string, stream: Stream, file: LogFile, clock: Clock) {
    const fd = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    // A FIFO that nobody has written to since we opened it knows no end of file: the last writer may be gone for long.
    closeSync(openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK));
    this.#socket = new net.Socket({ fd, readable: true, writable: false });
    this.#socket.on("data", (chunk: Buffer) => file.write(frameLog(stream, chunk, clock.now())));
    this.ended = new Promise((resolve) => {
      this.#socket.on("close", () => resolve());
      this.#socket.on("error", () => this.#socket.destroy());
    });
  }

  stop(): void {
    this.#socket.destroy();
  }
}
