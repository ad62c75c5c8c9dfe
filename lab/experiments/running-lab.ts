import { execFile } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { StartError } from "../../base/process.ts";
import { adminClient, adminTls } from "../../cli/demo.ts";
import { findLab, isRunning } from "../../cli/lab-ref.ts";
import { SupervisorClient, takeDown } from "../../cli/supervisor-client.ts";
import type { Client } from "../../client/types.ts";
import { labPaths, labsHome } from "../../deploy/lab/paths.ts";
import { flagOf } from "../../deploy/lab/request.ts";
import type { LabStatus } from "../../deploy/supervisor/status.ts";
import { GrpcClient } from "../../net/grpc-client.ts";
import { readTls, type TlsMaterial } from "../../net/tls.ts";
import { type StoreMember, whenHealthy } from "../clients/members.ts";
import { httpGet } from "./http-get.ts";
import type { MetricSample } from "./run.ts";
import type { Experiment } from "./schema.ts";

/** A lab that an experiment uses: brought up for it and removed after, or one that runs and stays. */
export class RunningLab {
  readonly status: LabStatus;
  readonly supervisor: SupervisorClient;
  /** None where the store runs elsewhere. */
  readonly members: StoreMember[];
  readonly api: Client & { close(): void };
  readonly #remove: () => Promise<void>;
  readonly #clock: Clock;
  /** Whose metrics are read. */
  readonly #served: { name: string; url: string; tls: TlsMaterial & { servername: string } }[];

  /** Throws StartError when it does not come up, or is not what the experiment asks for. */
  static async start(experiment: Experiment, lab: string | undefined, clock: Clock): Promise<RunningLab> {
    const own = lab === undefined;
    const name = lab ?? `experiment-${process.pid}`;
    const dir = own ? join(labsHome(), name) : undefined;
    // In this process: another Ctrl-C would end a command, and leave a lab whose folder is gone.
    const remove = async () => {
      if (dir === undefined || !existsSync(dir)) return;
      await takeDown(await findLab({ dir }));
      rmSync(dir, { recursive: true, force: true });
    };
    try {
      if (own) await kubelab(["up", "--detach", "--name", name, ...flagsOf(experiment)]);
      const ref = await findLab({ name });
      if (!(await isRunning(ref))) throw new StartError(`lab ${name} is not running: start it with \`kubelab up\``);
      const supervisor = new SupervisorClient(ref.socket);
      const status = await supervisor.status();
      if (status.store && "endpoints" in status.store && experiment.workload.store)
        throw new StartError(
          `the store of lab ${name} runs elsewhere, and its log, against which workload.store is judged, cannot be read`,
        );
      if (!own) requireFit(experiment, status);
      return new RunningLab(status, supervisor, remove, clock);
    } catch (error) {
      await remove().catch(() => {}); // it may never have been a lab
      throw error;
    }
  }

  private constructor(status: LabStatus, supervisor: SupervisorClient, remove: () => Promise<void>, clock: Clock) {
    this.status = status;
    this.supervisor = supervisor;
    this.#remove = remove;
    this.#clock = clock;
    const { certs, members } = labPaths(status.dir);
    const file = (name: string) => join(certs, "etcd", name);
    const tls = readTls({ certFile: file("client.crt"), keyFile: file("client.key"), caFile: file("ca.crt") });
    this.#served = [
      ...status.members.map(({ name, clientUrl: url }) => ({ name, url, tls: { ...tls, servername: name } })),
      ...status.apiservers.map(({ name, url }) => {
        return { name, url, tls: { ...adminTls(status), servername: "kubernetes" } };
      }),
    ];
    const elsewhere = status.store !== null && "endpoints" in status.store;
    this.members = (elsewhere ? [] : status.members).map(({ name, clientUrl }) => ({
      name,
      dir: join(members, name),
      client: new GrpcClient(new URL(clientUrl).host, { tls, serverName: name, maxBackoffMs: 100 }),
    }));
    this.api = adminClient(status);
  }

  healthy(timeoutMs: number): Promise<string | undefined> {
    return whenHealthy(this.members, this.#clock, timeoutMs);
  }

  /** What members and apiservers say of themselves now; nothing of who does not answer. */
  async metrics(now: () => number): Promise<MetricSample[]> {
    const samples = await Promise.all(
      this.#served.map(async ({ name, url, tls }) => {
        const text = await httpGet(`${url}/metrics`, 900, tls).catch(() => "");
        const atMs = now();
        return [...summed(text)].map(([metric, value]) => ({ atMs, subject: name, name: metric, value }));
      }),
    );
    return samples.flat();
  }

  async close(): Promise<void> {
    for (const { client } of this.members) client.close();
    this.api.close();
    await this.#remove();
  }
}

function requireFit({ cluster }: Experiment, status: LabStatus): void {
  const { members, apiservers, nodes, store, preset, mode, snapshotCount } = status;
  const sizes = { members: members.length, apiservers: apiservers.length, nodes: nodes.length };
  const has = { ...sizes, preset, mode, snapshotCount, ...kept(store) };
  for (const [field, wanted] of Object.entries(cluster)) {
    const there = has[field as keyof typeof has];
    const enough = field === "nodes" || field === "apiservers" ? Number(there) >= Number(wanted) : there === wanted;
    if (!enough)
      throw new StartError(`the experiment needs ${field} ${wanted}, lab ${status.name} has ${there ?? "the default"}`);
  }
}

/** As an experiment's `cluster` would say it. */
function kept(store: LabStatus["store"]): Experiment["cluster"] {
  if (store === null) return { store: "ours" };
  if ("binary" in store) return { store: store.binary };
  const { endpoints, caFile: storeCafile, certFile: storeCertfile, keyFile: storeKeyfile } = store;
  return {
    store: `${storeCafile ? "etcds" : "etcd"}://${endpoints.join(",")}`,
    storeCafile,
    storeCertfile,
    storeKeyfile,
  };
}

const flagsOf = ({ cluster }: Experiment): string[] =>
  Object.entries(cluster).flatMap(([name, value]) => {
    if (name !== "store") return [`--${flagOf(name)}=${value}`];
    const text = String(value);
    return text === "ours" ? [] : [/^etcds?:/.test(text) ? `--store=${text}` : `--store-binary=${text}`];
  });

/** The same command as this one, as a process of its own: a lab must not hang on whoever experiments with it. */
function kubelab(args: string[]): Promise<void> {
  mkdirSync(labsHome(), { recursive: true, mode: 0o700 });
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [process.argv[1]!, ...args], { cwd: labsHome() }, (error, _, stderr) => {
      if (error) reject(new StartError(stderr.trim().replace(/^kubelab: /, "") || error.message));
      else resolve();
    });
  });
}

/** Of Prometheus' text form, the metrics that a run keeps, each summed over its labels. */
export function summed(text: string): Map<string, number> {
  const sums = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [, name, value] = /^(\w+)(?:\{.*\})? (\S+)/.exec(line) ?? [];
    if (name === undefined || !metricsKept.test(name) || name.endsWith("_bucket")) continue;
    sums.set(name, (sums.get(name) ?? 0) + Number(value));
  }
  return sums;
}

const metricsKept =
  /^(process_cpu_seconds_total|process_resident_memory_bytes|nodejs_eventloop_lag_p99_seconds|etcd_server_|etcd_disk_|etcd_mvcc_db_|etcd_network_peer_(sent|received)_bytes|apiserver_request_(total|duration_seconds_(sum|count))|apiserver_current_inflight)/;

/** One line: what it ran on. */
export function machineOf(cpus: { model: string }[], memoryBytes: number, kernel: string): string {
  return `${hostname()}: ${cpus.length} x ${cpus[0]?.model ?? "unknown"}, ${Math.round(memoryBytes / 2 ** 30)} GB, Linux ${kernel}`;
}
