import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
} from "node:fs";
import http from "node:http";
import https from "node:https";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { sleep, systemClock } from "../../base/clock.ts";
import { adminClient } from "../../cli/demo.ts";
import type { createGrpcClient } from "../../client/grpc-client.ts";
import type { LabStatus } from "../supervisor/status.ts";

/**
 * Real labs for tests: the built `kubelab` command, run as a given user with a home of its own. `remove` takes the lab
 * down, kills what is left after a failure, and deletes the files. Needs `npm run build`.
 */
export interface User {
  name: string;
  uid: number | undefined;
}

/** Of `npm run swap-matrix`: the program that runs as the members, where a test names none. */
export const foreignStore = process.env["KUBELAB_STORE_BINARY"];

const root = process.getuid?.() === 0;

/** As root: root and an ordinary user. As an ordinary user: only that one. */
export const users: User[] = root
  ? [
      { name: "root", uid: undefined },
      { name: "an ordinary user", uid: freeUid() },
    ]
  : [{ name: "an ordinary user", uid: undefined }];

/** No entry in the user database is needed to own processes and files: a number that nobody has does it. */
function freeUid(): number {
  const taken = new Set(
    readFileSync("/etc/passwd", "utf8")
      .split("\n")
      .map((line) => Number(line.split(":")[2])),
  );
  let uid = 54_000 + (process.pid % 1000);
  while (taken.has(uid)) uid++;
  return uid;
}

export interface Result {
  code: number | null;
  stdout: string;
  stderr: string;
}

export class TestLab {
  readonly name: string;
  readonly user: User;
  readonly home: string;
  readonly dir: string;
  readonly #dist: string;

  constructor(name: string, user: User = users[0]!) {
    this.name = name;
    this.user = user;
    this.home = mkdtempSync(join(tmpdir(), "kubelab-e2e-"));
    chmodSync(this.home, 0o755);
    if (user.uid !== undefined) chownSync(this.home, user.uid, user.uid);
    this.#dist = user.uid === undefined ? resolve("dist") : this.#publicDist();
    this.dir = join(this.home, ".kubelab", name);
  }

  /** A copy that another user can read, wherever the checkout is. */
  #publicDist(): string {
    const to = join(this.home, "kubelab");
    cpSync("dist", join(to, "dist"), { recursive: true, filter: (path) => !path.endsWith(".map") });
    mkdirSync(join(to, "deploy"));
    for (const part of ["deploy/images.yaml", "deploy/demo"]) {
      if (existsSync(part)) cpSync(part, join(to, part), { recursive: true });
    }
    return join(to, "dist");
  }

  get spawnOptions(): SpawnOptions {
    const { XDG_RUNTIME_DIR: _, ...env } = process.env;
    const ids = this.user.uid === undefined ? {} : { uid: this.user.uid, gid: this.user.uid };
    return { ...ids, cwd: "/", env: { ...env, HOME: this.home } };
  }

  /** Runs a program as the lab's user. */
  run(program: string, args: string[], env: Record<string, string> = {}, input?: string): Promise<Result> {
    const options = this.spawnOptions;
    return finish(spawn(program, args, { ...options, env: { ...options.env, ...env } }), input);
  }

  kubelab(...args: string[]): Promise<Result> {
    return this.run(process.execPath, this.command(args));
  }

  command(args: string[]): string[] {
    const [verb, ...rest] = args;
    const name = verb === "experiment" ? [] : ["--name", this.name]; // it names the lab by a flag of its own
    return [join(this.#dist, "kubelab.mjs"), verb!, ...name, ...rest];
  }

  /** Like `kubelab`, for steps that must work: throws with what was said. */
  async must(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.kubelab(...args);
    if (code !== 0)
      throw new Error(`kubelab ${args.join(" ")} ended with ${code}: ${stderr || stdout}${this.#logTails()}`);
    return stdout;
  }

  /** On the store that `npm run swap-matrix` asks for, where the test names none. */
  async up(...args: string[]): Promise<string> {
    const named = args.some((arg) => arg.startsWith("--store"));
    return this.must("up", "--detach", ...(foreignStore && !named ? ["--store-binary", foreignStore] : []), ...args);
  }

  async status(): Promise<LabStatus> {
    return JSON.parse(await this.must("status", "--json")) as LabStatus;
  }

  async pidOf(process: string): Promise<number | null> {
    const { members, apiservers, components, nodes } = await this.status();
    const all = [...members, ...apiservers, ...components, ...nodes.flatMap((node) => node.processes)];
    return all.find(({ name }) => name === process)?.pid ?? null;
  }

  /** The API with the administrator's certificate. Close it. */
  async client(): Promise<ReturnType<typeof createGrpcClient>> {
    return adminClient(await this.status());
  }

  /** GET of the REST API as administrator: for what our own client has no verb for, such as logs. */
  async rest(path: string): Promise<{ code: number; body: string }> {
    return read(https.get(...this.#admin(path)));
  }

  /** A watch of the REST API as administrator, once it is open; `ended` when its connection is. */
  watch(path: string): Promise<{ ended: Promise<void> }> {
    return new Promise((resolve, reject) => {
      const request = https.get(...this.#admin(`${path}?watch=true`), (response) => {
        resolve({
          ended: new Promise((resolve) =>
            response
              .on("error", () => {})
              .on("close", resolve)
              .resume(),
          ),
        });
      });
      request.on("error", reject);
    });
  }

  #admin(path: string): [URL, https.RequestOptions] {
    const [, server] = /server: (\S+)/.exec(readFileSync(join(this.dir, "kubeconfig"), "utf8"))!;
    const file = (name: string) => readFileSync(join(this.dir, "certs", name));
    return [
      new URL(path, server),
      { agent: false, ca: file("ca.crt"), cert: file("admin.crt"), key: file("admin.key") },
    ];
  }

  kubectl(kubectl: string, ...args: string[]): Promise<Result> {
    return this.run(kubectl, args, { KUBECONFIG: join(this.dir, "kubeconfig") });
  }

  /** What went wrong, from the ends of all logs: printed when a step fails. */
  #logTails(): string {
    const logs = join(this.dir, "logs");
    if (!existsSync(logs)) return "";
    const files = readdirSync(logs, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".log"));
    const tail = (file: string) => readFileSync(join(logs, file), "utf8").trimEnd().split("\n").slice(-3).join("\n");
    return files.map((file) => `\n--- ${file}\n${tail(file)}`).join("");
  }

  async remove(): Promise<void> {
    if (existsSync(join(this.dir, "lab.json"))) await this.kubelab("down");
    for (const pid of this.processes()) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {} // gone
    }
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Everything alive that names this lab's folder in its command line, or belongs to the lab's own user. */
  processes(): number[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid && this.#isOurs(name))
      .map(Number);
  }

  #isOurs(pid: string): boolean {
    try {
      if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))) return false;
      const owner = Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
      if (this.user.uid !== undefined && owner === this.user.uid) return true;
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(this.home);
    } catch {
      return false; // ended meanwhile
    }
  }
}

export function finish(child: ChildProcess, input?: string): Promise<Result> {
  return new Promise((resolve, reject) => {
    let stdout = "";
    let stderr = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr }));
    child.stdin?.on("error", () => {}).end(input);
  });
}

/** Waits for an event that can only be seen by looking; the deadline is for hangs. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  deadlineMs = 60_000,
): Promise<T> {
  const deadline = systemClock.monotonic() + deadlineMs;
  let last: unknown;
  for (;;) {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      last = error;
    }
    if (systemClock.monotonic() > deadline)
      throw new Error(`not within ${deadlineMs / 1000} s: ${what}`, { cause: last });
    await sleep(systemClock, 25);
  }
}

/** GET over a connection of its own: a proxy balances connections. Throws when there is no answer. */
export function get(url: string, headers: http.OutgoingHttpHeaders = {}): Promise<{ code: number; body: string }> {
  return read(http.get(url, { agent: false, headers }));
}

function read(request: http.ClientRequest): Promise<{ code: number; body: string }> {
  return new Promise((resolve, reject) => {
    request.setTimeout(5000, () => request.destroy(new Error("no answer within 5 s")));
    request.on("error", reject);
    request.on("response", (response: http.IncomingMessage) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => (body += text));
      response.on("end", () => resolve({ code: response.statusCode!, body }));
      response.on("error", reject);
    });
  });
}

/** Every kubectl that lies beside the real path of the one on the PATH. */
export function kubectlsBesidePath(): string[] {
  for (const folder of (process.env["PATH"] ?? "").split(":")) {
    const found = join(folder, "kubectl");
    if (!existsSync(found)) continue;
    const real = dirname(realpathSync(found));
    return readdirSync(real)
      .filter((file) => /^kubectl\.1\.\d+$/.test(file))
      .sort()
      .map((file) => join(real, file));
  }
  return [];
}
