import { expect, test } from "vitest";
import type { ClusterRole } from "../../api/generated/rbac-v1.ts";
import { reconcile } from "./reconcile.ts";

const rule = (verb: string, resource: string) => ({ verbs: [verb], apiGroups: [""], resources: [resource] });
const role = (name: string, labels: Record<string, string>, ...rules: ReturnType<typeof rule>[]): ClusterRole => ({
  metadata: { name, labels },
  rules,
});
const aggregate = (rules: ReturnType<typeof rule>[], ...labels: string[]): ClusterRole => ({
  ...role("all", { own: "true" }, ...rules),
  aggregationRule: { clusterRoleSelectors: labels.map((label) => ({ matchLabels: { [label]: "true" } })) },
});
const pods = role("pods", { a: "true" }, rule("get", "pods"), rule("list", "pods"));
const nodes = role("nodes", { a: "true", b: "true" }, rule("get", "nodes"), rule("get", "pods"));
const other = role("other", {}, rule("get", "secrets"));

const table: { name: string; clusterRole: ClusterRole; expected: ReturnType<typeof rule>[] | undefined }[] = [
  {
    name: "what the selector finds is joined, each rule once",
    clusterRole: aggregate([], "a"),
    expected: [rule("get", "nodes"), rule("get", "pods"), rule("list", "pods")],
  },
  {
    name: "selectors are alternatives, in their order",
    clusterRole: aggregate([], "b", "a"),
    expected: [rule("get", "nodes"), rule("get", "pods"), rule("list", "pods")],
  },
  {
    name: "what no role gives any more is taken away",
    clusterRole: aggregate([rule("get", "x")], "none"),
    expected: [],
  },
  { name: "an aggregate is no part of itself", clusterRole: aggregate([rule("get", "x")], "own"), expected: [] },
  {
    name: "nothing is written when all is as it should be",
    clusterRole: aggregate([rule("get", "nodes"), rule("get", "pods")], "b"),
    expected: undefined,
  },
];

test.each(table)("$name", ({ clusterRole, expected }) => {
  const actions = reconcile({ clusterRole, others: [clusterRole, nodes, other, pods] });
  expect(actions.map(({ rules }) => rules)).toEqual(expected === undefined ? [] : [expected]);
});
