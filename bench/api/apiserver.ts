import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { sleep, systemClock } from "../../base/clock.ts";
import { writeLabCerts } from "../../pki/lab-certs.ts";
import { ClientConnection } from "../load/connection.ts";
import type { Rest } from "../load/job.ts";
import { freePorts, scratch, type Usage, usageOf } from "../members.ts";

/** One apiserver as a process of its own over TLS, before members that speak without. */
export class BenchApiserver {
  readonly target: string;
  /** The administrator's. */
  readonly tls: Rest["tls"];
  readonly #child: ChildProcess;
  readonly #dir: string;

  static async start(etcd: readonly string[], signal: AbortSignal, profileDir: string): Promise<BenchApiserver> {
    const dir = mkdtempSync(join(scratch, "apiserver-"));
    const certs = { apiserver: { dnsNames: [], ipAddresses: [] }, members: [], nodes: [] };
    await writeLabCerts(dir, certs);
    const [port, grpcPort] = await freePorts(2);
    const apiserver = new BenchApiserver(dir, etcd, port!, grpcPort!, profileDir);
    try {
      await apiserver.#ready(signal);
      return apiserver;
    } catch (error) {
      await apiserver.stop();
      throw error;
    }
  }

  private constructor(dir: string, etcd: readonly string[], port: number, grpcPort: number, profileDir: string) {
    this.#dir = dir;
    this.target = `127.0.0.1:${port}`;
    const file = (name: string) => join(dir, name);
    const pem = (name: string) => readFileSync(file(name), "utf8");
    this.tls = { ca: pem("ca.crt"), cert: pem("admin.crt"), key: pem("admin.key") };
    const log = openSync(file("log"), "a");
    const flags = [
      `--etcd-servers=${etcd.map((target) => `http://${target}`).join(",")}`,
      `--secure-port=${port}`,
      `--grpc-port=${grpcPort}`,
      "--allow-loopback-endpoints=true",
      `--client-ca-file=${file("ca.crt")}`,
      `--tls-cert-file=${file("apiserver.crt")}`,
      `--tls-private-key-file=${file("apiserver.key")}`,
      "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
      `--service-account-key-file=${file("sa.pub")}`,
      `--service-account-signing-key-file=${file("sa.key")}`,
    ];
    const profile = profileDir === "" ? [] : ["--cpu-prof", `--cpu-prof-dir=${profileDir}`];
    this.#child = spawn(process.execPath, [...profile, "dist/apiserver.mjs", ...flags], {
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    process.once("exit", () => this.#child.kill("SIGKILL"));
  }

  usage(): Usage {
    return usageOf(this.#child.pid!);
  }

  /** Resolves with the answer's body; rejects for what is no success. */
  async call(method: string, path: string, body?: object): Promise<string> {
    const [host, port] = this.target.split(":");
    const rest = { method, contentType: "application/json", tls: this.tls };
    const connection = await ClientConnection.connect(host!, Number(port), rest);
    try {
      return await new Promise((resolve, reject) => {
        const chunks: Buffer[] = [];
        const bytes = Buffer.from(body === undefined ? "" : JSON.stringify(body));
        connection.unary(path, bytes, {
          onData: (payload) => chunks.push(Buffer.from(payload)),
          onEnd: (code, text) =>
            code === 0
              ? resolve(Buffer.concat(chunks).toString("utf8"))
              : reject(new Error(`${method} ${path}: ${text}`)),
        });
        connection.flush();
      });
    } finally {
      connection.close();
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const over = new Promise((resolve) => this.#child.once("exit", resolve));
      this.#child.kill("SIGTERM");
      const cancel = systemClock.after(20_000, () => this.#child.kill("SIGKILL"));
      await over;
      cancel();
    }
    rmSync(this.#dir, { recursive: true, force: true });
  }

  async #ready(signal: AbortSignal): Promise<void> {
    const deadline = systemClock.monotonic() + 30_000;
    while ((await this.call("GET", "/readyz").catch(() => "")) !== "ok") {
      signal.throwIfAborted();
      if (this.#child.exitCode !== null || systemClock.monotonic() > deadline)
        throw new Error(`the apiserver is not ready:\n${readFileSync(join(this.#dir, "log"), "utf8").slice(-1500)}`);
      await sleep(systemClock, 100, signal);
    }
  }
}
