import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Pods } from "../../api/generated/resources.ts";
import type { createGrpcClient } from "../../client/grpc-client.ts";
import { eventually, TestLab, users } from "../testing/lab.ts";
import { containerPid, nodePort, scaleWeb, untilAllAnswer, untilWebPods } from "../testing/workload.ts";

/** The last resort, for machines without namespaces: short form of cluster.e2e.test.ts, as an ordinary user. */
describe("a cluster in mode host", () => {
  const lab = new TestLab("host", users.at(-1));
  let client: ReturnType<typeof createGrpcClient>;
  let urls: string[];

  beforeAll(async () => {
    await lab.up("--mode", "host", "--demo");
    client = await lab.client();
    const port = await nodePort(client);
    urls = (await lab.status()).nodes.map(({ address }) => `http://${address}:${port}`);
  });

  afterAll(async () => {
    client?.close();
    await lab.remove();
  });

  test("it says what mode it is in, and one proxy serves all nodes", async () => {
    const { mode, modeReason, components } = await lab.status();
    expect({ mode, modeReason }).toEqual({ mode: "host", modeReason: "as asked with --mode host" });
    expect(components.map(({ name }) => name)).toEqual(["controller-manager", "scheduler", "proxy"]);
  });

  test("every replica is reached at every node's address, and Pods have loopback addresses of their own", async () => {
    const pods = await untilWebPods(client, 3);
    for (const url of urls) await untilAllAnswer(url, pods);
    const ips = pods.map(({ status }) => status?.podIP);
    expect(new Set(ips).size).toBe(3);
    expect(ips.every((ip) => ip?.startsWith("127."))).toBe(true);
  });

  test("it scales, and a killed container is restarted", async () => {
    await scaleWeb(client, 4);
    const [pod] = await untilWebPods(client, 4);
    process.kill(containerPid(pod!)!, "SIGKILL");
    await eventually("the restarted container", async () => {
      const now = await client.get(Pods, { namespace: "default", name: pod!.metadata.name });
      return now.status?.containerStatuses?.[0]?.restartCount === 1;
    });
    await untilWebPods(client, 4);
  });

  test("down ends the containers too, even those of a runtime that was killed", async () => {
    await lab.must("kill", "node-1/runtime");
    await lab.must("down");
    expect(lab.processes()).toEqual([]);
  });
});
