import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { peer } from "../../tools/peers.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";

/** Real kubectl binaries with custom resources: those beside the newest on this machine, and Debian's. */
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
const home = mkdtempSync(join(tmpdir(), "kubectl-crd-"));
beforeAll(async () => {
  server = await startTestApiserver();
});
afterAll(async () => {
  await server?.close();
  rmSync(home, { recursive: true, force: true });
});

const definition = (group: string) => `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: crontabs.${group} }
spec:
  group: ${group}
  scope: Namespaced
  names: { plural: crontabs, kind: CronTab, shortNames: [ct], categories: [all] }
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: { specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas }
    additionalPrinterColumns:
    - { name: Spec, type: string, jsonPath: .spec.cronSpec }
    - { name: Replicas, type: integer, jsonPath: .spec.replicas, priority: 1 }
    - { name: Age, type: date, jsonPath: .metadata.creationTimestamp }
    schema:
      openAPIV3Schema:
        type: object
        description: A table of times.
        properties:
          spec:
            type: object
            description: What shall be.
            required: [cronSpec]
            x-kubernetes-validations: [{ rule: "self.replicas <= 10", message: too many }]
            properties:
              cronSpec: { type: string, description: When. }
              image: { type: string }
              replicas: { type: integer, default: 1 }
          status: { type: object, properties: { replicas: { type: integer } } }
`;

describe.each(kubectls)("%s", (name, binary) => {
  const own = name.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  const group = `${own}.example.com`;
  const file = (suffix: string, text: string) => {
    const path = join(home, `${own}-${suffix}.yaml`);
    writeFileSync(path, text);
    return path;
  };
  const kubectl = (...args: string[]): Promise<{ code: number; text: string }> =>
    new Promise((resolve) => {
      const env = { PATH: process.env["PATH"], HOME: join(home, own), KUBECONFIG: server.kubeconfig };
      execFile(binary, args, { env, timeout: 60_000 }, (error, stdout, stderr) =>
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
    assert.notEqual(code, 0, `kubectl ${args.join(" ")} succeeded: ${text}`);
    assert.match(text, pattern);
  };
  const object = (spec: string) =>
    `apiVersion: ${group}/v1\nkind: CronTab\nmetadata: { name: my-cron }\nspec: { ${spec} }\n`;

  test("a definition is applied, waited for, listed", async () => {
    await does(["apply", "-f", file("definition", definition(group))], /crontabs\.\S+ created/);
    await does(["wait", "--for=condition=Established", `crd/crontabs.${group}`, "--timeout=30s"], /condition met/);
    await does(["get", "crd"], new RegExp(`crontabs.${group}\\s+\\d{4}-`));
    await does(["api-resources", `--api-group=${group}`], /crontabs\s+ct\s+\S+\s+true\s+CronTab/);
  });

  test("explain reads its schema", async () => {
    const args = [`--api-version=${group}/v1`];
    await does(["explain", "crontab.spec", ...args], /What shall be\./, /cronSpec\s+<string>/);
    await does(["explain", "crontab.spec.cronSpec", ...args], /When\./);
    await does(["explain", "crontab.metadata.labels", ...args], /labels/);
  });

  test("what does not fit is refused before or by the server", async () => {
    await fails(["apply", "-f", file("unknown", object("cronSpec: '1', odd: 1"))], /unknown field "?(spec\.)?odd"?/);
    await fails(["apply", "-f", file("missing", object("image: i"))], /cronSpec/);
    await fails(["create", "-f", file("many", object("cronSpec: '1', replicas: 11"))], /too many/);
  });

  test("objects are applied, changed, scaled, shown and deleted", async () => {
    const resource = `crontabs.${group}`;
    const applied = file("object", object('cronSpec: "* * * * */5", image: i'));
    await does(["apply", "-f", applied], /my-cron created/);
    await does(["apply", "-f", applied], /my-cron unchanged/);
    await does(["apply", "-f", file("object", object('cronSpec: "* 1 * * *", image: i'))], /my-cron configured/);
    await does(["get", resource], /NAME\s+SPEC\s+AGE\nmy-cron\s+\* 1 \* \* \*\s+\d+s/);
    await does(["get", resource, "-o", "wide"], /REPLICAS/);
    await does(["scale", "--replicas=3", `${resource}/my-cron`], /scaled/);
    await does(["get", resource, "my-cron", "-o", "jsonpath={.spec.replicas} {.metadata.generation}"], /^3 3$/);
    await fails(["scale", "--replicas=30", `${resource}/my-cron`], /too many/);
    await does(["patch", resource, "my-cron", "--type=merge", "-p", '{"spec":{"image":"j"}}'], /patched/);
    await fails(
      ["patch", resource, "my-cron", "--type=strategic", "-p", "{}"],
      /strategic merge patch is not supported|unknown format/,
    );
    await does(["label", resource, "my-cron", "a=b"], /labeled/);
    const ssa = ["apply", "--server-side", "--field-manager=me"];
    await fails([...ssa, "-f", file("ssa", object("cronSpec: '9'"))], /conflict/);
    await does([...ssa, "--force-conflicts", "-f", file("ssa", object("cronSpec: '9'"))], /serverside-applied/);
    await does(["get", "all"], /crontab/);
    await does(["describe", resource, "my-cron"], /Cron Spec:\s+9/);
    await does(["delete", resource, "my-cron"], /deleted/);
  });

  test("the definition goes, and with it what it defined", async () => {
    await does(["create", "-f", file("object", object("cronSpec: '1'"))], /created/);
    await does(["delete", "crd", `crontabs.${group}`], /deleted/);
    await fails(["get", `crontabs.${group}`], /the server doesn't have a resource type/);
  });
});
