import { expect, test } from "vitest";
import type { PersistentVolumeClaim, Pod } from "../../api/generated/core-v1.ts";
import { reconcile, usesClaim } from "./reconcile.ts";

const finalizer = "kubernetes.io/pvc-protection";
const object = (isDeleted: boolean, ...finalizers: string[]) => ({
  metadata: { name: "c", namespace: "n", finalizers, ...(isDeleted && { deletionTimestamp: "2026-01-01T00:00:00Z" }) },
});

test.each([
  ["one from before there was protection gets it", object(false, "other"), false, ["Protect"]],
  ["a protected one is left alone", object(false, finalizer), false, []],
  ["deleted but in use: it stays", object(true, finalizer), true, []],
  ["deleted and not in use: it is let go", object(true, finalizer), false, ["Release"]],
  ["deleted and no longer protected: others hold it", object(true, "other"), false, []],
])("%s", (_name, object, isUsed, expected) => {
  expect(reconcile({ object, finalizer, isUsed }).map(({ type }) => type)).toEqual(expected);
});

const claim = (name: string, owner?: string): PersistentVolumeClaim => ({
  spec: {},
  metadata: {
    name,
    namespace: "n",
    ...(owner && { ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "p", uid: owner, controller: true }] }),
  },
});
const pod = (nodeName: string | undefined, volume: object, metadata: object = {}): Pod =>
  ({
    metadata: { name: "p", namespace: "n", uid: "u", ...metadata },
    spec: { containers: [], ...(nodeName && { nodeName }), volumes: [{ name: "v", ...volume }] },
    status: { phase: "Succeeded" },
  }) as Pod;
const named = { persistentVolumeClaim: { claimName: "c" } };
const gone = { deletionTimestamp: "2026-01-01T00:00:00Z", deletionGracePeriodSeconds: 0 };

test.each([
  ["a Pod without a node uses nothing yet", pod(undefined, named), claim("c"), false],
  ["a Pod on a node uses what its volumes name, also when it has ended", pod("a", named), claim("c"), true],
  ["it does not use another", pod("a", named), claim("d"), false],
  ["an ephemeral volume uses the claim that was made for it", pod("a", { ephemeral: {} }), claim("p-v", "u"), true],
  ["not one of its name that someone else made", pod("a", { ephemeral: {} }), claim("p-v"), false],
  ["not when the agent is done with the Pod", pod("a", { ephemeral: {} }, gone), claim("p-v", "u"), false],
  ["a volume of another sort uses no claim", pod("a", { emptyDir: {} }), claim("p-v", "u"), false],
])("%s", (_name, pod, claim, expected) => {
  expect(usesClaim(pod, claim)).toBe(expected);
});
