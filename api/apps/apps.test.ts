import { describe, expect, test } from "vitest";
import { errorText } from "../../apimachinery/field-error.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { make, row, type Told, told } from "../testing.ts";

const labels = { app: "a" };
const container = { name: "c", image: "i" };
const template = (spec: object, metadata: object = { labels }) => ({
  metadata,
  spec: { containers: [container], ...spec },
});
const stateful = (change: object) => ({ selector: { matchLabels: labels }, template: template({}), ...change });
const claim = (name: string, spec: object = {}) => ({
  metadata: { name },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, ...spec },
});
const mounts = (...names: string[]) => ({
  containers: [{ ...container, volumeMounts: names.map((name) => ({ name, mountPath: `/${name}` })) }],
});

describe("of workloads is refused", () => {
  test.each<Told>([
    [
      "nothing of a StatefulSet whose mounts are of its claims, under a name that is not its to give",
      "StatefulSet",
      stateful({
        template: template({ ...mounts("data"), hostname: "-", volumes: [{ name: "data" }] }),
        volumeClaimTemplates: [claim("data")],
      }),
      [],
    ],
    [
      "a mount of no claim, and a claim of nothing",
      "StatefulSet",
      stateful({
        template: template(mounts("other")),
        volumeClaimTemplates: [claim("data", { accessModes: [], resources: {} })],
      }),
      [
        "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required",
        "spec.volumeClaimTemplates[0].spec.resources[storage]: Required value",
        'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "other"',
      ],
    ],
    [
      "all that is wrong with a StatefulSet, in upstream's order",
      "StatefulSet",
      stateful({
        podManagementPolicy: "Random",
        updateStrategy: { type: "OnDelete", rollingUpdate: { partition: 1 } },
        replicas: -1,
        serviceName: "a.b",
        selector: { matchExpressions: [{ key: "a", operator: "Is" }] },
      }),
      [
        "spec.podManagementPolicy: Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'",
        'spec.updateStrategy.rollingUpdate: Invalid value: {"Partition":1,"MaxUnavailable":null}: only allowed for updateStrategy \'RollingUpdate\'',
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        expect.stringMatching(/^spec.serviceName: Invalid value: "a.b": a lowercase RFC 1123 label/),
        'spec.selector.matchExpressions[0].operator: Invalid value: "Is": not a valid selector operator',
        'spec.selector: Invalid value: {"matchExpressions":[{"key":"a","operator":"Is"}]}',
      ] as string[],
    ],
    [
      "labels of a StatefulSet's template, twice",
      "StatefulSet",
      stateful({ template: template({}, { labels: { ...labels, b: "-" } }), updateStrategy: { type: "Some" } }),
      [
        'spec.updateStrategy: Invalid value: {"Type":"Some","RollingUpdate":null}: must be \'RollingUpdate\' or \'OnDelete\'',
        expect.stringMatching(/^spec.template.metadata.labels: Invalid value: "-"/),
        expect.stringMatching(/^spec.template.labels: Invalid value: "-"/),
      ] as string[],
    ],
    [
      "a DaemonSet that selects nothing, and moves by what is none",
      "DaemonSet",
      {
        selector: {},
        template: template({}),
        updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: "101%", maxSurge: -1 } },
      },
      [
        "spec.selector: Invalid value: {}: empty selector is invalid for daemonset",
        "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: -1: must be greater than or equal to 0",
        'spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%',
        "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: -1: may not be set when maxUnavailable is non-zero",
      ],
    ],
    [
      "a DaemonSet's strategy that is none",
      "DaemonSet",
      { updateStrategy: { type: "Some", rollingUpdate: { maxSurge: 1 } } },
      [
        'spec.updateStrategy: Unsupported value: {"Type":"Some","RollingUpdate":{"MaxUnavailable":0,"MaxSurge":1}}: supported values: "RollingUpdate", "OnDelete"',
      ],
    ],
    [
      "a ReplicaSet of fewer than none",
      "ReplicaSet",
      { replicas: -1, minReadySeconds: -1 },
      ["replicas", "minReadySeconds"].map(
        (key) => `spec.${key}: Invalid value: -1: must be greater than or equal to 0`,
      ),
    ],
    ["a revision of nothing", "ControllerRevision", { data: null }, ["data: Required value: data is mandatory"]],
    [
      "a revision that is a list",
      "ControllerRevision",
      { data: [], revision: -1 },
      [
        "revision: Invalid value: -1: must be greater than or equal to 0",
        "data: Required value: data must be a valid JSON object",
      ],
    ],
  ])("%s", (_, kind, change, problems) => expect(told(kind, change)).toEqual(problems));

  test("what a StatefulSet cannot change may stay wrong", () => {
    const old = make(
      "StatefulSet",
      stateful({ serviceName: "a.b", volumeClaimTemplates: [claim("data", { resources: {} })] }),
    );
    expect(row("StatefulSet").validateUpdate(structuredClone(old), old).map(errorText)).toEqual([]);
    const mounting = (...names: string[]) => make("StatefulSet", stateful({ template: template(mounts(...names)) }));
    const update = (next: KubernetesObject, before: KubernetesObject) =>
      row("StatefulSet").validateUpdate(next, before);
    expect(
      [update(mounting("a"), mounting("b")), update(mounting("a"), mounting())].map((found) => found.length),
    ).toEqual([0, 1]);
  });
});

test("fields of gates that are off are dropped", () => {
  const rollingUpdate = { maxUnavailable: 2, partition: 1 };
  const set = make("StatefulSet", stateful({ updateStrategy: { type: "RollingUpdate", rollingUpdate } }));
  expect(set).toMatchObject({ spec: { updateStrategy: { rollingUpdate: { partition: 1 } } } });
  expect(JSON.stringify(set)).not.toContain("maxUnavailable");
  for (const kind of ["Deployment", "ReplicaSet"]) {
    const next = { ...make(kind), status: { replicas: 1, terminatingReplicas: 1 } } as KubernetesObject;
    row(kind).prepareForStatusUpdate(next, make(kind));
    expect(next).toMatchObject({ status: { replicas: 1 } });
    expect(JSON.stringify(next)).not.toContain("terminatingReplicas");
  }
});
