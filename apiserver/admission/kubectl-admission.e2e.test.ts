import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { peer } from "../../tools/peers.ts";
import { call } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";

/** What a user of kubectl sees of admission. */
const kubectl = peer("kubectl");
const home = mkdtempSync(join(tmpdir(), "kubectl-"));
let server: TestApiserver;

beforeAll(async () => {
  server = await startTestApiserver();
});
afterAll(async () => {
  await server?.close();
  rmSync(home, { recursive: true, force: true });
});

function run(args: string, input = ""): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    const options = { env: { HOME: home, KUBECONFIG: server.kubeconfig }, timeout: 30_000 };
    const child = execFile(kubectl!, args.split(" "), options, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    );
    child.stdin!.end(input);
  });
}

const podYaml = (name: string, more: object = {}) =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: { containers: [{ name: "c", image: "kubelab/echo", ...more }] },
  });

describe.skipIf(kubectl === undefined)("kubectl and admission", () => {
  test("Pod security: warned of at one level, refused at another, told of when a Namespace gets stricter", async () => {
    await run("create namespace team");
    const labels = "pod-security.kubernetes.io/warn=restricted pod-security.kubernetes.io/enforce=baseline";
    assert.equal((await run(`label namespace team ${labels}`)).code, 0);
    const warned = await run("apply -n team -f -", podYaml("plain"));
    assert.equal(warned.out, "pod/plain created\n");
    assert.match(
      warned.err,
      /^Warning: would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false \(container "c" must set/,
    );
    const refused = await run("apply -n team -f -", podYaml("mighty", { securityContext: { privileged: true } }));
    assert.equal(refused.code, 1);
    assert.match(
      refused.err,
      /pods "mighty" is forbidden: violates PodSecurity "baseline:latest": privileged \(container "c" must not set securityContext\.privileged=true\)/,
    );
    const stricter = await run("label --overwrite namespace team pod-security.kubernetes.io/enforce=restricted");
    assert.match(
      stricter.err,
      /Warning: existing pods in namespace "team" violate the new PodSecurity enforce level "restricted:latest"\nWarning: plain: allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile/,
    );
    const template = await run("create deployment -n team web --image=kubelab/echo");
    assert.equal(template.code, 0);
    assert.match(template.err, /^Warning: would violate PodSecurity "restricted:latest"/);
  });

  test("a quota is full", async () => {
    await run("create namespace full");
    assert.equal((await run("create quota q -n full --hard=pods=1,requests.cpu=1")).out, "resourcequota/q created\n");
    const path = "/api/v1/namespaces/full/resourcequotas/q";
    const quota = (await call(server, path)).json;
    const status = { hard: quota.spec.hard, used: { pods: "0", "requests.cpu": "0" } };
    await call(server, `${path}/status`, { method: "PUT", body: { ...quota, status } }); // as the controller would
    const silent = await run("apply -n full -f -", podYaml("silent"));
    assert.match(silent.err, /pods "silent" is forbidden: failed quota: q: must specify requests\.cpu for: c/);
    const small = { resources: { requests: { cpu: "250m" } } };
    assert.equal((await run("apply -n full -f -", podYaml("one", small))).code, 0);
    const second = await run("apply -n full -f -", podYaml("two", small));
    assert.match(
      second.err,
      /pods "two" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1/,
    );
    const shown = await run("describe quota q -n full");
    assert.match(shown.out, /pods +1 +1/);
    assert.match(shown.out, /requests\.cpu +250m +1/);
  });

  test("a LimitRange gives defaults and refuses what is beyond", async () => {
    await run("create namespace limited");
    const range = {
      apiVersion: "v1",
      kind: "LimitRange",
      metadata: { name: "l" },
      spec: {
        limits: [{ type: "Container", default: { cpu: "500m" }, defaultRequest: { cpu: "100m" }, max: { cpu: "1" } }],
      },
    };
    assert.equal((await run("apply -n limited -f -", JSON.stringify(range))).code, 0);
    await run("apply -n limited -f -", podYaml("plain"));
    const shown = await run("get pod -n limited plain -o jsonpath={.spec.containers[0].resources}/{.status.qosClass}");
    assert.equal(shown.out, '{"limits":{"cpu":"500m"},"requests":{"cpu":"100m"}}/Burstable');
    const refused = await run("apply -n limited -f -", podYaml("big", { resources: { limits: { cpu: "2" } } }));
    assert.match(refused.err, /pods "big" is forbidden: maximum cpu usage per Container is 1, but limit is 2/);
  });

  test("priorities", async () => {
    const classes = await run("get priorityclasses -o name");
    assert.equal(
      classes.out,
      "priorityclass.scheduling.k8s.io/system-cluster-critical\npriorityclass.scheduling.k8s.io/system-node-critical\n",
    );
    await run("create priorityclass high --value=1000 --global-default=true");
    await run("apply -f -", podYaml("urgent"));
    assert.equal((await run("get pod urgent -o jsonpath={.spec.priorityClassName}={.spec.priority}")).out, "high=1000");
  });

  test("a policy in CEL", async () => {
    const policy = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: replicas }
spec:
  matchConstraints:
    resourceRules: [{ apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments, deployments/scale] }]
  validations:
  - expression: "object.spec.replicas <= 3"
    messageExpression: "'at most 3 replicas, not ' + string(object.spec.replicas)"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: replicas }
spec: { policyName: replicas, validationActions: [Deny] }
`;
    const applied = await run("apply -f -", policy);
    // kubectl before 1.30 does not know the kinds' columns, but all can send them.
    assert.equal(applied.code, 0, applied.err);
    const refused = await run("create deployment many --image=kubelab/echo --replicas=5");
    assert.match(
      refused.err,
      /deployments\.apps "many" is forbidden: ValidatingAdmissionPolicy 'replicas' with binding 'replicas' denied request: at most 3 replicas, not 5/,
    );
    assert.equal((await run("create deployment few --image=kubelab/echo --replicas=2")).code, 0);
    const scaled = await run("scale deployment few --replicas=4");
    assert.match(scaled.err, /denied request: at most 3 replicas, not 4/);
  });
});
