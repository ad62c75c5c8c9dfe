import { availableParallelism } from "node:os";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import bcrypt from "bcryptjs";
import { type Cancel, type Clock, systemClock } from "../../base/clock.ts";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import { etcdError } from "../errors.ts";

/**
 * bcrypt on threads of their own: a hash of cost 10 is some 50 ms of pure computing, for which no heartbeat should wait.
 * Threads come with the first password, as many as there are cores to spare (at most four), and go after ten seconds
 * without one. At most 128 passwords wait; more are refused as "too many requests".
 *
 * A thread runs this file, which in dist/ is all of the process's: `main` looks at `isPasswordWorker` and does nothing there.
 */
export class PasswordPool {
  readonly #size: number;
  readonly #clock: Clock;
  readonly #waiting: Job[] = [];
  readonly #threads = new Map<Worker, Job | undefined>();
  #cancelIdle: Cancel = () => {};

  constructor(size = Math.max(1, Math.min(4, availableParallelism() - 1)), clock: Clock = systemClock) {
    this.#size = size;
    this.#clock = clock;
  }

  hash(password: string, cost: number): Promise<string> {
    if (Buffer.byteLength(password) > maxBytes) return Promise.reject(new GrpcError(Code.Unknown, tooLongText));
    return this.#run({ password, cost }) as Promise<string>;
  }

  compare(password: string, hash: string): Promise<boolean> {
    return this.#run({ password, hash }) as Promise<boolean>;
  }

  async close(): Promise<void> {
    this.#cancelIdle();
    for (const job of this.#waiting.splice(0)) job.reject(etcdError("stopped"));
    await Promise.all([...this.#threads.keys()].map((thread) => thread.terminate()));
  }

  #run(task: Task): Promise<unknown> {
    if (this.#waiting.length >= maxWaiting) return Promise.reject(etcdError("tooManyRequests"));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ task, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    this.#cancelIdle();
    while (this.#waiting.length > 0) {
      const idle = [...this.#threads].find(([, job]) => job === undefined)?.[0];
      const thread = idle ?? (this.#threads.size < this.#size ? this.#start() : undefined);
      if (thread === undefined) return;
      const job = this.#waiting.shift()!;
      this.#threads.set(thread, job);
      thread.postMessage(job.task);
    }
    if (![...this.#threads.values()].every((job) => job === undefined)) return;
    this.#cancelIdle = this.#clock.after(idleMs, () => {
      const idle = [...this.#threads.keys()];
      this.#threads.clear(); // no job for a thread that is going
      for (const thread of idle) void thread.terminate();
    });
  }

  #start(): Worker {
    const file = new URL(import.meta.url);
    const fromSource = `import("tsx/esm/api").then(({ tsImport }) => tsImport("${file}", "${file}"))`;
    const thread = file.pathname.endsWith(".ts")
      ? new Worker(fromSource, { eval: true, workerData: mark })
      : new Worker(file, { workerData: mark });
    thread.unref();
    this.#threads.set(thread, undefined);
    let failure: Error | undefined;
    thread.on("message", ({ result, error }: { result?: unknown; error?: string }) => {
      const job = this.#threads.get(thread);
      this.#threads.set(thread, undefined);
      if (error === undefined) job?.resolve(result);
      else job?.reject(new Error(error));
      this.#next();
    });
    thread.on("error", (error) => {
      failure = error;
    });
    thread.on("exit", () => {
      this.#threads.get(thread)?.reject(failure ?? etcdError("stopped"));
      this.#threads.delete(thread);
      if (this.#waiting.length > 0 && failure === undefined) this.#next();
      else for (const job of this.#waiting.splice(0)) job.reject(failure!);
    });
    return thread;
  }
}

type Task = { password: string; cost: number } | { password: string; hash: string };
type Job = { task: Task; resolve(result: unknown): void; reject(error: Error): void };

const mark = "etcd-raft password worker";

/** This thread is one of a pool's and has nothing else to do. */
export const isPasswordWorker = !isMainThread && workerData === mark;

function servePasswords(): void {
  parentPort!.on("message", (task: Task) => {
    try {
      const { password } = task;
      const result =
        "hash" in task
          ? bcrypt.compareSync(password, task.hash)
          : bcrypt.hashSync(password, task.cost).replace(/^\$2b\$/, "$2a$"); // as etcd writes it
      parentPort!.postMessage({ result });
    } catch (error) {
      parentPort!.postMessage({ error: (error as Error).message });
    }
  });
}

if (isPasswordWorker) servePasswords();

const maxBytes = 72; // bcrypt looks at no more, so a longer one would be cut without a word; Go's refuses it so
const tooLongText = "bcrypt: password length exceeds 72 bytes";
const maxWaiting = 128;
const idleMs = 10_000;
