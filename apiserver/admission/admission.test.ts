import assert from "node:assert/strict";
import { describe, test } from "vitest";
import type { Node, Pod, Toleration } from "../../api/generated/core-v1.ts";
import { Namespaces } from "../../api/generated/resources.ts";
import { systemClock } from "../../base/clock.ts";
import { createRegistry } from "../../base/metrics.ts";
import { systemRand } from "../../base/rand.ts";
import { superusers } from "../authz/authorizer.ts";
import type { Attributes } from "./chain.ts";
import { defaultTolerationSeconds } from "./default-toleration-seconds.ts";
import { namespaceLifecycle } from "./namespace-lifecycle.ts";
import { admissionPlugins } from "./plugins.ts";
import { taintNodesByCondition } from "./taint-nodes-by-condition.ts";
import { attributes, clusterWith } from "./testing.ts";

const nothing = clusterWith();

describe("NamespaceLifecycle", () => {
  const namespace = (phase: string) => clusterWith([Namespaces, { metadata: { name: "ns" }, status: { phase } }]);

  test.each<[string, Attributes, typeof nothing, number | undefined]>([
    ["creates in an active Namespace", attributes("pods", {}), namespace("Active"), undefined],
    ["not in a missing one", attributes("pods", {}), nothing, 404],
    ["not in one that ends", attributes("pods", {}), namespace("Terminating"), 403],
    ["but updates there", attributes("pods", {}, { operation: "UPDATE" }), namespace("Terminating"), undefined],
    ["and binds there", attributes("pods", {}, { subresource: "binding" }), namespace("Terminating"), undefined],
    ["cluster-wide things need none", attributes("nodes", {}, { namespace: "" }), nothing, undefined],
    [
      "default is not deleted",
      attributes("namespaces", undefined, { operation: "DELETE", name: "default" }),
      nothing,
      403,
    ],
    ["others are", attributes("namespaces", undefined, { operation: "DELETE", name: "mine" }), nothing, undefined],
  ])("%s", async (_name, given, cluster, code) => {
    const admitted = async () => namespaceLifecycle.mutate!(given, cluster);
    if (code === undefined) await admitted();
    else await assert.rejects(admitted, (error: { code?: number }) => error.code === code);
  });
});

describe("DefaultTolerationSeconds", () => {
  const plugin = defaultTolerationSeconds({ notReady: 5, unreachable: 6 });
  const added = (tolerations: Toleration[]): string[] => {
    const object: Pod = { metadata: { name: "x" }, spec: { containers: [], tolerations } };
    void plugin.mutate!(attributes("pods", object), nothing);
    return object
      .spec!.tolerations!.slice(tolerations.length)
      .map((t) => `${t.key} ${t.effect} ${t.tolerationSeconds}`);
  };
  const both = ["node.kubernetes.io/not-ready NoExecute 5", "node.kubernetes.io/unreachable NoExecute 6"];

  test.each<[string, Toleration[], string[]]>([
    ["a Pod without any gets both", [], both],
    ["one that tolerates another taint too", [{ key: "a", operator: "Exists" }], both],
    ["its own value stays", [{ key: "node.kubernetes.io/not-ready", effect: "NoExecute" }], both.slice(1)],
    ["another effect does not count", [{ key: "node.kubernetes.io/not-ready", effect: "NoSchedule" }], both],
    ["who tolerates everything gets none", [{ operator: "Exists" }], []],
  ])("%s", (_name, given, expected) => {
    assert.deepEqual(added(given), expected);
  });
});

describe("TaintNodesByCondition", () => {
  const taint = { key: "node.kubernetes.io/not-ready", effect: "NoSchedule" as const };
  test.each([
    ["a new Node is tainted", attributes("nodes", { metadata: {} }), [taint]],
    ["once", attributes("nodes", { metadata: {}, spec: { taints: [taint] } }), [taint]],
    ["but not an updated one", attributes("nodes", { metadata: {} }, { operation: "UPDATE" }), undefined],
  ])("%s", (_name, given, expected) => {
    void taintNodesByCondition.mutate!(given, nothing);
    assert.deepEqual((given.object as Node).spec?.taints, expected);
  });
});

describe("--enable-admission-plugins and --disable-admission-plugins", () => {
  const tolerationSeconds = { notReady: 1, unreachable: 1 };
  const names = (enable: string[], disable: string[]) =>
    admissionPlugins({
      tolerationSeconds,
      authorizer: superusers,
      callWebhook: () => Promise.reject(new Error("none here")),
      metrics: createRegistry(),
      clock: systemClock,
      rand: systemRand,
      enable,
      disable,
    }).map(({ name }) => name);

  test("what is on by default may be left out", () => {
    assert.ok(names([], []).includes("NamespaceLifecycle"));
    assert.ok(!names([], ["NamespaceLifecycle"]).includes("NamespaceLifecycle"));
  });

  test.each([
    [
      "what has no configuration",
      ["ImagePolicyWebhook"],
      [],
      'couldn\'t init admission plugin "ImagePolicyWebhook": no config specified',
    ],
    ["a name that there is not", ["X"], [], 'enable-admission-plugins plugin "X" is unknown'],
    [
      "both at once",
      ["NodeRestriction"],
      ["NodeRestriction"],
      "[NodeRestriction] in enable-admission-plugins and disable-admission-plugins overlapped",
    ],
  ])("%s is refused", (_name, enable, disable, message) => {
    assert.throws(() => names(enable, disable), { message });
  });
});
