/**
 * `npm run swap-matrix`: the same end-to-end tests and the same ready experiments on our members and on three members of
 * Debian's etcd-server under our apiserver. Writes the table of `docs/swap.md`; exits with 1 when a test failed or a run did not pass.
 */
import { execFile, execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { parseFlags } from "../../base/flags.ts";
import { createLogger } from "../../base/logger.ts";
import { runProcess, StartError } from "../../base/process.ts";
import { peer } from "../../tools/peers.ts";
import type { RunFile } from "../experiments/run.ts";
import { type Cell, inTable, replaceTable } from "./table.ts";

const flagSpec = {
  tests: {
    type: "strings",
    default: ["deploy/e2e/cluster.e2e.test.ts", "deploy/e2e/kubectl.e2e.test.ts"] as string[],
    help: "files of tests",
  },
  experiments: {
    type: "strings",
    default: [
      "kill-leader",
      "rolling-kills",
      "hanging-leader",
      "leader-partition",
      "minority-partition",
      "restart-all",
    ] as string[],
    help: "names of ready experiments",
  },
  seed: { type: "number", default: 1, help: "of the experiments" },
  out: { type: "string", default: "docs/swap.md", help: "the page whose table is written" },
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
    const add = (row: string, cell: Cell) => rows.set(row, [...(rows.get(row) ?? []), cell]);
    for (const { title, up, env } of stores) {
      for (const file of flags.tests) {
        if (signal.aborted) return;
        console.error(`${title}: ${file}`);
        add(`tests: \`${file}\``, await tests(file, env, join(dir, "result.json")));
      }
      for (const cell of await experiments(flags.experiments, flags.seed, up, join(dir, "home"), title, signal))
        add(`experiment: ${cell.name}`, cell);
    }
    const when = new Date(systemClock.now()).toISOString().slice(0, 10);
    const table = inTable(
      stores.map(({ title }) => title),
      rows,
    );
    const page = existsSync(flags.out) ? readFileSync(flags.out, "utf8") : "";
    writeFileSync(flags.out, replaceTable(page, `${table}\n\n${when}, Node ${process.version}, seed ${flags.seed}.`));
    console.log(table);
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
  await run("npx", args, env);
  const { numPassedTests: passed, numFailedTests: failed } = JSON.parse(readFileSync(to, "utf8")) as Record<
    string,
    number
  >;
  rmSync(to);
  return {
    good: failed === 0 && passed! > 0,
    text: failed === 0 ? `${passed} passed` : `${passed} passed, ${failed} FAILED`,
  };
}

/** All on one lab, one after the other. */
async function experiments(
  names: readonly string[],
  seed: number,
  up: string[],
  home: string,
  title: string,
  signal: AbortSignal,
): Promise<(Cell & { name: string })[]> {
  const kubelab = async (...args: string[]) => {
    const { stdout, stderr } = await run(process.execPath, [resolve("dist/kubelab.mjs"), ...args], { HOME: home });
    if (stdout === "") throw new Error(`kubelab ${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  const cells: (Cell & { name: string })[] = [];
  if (names.length === 0) return cells;
  await kubelab("up", "--name", "swap", "--detach", "--nodes", "0", ...up);
  try {
    for (const name of names) {
      if (signal.aborted) return cells;
      console.error(`${title}: experiment ${name}`);
      const out = join(home, `${title.replace(/\W/g, "-")}-${name}`);
      const run = JSON.parse(
        await kubelab("experiment", "run", name, "--lab", "swap", "--seed", `${seed}`, "--out", out, "--json"),
      ) as RunFile;
      const gaps = run.failovers.map(({ gapMs }) => Math.round(gapMs));
      const why = run.violations[0] ? ` (${run.violations[0].message})` : "";
      const text = gaps.length > 0 ? `${run.verdict}${why}; gaps ${gaps.join(", ")} ms` : `${run.verdict}${why}`;
      cells.push({ name, good: run.verdict === "passed", text });
    }
  } finally {
    await kubelab("down", "--name", "swap");
    rmSync(home, { recursive: true, force: true });
  }
  return cells;
}
