import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { eventually, finish, type Result, TestLab } from "../../deploy/testing/lab.ts";
import { freePorts } from "../../etcd-raft/server/testing.ts";
import { createAuthority } from "../../pki/authority.ts";
import { peer } from "../../tools/peers.ts";
import type { RunFile } from "./run.ts";

const etcd = peer("etcd");
const library = "lab/experiments/library";
const bundle = resolve("dist/kubelab.mjs");
/** Run at full size by the guide's own commands, below. */
const inTheGuide = ["kill-leader", "hanging-leader"];

/**
 * The times of a ready experiment made small, what it expects of times taken away: what is left is what must hold on any
 * machine. A node's death has times of its own (the preset's), so its experiment stays as it is.
 */
function small(name: string): string {
  const source = parse(readFileSync(join(library, `${name}.yaml`), "utf8")) as Record<string, unknown>;
  const shrink = name === "node-kill" ? 1 : name === "rolling-update" || name === "control-plane-kill" ? 2 : 3;
  const times = (value: unknown, key = ""): unknown => {
    if (Array.isArray(value)) return value.map((one) => times(one));
    if (typeof value === "object" && value !== null)
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, times(inner, key)]));
    const isTime = ["at", "for", "from", "until", "every", "duration"].includes(key);
    const [, number, unit] = /^(\d+)(ms|s)$/.exec(String(value)) ?? [];
    return isTime ? `${Math.round((Number(number) * (unit === "s" ? 1000 : 1)) / shrink)}ms` : value;
  };
  const expected = Object.entries(source["expect"] as object).filter(([name]) => !name.endsWith("Ms"));
  return stringify({ ...(times(source) as object), expect: Object.fromEntries([...expected, ["lostWrites", 0]]) });
}

describe("experiments", () => {
  const lab = new TestLab("experiments");
  const run = (...args: string[]) => lab.run(process.execPath, [bundle, ...args]);
  const runFile = (dir: string) => JSON.parse(readFileSync(join(dir, "run.json"), "utf8")) as RunFile;
  const lines = (dir: string, file: string) => readFileSync(join(dir, file), "utf8").split("\n").filter(Boolean);
  const said = ({ stdout, stderr }: Result) => `${stdout}\n${stderr}`;

  afterAll(() => lab.remove());

  describe("on one lab, one after the other", () => {
    beforeAll(async () => {
      await lab.up("--nodes", "3", "--apiservers", "2");
    });

    // The node's death comes first: as long as nobody was evicted, each node has a Pod to lose.
    const names = ["node-kill", ...readdirSync(library).map((file) => basename(file, ".yaml"))];
    for (const name of new Set(names.filter((name) => !inTheGuide.includes(name))))
      test(`${name} passes and leaves its folder`, async () => {
        const [file, out] = [join(lab.home, `${name}.yaml`), join(lab.home, name)];
        writeFileSync(file, small(name));
        const result = await run("experiment", "run", file, "--lab", lab.name, "--seed", "7", "--out", out);
        expect(result.code, said(result)).toBe(0);
        const { verdict, phases, failovers, clocks, expectations } = runFile(out);
        expect(verdict).toBe("passed");
        expect(expectations.length).toBeGreaterThan(0);
        expect(clocks.map(({ when }) => when)).toEqual(["before", "during", "after"]);
        expect(clocks.every(({ offsetMs, errorMs }) => offsetMs === 0 && errorMs < 50)).toBe(true);
        expect(phases.length).toBe(2 + failovers.length);
        expect(lines(out, "events.jsonl").length).toBeGreaterThan(0);
        expect(lines(out, "metrics.jsonl").some((line) => line.includes("etcd-1"))).toBe(true);
        if (name === "node-kill")
          expect(failovers[0]!.steps.map((step) => step.name)).toEqual([
            "node dead",
            "NotReady",
            "evicted",
            "bound",
            "Running",
            "first answer",
          ]);
        expect(JSON.parse((await run("faults", "--name", lab.name, "--json")).stdout)).toEqual([]);
      });

    test("what was expected and did not come fails the run, in JSON and JUnit too", async () => {
      const file = join(lab.home, "hopeless.yaml");
      const workload = { store: { writers: 2, rate: 50 } };
      writeFileSync(file, stringify({ description: "x", workload, duration: "1s", expect: { throughputMin: 1e6 } }));
      const junit = join(lab.home, "junit.xml");
      const out = join(lab.home, "hopeless");
      const options = ["--lab", lab.name, "--out", out, "--repetitions", "2", "--json", "--junit", junit];
      const result = await run("experiment", "run", file, ...options);
      expect(result.code, said(result)).toBe(1);
      expect(result.stderr).toMatch(/load is on for 1 s\n(.*\n)*healed; waiting/); // progress, not in what is parsed
      const runs = JSON.parse(result.stdout) as RunFile[];
      expect(runs.map(({ verdict, repetition }) => [verdict, repetition])).toEqual([
        ["failed", 1],
        ["failed", 2],
      ]);
      expect(readFileSync(junit, "utf8")).toContain('failures="2"');
      expect(existsSync(join(out, "2", "history.jsonl"))).toBe(true);
      const compared = join(out, "2", "compare.html"); // beside what is compared, wherever one stands
      expect((await run("experiment", "compare", join(out, "1"), join(out, "2"))).stdout).toBe(`${compared}\n`);
      expect(readFileSync(compared, "utf8")).toContain("<h1>1");
    });

    test("Ctrl-C heals and ends it, its folder has what was seen, and the lab goes on", async () => {
      const file = join(lab.home, "long.yaml");
      const schedule = [{ at: "100ms", fault: "pause", target: "follower" }];
      writeFileSync(
        file,
        stringify({ description: "x", workload: { store: { writers: 2 } }, schedule, duration: "10m" }),
      );
      const out = join(lab.home, "interrupted");
      const args = [bundle, "experiment", "run", file, "--lab", lab.name, "--out", out];
      const child = spawn(process.execPath, args, lab.spawnOptions);
      const ended = finish(child);
      await eventually("a paused member", async () =>
        (await run("faults", "--name", lab.name)).stdout.includes("pause"),
      );
      child.kill("SIGINT");
      const { code, stderr } = await ended;
      expect(stderr).toContain(`interrupted; the lab is healed, what was seen is in ${out}`);
      expect(code).toBe(2);
      const { verdict, violations, failovers } = runFile(out);
      expect([verdict, failovers[0]!.fault.split(" ")[0]]).toEqual(["unknown", "pause"]);
      expect(violations.map(({ message }) => message)).toEqual(["no verdict: interrupted"]);
      expect(readFileSync(join(out, "report.html"), "utf8")).toContain("no verdict");
      expect(lines(out, "history.jsonl").length).toBeGreaterThan(1); // where it began, and what was asked
      expect(JSON.parse((await run("faults", "--name", lab.name, "--json")).stdout)).toEqual([]);
    });

    test("what cannot be run is told in lines, with exit code 2", async () => {
      const file = join(lab.home, "wrong.yaml");
      writeFileSync(file, "description: x\nworkload: { stor: 1 }\nduration: 1\n");
      expect(await run("experiment", "run", file)).toMatchObject({
        code: 2,
        stderr:
          `kubelab: ${file}:2: workload.stor is not known; allowed: store, apply, api, http\n` +
          `${file}:3: duration must be a duration such as 500ms or 4s, not 1\n`,
      });
      expect((await run("experiment", "run", "nothing")).stderr).toMatch(
        /^kubelab: there is no file or ready experiment nothing/,
      );
      const one = await run("experiment", "run", "minority-partition", "--lab", "nobody");
      expect(one).toMatchObject({ code: 2, stderr: expect.stringMatching(/there is no lab in .*nobody/) as unknown });
    });

    test("the lab is taken down before the guide's own", () => lab.must("down"));
  });

  describe.skipIf(!etcd)("on a store that is not ours (Debian's etcd-server)", () => {
    const cluster = (store: string, members = 3) => ({
      ...(members > 0 && { members }),
      nodes: 0,
      mode: "host",
      store,
    });
    const write = (name: string, experiment: object): string => {
      const file = join(lab.home, `${name}.yaml`);
      writeFileSync(file, stringify({ description: "x", duration: "4s", ...experiment }));
      return file;
    };

    test("as the members: killed, and judged by its log", async () => {
      const schedule = [{ at: "1s", fault: "kill", target: "leader", for: "1s" }];
      const workload = { store: { writers: 2, readers: 1, watchers: 1, rate: 60 } };
      const file = write("binary", { cluster: cluster(etcd!), workload, schedule });
      const out = join(lab.home, "binary");
      const result = await run("experiment", "run", file, "--out", out);
      expect(result.code, said(result)).toBe(0);
      expect(runFile(out).versions.store).toMatch(/^etcd 3\.4/);
      expect(lines(out, "history.jsonl").some((line) => line.includes('"commit"'))).toBe(true);
    });

    /** `ca.crt`, `one.crt`, `one.key`: of a server and a client both, beside the YAML that names them. */
    async function writeCerts(): Promise<void> {
      const authority = await createAuthority("etcd-ca");
      const usages = ["server", "client"] as const;
      const { cert, key } = await authority.issue({
        commonName: "one",
        ipAddresses: ["127.0.0.1"],
        usages: [...usages],
      });
      const files = { "ca.crt": authority.cert, "one.crt": cert, "one.key": key };
      for (const [file, text] of Object.entries(files)) writeFileSync(join(lab.home, file), text, { mode: 0o644 });
    }

    test.each([
      ["http", {}, {}],
      [
        "https",
        { "client-cert-auth": "true", "trusted-ca-file": "ca.crt", "cert-file": "one.crt", "key-file": "one.key" },
        { storeCafile: "ca.crt", storeCertfile: "./one.crt", storeKeyfile: "one.key" },
      ],
    ])("elsewhere, by %s: its API is judged, and who asks for more is told why not", async (scheme, serve, trust) => {
      const [port, peerPort] = await freePorts(2);
      const client = `${scheme}://127.0.0.1:${port}`;
      const urls = { "listen-client-urls": client, "advertise-client-urls": client };
      const flags = { ...urls, "listen-peer-urls": `http://127.0.0.1:${peerPort}`, "data-dir": `elsewhere-${scheme}` };
      const args = Object.entries({ ...flags, ...serve }).map(([k, v]) => `--${k}=${v}`);
      await writeCerts();
      const process = spawn(etcd!, args, { ...lab.spawnOptions, cwd: lab.home, stdio: "ignore" });
      try {
        const store = { ...cluster(client.replace("http", "etcd"), 0), ...trust };
        const schedule = [{ at: "1s", fault: "pause", target: "apiserver", for: "500ms" }];
        const api = { creates: 10, updates: 10, lists: 2, watches: 1 };
        const out = join(lab.home, `${scheme}-run`);
        const file = write(scheme, { cluster: store, workload: { api }, schedule });
        const result = await run("experiment", "run", file, "--out", out);
        expect(result.code, said(result)).toBe(0);
        expect(lines(out, "calls.jsonl").filter((line) => line.includes('"outcome":"ok"')).length).toBeGreaterThan(20);
        const more = await run(
          "experiment",
          "run",
          write("more", { cluster: store, workload: { store: { writers: 1 } } }),
        );
        expect(more).toMatchObject({ code: 2, stderr: expect.stringContaining("runs elsewhere") as unknown });
      } finally {
        process.kill("SIGKILL");
      }
    });
  });

  test("the commands of docs/experiments.md work, one after the other", async () => {
    const guide = readFileSync("docs/experiments.md", "utf8");
    const blocks = [...guide.matchAll(/```sh\n(.*?)```/gs)].map(([, block]) => block!);
    const commands = blocks
      .flatMap((block) => block.trim().split("\n"))
      .filter((line) => !line.startsWith("npm start"));
    expect(commands.length).toBeGreaterThan(7);
    for (const line of commands) {
      const command = line
        .replaceAll("npx kubelab", `${process.execPath} ${bundle}`)
        .replaceAll("/tmp/kubelab-", `${lab.home}/kubelab-`);
      const result = await lab.run("/bin/sh", ["-c", command]);
      expect(result.code, `${line}\n${said(result)}`).toBe(0);
    }
    const { failovers, verdict } = runFile(join(lab.home, "kubelab-run"));
    expect(verdict).toBe("passed");
    for (const { steps } of failovers)
      expect(steps.map((step) => step.name)).toEqual(["last ack", "death noticed", "election", "first ack"]);
    expect(readdirSync(join(lab.home, ".kubelab", "mine", "experiments"))).toHaveLength(1);
    expect(readdirSync(join(lab.home, ".kubelab"))).not.toContainEqual(expect.stringContaining("experiment-"));
  });
});
