import { expect, test } from "vitest";
import { errorText } from "../../apimachinery/field-error.ts";
import type { Pod } from "../generated/core-v1.ts";
import { make } from "../testing.ts";
import { resize } from "./pod-parts.ts";

const cpu = (amount: string, more: object = {}) => ({ resources: { requests: { cpu: amount, ...more } } });
const sidecar = { name: "s", image: "i", restartPolicy: "Always" };
const first = { name: "f", image: "i" };

/** What is said to a Pod of one container that asks for a CPU when it is resized. */
function told(to: object, spec: object = {}, more: Partial<Pod> = {}): string[] {
  const containers = [{ name: "c", image: "i", ...cpu("1") }];
  const old = Object.assign(make("Pod", { containers, ...spec }), more) as Pod;
  const pod = structuredClone(old);
  Object.assign(pod.spec, { containers: [{ ...containers[0], ...to }], ...to });
  resize.prepare(pod, old, "");
  return [...resize.validate(pod, old)].map(errorText);
}

const running = (more: object) => ({ status: { containerStatuses: [{ name: "c", state: { running: {} }, ...more }] } });
const limited = { resources: { limits: { cpu: "2", memory: "2Gi" }, requests: { cpu: "1", memory: "1Gi" } } };
const lowered = { resources: { limits: { cpu: "2", memory: "1Gi" }, requests: { cpu: "1", memory: "1Gi" } } };

test.each<[string, object, object, object, string[]]>([
  ["more of a CPU", cpu("2"), {}, {}, []],
  ["less memory, since v1.34", lowered, { containers: [{ name: "c", image: "i", ...limited }] }, {}, []],
  [
    "none, which is another quality of service",
    { resources: {} },
    {},
    {},
    [
      'spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing',
      "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
    ],
  ],
  [
    "disks",
    cpu("1", { "ephemeral-storage": "1Gi" }),
    {},
    {},
    ["spec: Forbidden: only cpu and memory resources are mutable"],
  ],
  [
    "how it is resized",
    { ...cpu("2"), resizePolicy: [{ resourceName: "cpu", restartPolicy: "RestartContainer" }] },
    {},
    {},
    ["spec: Forbidden: only cpu and memory resources are mutable"],
  ],
  ["a sidecar", { initContainers: [{ ...sidecar, ...cpu("2") }] }, { initContainers: [sidecar] }, {}, []],
  [
    "what a sidecar asks for besides",
    { initContainers: [{ ...sidecar, ...cpu("2", { "ephemeral-storage": "1Gi" }) }] },
    { initContainers: [sidecar] },
    {},
    ["spec: Forbidden: only cpu and memory resources for sidecar containers are mutable"],
  ],
  [
    "what runs first",
    { initContainers: [{ ...first, ...cpu("2") }] },
    { initContainers: [first] },
    {},
    ["spec: Forbidden: resources for non-sidecar init containers are immutable"],
  ],
  ["where the agent can", cpu("2"), {}, running({ resources: {} }), []],
  [
    "where the agent cannot",
    cpu("2"),
    {},
    running({}),
    ["spec: Forbidden: Pod running on node without support for resize"],
  ],
  [
    "a Pod with resources of its own",
    cpu("2"),
    { resources: { requests: { cpu: "3" } } },
    {},
    [": Forbidden: pods with pod-level resources cannot be resized"],
  ],
  ["on Windows", cpu("2"), { os: { name: "windows" } }, {}, [": Forbidden: windows pods cannot be resized"]],
  [
    "a static Pod",
    cpu("2"),
    {},
    { metadata: { name: "x", namespace: "default", annotations: { "kubernetes.io/config.mirror": "x" } } },
    [": Forbidden: static pods cannot be resized"],
  ],
])("a resize: %s", (_, to, spec, more, expected) => expect(told(to, spec, more)).toEqual(expected));
