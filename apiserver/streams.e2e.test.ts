import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { PassThrough, type Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { Attach, Exec, KubeConfig, PortForward } from "@kubernetes/client-node";
import { afterAll, beforeAll, describe, test } from "vitest";
import type { TestNode } from "../lab/testing/test-node/node.ts";
import { startTestNode } from "../lab/testing/test-node/testing.ts";
import { peer } from "../tools/peers.ts";
import { startTestApiserver, type TestApiserver } from "./testing.ts";

/** exec, attach, cp, port-forward, logs and proxy with real clients, to the test node's real processes. */
const beside = (name: string) =>
  (process.env["PATH"] ?? "")
    .split(delimiter)
    .filter((path) => existsSync(join(path, "kubectl")))
    .map((path) => join(dirname(realpathSync(join(path, "kubectl"))), name))
    .find((path) => existsSync(path));
const kubectls: [string, string | undefined, string][] = [
  ["1.33", beside("kubectl.1.33"), "WebSocket"],
  ["1.27", beside("kubectl.1.27"), "SPDY"],
  ["1.20", peer("kubectl"), "SPDY"],
];

let server: TestApiserver;
let node: TestNode;
/** How a subresource was last asked for: WebSocket begins with GET, SPDY with POST. */
const verbs = new Map<string, string>();
const home = mkdtempSync(join(tmpdir(), "streams-"));
const web = createServer(async (request, response) => {
  response.end(`${request.method} ${request.url} ${(await text(request)).length} ${"x".repeat(200_000)}`);
});
beforeAll(async () => {
  const write = (line: string) => {
    const { verb, objectRef = {} } = JSON.parse(line) as { verb: string; objectRef?: { subresource?: string } };
    if (objectRef.subresource) verbs.set(objectRef.subresource, verb);
  };
  server = await startTestApiserver({
    audit: { policy: { rules: [{ level: "Metadata" }] } as never, log: { write, close() {} } },
  });
  node = await startTestNode(server);
  web.listen(0, "127.0.0.1");
  await once(web, "listening");
});
afterAll(async () => {
  web.close();
  node?.close();
  await server?.close();
  rmSync(home, { recursive: true, force: true });
});
const port = () => (web.address() as AddressInfo).port;

describe.each(kubectls)("kubectl %s", (_version, binary, kind) => {
  const started: ChildProcess[] = [];
  afterAll(() => {
    for (const child of started) child.kill("SIGKILL");
  });
  const start = (...args: string[]) => {
    const env = { ...process.env, HOME: home };
    const child = spawn(binary!, ["--kubeconfig", server.kubeconfig, ...args], { env });
    started.push(child);
    return child;
  };
  const run = async (args: string[], input = "") => {
    const child = start(...args);
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
    return { out, err, code: child.exitCode };
  };
  const have = test.skipIf(!binary);

  have("exec: output, errors and the exit code", async () => {
    const { out, err, code } = await run(["exec", "one", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert.deepEqual([out, err, code], ["out\n", "err\ncommand terminated with exit code 7\n", 7]);
    assert.equal(verbs.get("exec"), kind === "SPDY" ? "create" : "get");
    assert.match(node.asked.at(-1)!, /^POST \/exec\/default\/one\/c\?.* SPDY\/3.1 by kube-apiserver-kubelet-client$/);
  });

  have("exec -i: megabytes there and back, and the end of the input", async () => {
    const input = "0123456789abcdef".repeat(300_000);
    const { out, err, code } = await run(["exec", "-i", "one", "--", "cat"], input);
    assert.deepEqual([err, code, out.length, out === input], ["", 0, input.length, true]);
  });

  have("exec of a program that there is not", async () => {
    const { err, code } = await run(["exec", "one", "--", "/nope"]);
    assert.equal(code, 1);
    assert.match(err, /spawn \/nope ENOENT/);
  });

  have("attach -i: to the process that runs", async () => {
    node.run("default/one/c", ["sh", "-c", "read line; echo got $line"]);
    const { out } = await run(["attach", "-i", "one", "-c", "c"], "a line\n");
    assert.match(out, /got a line\n$/);
  });

  have("cp: there and back", async () => {
    const [from, there, back] = ["from", "there", "back"].map((name) => join(home, `${name}-${_version}`));
    writeFileSync(from!, Buffer.alloc(1_000_000, "kubelab "));
    const to = await run(["cp", from!, `one:${there}`]);
    assert.deepEqual([to.code, to.err], [0, ""]);
    assert.equal((await run(["cp", `one:${there}`, back!])).code, 0);
    assert.ok(readFileSync(back!).equals(readFileSync(from!)));
  });

  have("logs -f: until the end", async () => {
    node.run("default/one/c", ["sh", "-c", "echo one; read line; echo two"]);
    const child = start("logs", "-f", "one");
    const output = text(child.stdout);
    await once(child.stdout, "data");
    await run(["attach", "-i", "one", "-c", "c"], "go\n");
    assert.equal(await output, "one\ntwo\n");
  });

  have(`port-forward over ${kind}: several connections at once`, async () => {
    const child = start("port-forward", "pod/one", `:${port()}`);
    const [, local] = await said(child.stdout, /Forwarding from 127.0.0.1:(\d+)/);
    const ask = async (path: string) =>
      (await fetch(`http://127.0.0.1:${local}/${path}`, { method: "POST", body: "y".repeat(300_000) })).text();
    const answers = await Promise.all(["a", "b", "c"].map(ask));
    for (const [i, answer] of answers.entries()) {
      assert.equal(answer.slice(0, 15), `POST /${"abc"[i]} 300000 `);
      assert.equal(answer.length, 200_015);
    }
    assert.equal(verbs.get("portforward"), kind === "SPDY" ? "create" : "get");
    assert.match(node.asked.at(-1)!, /^POST \/portForward\/default\/one/);
  });

  have("port-forward to a port where nobody is tells so", async () => {
    const child = start("port-forward", "pod/one", ":1");
    const [, local] = await said(child.stdout, /Forwarding from 127.0.0.1:(\d+)/);
    const told = said(child.stderr, /an error occurred forwarding.*ECONNREFUSED/);
    connect(Number(local), "127.0.0.1")
      .on("error", () => {})
      .end("x");
    await told;
  });

  have("proxy: to the Pod and to its node", async () => {
    const child = start("proxy", "--port=0");
    const [, local] = await said(child.stdout, /Starting to serve on 127.0.0.1:(\d+)/);
    const at = `http://127.0.0.1:${local}/api/v1/namespaces/default/pods/one:${port()}/proxy/a/b?c`;
    const answer = await fetch(at, { method: "PUT", body: "12345" });
    assert.equal((await answer.text()).slice(0, 13), "PUT /a/b?c 5 ");
    node.run("default/one/c", ["echo", "said"]);
    const log = ["get", "--raw", "/api/v1/nodes/n1/proxy/containerLogs/default/one/c?follow=true"];
    assert.equal((await run(log)).out, "said\n");
  });
});

describe("client-node", () => {
  const config = new KubeConfig();
  beforeAll(() => config.loadFromFile(server.kubeconfig));

  test("Exec: input, output and the status", async () => {
    const [input, output, errors] = [new PassThrough(), new PassThrough(), new PassThrough()];
    const status = new Promise<{ status?: string; details?: { causes?: { message?: string }[] } }>(
      (resolve, reject) => {
        const command = ["sh", "-c", "read a; echo $a; exit 3"];
        new Exec(config).exec("default", "one", "c", command, output, errors, input, false, resolve).catch(reject);
      },
    );
    input.write("hello\n");
    assert.equal((await status).details?.causes?.[0]?.message, "3");
    assert.equal(output.read()?.toString(), "hello\n");
  });

  test("Attach: to the process that runs", async () => {
    node.run("default/one/c", ["sh", "-c", "read line; echo got $line"]);
    const [input, output] = [new PassThrough(), new PassThrough()];
    await new Attach(config).attach("default", "one", "c", output, null, input, false);
    input.write("x\n");
    await said(output, /got x/);
  });

  test("PortForward: bytes both ways", async () => {
    const [input, output, errors] = [new PassThrough(), new PassThrough(), new PassThrough()];
    await new PortForward(config).portForward("default", "one", [port()], output, errors, input);
    input.write("GET /there HTTP/1.0\r\n\r\n");
    await said(output, /GET \/there 0 /);
  });
});

/** The first match in what comes. */
function said(stream: Readable, wanted: RegExp): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    let all = "";
    stream.on("data", (chunk: Buffer) => {
      all += chunk;
      const match = wanted.exec(all);
      if (match) resolve(match);
    });
    stream.on("end", () => reject(new Error(`never said ${wanted}: ${all}`)));
  });
}
