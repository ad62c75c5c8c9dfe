import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { EtcdClient } from "../etcd-raft/client/client.ts";
import { startTestMember } from "../etcd-raft/server/testing.ts";
import { peer } from "../tools/peers.ts";
import { call } from "./http.testing.ts";
import { startTestApiserver, type TestApiserver } from "./testing.ts";

/**
 * client-go's informers: `kubectl rollout status` follows its Deployment by one. Whoever runs it hears each step; also those
 * that came while the apiserver was away and the store was compacted.
 */
const newest = (process.env["PATH"] ?? "")
  .split(delimiter)
  .map((dir) => join(dir, "kubectl"))
  .find((path) => existsSync(path));
const kubectls: [string, string | undefined][] = [["Debian's kubectl", peer("kubectl")]];
if (newest) kubectls.push(["kubectl of this machine", newest]);

describe.each(kubectls)("%s", (_name, binary) => {
  let store: Awaited<ReturnType<typeof startTestMember>>;
  let server: TestApiserver;
  let child: ChildProcess | undefined;
  const home = mkdtempSync(join(tmpdir(), "informers-"));
  const deployments = "/apis/apps/v1/namespaces/default/deployments";

  beforeAll(async () => {
    store = await startTestMember();
    server = await startTestApiserver({ etcdEndpoints: [store.endpoint] });
  });
  afterAll(async () => {
    if (child !== undefined && child.exitCode === null) {
      const over = once(child, "exit");
      child.kill("SIGKILL");
      await over;
    }
    await server?.close();
    await store?.close();
    rmSync(home, { recursive: true, force: true });
  });

  const send = async (method: string, path: string, body: object, type = "application/json") => {
    const { code, text } = await call(server, path, { method, body, headers: { "content-type": type } });
    assert.ok(code < 300, `${method} ${path}: ${text}`);
  };
  /** What a Deployment's controller would have written when so many replicas are there. */
  const status = (replicas: number, availableReplicas: number) =>
    send(
      "PATCH",
      `${deployments}/web/status`,
      {
        status: {
          observedGeneration: 1,
          ...{ replicas, updatedReplicas: replicas, readyReplicas: availableReplicas, availableReplicas },
        },
      },
      "application/merge-patch+json",
    );

  test.skipIf(binary === undefined)(
    "hears each step of a rollout, over a restart of the apiserver and a compaction",
    async () => {
      const labels = { app: "web" };
      const template = { metadata: { labels }, spec: { containers: [{ name: "c", image: "i" }] } };
      const spec = { replicas: 2, selector: { matchLabels: labels }, template };
      await send("POST", deployments, { metadata: { name: "web" }, spec });
      // The server's own folder goes when it stops.
      const kubeconfig = join(home, "kubeconfig");
      copyFileSync(server.kubeconfig, kubeconfig);
      child = spawn(binary!, ["--kubeconfig", kubeconfig, "rollout", "status", "deployment/web"], {
        env: { HOME: home },
      });
      let text = "";
      let wake = () => {};
      for (const stream of [child.stdout!, child.stderr!])
        stream.on("data", (chunk) => {
          text += chunk;
          wake();
        });
      child.on("exit", () => wake());
      const says = async (pattern: RegExp) => {
        while (!pattern.test(text)) {
          assert.equal(child!.exitCode, null, text);
          await new Promise<void>((resolve) => (wake = resolve));
        }
      };
      await says(/Waiting for deployment spec update to be observed/);
      await status(1, 0);
      await says(/1 out of 2 new replicas have been updated/);

      const { authority: known, url } = server;
      const options = { etcdEndpoints: [store.endpoint] };
      await server.close();
      server = await startTestApiserver(options); // another one, elsewhere
      await status(2, 1);
      await send("POST", `${deployments}`, { metadata: { name: "other" }, spec });
      const etcd = new EtcdClient({ endpoints: [store.endpoint] });
      const { header } = await etcd.range({ key: "/", limit: 1 });
      await etcd.compact({ revision: header!.revision });
      etcd.close();
      await server.close();
      server = await startTestApiserver({ ...options, authority: known, port: Number(new URL(url).port) });
      await says(/1 of 2 updated replicas are available/);
      const over = once(child, "exit");
      await status(2, 2);
      assert.deepEqual(await over, [0, null], text);
      assert.match(text, /deployment "web" successfully rolled out\s*$/);
    },
  );
});
