import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { peer } from "../tools/peers.ts";
import { startTestApiserver, type TestApiserver } from "./testing.ts";

/** kubectl's side of server-side apply, with the newest kubectl at hand, else Debian's. */
const beside = (process.env["PATH"] ?? "")
  .split(delimiter)
  .map((dir) => join(dir, "kubectl"))
  .filter((path) => existsSync(path))
  .map((path) => dirname(realpathSync(path)))
  .flatMap((dir) => readdirSync(dir).flatMap((name) => (/^kubectl\.1\.\d+$/.test(name) ? [join(dir, name)] : [])));
const minor = (path: string) => Number(path.split(".").pop());
const newest = beside.sort((a, b) => minor(b) - minor(a))[0];
const binary = newest ?? peer("kubectl");

describe.skipIf(binary === undefined)("kubectl apply --server-side", () => {
  let server: TestApiserver;
  const home = mkdtempSync(join(tmpdir(), "kubectl-apply-"));
  beforeAll(async () => {
    server = await startTestApiserver();
  });
  afterAll(async () => {
    await server?.close();
    rmSync(home, { recursive: true, force: true });
  });

  const kubectl = (...args: string[]): Promise<string> =>
    new Promise((resolve) => {
      const env = { PATH: process.env["PATH"], HOME: home, KUBECONFIG: server.kubeconfig };
      execFile(binary!, args, { env, timeout: 60_000 }, (_error, stdout, stderr) => resolve(`${stdout}${stderr}`));
    });
  const file = (name: string, object: object): string => {
    const path = join(home, `${name}.json`);
    writeFileSync(path, JSON.stringify(object));
    return path;
  };
  const deployment = (name: string, replicas: number, image = "i") =>
    file(name, {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name },
      spec: {
        replicas,
        selector: { matchLabels: { app: name } },
        template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "c", image }] } },
      },
    });
  const ssa = (path: string, ...more: string[]) => kubectl("apply", "--server-side", "-f", path, ...more);
  const replicas = (name: string) => kubectl("get", "deployment", name, "-o", "jsonpath={.spec.replicas}");
  const owners = (name: string) =>
    kubectl(
      "get",
      "deployment",
      name,
      "--show-managed-fields",
      "-o",
      'jsonpath={range .metadata.managedFields[*]}{.manager} {.operation}{"\\n"}{end}',
    );

  test("creates, applies again, and hides managedFields unless asked", async () => {
    expect(await ssa(deployment("web", 2))).toBe("deployment.apps/web serverside-applied\n");
    expect(await ssa(deployment("web", 2))).toBe("deployment.apps/web serverside-applied\n");
    expect(await kubectl("get", "deployment", "web", "-o", "yaml")).not.toContain("managedFields");
    expect(await owners("web")).toBe("kubectl Apply\n");
    expect(await kubectl("get", "deployment", "web", "-o", "jsonpath={.metadata.generation}")).toBe("1");
  });

  test("conflicts with what another set, and says with whom and where", async () => {
    await ssa(deployment("fought", 2));
    await kubectl("patch", "deployment", "fought", "--field-manager=boss", "-p", '{"spec":{"replicas":5}}');
    const refused = await ssa(deployment("fought", 3));
    expect(refused).toContain(
      'error: Apply failed with 1 conflict: conflict with "boss" using apps/v1: .spec.replicas\n',
    );
    expect(await replicas("fought")).toBe("5");
    expect(await ssa(deployment("fought", 3), "--force-conflicts")).toContain("serverside-applied");
    expect(await replicas("fought")).toBe("3");
  });

  test("tells a scale from an edit", async () => {
    await ssa(deployment("scaled", 2));
    await kubectl("scale", "deployment", "scaled", "--replicas=4");
    const refused = await ssa(deployment("scaled", 3));
    expect(refused).toMatch(/conflict with "kubectl\S*" with subresource "scale" using apps\/v1: .spec.replicas/);
  });

  test("takes over what client-side apply has set, and its annotation with it", async () => {
    await kubectl("apply", "-f", deployment("old", 2));
    expect(await owners("old")).toBe("kubectl-client-side-apply Update\n");
    const answer = await ssa(deployment("old", 3, "j"));
    expect(answer).toContain("deployment.apps/old serverside-applied");
    expect(await replicas("old")).toBe("3");
    expect(await owners("old")).toMatch(/^kubectl Apply$/m);
    const annotation = await kubectl("apply", "view-last-applied", "deployment", "old", "-o", "json");
    expect(JSON.parse(annotation)).toMatchObject({ spec: { replicas: 3 } });
    expect(await ssa(deployment("old", 4, "j"))).toBe("deployment.apps/old serverside-applied\n");
  });

  test("takes away what client-side apply has set and it no longer names", async () => {
    const map = (name: string, data: object, labels?: object) =>
      file(name, { apiVersion: "v1", kind: "ConfigMap", metadata: { name, ...(labels && { labels }) }, data });
    await kubectl("apply", "-f", map("moved", { a: "1", b: "2" }, { l: "x" }));
    expect(await ssa(map("moved", { a: "1" }))).toBe("configmap/moved serverside-applied\n");
    const { data, metadata } = JSON.parse(await kubectl("get", "cm", "moved", "-o", "json", "--show-managed-fields"));
    expect([data, metadata.labels]).toEqual([{ a: "1" }, undefined]);
    const managers = metadata.managedFields.map(({ manager }: { manager: string }) => manager);
    expect(managers.sort()).toEqual(["kubectl", "kubectl-last-applied"]);
  });

  test("shows what it would do, and does nothing", async () => {
    expect(await ssa(deployment("dry", 2), "--dry-run=server")).toContain("serverside-applied (server dry run)");
    expect(await kubectl("get", "deployment", "dry")).toContain("NotFound");
    await ssa(deployment("diffed", 2));
    expect(await kubectl("diff", "--server-side", "-f", deployment("diffed", 3))).toContain("+  replicas: 3");
  });
});
