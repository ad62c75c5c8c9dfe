import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Endpoints, Nodes } from "../../api/generated/resources.ts";
import type { createGrpcClient } from "../../client/grpc-client.ts";
import { peer } from "../../tools/peers.ts";
import { eventually, TestLab, users } from "../testing/lab.ts";

const kubectl = peer("kubectl");

/** Two apiservers over one store: clients of REST come through the balancer, components know both. */
describe.each([
  ["netns", [], users[0]!],
  ["host", ["--mode", "host"], users.at(-1)!],
] as const)("a lab with two apiservers, %s", (mode, flags, user) => {
  const lab = new TestLab(`apiservers-${mode}`, user);
  let client: ReturnType<typeof createGrpcClient>;

  beforeAll(async () => {
    await lab.up("--nodes", "1", "--apiservers", "2", ...flags);
    client = await lab.client();
  });

  afterAll(async () => {
    client?.close();
    await lab.remove();
  });

  const living = async () => {
    const { subsets } = await client.get(Endpoints, { namespace: "default", name: "kubernetes" });
    return subsets?.flatMap(({ addresses }) => addresses ?? []).length;
  };

  test("both are endpoints of the Service kubernetes, and the kubeconfig leads to the balancer", async () => {
    await eventually("two endpoints", async () => (await living()) === 2);
    expect((await lab.rest("/version")).code).toBe(200);
    const { apiservers, components } = await lab.status();
    expect(apiservers.map(({ name }) => name)).toEqual(["apiserver-1", "apiserver-2"]);
    expect(components.map(({ name }) => name)).toContain("balancer");
  });

  test.each(mode === "netns" ? ["apiserver-1", "apiserver-2"] : ["apiserver-1"])(
    "without %s requests are answered, nodes stay Ready, and the other is the endpoint",
    async (name) => {
      await lab.must("kill", name);
      for (let i = 0; i < 4; i++) expect((await lab.rest("/api/v1/nodes")).code).toBe(200);
      await eventually("one endpoint", async () => (await living()) === 1);
      const { items } = await client.list(Nodes, {});
      const conditions = items.flatMap(
        ({ status }) => status?.conditions?.find(({ type }) => type === "Ready")?.status,
      );
      expect(conditions).toEqual(["True"]);
      await lab.must("start", name);
      await eventually("two endpoints", async () => (await living()) === 2);
    },
  );

  const count = async (line: string) => (await lab.must("logs", "balancer")).split(line).length;
  const balanced = async () => (await count("Out of rotation")) === (await count("In rotation again"));

  test.runIf(kubectl)(
    "a paused one is out of rotation, what it held open is ended, and kubectl is answered",
    async () => {
      await eventually("both are in rotation", balanced);
      const [first, second] = [await lab.watch("/api/v1/configmaps"), await lab.watch("/api/v1/configmaps")];
      const ended = [first, second].map((watch, i) => watch.ended.then(() => i));
      await lab.must("fault", "pause", "apiserver-1");
      const paused = await Promise.race(ended);
      expect(await balanced()).toBe(false);
      for (let i = 0; i < 4; i++) {
        const { code, stdout, stderr } = await lab.kubectl(kubectl!, "get", "nodes");
        expect(code, stderr).toBe(0);
        expect(stdout).toContain("node-1");
      }
      await lab.must("heal");
      await eventually("it is back", balanced);
      await lab.must("fault", "pause", "apiserver-2");
      expect(await Promise.race(ended.filter((_, i) => i !== paused))).toBe(1 - paused);
      expect((await lab.kubectl(kubectl!, "get", "nodes")).code).toBe(0);
      await lab.must("heal");
    },
  );

  const cutting = { netns: "namespaces", host: "socket hooks" }[mode];
  const outOfRotation = (name: string) =>
    eventually(`${name} is out of rotation`, async () => {
      const lines = (await lab.must("logs", "balancer")).split("\n").filter((line) => line.includes(" rotation"));
      const last = lines.filter((line) => line.includes(`.22${name.at(-1)}:`)).at(-1);
      return last?.includes("Out of rotation");
    });

  test("one of the two alone is cut off from the members: the other answers", async () => {
    await eventually("both are in rotation", balanced);
    expect(await lab.must("fault", "delay", "apiserver-2", "members", "ms=5")).toContain("socket hooks");
    expect(await lab.must("fault", "partition", "apiserver-2", "members")).toContain(cutting);
    await outOfRotation("apiserver-2");
    for (let i = 0; i < 4; i++) expect((await lab.rest("/api/v1/nodes")).code).toBe(200);
    await lab.must("heal");
    await eventually("two endpoints", async () => (await living()) === 2);
  });

  test("one is cut off from the balancer: what connects meanwhile is led to the other at once", async () => {
    await eventually("both are in rotation", balanced);
    expect(await lab.must("fault", "partition", "balancer", "apiserver-1")).toContain(cutting);
    for (let i = 0; i < 4; i++) expect((await lab.rest("/api/v1/nodes")).code).toBe(200);
    await outOfRotation("apiserver-1");
    await lab.must("heal");
    expect(await lab.must("fault", "delay", "balancer", "apiserver", "ms=100")).toContain("socket hooks");
  });

  test("one is paused: what connects before that is noticed is answered by the other", async () => {
    await lab.must("heal");
    await eventually("both are in rotation", balanced);
    await lab.must("fault", "pause", "apiserver-2");
    for (let i = 0; i < 4; i++) expect((await lab.rest("/api/v1/nodes")).code).toBe(200);
    await lab.must("heal");
  });
});
