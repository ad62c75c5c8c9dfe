import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { StartError } from "../base/process.ts";
import { flagOf, labFlagNames, labFlags } from "../deploy/lab/request.ts";
import { storeAccess } from "../deploy/lab/store-access.ts";
import { type FaultRequest, faultKinds } from "../lab/faults/types.ts";
import type { ExperimentOptions } from "./experiment.ts";
import { findLab, isRunning, type LabOptions, type LabRef, nameFlag } from "./lab-ref.ts";
import { SupervisorClient, takeDown } from "./supervisor-client.ts";
import type { UpOptions } from "./up.ts";

/**
 * The `kubelab` command. Reads flags and environment, does one thing, and ends: 0 when it was done, 1 with one line on
 * stderr when it could not be. What is costly to load is loaded by the command that needs it.
 */
const startedAt = Date.now() - Math.round(performance.now());
const program = new Command("kubelab")
  .description("A Kubernetes of plain processes, whose failures you can cause, watch and check")
  .showHelpAfterError("(see `kubelab --help`)");

function command(usage: string, description: string): Command {
  return program
    .command(usage)
    .description(description)
    .option("--name <name>", "the lab; without it the only one that runs, or `default`")
    .option("--dir <dir>", "folder of the lab (default: ~/.kubelab/NAME)");
}

const up = command("up", "start a lab: raft members, apiservers, controllers, scheduler, nodes");
for (const name of labFlagNames) {
  const { takes, help } = labFlags[name];
  if (takes === "<n>") up.option(`--${flagOf(name)} ${takes}`, help, integer);
  else up.option(`--${flagOf(name)} ${takes}`, help);
}
up.option("--detach", "return when the lab is up, and leave it running")
  .option("--demo", "apply deploy/demo and wait until it serves")
  .option("--no-restart", "leave processes that die by themselves down")
  .option("--rm", "remove the lab's folder when it goes down")
  .action(async (options: UpOptions) => (await import("./up.ts")).up(options, startedAt));

command("status", "members, components and nodes of a lab")
  .option("--json", "as JSON")
  .action(async (options: LabOptions & { json?: boolean }) => {
    const { statusTable } = await import("./status.ts");
    const status = await (await supervisorOf(options)).status();
    print(options, status, statusTable(status));
  });

command("down", "stop a lab; its data stays").action(async (options: LabOptions) => {
  const ref = await findLab(options);
  console.log(`lab ${ref.lab.name} is ${(await takeDown(ref)) ? "down" : "not running"}`);
});

command("logs <process>", "print the log of a process")
  .option("-f, --follow", "and what comes")
  .action(async (process: string, options: LabOptions & { follow?: boolean }) => {
    const ref = await findLab(options);
    await (await import("./logs.ts")).logs(ref, process, options.follow ?? false);
  });

command("kill <process>", "signal a process (etcd-1, node-1/agent), a node, or `leader`; it stays down until start")
  .option("--signal <signal>", "name or number", "SIGKILL")
  .action(async (process: string, options: LabOptions & { signal: string }) => {
    const names = await (await supervisorOf(options)).kill(process, options.signal);
    console.log(`${options.signal} sent to ${names.join(", ")}`);
  });

command(
  "fault [kind] [target] [peer] [parameters...]",
  "as fault delay leader etcd-2 ms=80; without a kind: what there is",
)
  .option("--json", "the report as JSON")
  .action(async (kind: string, target: string, peer: string, parameters: string[], options: FaultOptions) => {
    const { describeFaults, faultRequest } = await import("./faults.ts");
    if (kind === undefined) return console.log(describeFaults());
    await fault(faultRequest(kind, target, [peer, ...parameters]), options);
  });

for (const kind of ["pause", "resume", "restart"] as const)
  command(`${kind} <target>`, faultKinds[kind].does)
    .option("--json", "the report as JSON")
    .action((target: string, options: FaultOptions) => fault({ fault: kind, target }, options));

command("faults", "what is wrong with the lab now, as far as `heal` can undo it")
  .option("--json", "as JSON")
  .action(async (options: FaultOptions) => {
    const faults = await (await supervisorOf(options)).faults();
    print(options, faults, ...faults.map(({ id, kind, message }) => `${id}  ${kind}  ${message}`));
  });

command("heal [id]", "undo one fault, or all")
  .option("--json", "as JSON")
  .action(async (id: string | undefined, options: FaultOptions) => {
    const healed = await (await supervisorOf(options)).heal(id);
    const told = healed.map(({ id, kind, targets, message }) => `${id}  ${kind} of ${targets.join(", ")}: ${message}`);
    print(options, healed, ...(told.length > 0 ? told : ["nothing is to be healed"]));
  });

command("start <process>", "start a process, or all of a node").action(async (process: string, options: LabOptions) => {
  const names = await (await supervisorOf(options)).start(process);
  console.log(names.length > 0 ? `started ${names.join(", ")}` : `${process} is already running`);
});

command("credentials <component>", "kubeconfig and certificate for an upstream component, and its command line")
  .option("--node <node>", "whose kubelet or kube-proxy it is", "node-x")
  .action(async (component: string, options: LabOptions & { node: string }) => {
    const ref = await findLab(options);
    console.log(await (await import("./credentials.ts")).writeCredentials(ref, component, options.node));
  });

command("kubeconfig", "print the path of the kubeconfig").action(async (options: LabOptions) => {
  console.log((await findLab(options)).paths.kubeconfig);
});

command("etcdctl-env", "print the variables that point etcdctl at the members").action(async (options: LabOptions) => {
  console.log(etcdctlEnv(await findLab(options)));
});

type HistoryOptions = LabOptions & { namespace?: string; revision?: number; to?: number };
type FaultOptions = LabOptions & { json?: boolean };

async function fault(request: FaultRequest, options: FaultOptions): Promise<void> {
  const report = await (await supervisorOf(options)).fault(request);
  const { id, mechanism, message, undo } = report;
  print(options, report, `${id}  ${message} (${mechanism})${undo === null ? "" : `; heal: ${undo}`}`);
}

function print({ json }: { json?: boolean }, value: unknown, ...lines: string[]): void {
  for (const line of json ? [JSON.stringify(value, null, 2)] : lines) console.log(line);
}

const experiment = program
  .command("experiment")
  .description("fault experiments: run, judged, with a folder of all that was seen");

experiment
  .command("run <experiment>")
  .description("a YAML file or a ready one; exit code 0 passed, 1 failed, 2 could not be run")
  .option("--lab <name>", "use a lab that runs, and leave it running; without it one is made and removed")
  .option("--out <dir>", "where the run's folder is made (default: experiments/ of the lab, or ~/.kubelab/experiments)")
  .option("--seed <n>", "of what is drawn; without it that of the file, or a new one", integer)
  .option("--repetitions <n>", "instead of the file's", integer)
  .option("--json", "print run.json at the end")
  .option("--junit <file>", "write the verdict as JUnit XML")
  .action(async (name: string, options: ExperimentOptions) => {
    const { runExperimentCommand } = await import("./experiment.ts");
    process.exitCode = await runExperimentCommand(name, options).catch((error: unknown) => {
      console.error(error instanceof StartError ? `kubelab: ${error.message}` : error);
      return 2;
    });
  });

experiment
  .command("list")
  .description("the ready ones")
  .action(async () => console.log((await import("./experiment.ts")).listExperiments()));

experiment
  .command("show <experiment>")
  .description("print the YAML of a ready one")
  .action(async (name: string) => console.log((await import("./experiment.ts")).showExperiment(name).trimEnd()));

experiment
  .command("report <dir>")
  .description("make report.html of a run's folder again; of several repetitions an overview, too")
  .action(async (dir: string) => console.log((await import("../lab/report/folder.ts")).writeReports(dir)));

experiment
  .command("compare <a> <b>")
  .description("two runs, or two folders of repetitions, side by side, with what is more than noise")
  .option("--out <file>", "where to write (default: compare.html in <b>)")
  .action(async (a: string, b: string, { out = join(b, "compare.html") }: { out?: string }) => {
    writeFileSync(out, (await import("../lab/report/folder.ts")).compareRuns(a, b));
    console.log(out);
  });

command("timeline", "who led when, elections, faults and deaths: a picture for the terminal, lines for a pipe")
  .option("-f, --follow", "and what comes, until Ctrl-C or the lab ends")
  .action(async (options: LabOptions & { follow?: boolean }) => {
    await (await import("./timeline-frame.ts")).timeline(await supervisorOf(options), options.follow ?? false);
  });

command("history <get|list|diff> <kind> <name>", "an object as it was at any revision that the store still holds")
  .option("-n, --namespace <namespace>", "of the object")
  .option("--revision <r>", "get: at which (default: now); diff: what changed with it", integer)
  .option("--to <r>", "diff: what is different there from --revision", integer)
  .action(async (action: string, kind: string, name: string, options: HistoryOptions) => {
    if (!["get", "list", "diff"].includes(action))
      throw new StartError(`history takes get, list or diff, not ${action}`);
    const { history, pathOf } = await import("./history.ts");
    console.log(await history(await findLab(options), pathOf(kind, options.namespace, name), { action, ...options }));
  });

async function supervisorOf(options: LabOptions): Promise<SupervisorClient> {
  const ref = await findLab(options);
  if (await isRunning(ref)) return new SupervisorClient(ref.socket);
  throw new StartError(`lab ${ref.lab.name} is not running: start it with \`kubelab up${nameFlag(options)}\``);
}

function etcdctlEnv({ lab, paths }: LabRef): string {
  const { members, files } = storeAccess(lab, paths);
  return Object.entries({
    ETCDCTL_API: "3",
    ETCDCTL_ENDPOINTS: members.map(({ url }) => url).join(","),
    ETCDCTL_CACERT: files?.caFile,
    ETCDCTL_CERT: files?.certFile,
    ETCDCTL_KEY: files?.keyFile,
  })
    .flatMap(([name, value]) => (value === undefined ? [] : [`export ${name}='${value}'`]))
    .join("\n");
}

function integer(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError("it takes a number.");
  return Number(text);
}

// Whoever reads (`kubelab logs etcd-1 | head`) may have enough of it.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});
try {
  await program.parseAsync();
} catch (error) {
  // What the system refused (a folder that may not be written, a full disk) is said in its words, too.
  if (!(error instanceof StartError) && (error as NodeJS.ErrnoException).syscall === undefined) throw error;
  console.error(`kubelab: ${(error as Error).message}`);
  process.exitCode = 1;
}
