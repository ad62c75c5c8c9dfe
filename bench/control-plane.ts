import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createGrpcClient } from "../client/grpc-client.ts";
import { httpGet } from "../lab/experiments/http-get.ts";
import { writeLabCerts } from "../pki/lab-certs.ts";
import type { Rest } from "./load/job.ts";
import { Cluster, defaultTimers, ourStore } from "./members.ts";
import { Child, dropFolder, freePorts, freshFolder, type Usage, until } from "./process.ts";

export type Component = "controller-manager" | "scheduler" | "proxy" | "hollow";

/** Loopback addresses that no lab has (deploy/lab/addresses.ts), so that a proxy needs no rights; Pods are never dialled. */
const serviceCidr = "127.200.0.0/16";
const clusterCidr = "10.0.0.0/10";
const proxyFlags = ["--mode=host", "--node-name=bench", "--node-ip=127.0.0.1"];

export interface Planes {
  plane: ControlPlane;
  cluster: Cluster;
  client: ReturnType<ControlPlane["client"]>;
}

/** One over members of ours, for as long as `work` takes. `profileDir`: for a CPU profile of the apiserver. */
export async function withControlPlane(
  { members, signal, profileDir = "" }: { members: number; signal: AbortSignal; profileDir?: string },
  work: (planes: Planes) => Promise<void>,
): Promise<void> {
  const cluster = await Cluster.start(ourStore(defaultTimers), { members, signal });
  let plane: ControlPlane | undefined;
  let client: Planes["client"] | undefined;
  try {
    plane = await ControlPlane.start(cluster.targets, profileDir);
    await until("readiness of the apiserver", { limitMs: 30_000, everyMs: 50, signal }, () => plane!.isReady());
    client = plane.client();
    await work({ plane, cluster, client });
  } finally {
    client?.close();
    await plane?.stop();
    await cluster.stop();
  }
}

/** One apiserver over TLS before members that speak without, and what else is asked for; a process each, on 127.0.0.1. */
export class ControlPlane {
  readonly target: string;
  /** The administrator's. */
  readonly tls: Rest["tls"];
  readonly #grpcTarget: string;
  readonly #dir: string;
  readonly #children = new Map<Component | "apiserver", Child>();

  static async start(etcd: readonly string[], profileDir: string): Promise<ControlPlane> {
    const dir = freshFolder("control-plane");
    const nodes = [{ name: "bench", ipAddresses: ["127.0.0.1"] }];
    await writeLabCerts(dir, { apiserver: { dnsNames: [], ipAddresses: [] }, members: [], nodes });
    const ports = await freePorts(2);
    const plane = new ControlPlane(dir, ports);
    plane.#startApiserver(etcd, ports, profileDir);
    return plane;
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
    const who = name === "proxy" ? "nodes/bench-proxy" : name === "hollow" ? "admin" : name;
    const file = (path: string) => join(this.#dir, path);
    const leading = [`--secure-port=${port}`, "--leader-elect=false"];
    const own: Record<Component, string[]> = {
      "controller-manager": [...leading, `--cluster-cidr=${clusterCidr}`],
      scheduler: leading,
      proxy: [...proxyFlags, `--healthz-port=${port}`, `--service-cluster-ip-range=${serviceCidr}`],
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
    this.#children.set(name, new Child(command, join(this.#dir, `${name}.log`)));
  }

  usage(name: Component | "apiserver" = "apiserver"): Usage {
    return this.#children.get(name)!.usage();
  }

  /** Throws when a process has ended by itself. */
  check(): void {
    for (const child of this.#children.values()) child.check();
  }

  /** The API over gRPC as our own components use it, as the administrator. */
  client(): ReturnType<typeof createGrpcClient> {
    const { ca, cert, key } = this.tls;
    const tls = { ca: Buffer.from(ca), cert: Buffer.from(cert), key: Buffer.from(key) };
    return createGrpcClient({ servers: [this.#grpcTarget], tls });
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#children.values()].map((child) => child.end("SIGTERM")));
    dropFolder(this.#dir);
  }

  isReady(): Promise<boolean> {
    this.check();
    const answer = httpGet(`https://${this.target}/readyz`, 1000, this.tls);
    return answer.then(Boolean, () => false);
  }
}
