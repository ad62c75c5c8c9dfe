import { call, pod } from "../../../apiserver/http.testing.ts";
import type { TestApiserver } from "../../../apiserver/testing.ts";
import { TestNode } from "./node.ts";

/** A test node that the apiserver knows as `n1`, with the Pod `default/one` on it, whose container `c` reads lines. */
export async function startTestNode(server: TestApiserver): Promise<TestNode> {
  const { cert, key } = await server.authority.issue({
    commonName: "system:node:n1",
    ipAddresses: ["127.0.0.1"],
    usages: ["server"],
  });
  const ca = Buffer.from(server.authority.cert);
  const node = new TestNode({ cert: Buffer.from(cert), key: Buffer.from(key), ca });
  const Port = await node.listen();
  node.run("default/one/c", ["sh", "-c", "echo begun; while read line; do echo got $line; done"]);
  const send = async (method: string, path: string, body: object) => {
    const type = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    await call(server, `/api/v1/${path}`, { method, body, headers: { "content-type": type } });
  };
  await send("POST", "nodes", { metadata: { name: "n1" } });
  const addresses = [{ type: "InternalIP", address: "127.0.0.1" }];
  await send("PATCH", "nodes/n1/status", { status: { addresses, daemonEndpoints: { kubeletEndpoint: { Port } } } });
  await send("POST", "namespaces/default/pods", pod("one", { nodeName: "n1" }));
  const containerStatuses = [
    { name: "c", ready: true, restartCount: 0, image: "x", imageID: "", state: { running: {} } },
  ];
  const status = { phase: "Running", podIP: "127.0.0.1", podIPs: [{ ip: "127.0.0.1" }], containerStatuses };
  await send("PATCH", "namespaces/default/pods/one/status", { status });
  return node;
}
