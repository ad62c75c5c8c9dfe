import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Pod } from "../../api/generated/core-v1.ts";
import { peer } from "../../tools/peers.ts";
import { eventually, kubectlsBesidePath, TestLab } from "../testing/lab.ts";

const beside = kubectlsBesidePath();
const debian = peer("kubectl");
const kubectls = [
  ...(debian ? [{ label: "Debian's", kubectl: debian }] : []),
  ...beside.map((kubectl) => ({ label: basename(kubectl), kubectl })),
];

/** A working day with real kubectl: each version in a namespace of its own, on one cluster. */
describe("kubectl", () => {
  const lab = new TestLab("kubectl");
  beforeAll(() => (kubectls.length > 0 ? lab.up() : undefined));
  afterAll(() => lab.remove());

  if (kubectls.length === 0) test.skip("there is no kubectl on this machine", () => {});

  test.for(kubectls)("$label", async ({ kubectl }) => {
    const version = (await lab.kubectl(kubectl, "version", "--client", "-o", "json")).stdout;
    const { minor } = (JSON.parse(version) as { clientVersion: { minor: string } }).clientVersion;
    const namespace = `v1-${minor.replace(/\D/g, "")}`;

    /** Runs kubectl in the namespace; it must succeed. */
    const k = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await lab.kubectl(kubectl, "-n", namespace, ...args);
      expect(code, `kubectl ${args.join(" ")}\n${stdout}\n${stderr}`).toBe(0);
      return stdout;
    };

    expect(await k("create", "namespace", namespace)).toBe(`namespace/${namespace} created\n`);
    expect(await k("apply", "-f", resolve("deploy/demo"))).toBe("deployment.apps/web created\nservice/web created\n");
    expect(await k("rollout", "status", "deployment/web")).toContain('deployment "web" successfully rolled out');
    expect(await k("apply", "-f", resolve("deploy/demo"))).toBe(
      "deployment.apps/web unchanged\nservice/web unchanged\n",
    );

    const wide = await k("get", "pods", "-o", "wide");
    expect(wide.split("\n")[0]).toMatch(
      /^NAME +READY +STATUS +RESTARTS +AGE +IP +NODE +NOMINATED NODE +READINESS GATES$/,
    );
    expect(wide.match(/^web-\S+ +1\/1 +Running +0 +\S+ +10\.244\.\S+ +node-[12] +<none> +<none>$/gm)).toHaveLength(3);
    expect(await k("get", "deployment,service,endpoints")).toMatch(/^deployment\.apps\/web +3\/3 +3 +3 /m);
    expect(await k("get", "nodes")).toMatch(/^node-1 +Ready +/m);

    const described = await k("describe", "deployment", "web");
    expect(described).toContain("3 desired | 3 updated | 3 total | 3 available | 0 unavailable");
    expect(described).toMatch(/Normal +ScalingReplicaSet .* Scaled up replica set web-\S+ (from 0 )?to 3/);
    expect(await k("describe", "pod", "-l", "app=web")).toMatch(/Normal +Started .* Started container echo/);

    const { KUBECONFIG } = { KUBECONFIG: join(lab.dir, "kubeconfig") };
    const watch = spawn(kubectl, ["-n", namespace, "get", "pods", "-w"], { env: { ...process.env, KUBECONFIG } });
    let seen = "";
    watch.stdout.setEncoding("utf8").on("data", (text: string) => (seen += text));
    try {
      await eventually("the Pods in `get -w`", () => (seen.match(/Running/g) ?? []).length >= 3);
      expect(await k("scale", "deployment/web", "--replicas=4")).toBe("deployment.apps/web scaled\n");
      await eventually("the way of a new Pod in `get -w`", () => /Pending[\s\S]*Running/.test(seen));
    } finally {
      watch.kill();
    }

    expect(await k("set", "image", "deployment/web", "echo=kubelab/echo:v2")).toBe(
      "deployment.apps/web image updated\n",
    );
    expect(await k("rollout", "status", "deployment/web")).toContain("successfully rolled out");
    const history = await k("rollout", "history", "deployment/web");
    expect(history.match(/^[12] +<none>$/gm)).toHaveLength(2);
    expect(await k("rollout", "undo", "deployment/web")).toBe("deployment.apps/web rolled back\n");
    expect(await k("rollout", "status", "deployment/web")).toContain("successfully rolled out");
    expect(await k("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")).toBe(
      "kubelab/echo:v1",
    );

    // Pods of both versions may still be on their way out; what stays is of the first.
    const { items } = JSON.parse(await k("get", "pods", "-l", "app=web", "-o", "json")) as { items: Pod[] };
    const pod = items.find(({ metadata }) => metadata.deletionTimestamp === undefined)?.metadata.name;
    expect(await k("logs", pod!)).toContain("kubelab/echo:v1 listens on");
    expect(await k("delete", "-f", resolve("deploy/demo"))).toMatch(
      /deployment\.apps "web" deleted.*\nservice "web" deleted/,
    );
    await eventually("the Pods to be gone", async () => {
      const { stderr } = await lab.kubectl(kubectl, "-n", namespace, "get", "pods");
      return stderr.includes(`No resources found in ${namespace} namespace.`);
    });
    expect(await k("delete", "namespace", namespace)).toContain(`namespace "${namespace}" deleted`);
  });
});

/** The variables of `kubelab etcdctl-env` and real etcdctl, against the members. */
describe("etcdctl", () => {
  const lab = new TestLab("etcdctl");
  const etcdctl = peer("etcdctl");
  let env: Record<string, string>;

  beforeAll(async () => {
    if (!etcdctl) return;
    await lab.up("--nodes", "0");
    const lines = (await lab.must("etcdctl-env")).trim().split("\n");
    env = Object.fromEntries(lines.map((line) => /^export (\w+)='(.*)'$/.exec(line)!.slice(1)));
    expect(existsSync(env["ETCDCTL_CACERT"]!)).toBe(true);
  });
  afterAll(() => lab.remove());

  const e = async (args: string[], input?: string): Promise<string> => {
    const { code, stdout, stderr } = await lab.run(etcdctl!, args, env, input);
    expect(code, `etcdctl ${args.join(" ")}\n${stdout}\n${stderr}`).toBe(0);
    return stdout;
  };

  test.skipIf(!etcdctl)("put, get --prefix, watch, txn, lease grant, endpoint status, member list", async () => {
    expect(await e(["put", "a/1", "one"])).toBe("OK\n");
    expect(await e(["put", "a/2", "two"])).toBe("OK\n");
    expect(await e(["get", "a/", "--prefix"])).toBe("a/1\none\na/2\ntwo\n");

    const watch = spawn(etcdctl!, ["watch", "a/", "--prefix", "--rev=1"], { env: { ...process.env, ...env } });
    let seen = "";
    watch.stdout.setEncoding("utf8").on("data", (text: string) => (seen += text));
    try {
      await eventually("the past", () => seen.includes("PUT\na/1\none\nPUT\na/2\ntwo\n"));
      await e(["del", "a/1"]);
      await eventually("the delete", () => seen.endsWith("DELETE\na/1\n\n"));
    } finally {
      watch.kill();
    }

    const txn = 'value("a/2") = "two"\n\nput a/3 three\n\nput a/3 wrong\n\n';
    expect(await e(["txn"], txn)).toBe("SUCCESS\n\nOK\n");
    expect(await e(["get", "a/3", "--print-value-only"])).toBe("three\n");

    const lease = /^lease (\w+) granted with TTL\(60s\)$/m.exec(await e(["lease", "grant", "60"]))![1]!;
    await e(["put", "leased", "x", `--lease=${lease}`]);
    expect(await e(["lease", "revoke", lease])).toBe(`lease ${lease} revoked\n`);
    expect(await e(["get", "leased"])).toBe("");

    const status = JSON.parse(await e(["endpoint", "status", "-w", "json"])) as { Status: { leader: number } }[];
    expect(status).toHaveLength(3);
    expect(new Set(status.map(({ Status }) => Status.leader)).size).toBe(1);
    expect((await e(["member", "list"])).match(/started, etcd-[123], https:/g)).toHaveLength(3);
  });
});
