import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { peer } from "../tools/peers.ts";
import { call } from "./http.testing.ts";
import { startTestApiserver, type TestApiserver } from "./testing.ts";

/** Real kubectl binaries against the real server: the newest and the oldest that lie on this machine, and all between. */
const found = (process.env["PATH"] ?? "")
  .split(delimiter)
  .map((dir) => join(dir, "kubectl"))
  .filter((path) => existsSync(path))
  .map((path) => dirname(realpathSync(path)));
const beside = [...new Set(found)].flatMap((dir) =>
  readdirSync(dir)
    .filter((name) => /^kubectl\.1\.\d+$/.test(name))
    .map((name): [string, string] => [name, join(dir, name)]),
);
const debian = peer("kubectl");
const kubectls: [string, string][] = [...beside, ...(debian ? [["Debian's kubectl", debian] as [string, string]] : [])];

let server: TestApiserver;
const home = mkdtempSync(join(tmpdir(), "kubectl-"));
beforeAll(async () => {
  server = await startTestApiserver();
});
afterAll(async () => {
  await server?.close();
  rmSync(home, { recursive: true, force: true });
});

const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 3
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
      - name: echo
        image: kubelab/echo
        ports: [{ containerPort: 8080 }]
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  type: NodePort
  selector: { app: web }
  ports: [{ port: 80, targetPort: 8080 }]
`;

describe.each(kubectls)("%s", (name, binary) => {
  const namespace = name.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  const file = join(home, `${namespace}.yaml`);
  const invalid = join(home, `${namespace}-invalid.yaml`);
  const env = () => ({ PATH: process.env["PATH"], HOME: join(home, namespace), KUBECONFIG: server.kubeconfig });

  /** Standard output and error together, as one sees them. */
  const kubectl = (...args: string[]): Promise<{ code: number; text: string }> =>
    new Promise((resolve) => {
      execFile(binary, ["-n", namespace, ...args], { env: env(), timeout: 60_000 }, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), text: `${stdout}${stderr}` }),
      );
    });
  const does = async (args: string[], ...patterns: RegExp[]) => {
    const { code, text } = await kubectl(...args);
    assert.equal(code, 0, `kubectl ${args.join(" ")}: ${text}`);
    for (const pattern of patterns) assert.match(text, pattern);
  };
  const fails = async (args: string[], pattern: RegExp) => {
    const { code, text } = await kubectl(...args);
    assert.notEqual(code, 0, `kubectl ${args.join(" ")} should fail: ${text}`);
    assert.match(text, pattern);
  };

  beforeAll(async () => {
    await call(server, "/api/v1/namespaces", { method: "POST", body: { metadata: { name: namespace } } });
    writeFileSync(file, manifest);
    writeFileSync(invalid, manifest.replace("replicas: 3", "replicas: -1"));
  });

  test("applies a manifest, again, and changed", async () => {
    await does(["apply", "-f", file], /deployment.apps\/web created/, /service\/web created/);
    await does(["apply", "-f", file], /deployment.apps\/web unchanged/, /service\/web unchanged/);
    writeFileSync(file, manifest.replace("replicas: 3", "replicas: 4"));
    await does(["apply", "-f", file], /deployment.apps\/web configured/);
    await does(["get", "deployment", "web", "-o", "jsonpath={.spec.replicas}"], /^4$/);
    await fails(["apply", "-f", invalid], /spec.replicas: Invalid value: -1: must be greater than or equal to 0/);
  });

  test("gets in every form", async () => {
    await does(["get", "deployments"], /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +0\/4 +0 +0 +\d+s/);
    await does(
      ["get", "deploy,svc", "-o", "wide"],
      /CONTAINERS +IMAGES +SELECTOR\n.*echo +kubelab\/echo +app=web/,
      /NodePort +10\.\S+ +<none> +80:3\d{4}\/TCP/,
    );
    await does(["get", "deploy", "web", "-o", "yaml"], /progressDeadlineSeconds: 600/, /imagePullPolicy: Always/);
    await does(["get", "svc", "web", "-o", "json"], /"internalTrafficPolicy": "Cluster"/);
    await does(["get", "deploy", "-o", "name"], /^deployment.apps\/web$/m);
    await does(["get", "all"], /service\/web/, /deployment.apps\/web/);
    await does(["get", "namespaces", "--sort-by=.metadata.name"], /default +Active/, /kube-system +Active/);
    await does(["get", "deploy", "-A", "-l", "app=none"], /No resources found/);
    await fails(["get", "deploy", "nope"], /Error from server \(NotFound\): deployments.apps "nope" not found/);
    await fails(["get", "nopes"], /the server doesn't have a resource type "nopes"/);
  });

  test("describes", async () => {
    await does(
      ["describe", "deployment", "web"],
      /Selector: +app=web/,
      /Image: +kubelab\/echo/,
      /StrategyType: +RollingUpdate/,
    );
    await does(["describe", "svc", "web"], /Type: +NodePort/, /TargetPort: +8080\/TCP/);
    await does(["describe", "namespace", namespace], /Status: +Active/);
  });

  test("reads protobuf where it asks for it first: from 1.32 on", async () => {
    const { text } = await kubectl("describe", "deployment", "web", "-v=8");
    const answered = /Content-Type: application\/vnd.kubernetes.protobuf/.test(text);
    assert.equal(answered, /\.1\.3[2-9]$/.test(name), text);
  });

  test("labels, annotates, patches in three ways, scales and sets the image", async () => {
    await does(["label", "deploy", "web", "tier=front"], /labeled/);
    await does(["annotate", "deploy", "web", "note=x"], /annotate/);
    await does(
      [
        "patch",
        "deploy",
        "web",
        "-p",
        '{"spec":{"template":{"spec":{"containers":[{"name":"echo","env":[{"name":"A","value":"1"}]}]}}}}',
      ],
      /patched/,
    );
    await does(["patch", "deploy", "web", "--type=merge", "-p", '{"spec":{"minReadySeconds":1}}'], /patched/);
    await does(
      ["patch", "deploy", "web", "--type=json", "-p", '[{"op":"replace","path":"/spec/minReadySeconds","value":2}]'],
      /patched/,
    );
    await does(["scale", "deploy", "web", "--replicas=2"], /scaled/);
    await does(["scale", "deploy", "web", "--current-replicas=2", "--replicas=5"], /scaled/);
    await does(["set", "image", "deploy/web", "echo=kubelab/echo:2"], /image updated/);
    const { json } = await call(server, `/apis/apps/v1/namespaces/${namespace}/deployments/web`);
    const [container] = json.spec.template.spec.containers;
    assert.deepEqual(
      [json.metadata.labels.tier, json.metadata.annotations.note, json.spec.minReadySeconds, json.spec.replicas],
      ["front", "x", 2, 5],
    );
    assert.deepEqual(
      [container.image, container.env, container.ports.length],
      ["kubelab/echo:2", [{ name: "A", value: "1" }], 1],
    );
  });

  test("asks for a rollout's history and status", async () => {
    await does(["rollout", "history", "deploy/web"], /deployment.apps\/web/);
    await does(
      ["rollout", "status", "deploy/web", "--watch=false"],
      /Waiting for deployment spec update to be observed/,
    );
  });

  test("replaces what it got, and loses against a newer version", async () => {
    const { text } = await kubectl("get", "deploy", "web", "-o", "json");
    const edited = JSON.parse(text);
    edited.spec.replicas = 6;
    const path = join(home, `${namespace}-edited.json`);
    writeFileSync(path, JSON.stringify(edited));
    await does(["replace", "-f", path], /deployment.apps\/web replaced/);
    edited.spec.replicas = 7;
    writeFileSync(path, JSON.stringify(edited));
    await fails(
      ["replace", "-f", path],
      /Operation cannot be fulfilled on deployments.apps "web": the object has been modified/,
    );
  });

  test("creates by its own generators", async () => {
    await does(["create", "configmap", "c", "--from-literal=a=b"], /configmap\/c created/);
    await does(["create", "secret", "generic", "s", "--from-literal=a=b"], /secret\/s created/);
    await does(["create", "serviceaccount", "sa"], /serviceaccount\/sa created/);
    await does(["create", "deployment", "second", "--image=kubelab/echo"], /deployment.apps\/second created/);
    await does(["get", "secret", "s", "-o", "jsonpath={.data.a}"], /^Yg==$/);
    await fails(["create", "configmap", "c"], /(AlreadyExists|already exists)/);
    await does(["run", "one", "--image=kubelab/echo"], /pod\/one created/);
    await does(["get", "pod", "one"], /one +0\/1 +Pending +0 +\d+s/);
  });

  test("watches", async () => {
    const child = spawn(binary, ["-n", namespace, "get", "configmaps", "-w", "-l", "w=1"], { env: env() });
    let text = "";
    let wake: (() => void) | undefined;
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      wake?.();
    });
    const until = async (pattern: RegExp) => {
      while (!pattern.test(text)) await new Promise<void>((resolve) => (wake = resolve));
    };
    try {
      const maps = `/api/v1/namespaces/${namespace}/configmaps`;
      const create = (name: string) =>
        call(server, maps, { method: "POST", body: { metadata: { name, labels: { w: "1" } } } });
      await create("w1");
      await until(/w1 +0/);
      const headers = { "content-type": "application/merge-patch+json" };
      await call(server, `${maps}/w1`, { method: "PATCH", body: { data: { a: "b" } }, headers });
      await until(/w1 +1/);
      await create("w2");
      await until(/w2 +0/);
    } finally {
      child.kill();
    }
  });

  test("explains and lists what there is", async () => {
    await does(["api-resources"], /deployments +deploy +apps/, /endpointslices/);
    await does(["api-versions"], /^apps\/v1$/m, /^v1$/m);
    await does(["version"], /1\.34|Server/);
    await does(["cluster-info"], /is running at/);
    // kubectl up to 1.23 explains from OpenAPI v2 alone, which is empty.
    if (name !== "Debian's kubectl") await does(["explain", "deployment.spec.replicas"], /replicas <integer>/);
  });

  test("deletes, and waits until it is gone", async () => {
    await does(["delete", "-f", file, "--timeout=30s"], /deployment.apps "web" deleted/, /service "web" deleted/);
    await does(["delete", "pod", "one", "--timeout=30s"], /pod "one" deleted/);
    await does(["delete", "configmaps", "--all", "--timeout=30s"], /configmap "c" deleted/);
    await fails(["delete", "configmap", "c"], /NotFound/);
  });
});

test.skipIf(kubectls.length === 0)("kubectl without rights is told so", async () => {
  const { cert, key } = await server.certs.node("n1");
  const config = JSON.parse(
    await import("node:fs").then(({ readFileSync }) => readFileSync(server.kubeconfig, "utf8")),
  );
  config.users[0].user = {
    "client-certificate-data": cert.toString("base64"),
    "client-key-data": key.toString("base64"),
  };
  const path = join(home, "node-kubeconfig");
  writeFileSync(path, JSON.stringify(config));
  const { text } = await new Promise<{ text: string }>((resolve) => {
    const args = ["--kubeconfig", path, "delete", "namespace", "default"];
    execFile(kubectls[0]![1], args, { env: { HOME: home } }, (_error, stdout, stderr) =>
      resolve({ text: stdout + stderr }),
    );
  });
  assert.match(text, /namespaces "default" is forbidden: User "system:node:n1" cannot delete resource "namespaces"/);
});
