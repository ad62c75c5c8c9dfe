import { existsSync, realpathSync, rmSync, writeSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { type Flag, type Flags, parseFlags } from "../../base/flags.ts";
import { createLogger } from "../../base/logger.ts";
import { createRegistry } from "../../base/metrics.ts";
import { aborted, runProcess, StartError } from "../../base/process.ts";
import { createGrpcClient } from "../../client/grpc-client.ts";
import { readTls } from "../../net/tls.ts";
import { addressesOf, ports } from "../lab/addresses.ts";
import { apiserverNames } from "../lab/lab-file.ts";
import { controlSocket } from "../lab/paths.ts";
import { type PreparedLab, prepareLab, removeRuntimeDir } from "../lab/prepare.ts";
import { programs } from "../lab/processes.ts";
import { checkedRequest, flagOf, type LabFlags, labFlagNames, labFlags } from "../lab/request.ts";
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
  ...(Object.fromEntries(
    labFlagNames.map((name) => {
      const { takes, help } = labFlags[name];
      const type = takes === "<n>" ? "number" : takes === "" ? "boolean" : "string";
      return [flagOf(name), { type, help, optional: true }];
    }),
  ) as Record<string, Flag & { optional: true }>),
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
  const gone = new AbortController();
  const door = await serveApi(controlSocket(lab.slot), {
    ...{ supervisor, events, registry: createRegistry() },
    notReady: () => (events.has("Up") ? undefined : "the lab is starting"),
    stop: () => {
      stop();
      return aborted(gone.signal);
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
  gone.abort();
  await door.drained();
  if (failure !== undefined) throw new StartError(failure.message);
}

function adminClient({ lab, paths }: PreparedLab): ReturnType<typeof createGrpcClient> {
  const file = (name: string) => join(paths.certs, name);
  return createGrpcClient({
    servers: apiserverNames(lab).map((_, i) => `${addressesOf(lab).outside.apiserver(i + 1)}:${ports.grpc}`),
    tls: readTls({ certFile: file("admin.crt"), keyFile: file("admin.key"), caFile: file("ca.crt") }),
  });
}

function requestOf(flags: Flags<typeof flagSpec>): Parameters<typeof checkedRequest>[0] {
  const given = labFlagNames.map((name) => [name, (flags as Record<string, unknown>)[flagOf(name)]]);
  return { name: flags.name, ...(Object.fromEntries(given) as LabFlags) };
}
