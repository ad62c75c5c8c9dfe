import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, test } from "vitest";
import type { Pod } from "../../api/generated/core-v1.ts";
import { systemClock } from "../../base/clock.ts";
import { imagePolicyOf, imagePolicyWebhook } from "./image-policy.ts";
import { attributes, clusterWith } from "./testing.ts";

const policy = {
  webhook: { url: "https://policy.example" },
  allowMs: 60_000,
  denyMs: 0,
  retryMs: 1,
  defaultAllow: false,
};
const pod = (annotations?: Record<string, string>): Pod => ({
  metadata: { name: "x", ...(annotations && { annotations }) },
  spec: { containers: [{ name: "c", image: "web:1" }], initContainers: [{ name: "i", image: "init:1" }] } as never,
});
const nothing = clusterWith();

/** A backend that gives these answers in turn, and keeps what it was asked. */
function backend(...answers: (object | Error)[]) {
  const asked: { spec: object }[] = [];
  const call = async (_client: unknown, review: object) => {
    const answer = answers[Math.min(asked.length, answers.length - 1)]!;
    asked.push(review as { spec: object });
    if (answer instanceof Error) throw answer;
    return { ...review, status: answer };
  };
  return { asked, call };
}
const plugin = (call: ReturnType<typeof backend>["call"], more: Partial<typeof policy> = {}) =>
  imagePolicyWebhook({ ...policy, ...more }, { call, clock: systemClock });

describe("ImagePolicyWebhook", () => {
  test("asks about all images and the annotations that are the backend's, and keeps a yes", async () => {
    const { asked, call } = backend({ allowed: true, auditAnnotations: { seen: "yes" } });
    const asks = plugin(call);
    for (let i = 0; i < 2; i++) {
      const given = attributes("pods", pod({ "my.image-policy.k8s.io/ticket": "7", other: "1" }));
      await asks.validate!(given, nothing);
      assert.deepEqual([...given.auditAnnotations], [["imagepolicywebhook.image-policy.k8s.io/seen", "yes"]]);
    }
    assert.deepEqual(asked, [
      {
        apiVersion: "imagepolicy.k8s.io/v1alpha1",
        kind: "ImageReview",
        spec: {
          containers: [{ image: "web:1" }, { image: "init:1" }],
          annotations: { "my.image-policy.k8s.io/ticket": "7" },
          namespace: "ns",
        },
      },
    ]);
  });

  test.each([
    [
      "with a reason",
      { reason: "web:1 is old" },
      "image policy webhook backend denied one or more images: web:1 is old",
    ],
    ["without one", {}, "one or more images rejected by webhook backend"],
  ])("a refusal %s", async (_name, answer, text) => {
    const { asked, call } = backend(answer);
    const asks = plugin(call);
    const refused = () => asks.validate!(attributes("pods", pod()), nothing) as Promise<void>;
    await assert.rejects(refused, { message: `pods "x" is forbidden: ${text}` });
    await assert.rejects(refused);
    assert.equal(asked.length, 2, "a no is kept for as long as denyTTL says, here not at all");
  });

  test("a backend that cannot be asked is asked again, five times in all", async () => {
    const broken = new Error("connection refused");
    const late = backend(broken, broken, { allowed: true });
    await plugin(late.call).validate!(attributes("pods", pod()), nothing);
    assert.equal(late.asked.length, 3);
    const never = backend(broken);
    await assert.rejects(plugin(never.call).validate!(attributes("pods", pod()), nothing) as Promise<void>, {
      message: 'pods "x" is forbidden: connection refused',
    });
    assert.equal(never.asked.length, 5);
  });

  test("defaultAllow lets Pods in meanwhile, and says so on the Pod and in the audit log", async () => {
    const given = attributes("pods", pod());
    await plugin(backend(new Error("gone")).call, { defaultAllow: true, retryMs: 0 }).validate!(given, nothing);
    assert.equal(given.object!.metadata.annotations!["alpha.image-policy.k8s.io/failed-open"], "true");
    assert.equal(given.auditAnnotations.get("imagepolicywebhook.image-policy.k8s.io/failed-open"), "true");
  });

  test.each([
    ["another resource", attributes("configmaps", { metadata: { name: "x" } })],
    ["a Pod's status", attributes("pods", pod(), { subresource: "status", operation: "UPDATE" })],
  ])("%s is not its business", async (_name, given) => {
    const { asked, call } = backend({});
    await plugin(call).validate!(given, nothing);
    assert.deepEqual(asked, []);
  });
});

describe("--admission-control-config-file", () => {
  const dir = mkdtempSync(join(tmpdir(), "image-policy-"));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  const write = (name: string, value: object) => {
    writeFileSync(join(dir, name), JSON.stringify(value));
    return join(dir, name);
  };
  write("backend.kubeconfig", {
    "current-context": "c",
    contexts: [{ name: "c", context: { cluster: "b", user: "" } }],
    clusters: [{ name: "b", cluster: { server: "https://policy.example/review" } }],
  });
  const imagePolicy = { kubeConfigFile: "backend.kubeconfig", allowTTL: 50, denyTTL: -1, defaultAllow: true };
  const expected = {
    webhook: {
      url: "https://policy.example/review",
      credentials: { cert: undefined, key: undefined, token: undefined },
    },
    allowMs: 50_000,
    denyMs: 0,
    retryMs: 500,
    defaultAllow: true,
  };

  test("holds the plug-in's part, or names the file that does", () => {
    const plugins = (more: object) => write("config.yaml", { plugins: [{ name: "ImagePolicyWebhook", ...more }] });
    assert.deepEqual(imagePolicyOf(plugins({ configuration: { imagePolicy } })), expected);
    write("part.yaml", { imagePolicy });
    assert.deepEqual(imagePolicyOf(plugins({ path: "part.yaml" })), expected);
    assert.equal(imagePolicyOf(write("none.yaml", { plugins: [] })), undefined);
  });

  test.each([
    ["no kubeconfig", {}, /imagePolicy.kubeConfigFile is missing/],
    ["a time out of bounds", { ...imagePolicy, allowTTL: 3600 }, /valid value is between 1000 ms and 1800000 ms/],
  ])("%s is refused", (_name, imagePolicy, message) => {
    const plugins = [{ name: "ImagePolicyWebhook", configuration: { imagePolicy } }];
    assert.throws(() => imagePolicyOf(write("bad.yaml", { plugins })), message);
  });
});
