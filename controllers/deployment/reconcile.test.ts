import { describe, expect, test } from "vitest";
import type { Deployment, DeploymentCondition, ReplicaSet } from "../../api/generated/apps-v1.ts";
import { deployment, nowMs, ownedReplicaSet, pod, replicaSet } from "../testing.ts";
import { reconcile, type State } from "./reconcile.ts";
import { templateHash } from "./revision.ts";

type Change = Partial<Omit<State, "deployment" | "replicaSets">>;

function decide(deployment: Deployment, replicaSets: ReplicaSet[], more: Change = {}) {
  return reconcile({
    deployment,
    replicaSets,
    pods: [],
    collisionCount: undefined,
    failure: undefined,
    nowMs,
    ...more,
  });
}

/** What happens to ReplicaSets, in short; status and revision are looked at where they are the point. */
function moves(deployment: Deployment, replicaSets: ReplicaSet[], more: Change = {}): string[] {
  return decide(deployment, replicaSets, more).flatMap((action) => {
    switch (action.type) {
      case "CreateReplicaSet":
        return [`create with ${action.replicaSet.spec.replicas}`];
      case "UpdateReplicaSet":
        return action.from === undefined
          ? []
          : [`${action.replicaSet.metadata.name} ${action.from} -> ${action.replicaSet.spec.replicas}`];
      case "DeleteReplicaSet":
      case "AdoptReplicaSet":
      case "ReleaseReplicaSet":
        return [`${action.type} ${action.replicaSet.metadata.name}`];
      default:
        return [];
    }
  });
}

const rolling = (maxSurge: number | string, maxUnavailable: number | string) => ({
  strategy: { type: "RollingUpdate" as const, rollingUpdate: { maxSurge, maxUnavailable } },
});
const old = (owner: Deployment, replicas: number, more = {}) =>
  ownedReplicaSet(owner, "old", { replicas, image: "old", createdAt: "2026-01-01T09:00:00Z", ...more });
const fresh = (owner: Deployment, replicas: number, more = {}) =>
  ownedReplicaSet(owner, "new", { replicas, revision: 2, ...more });

const ten = deployment(10, rolling("30%", "25%")); // surge 3, at least 8 available
const four = deployment(4, rolling(1, 0));

const table: { name: string; deployment: Deployment; replicaSets: ReplicaSet[]; more?: Change; expected: string[] }[] =
  [
    { name: "a first ReplicaSet is made at full size", deployment: ten, replicaSets: [], expected: ["create with 10"] },
    {
      name: "a new template gets what maxSurge leaves room for, while the old gives what maxUnavailable lets go",
      deployment: ten,
      replicaSets: [old(ten, 10)],
      expected: ["create with 3", "old 10 -> 8"],
    },
    {
      name: "what is ready of the new lets as much of the old go, down to maxUnavailable below",
      deployment: ten,
      replicaSets: [old(ten, 10), fresh(ten, 3)],
      expected: ["old 10 -> 5"],
    },
    {
      name: "new Pods that are not ready yet let go only what maxUnavailable allows",
      deployment: ten,
      replicaSets: [old(ten, 10), fresh(ten, 3, { available: 0 })],
      expected: ["old 10 -> 8"],
    },
    {
      name: "with maxUnavailable 0 nothing old goes before something new is available",
      deployment: four,
      replicaSets: [old(four, 4), fresh(four, 1, { available: 0 })],
      expected: [],
    },
    {
      name: "with maxUnavailable 0 even unavailable old Pods wait for new ones",
      deployment: four,
      replicaSets: [old(four, 4, { available: 2 }), fresh(four, 1, { available: 0 })],
      expected: [],
    },
    {
      name: "unavailable old Pods make way as far as the sum allows",
      deployment: ten,
      replicaSets: [old(ten, 10, { available: 6 }), fresh(ten, 3, { available: 0 })],
      expected: ["old 10 -> 8"],
    },
    {
      name: "the new ReplicaSet grows into the room the old has left",
      deployment: ten,
      replicaSets: [old(ten, 5), fresh(ten, 3)],
      expected: ["new 3 -> 8"],
    },
    {
      name: "at the end the last of the old goes",
      deployment: ten,
      replicaSets: [old(ten, 2), fresh(ten, 10)],
      expected: ["old 2 -> 0"],
    },
    {
      name: "maxSurge and maxUnavailable that round to zero both: one at a time goes missing",
      deployment: deployment(3, rolling("0%", "10%")),
      replicaSets: [old(deployment(3), 3), fresh(deployment(3), 0)],
      expected: ["old 3 -> 2"],
    },
    {
      name: "scaling a settled Deployment scales its ReplicaSet",
      deployment: deployment(5),
      replicaSets: [ownedReplicaSet(deployment(3), "web-1", { replicas: 3 })],
      expected: ["web-1 3 -> 5"],
    },
    {
      name: "scaling in the midst of a rollout shares in proportion, the greater part to the greater",
      deployment: deployment(20, rolling(0, "25%")),
      replicaSets: [old(deployment(10), 8), ownedReplicaSet(deployment(10), "new", { replicas: 2, revision: 2 })],
      expected: ["old 8 -> 16", "new 2 -> 4"],
    },
    {
      name: "a paused Deployment follows its size, but does not roll",
      deployment: { ...deployment(4, { paused: true }) },
      replicaSets: [ownedReplicaSet(deployment(3), "old", { replicas: 3, image: "old" })],
      expected: ["old 3 -> 4"],
    },
    {
      name: "Recreate: the old goes entirely",
      deployment: deployment(3, { strategy: { type: "Recreate" } }),
      replicaSets: [old(deployment(3), 3)],
      expected: ["old 3 -> 0"],
    },
    {
      name: "Recreate: nothing new before the last old Pod is gone",
      deployment: deployment(3, { strategy: { type: "Recreate" } }),
      replicaSets: [old(deployment(3), 0)],
      more: { pods: [pod("p", { deleting: true, owner: replicaSet("old", 0) })] },
      expected: [],
    },
    {
      name: "Recreate: then the new at full size",
      deployment: deployment(3, { strategy: { type: "Recreate" } }),
      replicaSets: [old(deployment(3), 0)],
      expected: ["create with 3"],
    },
    {
      name: "beyond revisionHistoryLimit the oldest revisions go, once the rollout is complete",
      deployment: deployment(1, { revisionHistoryLimit: 1 }),
      replicaSets: [
        ownedReplicaSet(deployment(1), "a", { replicas: 0, image: "a", revision: 1 }),
        ownedReplicaSet(deployment(1), "c", { replicas: 0, image: "c", revision: 3 }),
        ownedReplicaSet(deployment(1), "b", { replicas: 0, image: "b", revision: 2 }),
        ownedReplicaSet(deployment(1), "new", { replicas: 1, revision: 4 }),
      ],
      expected: ["DeleteReplicaSet a", "DeleteReplicaSet b"],
    },
    {
      name: "a ReplicaSet without a controller is adopted, and is the new one if it has the template",
      deployment: deployment(3),
      replicaSets: [replicaSet("stray", 3)],
      expected: ["AdoptReplicaSet stray"],
    },
    {
      name: "a Deployment that is being deleted moves nothing",
      deployment: { ...ten, metadata: { ...ten.metadata, deletionTimestamp: "2026-01-01T11:00:00Z" } },
      replicaSets: [old(ten, 10)],
      expected: [],
    },
  ];

describe("Deployment: which ReplicaSet gets which size", () => {
  test.each(table)("$name", ({ deployment, replicaSets, more, expected }) => {
    expect(moves(deployment, replicaSets, more)).toEqual(expected);
  });
});

describe("Deployment: the new ReplicaSet", () => {
  test("is named, labelled and selects by the hash of the template, and belongs to the Deployment", () => {
    const [created] = decide(ten, []);
    const hash = templateHash(ten.spec.template, undefined);
    expect(created).toMatchObject({
      type: "CreateReplicaSet",
      replicaSet: {
        metadata: {
          name: `web-${hash}`,
          labels: { app: "web", "pod-template-hash": hash },
          annotations: {
            "deployment.kubernetes.io/revision": "1",
            "deployment.kubernetes.io/desired-replicas": "10",
            "deployment.kubernetes.io/max-replicas": "13",
          },
          ownerReferences: [{ kind: "Deployment", name: "web", uid: "uid-web", controller: true }],
        },
        spec: {
          selector: { matchLabels: { app: "web", "pod-template-hash": hash } },
          template: { metadata: { labels: { app: "web", "pod-template-hash": hash } } },
        },
      },
    });
  });

  test("the hash has no vowels, does not depend on the order of fields, and changes with a collision", () => {
    const { metadata, spec } = ten.spec.template;
    const hash = templateHash(ten.spec.template, undefined);
    expect(hash).toMatch(/^[bcdfghjklmnpqrstvwxz2456789]+$/);
    expect(templateHash({ ...(spec && { spec }), ...(metadata && { metadata }) }, undefined)).toBe(hash);
    expect(templateHash(ten.spec.template, 1)).not.toBe(hash);
  });

  test("an old template that comes back gets a new revision and remembers the old one", () => {
    const back = ownedReplicaSet(ten, "back", { replicas: 0, revision: 1 });
    const actions = decide(ten, [back, ownedReplicaSet(ten, "later", { replicas: 10, image: "later", revision: 2 })]);
    const updated = actions.find((action) => action.type === "UpdateReplicaSet");
    expect(updated?.replicaSet.metadata.annotations).toMatchObject({
      "deployment.kubernetes.io/revision": "3",
      "deployment.kubernetes.io/revision-history": "1",
    });
    expect(actions).toContainEqual({ type: "SetRevision", revision: "3" });
  });

  test("carries the Deployment's annotations, but for those of kubectl and of rollouts", () => {
    const annotations = { team: "a", "kubectl.kubernetes.io/last-applied-configuration": "{}" };
    const [created] = decide({ ...ten, metadata: { ...ten.metadata, annotations } }, []);
    expect(created).toMatchObject({ replicaSet: { metadata: { annotations: { team: "a" } } } });
    expect(JSON.stringify(created)).not.toContain("last-applied");
  });
});

describe("Deployment: status", () => {
  const conditionsOf = (deployment: Deployment, replicaSets: ReplicaSet[], more: Change = {}) => {
    const update = decide(deployment, replicaSets, more).find((action) => action.type === "UpdateStatus");
    return (update?.status.conditions ?? []).map(
      ({ type, status, reason, message }) => `${type}=${status} ${reason}: ${message}`,
    );
  };
  const progressing = (reason: string, lastUpdateTime: string): DeploymentCondition => ({
    type: "Progressing",
    status: "True",
    reason,
    message: "",
    lastUpdateTime,
    lastTransitionTime: lastUpdateTime,
  });
  const with_ = (conditions: DeploymentCondition[], replicas = 0): Deployment => ({
    ...ten,
    status: { observedGeneration: 1, replicas, updatedReplicas: replicas, conditions },
  });
  const unavailable = "Available=False MinimumReplicasUnavailable: Deployment does not have minimum availability.";
  const available = "Available=True MinimumReplicasAvailable: Deployment has minimum availability.";

  const rows: { name: string; deployment: Deployment; replicaSets: ReplicaSet[]; more?: Change; expected: string[] }[] =
    [
      {
        name: "just begun",
        deployment: ten,
        replicaSets: [],
        expected: [
          `Progressing=True NewReplicaSetCreated: Created new replica set "web-${templateHash(ten.spec.template, undefined)}"`,
          unavailable,
        ],
      },
      {
        name: "complete",
        deployment: with_([progressing("ReplicaSetUpdated", "2026-01-01T11:59:00Z")], 3),
        replicaSets: [fresh(ten, 10)],
        expected: [available, 'Progressing=True NewReplicaSetAvailable: ReplicaSet "new" has successfully progressed.'],
      },
      {
        name: "one more has become ready",
        deployment: with_([progressing("NewReplicaSetCreated", "2026-01-01T11:50:00Z")], 10),
        replicaSets: [fresh(ten, 10, { available: 1 })],
        expected: [unavailable, 'Progressing=True ReplicaSetUpdated: ReplicaSet "new" is progressing.'],
      },
      {
        name: "no progress for longer than the deadline",
        deployment: with_([progressing("ReplicaSetUpdated", "2026-01-01T11:49:59Z")], 10),
        replicaSets: [fresh(ten, 10, { available: 0 })],
        expected: [
          unavailable,
          'Progressing=False ProgressDeadlineExceeded: ReplicaSet "new" has timed out progressing.',
        ],
      },
      {
        name: "paused",
        deployment: { ...ten, spec: { ...ten.spec, paused: true } },
        replicaSets: [fresh(ten, 10)],
        expected: ["Progressing=Unknown DeploymentPaused: Deployment is paused", available],
      },
      {
        name: "resumed",
        deployment: with_([{ ...progressing("DeploymentPaused", "2026-01-01T11:00:00Z"), status: "Unknown" }], 10),
        replicaSets: [fresh(ten, 10, { available: 0 })],
        expected: ["Progressing=Unknown DeploymentResumed: Deployment is resumed", unavailable],
      },
      {
        name: "without a deadline nothing is said of progress",
        deployment: deployment(10, { progressDeadlineSeconds: 2 ** 31 - 1 }),
        replicaSets: [fresh(ten, 10)],
        expected: [available],
      },
      {
        name: "the ReplicaSet could not be made",
        deployment: ten,
        replicaSets: [],
        more: { failure: "admission says no" },
        expected: [
          `Progressing=False ReplicaSetCreateError: Failed to create new replica set "web-${templateHash(ten.spec.template, undefined)}": admission says no`,
          unavailable,
        ],
      },
      {
        name: "its Pods could not be made",
        deployment: with_([progressing("ReplicaSetUpdated", "2026-01-01T11:59:00Z")], 0),
        replicaSets: [
          {
            ...fresh(ten, 10, { available: 0 }),
            status: {
              replicas: 0,
              conditions: [{ type: "ReplicaFailure", status: "True", reason: "FailedCreate", message: "quota" }],
            },
          },
        ],
        expected: ["Progressing=True ReplicaSetUpdated: ", unavailable, "ReplicaFailure=True FailedCreate: quota"],
      },
    ];
  test.each(rows)("$name", ({ deployment, replicaSets, more, expected }) => {
    expect(conditionsOf(deployment, replicaSets, more)).toEqual(expected);
  });

  test("while a rollout runs, it is looked at again when its deadline has passed", () => {
    const running = with_([progressing("ReplicaSetUpdated", "2026-01-01T11:59:00Z")], 10);
    const actions = decide(running, [fresh(ten, 10, { available: 0 })]);
    expect(actions.at(-1)).toEqual({ type: "RequeueAfter", ms: 541_000 });
  });
});
