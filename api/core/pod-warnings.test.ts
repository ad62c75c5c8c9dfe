import assert from "node:assert/strict";
import { describe, test } from "vitest";
import type { Container, Pod, PodSpec } from "../generated/core-v1.ts";
import { podWarnings, templateWarnings } from "./pod-warnings.ts";

const container = (more: Partial<Container>) => ({ name: "c", image: "i", ...more });
const pod = (spec: Partial<PodSpec>, annotations = {}): Pod => ({
  metadata: { name: "p", annotations },
  spec: { containers: [], ...spec },
});
const port = (containerPort: number, more: object = {}) => ({ containerPort, protocol: "TCP" as const, ...more });
const ports = (...given: ReturnType<typeof port>[]) =>
  pod({
    initContainers: [container({ ports: given.slice(0, 1) })],
    containers: [container({ ports: given.slice(1) })],
  });
const [first, second] = ["spec.initContainers[0].ports[0]", "spec.containers[0].ports[0]"];

describe("a Pod is warned of", () => {
  test.each<[string, Pod, string[]]>([
    ["nothing", pod({ nodeSelector: { constructor: "x", "kubernetes.io/os": "linux" } }, { toString: "" }), []],
    [
      "a label of nodes that is no more",
      pod({ nodeSelector: { "beta.kubernetes.io/os": "linux" } }),
      [`spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead`],
    ],
    [
      "an annotation without effect",
      pod({}, { "scheduler.alpha.kubernetes.io/critical-pod": "" }),
      [
        `metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "priorityClassName" field instead`,
      ],
    ],
    [
      "volumes that are no more",
      pod({
        volumes: [
          { name: "a", gitRepo: { repository: "r" } },
          { name: "b", storageos: { volumeName: "v" } },
        ],
      }),
      [
        "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
        "spec.volumes[1].storageOS: deprecated in v1.22, non-functional in v1.25+",
      ],
    ],
    [
      "a secret twice",
      pod({ imagePullSecrets: [{ name: "a" }, { name: "b" }, { name: "a" }] }),
      [`spec.imagePullSecrets[2].name: duplicate name "a"`],
    ],
    [
      "a variable twice, but when the later one has the earlier",
      pod({
        containers: [
          container({ env: ["1", "$(A)2", "$(A)", "3"].map((value) => ({ name: "A", value })) }),
          container({ env: [{ name: "A" }, { name: "B" }] }),
        ],
      }),
      ["2", "3"].map(
        (i) => `spec.containers[0].env[${i}]: hides previous definition of "A", which may be dropped when using apply`,
      ),
    ],
    ["a port twice", ports(port(80), port(80)), [`${second}: duplicate port definition with ${first}`]],
    [
      "a port with and without a host's",
      ports(port(80), port(80, { hostPort: 80 })),
      [`${second}: overlapping port definition with ${first}`],
    ],
    [
      "a host's port with and without an address",
      ports(port(80, { hostPort: 80 }), port(80, { hostPort: 80, hostIP: "127.0.0.1" })),
      [`${second}: dangerously ambiguous port definition with ${first}`],
    ],
    ["not ports of two protocols", ports(port(80), { ...port(80), protocol: "UDP" as never }), []],
    [
      "a negative time to end",
      pod({ terminationGracePeriodSeconds: -1 }),
      ["spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"],
    ],
  ])("%s", (_name, given, expected) => {
    assert.deepEqual(podWarnings(given), expected);
  });
});

test("a Pod is warned of when it is made, not at each of its many updates", () => {
  const given = pod({ terminationGracePeriodSeconds: -1 });
  assert.deepEqual([podWarnings(given).length, podWarnings(given, given)], [1, []]);
});

test("a hundred thousand ports and variables are read once, and a hundred problems told", () => {
  const many = Array.from({ length: 100_000 }, (_, i) => ({ name: `A${i}` }));
  const unlike = many.map((_, i) => port(80, { hostPort: i + 1 }));
  assert.deepEqual(
    podWarnings(pod({ imagePullSecrets: many, containers: [container({ env: many, ports: unlike })] })),
    [],
  );
  assert.equal(podWarnings(ports(...many.map(() => port(80)))).length, 100);
});

test("a template is warned of when it is new", () => {
  const of = (generation: number) => ({
    metadata: { name: "d", generation },
    spec: { template: { spec: { containers: [], terminationGracePeriodSeconds: -1 } } },
  });
  const told = [
    "spec.template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
  ];
  assert.deepEqual(
    [templateWarnings(of(1)), templateWarnings(of(2), of(1)), templateWarnings(of(1), of(1))],
    [told, told, []],
  );
});
