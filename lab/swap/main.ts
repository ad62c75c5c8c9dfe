/**
 * `npm run swap-matrix`: the same end-to-end tests and the same ready experiments on our members and on Debian's
 * etcd-server under our apiserver: three members of each in labs, one below the tests of the API. Writes the rows of what
 * was run into the table of `docs/swap.md`, so that it can be made in parts:
 *
 *     npm run swap-matrix -- --tests= --experiments=kill-leader,restart-all
 *
 * Exits with 1 when a test failed or a run did not pass.
 */
import { execFile, execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { list, number, parseFlags, text } from "../../base/flags.ts";
import { createLogger } from "../../base/logger.ts";
import { runProcess, StartError } from "../../base/process.ts";
import { peer } from "../../tools/peers.ts";
import type { RunFile } from "../experiments/run.ts";
import { type Cell, cellOf, mergeRows, noHook, replaceTable, type TestReport } from "./table.ts";

const library = "lab/experiments/library";
const flagSpec = {
  tests: list("files of tests that bring up a lab, or an apiserver", [
    ...["cluster", "kubectl", "apiservers", "failover", "host-mode", "lifecycle"].map(
      (name) => `deploy/e2e/${name}.e2e.test.ts`,
    ),
    "lab/faults/faults.e2e.test.ts",
    ...["kinds", "kubectl"].map((name) => `api/${name}.e2e.test.ts`),
    ...["kubectl", "kubectl-commands", "crd/kubectl", "admission/kubectl-admission", "authn/kubectl-auth"].map(
      (name) => `apiserver/${name}.e2e.test.ts`,
    ),
    ...["apply", "clients", "informers", "streams", "slow-watch"].map((name) => `apiserver/${name}.e2e.test.ts`),
    "controllers/controllers.e2e.test.ts",
  ]),
  experiments: list(
    "names of ready experiments",
    readdirSync(library).map((file) => basename(file, ".yaml")),
  ),
  seed: number("of the experiments", 1),
  out: text("the page whose table is written", "docs/swap.md"),
} as const;

runProcess(createLogger("swap-matrix"), async (signal) => {
  const flags = parseFlags(flagSpec, process.argv.slice(2));
  const etcd = peer("etcd");
  if (!etcd) throw new StartError("Debian's etcd-server is not under .cache/peers: run `node tools/peers.mjs`");
  const dir = mkdtempSync(join(tmpdir(), "kubelab-swap-"));
  try {
    chmodSync(dir, 0o755); // tests run labs as other users, too
    const binary = join(dir, "etcd");
    copyFileSync(etcd, binary);
    const version = /etcd Version: (\S+)/.exec(execFileSync(etcd, ["--version"], { encoding: "utf8" }))?.[1];
    const stores = [
      { title: "kubelab", up: [], env: {} },
      { title: `etcd ${version}`, up: ["--store-binary", binary], env: { KUBELAB_STORE_BINARY: binary } },
    ];
    const rows = new Map<string, Cell[]>();
    const add = (row: string, cell: Cell) => {
      console.error(`${row}: ${cell.text}`);
      rows.set(row, [...(rows.get(row) ?? []), cell]);
    };
    for (const file of flags.tests)
      for (const { title, env } of stores) {
        if (signal.aborted) return;
        console.error(`${title}: ${file}`);
        add(`tests: \`${file}\``, await tests(file, env, join(dir, "result.json")));
      }
    for (const { title, up } of stores)
      for await (const { name, ...cell } of experiments(flags.experiments, flags.seed, up, join(dir, "home"), title)) {
        if (signal.aborted) return;
        add(`experiment: ${name}`, cell);
      }
    const when = new Date(systemClock.now()).toISOString().slice(0, 10);
    const page = existsSync(flags.out) ? readFileSync(flags.out, "utf8") : "";
    const titles = stores.map(({ title }) => title);
    const made = `${when}, Node ${process.version}, seed ${flags.seed}`;
    writeFileSync(flags.out, replaceTable(page, mergeRows(page, titles, made, rows)));
    if ([...rows.values()].flat().some(({ good }) => !good)) throw new Error("not everything passed: see the table");
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

/** Its exit code is told by what it leaves behind. */
function run(
  program: string,
  args: string[],
  env: Record<string, string>,
): Promise<{ stdout: string; stderr: string }> {
  const options = { env: { ...process.env, ...env }, maxBuffer: 1 << 28 };
  return new Promise((resolve) => {
    execFile(program, args, options, (_, stdout, stderr) => resolve({ stdout, stderr }));
  });
}

async function tests(file: string, env: Record<string, string>, to: string): Promise<Cell> {
  const args = ["vitest", "run", "--project", "e2e", file, "--reporter=json", `--outputFile=${to}`];
  const { stderr } = await run("npx", args, env);
  if (!existsSync(to)) throw new Error(`${file}: ${stderr}`);
  const report = JSON.parse(readFileSync(to, "utf8")) as TestReport;
  rmSync(to);
  const { cell, problems } = cellOf(report);
  for (const problem of problems) console.error(problem);
  return cell;
}

/** All on one lab, one after the other. */
async function* experiments(
  names: readonly string[],
  seed: number,
  up: string[],
  home: string,
  title: string,
): AsyncGenerator<Cell & { name: string }> {
  const kubelab = (...args: string[]) => run(process.execPath, [resolve("dist/kubelab.mjs"), ...args], { HOME: home });
  if (names.length === 0) return;
  const { stdout, stderr } = await kubelab("up", "--name=swap", "--detach", "--nodes=3", "--apiservers=2", ...up);
  if (stdout === "") throw new Error(`kubelab up: ${stderr}`);
  try {
    for (const name of names) {
      console.error(`${title}: experiment ${name}`);
      const out = join(home, `${title.replace(/\W/g, "-")}-${name}`);
      const args = [name, "--lab=swap", `--seed=${seed}`, `--out=${out}`, "--json"];
      yield { name, ...outcome(await kubelab("experiment", "run", ...args)) };
    }
  } finally {
    await kubelab("down", "--name", "swap");
    rmSync(home, { recursive: true, force: true });
  }
}

function outcome({ stdout, stderr }: { stdout: string; stderr: string }): Cell {
  if (stdout === "") {
    console.error(stderr);
    const refused = noHook.test(stderr);
    return { good: refused, text: refused ? "refused: needs a hook in the member" : "could NOT be run" };
  }
  const { failovers, violations, verdict, expectations } = JSON.parse(stdout) as RunFile;
  if (verdict !== "passed") console.error(stderr);
  const why = [
    ...violations.slice(0, 1).map(({ message }) => message),
    ...expectations.filter(({ met }) => !met).map(({ name, value, limit }) => `${name} ${value}, limit ${limit}`),
  ];
  const gaps = failovers.map(({ gapMs }) => Math.round(gapMs)).join(", ");
  const told = `${verdict === "passed" ? verdict : verdict.toUpperCase()}${why.length > 0 ? ` (${why.join("; ")})` : ""}`;
  return { good: verdict === "passed", text: gaps ? `${told}; gaps ${gaps} ms` : told };
}
