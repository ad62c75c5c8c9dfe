import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { peer } from "../tools/peers.ts";
import { call } from "./http.testing.ts";
import { startTestApiserver, type TestApiserver } from "./testing.ts";

/**
 * kubectl's commands against the server, one test each, in the order of the script `testdata/kubectl/commands.txt`. What
 * a version prints stands in its transcript beside it, with ages, addresses and the like made equal; UPDATE=1 writes it.
 *
 *   kubectl get pods           a command
 *   PATCH /path {json}         what a node or controller would do in between
 */
const dir = "apiserver/testdata/kubectl";
const script = readFileSync(join(dir, "commands.txt"), "utf8")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"));

const beside = (process.env["PATH"] ?? "")
  .split(delimiter)
  .map((path) => join(path, "kubectl"))
  .filter((path) => existsSync(path))
  .map((path) => dirname(realpathSync(path)))
  .flatMap((path) => readdirSync(path).flatMap((name) => (/^kubectl\.1\.\d+$/.test(name) ? [join(path, name)] : [])));
/** The newest of all, the oldest that the API still supports, and Debian's, which is older. */
const kubectls: [string, string | undefined][] = [
  ["1.33", beside.find((path) => path.endsWith("kubectl.1.33"))],
  ["1.27", beside.find((path) => path.endsWith("kubectl.1.27"))],
  ["1.20", peer("kubectl")],
];

let server: TestApiserver;
const home = mkdtempSync(join(tmpdir(), "kubectl-commands-"));
beforeAll(async () => {
  server = await startTestApiserver();
});
afterAll(async () => {
  await server?.close();
  rmSync(home, { recursive: true, force: true });
});

describe.each(kubectls)("kubectl %s", (version, binary) => {
  const namespace = `kubectl-${version.replace(".", "-")}`;
  const own = join(home, version);
  const path = join(dir, `${version}.txt`);
  const update = process.env["UPDATE"] !== undefined;
  /** One section a command, in the order of the script. */
  const told = (existsSync(path) ? readFileSync(path, "utf8") : "").split(/^(?=\$ )/m);
  const written: string[] = [];

  /** What differs from run to run. */
  const steady = (text: string) =>
    text
      .replaceAll(own, "HOME")
      .replace(/^diff -u[\s\S]*?(?=^exit)/gm, (diff) => diff.replace(/^(?![-+] .*(replicas|generation): ).*\n/gm, ""))
      .replaceAll(namespace, "NAMESPACE")
      .replaceAll(server.url, "https://SERVER")
      .replaceAll(new URL(server.url).host, "SERVER")
      .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, "TIME")
      .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [+-]\d{4}/g, "TIME")
      .replace(/:3\d{4}\/TCP|( {2})3\d{4}\/TCP/g, "$1PORT/TCP")
      .replace(/\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}/g, "TIME")
      .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "UID")
      .replace(/(resourceVersion"?: ?)"\d+"/g, '$1"N"')
      .replace(/10\.(9[6-9]|1[01]\d)\.\d+\.\d+/g, "IP")
      .replace(/debugger-\w{5}/g, "debugger-XXXXX")
      .replace(/\/(LIVE|MERGED)-\d+/g, "/$1-N")
      .replace(/(?<=\s|^)(\d+[smhd]){1,2}(?=\s|$)/gm, "AGE")
      .replace(/ {2,}/g, "  ")
      .replace(/[ \t]+$/gm, "");

  const run = (line: string): Promise<string> =>
    new Promise((resolve) => {
      const args = [...line.matchAll(/'([^']*)'|(\S+)/g)].map((m) => m[1] ?? m[2]!).slice(1);
      const env = {
        PATH: process.env["PATH"],
        HOME: own,
        KUBECONFIG: server.kubeconfig,
        KUBE_EDITOR: "sed -i s/before/after/",
        TZ: "UTC",
      };
      execFile(binary!, ["-n", namespace, ...args], { env, cwd: own, timeout: 60_000 }, (error, stdout, stderr) =>
        resolve(`${stdout}${stderr}${error ? `exit ${error.code}\n` : ""}`),
      );
    });

  const act = async (written: string): Promise<string> => {
    const line = written.replaceAll("NAMESPACE", namespace);
    if (line.startsWith("kubectl ")) return steady(await run(line)).replace(/[^\n]$/, "$&\n");
    const [method, path, ...body] = line.split(" ") as [string, string];
    const headers = { "content-type": method === "PATCH" ? "application/merge-patch+json" : "application/json" };
    const { code } = await call(server, path, { method, body: body.join(" "), headers });
    return `${code}\n`;
  };

  beforeAll(async () => {
    mkdirSync(own, { recursive: true });
    await call(server, "/api/v1/namespaces", { method: "POST", body: { metadata: { name: namespace } } });
    for (const name of readdirSync(join(dir, "files")))
      writeFileSync(join(own, name), readFileSync(join(dir, "files", name)));
  });
  afterAll(() => {
    if (update && binary) writeFileSync(path, written.join(""));
  });

  test.skipIf(!binary).each(script)("%s", async (line) => {
    const text = await act(line);
    const section = `$ ${line}\n${text}`;
    const index = written.push(section) - 1;
    if (!update) assert.equal(section, told[index]);
  });
});

describe.skipIf(!kubectls[0]![1])("kubectl as upstream's suite runs it", () => {
  const binary = kubectls[0]![1]!;
  const run = (...args: string[]): Promise<{ code: number; text: string }> =>
    new Promise((resolve) => {
      const env = { PATH: process.env["PATH"], HOME: home, KUBECONFIG: server.kubeconfig };
      execFile(binary, args, { env, timeout: 60_000 }, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code), text: `${stdout}${stderr}` }),
      );
    });

  test("Kubectl api-versions should check if v1 is in available api versions", async () => {
    assert.match((await run("api-versions")).text, /^v1$/m);
  });

  test("Kubectl cluster-info should check if Kubernetes control plane services is included in cluster-info", async () => {
    assert.match((await run("cluster-info")).text, /Kubernetes control plane.* is running at .*https:\/\//);
  });

  test("Kubectl version should check is all data is printed", async () => {
    const { text } = await run("version", "-o", "json");
    const { clientVersion, serverVersion } = JSON.parse(text);
    for (const version of [clientVersion, serverVersion])
      for (const key of ["major", "minor", "gitVersion", "platform"]) assert.ok(version[key], key);
  });

  test("Kubectl diff should check if kubectl diff finds a difference for Deployments", async () => {
    const manifest = (image: string) => ({
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "httpd-deployment" },
      spec: {
        selector: { matchLabels: { app: "httpd" } },
        template: { metadata: { labels: { app: "httpd" } }, spec: { containers: [{ name: "httpd", image }] } },
      },
    });
    const file = join(home, "httpd.json");
    writeFileSync(file, JSON.stringify(manifest("httpd:1")));
    await run("create", "-f", file);
    assert.equal((await run("diff", "-f", file)).code, 0);
    writeFileSync(file, JSON.stringify(manifest("busybox:1")));
    const { code, text } = await run("diff", "-f", file);
    assert.equal(code, 1);
    assert.match(text, /^-\s+- image: httpd:1$/m);
    assert.match(text, /^\+\s+- image: busybox:1$/m);
  });

  const proxy = async (args: string[], started: RegExp, ask: (match: RegExpExecArray) => object) => {
    const env = { PATH: process.env["PATH"], HOME: home, KUBECONFIG: server.kubeconfig };
    const child = spawn(binary, ["proxy", ...args], { env, stdio: ["ignore", "pipe", "inherit"] });
    try {
      let text = "";
      child.stdout.setEncoding("utf8");
      for await (const chunk of child.stdout) {
        text += chunk;
        if (started.test(text)) break;
      }
      const body = await new Promise<string>((resolve, reject) => {
        const outgoing = request({ path: "/api/", ...ask(started.exec(text)!) }, (incoming) => {
          let all = "";
          incoming.setEncoding("utf8").on("data", (chunk: string) => (all += chunk));
          incoming.on("end", () => resolve(all));
        });
        outgoing.on("error", reject).end();
      });
      assert.equal(JSON.parse(body).kind, "APIVersions");
    } finally {
      child.kill();
    }
  };

  test("Proxy server should support proxy with --port 0", () =>
    proxy(["--port=0"], /Starting to serve on (127\.0\.0\.1):(\d+)/, ([, host, port]) => ({ host, port })));

  test("Proxy server should support --unix-socket=/path", () =>
    proxy([`--unix-socket=${join(home, "socket")}`], /Starting to serve on (\S+)/, ([, socketPath]) => ({
      socketPath,
    })));
});
