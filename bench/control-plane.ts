import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { sleep, systemClock } from "../base/clock.ts";
import { createGrpcClient } from "../client/grpc-client.ts";
import { writeLabCerts } from "../pki/lab-certs.ts";
import { ClientConnection } from "./load/connection.ts";
import type { Rest } from "./load/job.ts";
import {
  dropFolder,
  endProcess,
  freePorts,
  freshFolder,
  hasEnded,
  logTail,
  startProcess,
  type Usage,
  usageOf,
} from "./process.ts";

export type Component = "controller-manager" | "scheduler" | "proxy" | "hollow";

/** Loopback addresses that no lab has (deploy/lab/addresses.ts), so that a proxy needs no rights; Pods are never dialled. */
const serviceCidr = "127.200.0.0/16";
const clusterCidr = "10.0.0.0/10";

/** One apiserver over TLS before members that speak without, and what else is asked for; a process each, on 127.0.0.1. */
export class ControlPlane {
  readonly target: string;
  /** The administrator's. */
  readonly tls: Rest["tls"];
  readonly #grpcTarget: string;
  readonly #dir: string;
  readonly #children = new Map<Component | "apiserver", ChildProcess>();

  static async start(etcd: readonly string[], signal: AbortSignal, profileDir = ""): Promise<ControlPlane> {
    const dir = freshFolder("control-plane");
    const nodes = [{ name: "bench", ipAddresses: ["127.0.0.1"] }];
    await writeLabCerts(dir, { apiserver: { dnsNames: [], ipAddresses: [] }, members: [], nodes });
    const ports = await freePorts(2);
    const plane = new ControlPlane(dir, ports);
    try {
      plane.#startApiserver(etcd, ports, profileDir);
      await plane.#ready(signal);
      return plane;
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  private constructor(dir: string, [port, grpcPort]: number[]) {
    this.#dir = dir;
    this.target = `127.0.0.1:${port}`;
    this.#grpcTarget = `127.0.0.1:${grpcPort}`;
    const pem = (name: string) => readFileSync(join(dir, name), "utf8");
    this.tls = { ca: pem("ca.crt"), cert: pem("admin.crt"), key: pem("admin.key") };
  }

  #startApiserver(etcd: readonly string[], [port, grpcPort]: number[], profileDir: string): void {
    const file = (name: string) => join(this.#dir, name);
    const profile = profileDir === "" ? [] : ["--cpu-prof", `--cpu-prof-dir=${profileDir}`];
    const flags = [
      `--etcd-servers=${etcd.map((target) => `http://${target}`).join(",")}`,
      `--secure-port=${port}`,
      `--grpc-port=${grpcPort}`,
      "--allow-loopback-endpoints=true",
      `--service-cluster-ip-range=${serviceCidr}`,
      `--client-ca-file=${file("ca.crt")}`,
      `--tls-cert-file=${file("apiserver.crt")}`,
      `--tls-private-key-file=${file("apiserver.key")}`,
      "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
      `--service-account-key-file=${file("sa.pub")}`,
      `--service-account-signing-key-file=${file("sa.key")}`,
    ];
    this.#start("apiserver", [process.execPath, ...profile, "dist/apiserver.mjs", ...flags]);
  }

  /** Something that talks to the apiserver. */
  async startComponent(name: Component, ...flags: string[]): Promise<void> {
    const [port] = await freePorts(1);
    const who = { proxy: "nodes/bench-proxy", hollow: "admin", "controller-manager": "", scheduler: "" }[name] || name;
    const file = (path: string) => join(this.#dir, path);
    const leading = [`--secure-port=${port}`, "--leader-elect=false"];
    const own: Record<Component, string[]> = {
      "controller-manager": [...leading, `--cluster-cidr=${clusterCidr}`],
      scheduler: leading,
      proxy: [
        ...["--mode=host", "--node-name=bench", "--node-ip=127.0.0.1", `--healthz-port=${port}`],
        `--service-cluster-ip-range=${serviceCidr}`,
      ],
      hollow: [],
    };
    this.#start(name, [
      ...[process.execPath, `dist/${name === "hollow" ? "bench/hollow" : name}.mjs`],
      ...[`--apiserver=${this.#grpcTarget}`, `--ca-file=${file("ca.crt")}`],
      ...[`--cert-file=${file(`${who}.crt`)}`, `--key-file=${file(`${who}.key`)}`],
      ...own[name],
      ...flags,
    ]);
  }

  #start(name: Component | "apiserver", command: string[]): void {
    this.#children.set(name, startProcess(command, join(this.#dir, `${name}.log`)));
  }

  usage(name: Component | "apiserver" = "apiserver"): Usage {
    this.check();
    return usageOf(this.#children.get(name)!.pid!);
  }

  /** Throws with the log's end when a process has ended by itself. */
  check(): void {
    for (const [name, child] of this.#children)
      if (hasEnded(child)) throw new Error(`${name} has ended:\n${logTail(join(this.#dir, `${name}.log`))}`);
  }

  /** The API over gRPC as our own components use it, as the administrator. */
  client(): ReturnType<typeof createGrpcClient> {
    const [ca, cert, key] = [this.tls.ca, this.tls.cert, this.tls.key].map((pem) => Buffer.from(pem));
    return createGrpcClient({ servers: [this.#grpcTarget], tls: { ca: ca!, cert: cert!, key: key! } });
  }

  /** Resolves with the answer's body; rejects for what is no success. */
  async call(method: string, path: string, body?: object): Promise<string> {
    const [host, port] = this.target.split(":");
    const rest = { method, contentType: "application/json", tls: this.tls };
    const connection = await ClientConnection.connect(host!, Number(port), rest);
    try {
      return await new Promise((resolve, reject) => {
        const chunks: Buffer[] = [];
        connection.unary(path, Buffer.from(body === undefined ? "" : JSON.stringify(body)), {
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
    await Promise.all([...this.#children.values()].map((child) => endProcess(child, "SIGTERM")));
    dropFolder(this.#dir);
  }

  async #ready(signal: AbortSignal): Promise<void> {
    const deadline = systemClock.monotonic() + 30_000;
    while ((await this.call("GET", "/readyz").catch(() => "")) !== "ok") {
      signal.throwIfAborted();
      this.check();
      if (systemClock.monotonic() > deadline)
        throw new Error(`the apiserver is not ready:\n${logTail(join(this.#dir, "apiserver.log"))}`);
      await sleep(systemClock, 100, signal);
    }
  }
}
