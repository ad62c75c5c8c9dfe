import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { CoreV1Api, KubeConfig, makeInformer, type V1ConfigMap } from "@kubernetes/client-node";
import { describe, test } from "vitest";
import { EtcdClient } from "../etcd-raft/client/client.ts";
import { startTestMember } from "../etcd-raft/server/testing.ts";
import { peer } from "../tools/peers.ts";
import { call, configMap } from "./http.testing.ts";
import { startTestApiserver } from "./testing.ts";

/** Clients in other hands than ours, unmodified. */
describe("@kubernetes/client-node", () => {
  test("an informer lives through a restart during which its resourceVersion was compacted away", async () => {
    const store = await startTestMember();
    const options = { etcdEndpoints: [store.endpoint] };
    let server = await startTestApiserver(options);
    const maps = "/api/v1/namespaces/default/configmaps";
    const create = (name: string) => call(server, maps, { method: "POST", body: configMap(name) });
    const config = new KubeConfig();
    config.loadFromFile(server.kubeconfig);
    const { port } = new URL(server.url);
    const { authority } = server;

    const seen: string[] = [];
    let wake = () => {};
    const until = async (line: string) => {
      while (!seen.includes(line)) await new Promise<void>((resolve) => (wake = resolve));
    };
    const tell = (what: string) => (object: V1ConfigMap) => {
      seen.push(`${what} ${object.metadata!.name}`);
      wake();
    };
    const api = config.makeApiClient(CoreV1Api);
    const informer = makeInformer(config, maps, () => api.listNamespacedConfigMap({ namespace: "default" }));
    let up = Promise.resolve();
    let stopped = false;
    informer.on("add", tell("add"));
    informer.on("update", tell("update"));
    informer.on("delete", tell("delete"));
    informer.on("error", () => void up.then(() => (stopped ? undefined : informer.start())));
    try {
      await create("stays");
      await create("goes");
      await informer.start();
      await until("add goes");
      await create("live");
      await until("add live");

      let isUp = () => {};
      up = new Promise((resolve) => (isUp = resolve));
      await server.close();
      server = await startTestApiserver(options); // another one, elsewhere
      await create("comes");
      await call(server, `${maps}/goes`, { method: "DELETE" });
      const etcd = new EtcdClient({ endpoints: [store.endpoint] });
      const { header } = await etcd.range({ key: "/", limit: 1 });
      await etcd.compact({ revision: header!.revision });
      etcd.close();
      await server.close();

      server = await startTestApiserver({ ...options, authority, port: Number(port) });
      isUp();
      await until("add comes");
      await until("delete goes");
      await create("after");
      await until("add after");
      assert.deepEqual(
        informer
          .list()
          .map(({ metadata }) => metadata!.name)
          .sort(),
        ["after", "comes", "live", "stays"],
      );
      assert.equal(seen.filter((line) => line === "add stays").length, 1);
    } finally {
      stopped = true;
      await informer.stop();
      await server.close();
      await store.close();
    }
  });
});

const python = peer("python-kubernetes");

describe.skipIf(!python)("Debian's python3-kubernetes", () => {
  const program = `
import sys
from kubernetes import client, watch
from kubernetes.client.rest import ApiException
url, dir = sys.argv[1:]
config = client.Configuration()
config.host, config.ssl_ca_cert = url, dir + "/ca.crt"
config.cert_file, config.key_file = dir + "/admin.crt", dir + "/admin.key"
core = client.CoreV1Api(client.ApiClient(config))
apps = client.AppsV1Api(core.api_client)
meta = lambda name: client.V1ObjectMeta(name=name, labels={"app": name})
made = core.create_namespaced_config_map("default", client.V1ConfigMap(metadata=meta("py"), data={"k": "v"}))
print("created", made.metadata.name, made.data, made.metadata.creation_timestamp.tzinfo is not None)
print("read", core.read_namespaced_config_map("py", "default").metadata.uid == made.metadata.uid)
print("patched", core.patch_namespaced_config_map("py", "default", {"data": {"x": "y"}}).data)
spec = client.V1PodSpec(containers=[client.V1Container(name="c", image="i", resources=client.V1ResourceRequirements(limits={"cpu": "1"}))])
template = client.V1PodTemplateSpec(metadata=meta("web"), spec=spec)
deployment = client.V1Deployment(metadata=meta("web"), spec=client.V1DeploymentSpec(selector={"matchLabels": {"app": "web"}}, template=template))
made = apps.create_namespaced_deployment("default", deployment)
print("deployment", made.spec.replicas, made.spec.strategy.rolling_update.max_surge, made.spec.template.spec.containers[0].resources.limits)
scale = apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 3}})
print("scaled", scale.spec.replicas, scale.status.selector)
listed = core.list_namespaced_config_map("default", label_selector="app=py", limit=1)
print("listed", [item.metadata.name for item in listed.items])
stream = watch.Watch()
for event in stream.stream(core.list_namespaced_config_map, "default", label_selector="app=py", resource_version=listed.metadata.resource_version, timeout_seconds=30):
    print("event", event["type"], event["object"].metadata.name)
    stream.stop()
    break
else:
    print("no event")
try:
    core.create_namespaced_config_map("default", client.V1ConfigMap(metadata=meta("py")))
except ApiException as error:
    print("refused", error.status, error.reason)
print("deleted", core.delete_namespaced_config_map("py", "default").status)
`;

  test("creates, reads, patches, scales, lists, watches, is refused and deletes", async () => {
    const server = await startTestApiserver();
    try {
      const url = "/api/v1/namespaces/default/configmaps/py";
      const headers = { "content-type": "application/merge-patch+json" };
      const lines = await new Promise<string[]>((resolve, reject) => {
        const child = execFile(python!, ["-u", "-c", program, server.url, server.dir], (error, stdout, stderr) =>
          error ? reject(new Error(`${stdout}${stderr}`)) : resolve(stdout.trim().split("\n")),
        );
        // What it watches for happens once it has listed.
        child.stdout!.on("data", (chunk) => {
          if (String(chunk).includes("listed"))
            void call(server, url, { method: "PATCH", body: { data: { z: "z" } }, headers });
        });
      });
      assert.deepEqual(lines, [
        "created py {'k': 'v'} True",
        "read True",
        "patched {'k': 'v', 'x': 'y'}",
        "deployment 1 25% {'cpu': '1'}",
        "scaled 3 app=web",
        "listed ['py']",
        "event MODIFIED py",
        "refused 409 Conflict",
        "deleted Success",
      ]);
    } finally {
      await server.close();
    }
  });
});
