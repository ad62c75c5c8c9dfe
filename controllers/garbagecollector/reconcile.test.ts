import { describe, expect, test } from "vitest";
import type { KubernetesObject, OwnerReference } from "../../apimachinery/object.ts";
import { type OwnerState, reconcile, type State } from "./reconcile.ts";

const reference = (uid: string, blockOwnerDeletion = false): OwnerReference => ({
  apiVersion: "v1",
  kind: "Thing",
  name: uid,
  uid,
  blockOwnerDeletion,
});
const owned = (...states: OwnerState[]): State["owners"] =>
  states.map((state, i) => ({ reference: reference(`owner-${i}`), state }));
const object = (finalizers: string[] = [], deleting = false): KubernetesObject => ({
  metadata: { name: "x", uid: "x", finalizers, ...(deleting && { deletionTimestamp: "2026-01-01T11:00:00Z" }) },
});
const dependent = (blocking: boolean): KubernetesObject => ({
  metadata: { name: "d", uid: "d", ownerReferences: [reference("x", blocking)] },
});

const table: { name: string; state: Partial<State>; expected: object[] }[] = [
  { name: "owned by nobody: stays", state: {}, expected: [] },
  { name: "its owner is there: stays", state: { owners: owned("present") }, expected: [] },
  {
    name: "its owner is gone: goes",
    state: { owners: owned("absent") },
    expected: [{ type: "Delete", propagationPolicy: "Background" }],
  },
  {
    name: "whether its owner is gone is not known: asked first",
    state: { owners: owned("absent", "unknown") },
    expected: [{ type: "LookUpOwner", reference: reference("owner-1") }],
  },
  {
    name: "one of two owners is gone: forgets that one",
    state: { owners: owned("absent", "present") },
    expected: [{ type: "DropOwners", uids: ["owner-0"] }],
  },
  {
    name: "its owner waits for it: goes",
    state: { owners: owned("waiting") },
    expected: [{ type: "Delete", propagationPolicy: "Background" }],
  },
  {
    name: "its owner waits for it, and it has dependents of its own: goes after those",
    state: { owners: owned("waiting"), dependents: [dependent(true)] },
    expected: [{ type: "Delete", propagationPolicy: "Foreground" }],
  },
  {
    name: "deleted in the foreground: waits for dependents that block",
    state: { object: object(["foregroundDeletion"], true), dependents: [dependent(true)] },
    expected: [],
  },
  {
    name: "deleted in the foreground: does not wait for those that do not",
    state: { object: object(["foregroundDeletion"], true), dependents: [dependent(false)] },
    expected: [{ type: "RemoveFinalizer", finalizer: "foregroundDeletion" }],
  },
  {
    name: "deleted with orphans: lets its dependents go first",
    state: { object: object(["orphan"], true), dependents: [dependent(true)] },
    expected: [{ type: "OrphanDependents" }, { type: "RemoveFinalizer", finalizer: "orphan" }],
  },
  {
    name: "on its way out already: nothing more",
    state: { object: object(["example.com/hold"], true), owners: owned("absent") },
    expected: [],
  },
];

describe("Garbage collection: reconcile", () => {
  test.each(table)("$name", ({ state, expected }) => {
    expect(reconcile({ object: object(), owners: [], dependents: [], ...state })).toEqual(expected);
  });
});
