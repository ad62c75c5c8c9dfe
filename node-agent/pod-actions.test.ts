import assert from "node:assert/strict";
import { describe, test } from "vitest";
import type { Pod } from "../api/generated/core-v1.ts";
import type { ContainerInfo, Sandbox } from "./cri-runtime.ts";
import { type Action, type PodView, podActions } from "./pod-actions.ts";
import { durationText, nextBackoff, restartAtMs } from "./restart-backoff.ts";
import { container, info, podOf, sandbox, t0 } from "./testing/pods.ts";

function view(pod: Pod, sandboxes: Sandbox[], containers: ContainerInfo[], more: Partial<PodView> = {}): PodView {
  return {
    pod,
    runtime: { runtimeName: "kubelab", sandboxes, containers },
    nowMs: t0 + 1000,
    unhealthy: new Map(),
    started: new Set(containers.map(({ id }) => id)),
    startFailures: new Map(),
    backoff: new Map(),
    ...more,
  };
}

function text(action: Action): string {
  switch (action.type) {
    case "CreateSandbox":
      return `create sandbox ${action.attempt}`;
    case "StartContainer":
      return `start ${action.container.name} ${action.restartCount}`;
    case "KillContainer":
      return `kill ${action.container.id}${action.message && `: ${action.message}`}`;
    case "StopSandbox":
      return `stop sandbox ${action.sandbox.id}`;
    case "RemoveSandbox":
      return `remove sandbox ${action.sandbox.id}`;
    case "RemoveContainer":
      return `remove ${action.container.id}`;
  }
}

const unready = { ready: false, image: "", imageID: "" };
const never = { restartPolicy: "Never" } as const;
const onFailure = { restartPolicy: "OnFailure" } as const;
const two = { initContainers: [container("i1"), container("i2")] };
const withSidecar = { initContainers: [container("log", { restartPolicy: "Always" })] };

const rows: [string, PodView, string[]][] = [
  ["a new Pod needs a sandbox first", view(podOf(), [], []), ["create sandbox 0"]],
  ["with its sandbox it starts its containers", view(podOf(), [sandbox()], []), ["start main 0"]],
  ["a Pod that runs is left alone", view(podOf(), [sandbox()], [info("main")]), []],
  [
    "a container that ended is started again",
    view(podOf(), [sandbox()], [info("main", { exit: 0 })]),
    ["start main 1"],
  ],
  [
    "OnFailure does not start again what ended with 0, and the sandbox is stopped",
    view(podOf(onFailure), [sandbox()], [info("main", { exit: 0 })]),
    ["stop sandbox s0"],
  ],
  [
    "OnFailure starts again what ended with an error",
    view(podOf(onFailure), [sandbox()], [info("main", { exit: 1 })]),
    ["start main 1"],
  ],
  ["Never starts nothing again", view(podOf(never), [sandbox()], [info("main", { exit: 1 })]), ["stop sandbox s0"]],
  [
    "while one container runs, the sandbox stays though another has ended for good",
    view(
      podOf({ ...never, containers: [container("main"), container("side")] }),
      [sandbox()],
      [info("main", { exit: 0 }), info("side")],
    ),
    [],
  ],
  ["init containers run one after the other", view(podOf(two), [sandbox()], []), ["start i1 0"]],
  ["the next init container waits for the one that runs", view(podOf(two), [sandbox()], [info("i1")]), []],
  ["then comes the next", view(podOf(two), [sandbox()], [info("i1", { exit: 0 })]), ["start i2 0"]],
  [
    "then the containers",
    view(podOf(two), [sandbox()], [info("i2", { exit: 0 }), info("i1", { exit: 0 })]),
    ["start main 0"],
  ],
  [
    "an init container that failed is run again",
    view(podOf(two), [sandbox()], [info("i1", { exit: 1 })]),
    ["start i1 1"],
  ],
  [
    "with Never it fails the Pod",
    view(podOf({ ...two, ...never }), [sandbox()], [info("i1", { exit: 1 })]),
    ["stop sandbox s0"],
  ],
  [
    "init containers that are gone are not run again beside a running container",
    view(podOf(two), [sandbox()], [info("main")]),
    [],
  ],
  [
    "a sidecar that has started lets the others start",
    view(podOf(withSidecar), [sandbox()], [info("log")]),
    ["start main 0"],
  ],
  [
    "a sidecar whose startup probe has not passed holds them back",
    view(podOf(withSidecar), [sandbox()], [info("log")], { started: new Set() }),
    [],
  ],
  [
    "a sidecar that ended is started again beside the containers",
    view(podOf(withSidecar), [sandbox()], [info("main"), info("log", { exit: 0 })]),
    ["start log 1"],
  ],
  [
    "a lost sandbox is replaced, its containers killed first",
    view(podOf(), [sandbox(0, false)], [info("main")]),
    ["kill main-0: Pod sandbox changed, it will be killed and re-created."],
  ],
  ["then a new one is made", view(podOf(), [sandbox(0, false)], [info("main", { exit: 137 })]), ["create sandbox 1"]],
  [
    "init containers run again in a new sandbox",
    view(
      podOf(two),
      [sandbox(1), sandbox(0, false)],
      [info("main", { exit: 137 }), info("i2", { exit: 0 }), info("i1", { exit: 0 })],
    ),
    ["start i1 1"],
  ],
  [
    "no sandbox is made for a Pod whose containers ended for good",
    view(podOf(never), [sandbox(0, false)], [info("main", { exit: 0 })]),
    [],
  ],
  [
    "a container that was created and never started is made anew",
    view(podOf(), [sandbox()], [info("main", { state: "created", count: 2 })]),
    ["remove main-2", "start main 2"],
  ],
  [
    "a container in unknown state is killed",
    view(podOf(), [sandbox()], [info("main", { state: "unknown" })]),
    ["kill main-0: Container main is in unknown state, try killing it before restart"],
  ],
  [
    "an unhealthy container is killed",
    view(podOf(), [sandbox()], [info("main")], { unhealthy: new Map([["main-0", "Container main failed"]]) }),
    ["kill main-0: Container main failed"],
  ],
  [
    "a container whose image was changed is killed",
    view(podOf({ containers: [container("main", { image: "kubelab/echo:v2" })] }), [sandbox()], [info("main")]),
    ["kill main-0: Container main definition changed, will be restarted"],
  ],
  [
    "the two last dead containers of a name are kept",
    view(
      podOf(),
      [sandbox()],
      [3, 2, 1, 0].map((count) => info("main", count === 3 ? { count } : { count, exit: 1 })),
    ),
    ["remove main-0"],
  ],
  [
    "an old sandbox goes when no container of it is left",
    view(podOf(), [sandbox(1), sandbox(0, false)], [info("main", { in: "s1" })]),
    ["remove sandbox s0"],
  ],
  [
    "a Pod that has failed is stopped",
    view(podOf({}, { phase: "Failed", reason: "Evicted" }), [sandbox()], [info("main")]),
    ["kill main-0"],
  ],
  [
    "a container that the runtime has lost counts on from what the API knows",
    view(
      podOf({}, { containerStatuses: [{ name: "main", restartCount: 4, containerID: "kubelab://x", ...unready }] }),
      [sandbox()],
      [],
    ),
    ["start main 5"],
  ],
  [
    "with Never such a container is not run twice",
    view(
      podOf(never, {
        containerStatuses: [
          { name: "main", restartCount: 0, containerID: "kubelab://x", ...unready, state: { running: {} } },
        ],
      }),
      [],
      [],
    ),
    [],
  ],
  [
    "a failed start waits for its time",
    view(podOf(), [sandbox()], [], {
      startFailures: new Map([["main", { reason: "ErrImagePull", message: "no", retryAtMs: t0 + 2000 }]]),
    }),
    [],
  ],
  [
    "and then is tried again",
    view(podOf(), [sandbox()], [], {
      startFailures: new Map([["main", { reason: "ErrImagePull", message: "no", retryAtMs: t0 + 500 }]]),
    }),
    ["start main 0"],
  ],
];

describe("podActions", () => {
  test.each(rows)("%s", (_, state, expected) => {
    assert.deepEqual(podActions(state).actions.map(text), expected);
  });

  test("the second restart waits, and says so and until when", () => {
    const backoff = new Map([["main", { delayMs: 10_000, updatedAtMs: t0 }]]);
    const decision = podActions(view(podOf(), [sandbox()], [info("main", { exit: 1, endedMs: 500 })], { backoff }));
    assert.deepEqual(decision.actions, []);
    assert.equal(decision.wakeAtMs, t0 + 10_500);
    assert.deepEqual(decision.waiting.get("main"), {
      reason: "CrashLoopBackOff",
      message: "back-off 10s restarting failed container=main pod=web_default(u1)",
    });
  });

  test("past its deadline a Pod fails and is stopped; before, it wakes at the deadline", () => {
    const status = { startTime: new Date(t0).toISOString() };
    const at = (nowMs: number) =>
      podActions(view(podOf({ activeDeadlineSeconds: 5 }, status), [sandbox()], [info("main")], { nowMs }));
    assert.equal(at(t0 + 1000).wakeAtMs, t0 + 5000);
    const late = at(t0 + 5000);
    assert.deepEqual(late.actions.map(text), ["kill main-0"]);
    assert.equal(late.failed?.reason, "DeadlineExceeded");
  });
});

test("restarts are let through at once, then after 10 s doubling to 5 min, and start over after ten minutes", () => {
  let nowMs = t0;
  let backoff: ReturnType<typeof nextBackoff> | undefined;
  const waits: string[] = [];
  for (let i = 0; i < 8; i++) {
    const atMs = restartAtMs(backoff, nowMs); // it ends as soon as it has started
    waits.push(durationText(atMs - nowMs));
    backoff = nextBackoff(backoff, nowMs, atMs);
    nowMs = atMs;
  }
  assert.deepEqual(waits, ["0s", "10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s"]);
  assert.equal(restartAtMs(backoff, nowMs + 600_001), nowMs + 600_001);
});
