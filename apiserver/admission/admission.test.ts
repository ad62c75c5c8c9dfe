import assert from "node:assert/strict";
import { describe, test } from "vitest";
import type { Node, Pod, Toleration } from "../../api/generated/core-v1.ts";
import type { Resource } from "../../api/resource.ts";
import { resources } from "../../api/resources.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import type { Attributes } from "./chain.ts";
import { defaultTolerationSeconds } from "./default-toleration-seconds.ts";
import { namespaceLifecycle } from "./namespace-lifecycle.ts";
import { taintNodesByCondition } from "./taint-nodes-by-condition.ts";

const row = (name: string): Resource => resources().find(({ resource }) => resource === name)!;
const attributes = (resource: string, object: unknown, more: Partial<Attributes> = {}): Attributes => ({
  verb: "create",
  resource: row(resource),
  subresource: "",
  namespace: "ns",
  name: "x",
  user: { name: "u", groups: [] },
  object: object as KubernetesObject,
  old: undefined,
  ...more,
});
const nothing = { namespace: () => undefined };

describe("NamespaceLifecycle", () => {
  const namespace = (phase: string) => ({ namespace: () => ({ metadata: { name: "ns" }, status: { phase } }) });

  test.each<[string, Attributes, Parameters<typeof namespaceLifecycle>[1], number | undefined]>([
    ["creates in an active Namespace", attributes("pods", {}), namespace("Active"), undefined],
    ["not in a missing one", attributes("pods", {}), nothing, 404],
    ["not in one that ends", attributes("pods", {}), namespace("Terminating"), 403],
    ["but updates there", attributes("pods", {}, { verb: "update" }), namespace("Terminating"), undefined],
    ["and binds there", attributes("pods", {}, { subresource: "binding" }), namespace("Terminating"), undefined],
    ["cluster-wide things need none", attributes("nodes", {}, { namespace: "" }), nothing, undefined],
    ["default is not deleted", attributes("namespaces", undefined, { verb: "delete", name: "default" }), nothing, 403],
    ["others are", attributes("namespaces", undefined, { verb: "delete", name: "mine" }), nothing, undefined],
  ])("%s", (_name, given, lookup, code) => {
    if (code === undefined) namespaceLifecycle(given, lookup);
    else
      assert.throws(
        () => namespaceLifecycle(given, lookup),
        (error: { code?: number }) => error.code === code,
      );
  });
});

describe("DefaultTolerationSeconds", () => {
  const plugin = defaultTolerationSeconds({ notReady: 5, unreachable: 6 });
  const added = (tolerations: Toleration[]): string[] => {
    const object: Pod = { metadata: { name: "x" }, spec: { containers: [], tolerations } };
    plugin(attributes("pods", object), nothing);
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
    ["but not an updated one", attributes("nodes", { metadata: {} }, { verb: "update" }), undefined],
  ])("%s", (_name, given, expected) => {
    taintNodesByCondition(given, nothing);
    assert.deepEqual((given.object as Node).spec?.taints, expected);
  });
});
