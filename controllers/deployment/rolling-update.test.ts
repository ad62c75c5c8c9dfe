import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isPodReady } from "../../api/core/pod-status.ts";
import type { Deployment, ReplicaSet } from "../../api/generated/apps-v1.ts";
import type { Pod } from "../../api/generated/core-v1.ts";
import { reconcile as reconcileReplicaSet } from "../replicaset/reconcile.ts";
import { deployment, nowMs, pod } from "../testing.ts";
import { reconcile } from "./reconcile.ts";
import { maxSurge, maxUnavailable } from "./sizes.ts";

/**
 * A Deployment with its ReplicaSets and Pods, in which the Deployment controller, each ReplicaSet's controller and the
 * Pods move in any order. Each controller sees what the others have written, statuses as old as their last writing.
 */
class Model {
  deployment: Deployment;
  replicaSets: ReplicaSet[] = [];
  pods: { owner: string; pod: Pod }[] = [];
  #names = 0;

  constructor(deployment: Deployment) {
    this.deployment = deployment;
  }

  stepDeployment(): boolean {
    const { deployment, replicaSets } = this;
    const common = { deployment, replicaSets, pods: [], collisionCount: undefined, failure: undefined, nowMs };
    let moved = false;
    for (const action of reconcile(common)) {
      if (action.type === "UpdateStatus") this.deployment = { ...this.deployment, status: action.status };
      if (action.type === "CreateReplicaSet") {
        const { metadata } = action.replicaSet;
        const creationTimestamp = new Date(nowMs + this.replicaSets.length * 1000).toISOString();
        const stored = { ...metadata, uid: metadata.name, generation: 1, creationTimestamp };
        this.replicaSets = [...this.replicaSets, { ...action.replicaSet, metadata: stored }];
        moved = true;
      }
      if (action.type === "UpdateReplicaSet") {
        this.#store(action.replicaSet);
        moved = true;
      }
    }
    return moved;
  }

  stepReplicaSet(index: number): boolean {
    const replicaSet = this.replicaSets[index % Math.max(1, this.replicaSets.length)];
    if (replicaSet === undefined) return false;
    const { uid } = replicaSet.metadata;
    const pods = this.pods.filter(({ owner }) => owner === uid).map(({ pod }) => pod);
    let moved = false;
    for (const action of reconcileReplicaSet({ replicaSet, pods, relatedPods: pods, failure: undefined, nowMs })) {
      moved = true;
      if (action.type === "CreatePods") for (let i = 0; i < action.count; i++) this.#createPod(replicaSet);
      if (action.type === "DeletePods") this.pods = this.pods.filter(({ pod }) => !action.pods.includes(pod));
      if (action.type === "UpdateStatus") this.#store({ ...replicaSet, status: action.status });
    }
    return moved;
  }

  becomeReady(index: number): boolean {
    const waiting = this.pods.filter(({ pod }) => !isPodReady(pod));
    const entry = waiting[index % Math.max(1, waiting.length)];
    if (entry === undefined) return false;
    const { name, ownerReferences, labels } = entry.pod.metadata;
    const ready = pod(name, { ...(labels && { labels }) });
    entry.pod = { ...ready, metadata: { ...ready.metadata, ...(ownerReferences && { ownerReferences }) } };
    return true;
  }

  settle(): void {
    for (let quiet = false, rounds = 0; !quiet; rounds++) {
      if (rounds > 1000) throw new Error("does not come to rest");
      quiet = !this.stepDeployment();
      for (const index of this.replicaSets.keys()) if (this.stepReplicaSet(index)) quiet = false;
      if (this.becomeReady(0)) quiet = false;
    }
  }

  setImage(image: string): void {
    const { template } = this.deployment.spec;
    const spec = { ...this.deployment.spec, template: { ...template, spec: { containers: [{ name: "c", image }] } } };
    const metadata = { ...this.deployment.metadata, generation: this.deployment.metadata.generation! + 1 };
    this.deployment = { ...this.deployment, metadata, spec };
  }

  #createPod({ metadata, spec }: ReplicaSet): void {
    const labels = spec.template!.metadata!.labels!;
    const created = pod(`p${++this.#names}`, { ready: false, phase: "Pending", labels });
    const { apiVersion = "apps/v1", kind = "ReplicaSet" } = {};
    const owner = { apiVersion, kind, name: metadata.name, uid: metadata.uid!, controller: true };
    created.metadata.ownerReferences = [owner];
    this.pods.push({ owner: metadata.uid!, pod: created });
  }

  #store(replicaSet: ReplicaSet): void {
    const { uid } = replicaSet.metadata;
    this.replicaSets = this.replicaSets.map((other) => (other.metadata.uid === uid ? replicaSet : other));
  }
}

const amount = fc.oneof(
  fc.nat({ max: 4 }),
  fc.nat({ max: 100 }).map((percent) => `${percent}%`),
);
const step = fc.oneof(
  fc.constant({ type: "deployment" } as const),
  fc.record({ type: fc.constant("replicaSet" as const), index: fc.nat({ max: 3 }) }),
  fc.record({ type: fc.constant("ready" as const), index: fc.nat({ max: 12 }) }),
  fc.record({ type: fc.constant("image" as const), image: fc.constantFrom("a", "b", "c") }),
);

describe("Rolling update, in whatever order things happen", () => {
  test("never asks for too many Pods, never has too few that are available, and arrives", () => {
    const scenario = fc.record({
      replicas: fc.integer({ min: 1, max: 8 }),
      surge: amount,
      unavailable: amount,
      steps: fc.array(step, { maxLength: 60 }),
    });
    fc.assert(
      fc.property(scenario, ({ replicas, surge, unavailable, steps }) => {
        const rollingUpdate = { maxSurge: surge, maxUnavailable: unavailable };
        const model = new Model(
          deployment(replicas, { image: "a", strategy: { type: "RollingUpdate", rollingUpdate } }),
        );
        model.settle();
        const most = replicas + maxSurge(model.deployment);
        const least = replicas - maxUnavailable(model.deployment);
        const check = () => {
          expect(model.replicaSets.reduce((sum, { spec }) => sum + spec.replicas!, 0)).toBeLessThanOrEqual(most);
          expect(model.pods.filter(({ pod }) => isPodReady(pod)).length).toBeGreaterThanOrEqual(least);
        };
        check();
        model.setImage("b");
        for (const next of steps) {
          if (next.type === "deployment") model.stepDeployment();
          else if (next.type === "replicaSet") model.stepReplicaSet(next.index);
          else if (next.type === "ready") model.becomeReady(next.index);
          else model.setImage(next.image);
          check();
        }
        model.settle();
        check();
        const image = model.deployment.spec.template.spec!.containers[0]!.image;
        const now = model.replicaSets.filter(({ spec }) => spec.replicas! > 0);
        expect(now.map(({ spec }) => [spec.replicas, spec.template!.spec!.containers[0]!.image])).toEqual([
          [replicas, image],
        ]);
        expect(model.pods.length).toBe(replicas);
      }),
      { numRuns: 300 },
    );
  });
});
