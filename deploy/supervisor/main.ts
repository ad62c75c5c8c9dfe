import { existsSync, realpathSync, rmSync, writeSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { type Flags, parseFlags } from "../../base/flags.ts";
import { createLogger } from "../../base/logger.ts";
import { createRegistry } from "../../base/metrics.ts";
import { aborted, runProcess, StartError } from "../../base/process.ts";
import { createGrpcClient } from "../../client/grpc-client.ts";
import { readTls } from "../../net/tls.ts";
import { addressesOf, ports } from "../lab/addresses.ts";
import { controlSocket } from "../lab/paths.ts";
import { type PreparedLab, prepareLab, removeRuntimeDir } from "../lab/prepare.ts";
import { presetNames } from "../lab/presets.ts";
import { programs } from "../lab/processes.ts";
import { checkedRequest } from "../lab/request.ts";
import { serveApi } from "./api.ts";
import { EventLog } from "./events.ts";
import { Members } from "./members.ts";
import { Supervisor } from "./supervisor.ts";

/**
 * The supervisor of one lab, started by `kubelab up`. It prepares the lab's folder and its place in the machine, starts
 * all processes, and stays until SIGTERM, `POST /v1/stop`, or, with --foreground, the end of its stdin.
 *
 * On the file descriptor --report-fd it says one JSON line: {"socket"} when it can be talked to, or {"error"} why not.
 */
const flagSpec = {
  name: { type: "string", help: "name of the lab" },
  dir: { type: "string", help: "folder of the lab" },
  members: { type: "number", optional: true, help: "raft members: 1, 3 or 5" },
  nodes: { type: "number", optional: true, help: "nodes" },
  preset: { type: "string", optional: true, help: `timings: ${presetNames.join(", ")}` },
  mode: { type: "string", optional: true, help: "netns or host; found out without it" },
  "tls-sans": { type: "strings", help: "more names and addresses of the apiserver's certificate" },
  "control-plane-endpoint": { type: "string", optional: true, help: "HOST:PORT that the kubeconfig names" },
  "service-cidr": { type: "string", optional: true, help: "range of the ClusterIPs" },
  "pod-network-cidr": { type: "string", optional: true, help: "range of the Pods' addresses" },
  "service-dns-domain": { type: "string", optional: true, help: "the cluster's domain" },
  "keep-revisions": { type: "string", optional: true, help: "how long the store keeps what was (default 1h)" },
  relay: { type: "boolean", optional: true, help: "relays before the members' ports" },
  store: { type: "string", optional: true, help: "kubelab, or etcd://HOST:PORT,... that runs elsewhere" },
  "store-binary": { type: "string", optional: true, help: "a program with etcd's flags and files as the members" },
  "store-cafile": { type: "string", optional: true, help: "authority of a store at etcds://" },
  "store-certfile": { type: "string", optional: true, help: "our certificate towards it" },
  "store-keyfile": { type: "string", optional: true, help: "its key" },
  "started-at": { type: "number", default: 0, help: "wall time in ms at which `up` was called" },
  foreground: { type: "boolean", default: false, help: "end with stdin" },
  restart: { type: "boolean", default: true, help: "bring back processes that die by themselves" },
  remove: { type: "boolean", default: false, help: "remove the lab's folder when it goes down" },
  "up-timeout": { type: "duration", default: 60_000, help: "how long the lab may take to be up" },
  "report-fd": { type: "number", optional: true, help: "file descriptor to report to" },
} as const;

const log = createLogger("supervisor");
const dist = dirname(realpathSync(process.argv[1]!));

runProcess(log, async (signal) => {
  const flags = parseFlags(flagSpec, process.argv.slice(2));
  const report = (line: object) => {
    if (flags["report-fd"] !== undefined) writeSync(flags["report-fd"], `${JSON.stringify(line)}\n`);
  };
  const events = new EventLog(systemClock, flags["started-at"] || systemClock.now());
  let prepared: PreparedLab;
  try {
    requirePrograms();
    prepared = await prepareLab(resolve(flags.dir), checkedRequest(requestOf(flags)));
  } catch (error) {
    report({ error: (error as Error).message });
    throw error;
  }
  events.add("Info", "lab", "network and certificates are there");
  await serve(prepared, flags, events, signal, report);
});

/** Every process is a bundle beside this one. */
function requirePrograms(): void {
  const missing = programs.filter((name) => !existsSync(join(dist, `${name}.mjs`)));
  if (missing.length > 0) throw new StartError(`${dist} has no ${missing.join(", ")}: run \`npm run build\``);
}

async function serve(
  prepared: PreparedLab,
  flags: Flags<typeof flagSpec>,
  events: EventLog,
  signal: AbortSignal,
  report: (line: object) => void,
): Promise<void> {
  const { lab, paths, world } = prepared;
  const stopping = new AbortController();
  const stop = () => stopping.abort();
  signal.addEventListener("abort", stop);
  if (flags.foreground) process.stdin.on("close", stop).on("error", stop).resume();
  void world.ended.then(() => {
    if (!stopping.signal.aborted) log.error({}, "The lab's namespaces ended by themselves");
    stop();
  });
  const members = new Members(lab, paths);
  const client = adminClient(prepared);
  const supervisor = new Supervisor({
    ...prepared,
    programs: { dist, imagesFile: join(dist, "..", "deploy", "images.yaml") },
    restart: flags.restart,
    members,
    client,
    clock: systemClock,
    events,
    log,
  });
  let gone = () => {};
  const allGone = new Promise<void>((resolve) => {
    gone = resolve;
  });
  const door = await serveApi(controlSocket(lab.slot), {
    ...{ supervisor, events, registry: createRegistry() },
    notReady: () => (events.has("Up") ? undefined : "the lab is starting"),
    stop: () => {
      stop();
      return allGone;
    },
  });
  report({ socket: controlSocket(lab.slot) });
  let failure: Error | undefined;
  await Promise.race([
    aborted(stopping.signal),
    supervisor.up(flags["up-timeout"]).catch((error: Error) => {
      failure = error;
    }),
  ]);
  if (failure === undefined) await aborted(stopping.signal);
  await supervisor.stop();
  members.close();
  client.close();
  if (flags.remove) rmSync(paths.dir, { recursive: true, force: true });
  if (failure !== undefined) events.add("Failed", "lab", failure.message); // told when nothing is left
  door.stopListening();
  removeRuntimeDir(lab.slot);
  gone();
  await door.drained();
  if (failure !== undefined) throw new StartError(failure.message);
}

function adminClient({ lab, paths }: PreparedLab): ReturnType<typeof createGrpcClient> {
  const file = (name: string) => join(paths.certs, name);
  return createGrpcClient({
    servers: [`${addressesOf(lab).outside.apiserver(1)}:${ports.grpc}`],
    tls: readTls({ certFile: file("admin.crt"), keyFile: file("admin.key"), caFile: file("ca.crt") }),
  });
}

function requestOf(flags: Flags<typeof flagSpec>): Parameters<typeof checkedRequest>[0] {
  const { "tls-sans": sans } = flags;
  return {
    ...flags,
    tlsSans: sans.length > 0 ? [...sans] : undefined,
    controlPlaneEndpoint: flags["control-plane-endpoint"],
    serviceCidr: flags["service-cidr"],
    podNetworkCidr: flags["pod-network-cidr"],
    serviceDnsDomain: flags["service-dns-domain"],
    keepRevisions: flags["keep-revisions"],
    storeBinary: flags["store-binary"],
    storeCafile: flags["store-cafile"],
    storeCertfile: flags["store-certfile"],
    storeKeyfile: flags["store-keyfile"],
  };
}
