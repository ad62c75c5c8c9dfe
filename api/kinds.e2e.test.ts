import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApiserver, type TestApiserver } from "../apiserver/testing.ts";
import { peer } from "../tools/peers.ts";
import { examples } from "./examples.testing.ts";
import { resources } from "./resources.ts";

/**
 * Every kind that is served, as the newest and the oldest kubectl see it: an example is applied, is unchanged when it is
 * applied again, is read back with its columns, and goes.
 */
let server: TestApiserver;
const home = mkdtempSync(join(tmpdir(), "kinds-"));
beforeAll(async () => {
  server = await startTestApiserver();
});
afterAll(async () => {
  await server?.close();
  rmSync(home, { recursive: true, force: true });
});

/** The newest beside the one in PATH. */
function newest(): string | undefined {
  const found = (process.env["PATH"] ?? "")
    .split(delimiter)
    .map((dir) => join(dir, "kubectl"))
    .find((path) => existsSync(path));
  if (found === undefined) return undefined;
  const dir = dirname(realpathSync(found));
  const version = (name: string) => Number(name.split(".")[2]);
  const names = readdirSync(dir).filter((name) => /^kubectl\.1\.\d+$/.test(name));
  return join(dir, names.sort((a, b) => version(b) - version(a))[0] ?? "kubectl");
}

const kubectls = [...new Set([newest(), peer("kubectl")])].filter((path) => path !== undefined);

test("there is an example of every kind that clients make", () => {
  const stored = resources().filter(({ virtual }) => !virtual);
  const made = stored.map(({ group, version, kind }) => `${group ? `${group}/` : ""}${version} ${kind}`);
  const serversOwn = ["v1 Endpoints", "v1 Event", "v1 Namespace", "v1 Node", "v1 Pod", "events.k8s.io/v1 Event"];
  const others = ["v1 ConfigMap", "v1 Secret", "v1 ServiceAccount", "v1 Service", "coordination.k8s.io/v1 Lease"];
  const shown = ["apps/v1 Deployment", "apps/v1 ReplicaSet", "discovery.k8s.io/v1 EndpointSlice"];
  const expected = made.filter((kind) => ![...serversOwn, ...others, ...shown].includes(kind));
  expect(Object.keys(examples).sort()).toEqual(expected.sort());
});

describe.skipIf(kubectls.length === 0).each(kubectls)("%s", (binary) => {
  const run = (...args: string[]): Promise<string> =>
    new Promise((resolve, reject) => {
      const env = {
        PATH: process.env["PATH"],
        HOME: join(home, String(kubectls.indexOf(binary))),
        KUBECONFIG: server.kubeconfig,
      };
      execFile(binary, args, { env, timeout: 60_000 }, (error, stdout, stderr) =>
        error ? reject(new Error(`kubectl ${args.join(" ")}: ${stdout}${stderr}`)) : resolve(stdout),
      );
    });

  test.each(Object.entries(examples))("%s", async (title, { body, columns, again = "unchanged", until }) => {
    const [apiVersion, kind] = title.split(" ") as [string, string];
    const row = resources().find(
      (r) => r.kind === kind && apiVersion === (r.group ? `${r.group}/${r.version}` : r.version),
    )!;
    const path = join(home, `${kind}.json`);
    const name = "metadata" in body ? (body.metadata as { name: string }).name : "example";
    writeFileSync(path, JSON.stringify({ apiVersion, kind, metadata: { name }, ...body }));
    const resource = `${row.resource}.${row.version}.${row.group}`;
    const id = `${row.singular}${row.group ? `.${row.group}` : ""}/${name}`;
    expect(await run("apply", "-f", path)).toBe(`${id} created\n`);
    // Old ones compare the lists of kinds that they do not know as a whole, and find defaults in them.
    if (binary === kubectls[0]) expect(await run("apply", "-f", path)).toBe(`${id} ${again}\n`);
    expect(await run("get", resource, name, "-o", "jsonpath={.kind} {.apiVersion}")).toBe(`${kind} ${apiVersion}`);
    if (until) await run("wait", `--for=${until}`, resource, name);
    const [head = "", line = ""] = (await run("get", resource, name, "-o", "wide")).split("\n");
    const cells = (text: string) => text.trim().split(/ {2,}/);
    expect(cells(head)).toEqual(row.columns.map((c) => c.name.toUpperCase()));
    const age = /^\d+s$|^\d{4}-.*Z$/;
    const steady = (cell: string) => (age.test(cell) ? "AGE" : cell.replace(/[0-9a-f]{8}-[0-9a-f-]{27}$/, "UID"));
    expect(cells(line).map(steady)).toEqual([name, ...columns]);
    if (binary === kubectls[0])
      expect(await run("explain", resource.split(".")[0]!, `--api-version=${apiVersion}`)).toContain(`KIND:`);
    expect(await run("delete", resource, name, "--wait=false")).toContain("deleted");
    // Their controllers, which let them go, are not here.
    if (kind.startsWith("PersistentVolume"))
      await run("patch", resource, name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}');
  });
});
