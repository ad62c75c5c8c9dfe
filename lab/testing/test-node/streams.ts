import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import type { Duplex, Writable } from "node:stream";
import { SpdySession, type SpdyStream } from "../../../net/spdy/session.ts";

/** Serves an upgraded connection. */
export type Serve = (socket: Duplex, head: Buffer) => void;

export interface RunStreams {
  stdin?: SpdyStream;
  stdout?: SpdyStream;
  stderr?: SpdyStream;
  /** Aborted when the client is gone. */
  signal: AbortSignal;
}

/** What a process has to say at its end: the Status of the error stream. */
export type Run = (streams: RunStreams) => Promise<object>;

/** A process whose output is kept, as the log. */
export class Container {
  readonly child: ChildProcessWithoutNullStreams;
  readonly #log: Buffer[] = [];
  readonly #readers = new Set<Writable>();
  #ended = false;

  constructor([program, ...args]: readonly string[]) {
    this.child = spawn(program!, args);
    this.child.on("error", () => {});
    for (const output of [this.child.stdout, this.child.stderr])
      output.on("data", (chunk: Buffer) => {
        this.#log.push(chunk);
        for (const reader of this.#readers) reader.write(chunk);
      });
    this.child.on("close", () => {
      this.#ended = true;
      for (const reader of this.#readers) reader.end();
    });
  }

  logs(to: Writable, { follow, tail }: { follow: boolean; tail: string | null }): void {
    const lines = Buffer.concat(this.#log)
      .toString("latin1")
      .split(/(?<=\n)/);
    to.write(Buffer.from((tail === null ? lines : lines.slice(-Number(tail) || lines.length)).join(""), "latin1"));
    if (follow) this.follow(to);
    else to.end();
  }

  follow(to: Writable): void {
    if (this.#ended) return void to.end();
    this.#readers.add(to);
    to.on("close", () => this.#readers.delete(to));
  }

  kill(): void {
    this.child.kill("SIGKILL");
  }
}

export async function exec(command: readonly string[], { stdin, stdout, stderr, signal }: RunStreams): Promise<object> {
  const [program, ...args] = command;
  const child = spawn(program ?? "", args, { signal, killSignal: "SIGKILL" });
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.on("error", () => {});
  if (stdin) stdin.pipe(child.stdin);
  else child.stdin.end();
  if (stdout) child.stdout.pipe(stdout);
  else child.stdout.resume();
  if (stderr) child.stderr.pipe(stderr);
  else if (stdout) child.stderr.pipe(stdout, { end: false });
  else child.stderr.resume();
  return statusOf(child);
}

export async function attach(container: Container, { stdin, stdout }: RunStreams): Promise<object> {
  stdin?.pipe(container.child.stdin);
  if (stdout) container.follow(stdout);
  return statusOf(container.child);
}

async function statusOf(child: ChildProcessWithoutNullStreams): Promise<object> {
  const failed = (reason: string, message: string, causes?: object[]) => {
    return { metadata: {}, status: "Failure", message, reason, ...(causes && { details: { causes } }) };
  };
  try {
    const [code] = child.exitCode === null ? await once(child, "close") : [child.exitCode];
    if (code === 0) return { metadata: {}, status: "Success" };
    const message = `command terminated with non-zero exit code: exit status ${code}`;
    return failed("NonZeroExitCode", message, [{ reason: "ExitCode", message: String(code ?? 137) }]);
  } catch (error) {
    return failed("InternalError", `error executing command in container: ${(error as Error).message}`);
  }
}

/** exec and attach: begins when the client has opened all the streams that it has asked for. */
export function serveRun(wanted: { stdin: boolean; stdout: boolean; stderr: boolean; tty: boolean }, run: Run): Serve {
  const names = ["error", ...(["stdin", "stdout", "stderr"] as const).filter((name) => wanted[name])];
  if (wanted.tty) names.push("resize");
  return (socket, head) => {
    const streams = new Map<string, SpdyStream>();
    const gone = new AbortController();
    const onStream = async (stream: SpdyStream) => {
      streams.set(stream.headers["streamtype"] ?? "", stream);
      if (!names.every((name) => streams.has(name))) return;
      streams.get("resize")?.resume();
      const status = await run({ ...Object.fromEntries(streams), signal: gone.signal });
      for (const name of ["stdout", "stderr"]) streams.get(name)?.end();
      const error = streams.get("error")!;
      error.end(JSON.stringify(status), () => session.close());
    };
    const session = new SpdySession(socket, { client: false, head, onStream: (stream) => void onStream(stream) });
    void session.closed.then(() => gone.abort());
  };
}

/** A pair of streams a connection, of the same `requestID`: text on the one is an error. */
export const serveForward: Serve = (socket, head) => {
  const errors = new Map<string, SpdyStream>();
  const onStream = (stream: SpdyStream) => {
    const { streamtype, requestid = "", port } = stream.headers;
    if (streamtype === "error") return void errors.set(requestid, stream.resume());
    const error = errors.get(requestid);
    errors.delete(requestid);
    if (!error) return void stream.destroy();
    const target = connect({ host: "127.0.0.1", port: Number(port), allowHalfOpen: true });
    target.on("connect", () => {
      stream.pipe(target).pipe(stream);
      target.on("close", () => error.end());
    });
    target.on("error", ({ message }) => {
      error.end(`an error occurred forwarding: ${message}`);
      stream.destroy();
    });
    stream.on("close", () => target.destroySoon());
  };
  new SpdySession(socket, { client: false, head, onStream });
};
