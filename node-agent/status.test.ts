import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { qosClass } from "../api/core/pod-status.ts";
import type { PodStatus, ResourceRequirements } from "../api/generated/core-v1.ts";
import type { ContainerInfo } from "./cri-runtime.ts";
import { podStatus, type StatusInput } from "./status.ts";
import { statusPatch } from "./status-patch.ts";
import { container, info, podOf, sandbox, t0 } from "./testing/pods.ts";

function status(containers: ContainerInfo[], more: Partial<StatusInput> = {}): PodStatus {
  return podStatus({
    pod: podOf(),
    runtime: { runtimeName: "kubelab", sandboxes: [sandbox()], containers },
    waiting: new Map(),
    isStarted: () => true,
    isReady: () => true,
    hostIP: "192.168.77.1",
    nowMs: t0,
    over: false,
    failed: undefined,
    ...more,
  });
}

/** `Pending Initialized ...`: the phase and the conditions that are true. */
function summary({ phase, conditions }: PodStatus): string {
  const yes = conditions!.filter((c) => c.status === "True").map(({ type }) => type);
  return [phase, ...yes].join(" ");
}

const all = "PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled";
const unready = "PodReadyToStartContainers Initialized PodScheduled";
const never = podOf({ restartPolicy: "Never" });
const pair = podOf({ restartPolicy: "Never", containers: [container("main"), container("side")] });
const withInit = podOf({ initContainers: [container("i1")] });

const rows: [string, PodStatus, string][] = [
  [
    "before its sandbox is there",
    status([], { runtime: { runtimeName: "kubelab", sandboxes: [], containers: [] } }),
    "Pending Initialized PodScheduled",
  ],
  ["with its sandbox and nothing more", status([]), `Pending ${unready}`],
  ["running and ready", status([info("main")]), `Running ${all}`],
  ["running, its readiness probe not passed", status([info("main")], { isReady: () => false }), `Running ${unready}`],
  ["a container that is restarted", status([info("main", { exit: 1 })]), `Running ${unready}`],
  ["Never and ended with 0", status([info("main", { exit: 0 })], { pod: never }), `Succeeded ${unready}`],
  ["Never and ended with an error", status([info("main", { exit: 1 })], { pod: never }), `Failed ${unready}`],
  [
    "Never, one of two has ended",
    status([info("main", { exit: 0 }), info("side")], { pod: pair }),
    `Running ${unready}`,
  ],
  [
    "Never, one of two failed",
    status([info("main", { exit: 0 }), info("side", { exit: 1 })], { pod: pair }),
    `Failed ${unready}`,
  ],
  [
    "its init container runs",
    status([info("i1")], { pod: withInit }),
    "Pending PodReadyToStartContainers PodScheduled",
  ],
  ["its init container is done", status([info("i1", { exit: 0 })], { pod: withInit }), `Pending ${unready}`],
  [
    "its init container failed with Never",
    status([info("i1", { exit: 1 })], { pod: podOf({ ...withInit.spec!, restartPolicy: "Never" }) }),
    "Failed PodReadyToStartContainers PodScheduled",
  ],
  ["ended for good, with 0", status([info("main", { exit: 0 })], { over: true }), `Succeeded ${unready}`],
  ["ended for good, by a signal", status([info("main", { exit: 137 })], { over: true }), `Failed ${unready}`],
  [
    "failed as a whole",
    status([info("main", { exit: 137 })], { failed: { reason: "DeadlineExceeded", message: "too long" } }),
    `Failed ${unready}`,
  ],
  [
    "failing as a whole, not stopped yet",
    status([info("main")], { failed: { reason: "DeadlineExceeded", message: "too long" } }),
    `Running ${all}`,
  ],
  [
    "its readiness gate is closed",
    status([info("main")], { pod: podOf({ readinessGates: [{ conditionType: "x/y" }] }) }),
    "Running PodReadyToStartContainers Initialized ContainersReady PodScheduled",
  ],
];

describe("podStatus", () => {
  test("a readiness gate that is closed is told as upstream tells it", () => {
    const readinessGates = ["x/y", "x/z"].map((conditionType) => ({ conditionType }));
    const pod = podOf({ readinessGates }, { conditions: [{ type: "x/z", status: "Unknown" }] });
    const ready = status([info("main")], { pod }).conditions!.find(({ type }) => type === "Ready");
    const first = 'corresponding condition of pod readiness gate "x/y" does not exist.';
    const second = 'the status of pod readiness gate "x/z" is not "True", but Unknown';
    assert.equal(ready?.message, `${first}, ${second}`);
  });

  test.each(rows)("%s", (_, actual, expected) => assert.equal(summary(actual), expected));

  test("a running container", () => {
    const [actual] = status([info("main", { count: 1 }), info("main", { exit: 3, endedMs: 5000 })]).containerStatuses!;
    assert.deepEqual(actual, {
      name: "main",
      state: { running: { startedAt: "2026-01-01T00:00:00Z" } },
      lastState: {
        terminated: {
          exitCode: 3,
          reason: "Error",
          startedAt: "2026-01-01T00:00:00Z",
          finishedAt: "2026-01-01T00:00:05Z",
          containerID: "kubelab://main-0",
        },
      },
      ready: true,
      restartCount: 1,
      image: "kubelab/echo:v1",
      imageID: "image-1",
      containerID: "kubelab://main-1",
      started: true,
    });
  });

  test("a container that waits to be restarted shows why, and its last end as lastState", () => {
    const waiting = new Map([["main", { reason: "CrashLoopBackOff", message: "back-off 10s" }]]);
    const [actual] = status([info("main", { exit: 1 })], { waiting }).containerStatuses!;
    assert.deepEqual(actual?.state, { waiting: { reason: "CrashLoopBackOff", message: "back-off 10s" } });
    assert.equal(actual?.lastState?.terminated?.exitCode, 1);
  });

  test("a container that the runtime has lost ended with 137 and ContainerStatusUnknown", () => {
    const known = { name: "main", ready: true, restartCount: 2, image: "", imageID: "", state: { running: {} } };
    const pod = podOf({}, { containerStatuses: [known] });
    const [actual] = status([], { pod }).containerStatuses!;
    assert.equal(actual?.lastState?.terminated?.reason, "ContainerStatusUnknown");
    assert.equal(actual?.restartCount, 2);
  });

  test("a Pod in the node's network has the node's address", () => {
    const pod = podOf({ hostNetwork: true });
    assert.deepEqual(status([info("main")], { pod }).podIPs, [{ ip: "192.168.77.1" }]);
  });
});

describe("statusPatch", () => {
  const wanted = status([info("main")]);
  const dated = (conditions: PodStatus["conditions"]) =>
    conditions!.map((c) => ({ ...c, lastProbeTime: null, lastTransitionTime: "2026-01-01T00:00:00Z" }));
  const stored = { ...wanted, conditions: dated(wanted.conditions) } as unknown as PodStatus;

  test("nothing to say when nothing differs", () => assert.equal(statusPatch(stored, wanted, t0), undefined));

  test("others' conditions and fields are left alone", () => {
    const others = [...stored.conditions!, { type: "DisruptionTarget", status: "True" as const }];
    assert.equal(statusPatch({ ...stored, conditions: others, nominatedNodeName: "n" }, wanted, t0), undefined);
  });

  test("a condition that flips is dated anew; what it no longer says is removed", () => {
    const conditions = stored.conditions!.map((c) =>
      c.type === "Ready" ? { ...c, status: "False" as const, reason: "ContainersNotReady", message: "m" } : c,
    );
    assert.deepEqual(statusPatch({ ...stored, conditions }, wanted, t0 + 60_000), {
      conditions: [
        {
          type: "Ready",
          status: "True",
          reason: null,
          message: null,
          lastProbeTime: null,
          lastTransitionTime: "2026-01-01T00:01:00Z",
        },
      ],
    });
  });

  test("an address that is gone is deleted by its key, since the list is merged", () => {
    const old = { ...stored, podIP: "10.244.1.9", podIPs: [{ ip: "10.244.1.9" }] };
    assert.deepEqual(statusPatch(old, wanted, t0), {
      podIP: "10.244.1.2",
      podIPs: [{ $patch: "delete", ip: "10.244.1.9" }, { ip: "10.244.1.2" }],
    });
  });
});

describe("qosClass", () => {
  const half = { cpu: "500m", memory: "64Mi" };
  const rows: [string, ResourceRequirements | undefined, string][] = [
    ["nothing asked: BestEffort", undefined, "BestEffort"],
    ["limits alone: Guaranteed", { limits: half }, "Guaranteed"],
    ["requests equal limits, written otherwise: Guaranteed", { limits: half, requests: { cpu: "0.5" } }, "Guaranteed"],
    ["requests alone: Burstable", { requests: { cpu: "100m" } }, "Burstable"],
    ["limits of cpu alone: Burstable", { limits: { cpu: "1" } }, "Burstable"],
  ];
  test.each(rows)("%s", (_, resources, expected) => {
    const pod = podOf({ containers: [container("main", resources ? { resources } : {})] });
    assert.equal(qosClass(pod.spec!), expected);
  });
});
