import { describe, expect, test } from "vitest";
import { errorText } from "../../apimachinery/field-error.ts";
import type { Deployment, DeploymentSpec } from "../generated/apps-v1.ts";
import { deployments } from "./deployment.ts";

const template = { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "c", image: "i:1" }] } };
const deployment = (spec: Partial<DeploymentSpec> = {}): Deployment => {
  const object: Deployment = {
    metadata: { name: "d", namespace: "default" },
    spec: structuredClone({ selector: { matchLabels: { app: "web" } }, template, ...spec }),
  };
  deployments.defaults(object);
  return object;
};
const problems = (object: Deployment) => deployments.validate(object).map(errorText);

test("a bare Deployment gets exactly what upstream adds; its template no more than a template does", () => {
  const { spec } = deployment();
  expect(spec).toMatchObject({
    replicas: 1,
    revisionHistoryLimit: 10,
    progressDeadlineSeconds: 600,
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%", maxUnavailable: "25%" } },
    template: { spec: { restartPolicy: "Always", schedulerName: "default-scheduler" } },
  });
  expect(spec.template.spec.enableServiceLinks).toBeUndefined();
});

describe("validation", () => {
  test.each<[string, Partial<DeploymentSpec>, string[]]>([
    ["a good one has no problems", {}, []],
    [
      "an empty selector",
      { selector: {} },
      ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
    ],
    [
      "labels that the selector does not match, in their order",
      {
        selector: { matchLabels: { app: "x" } },
        template: { ...template, metadata: { labels: { b: "c", app: "web" } } },
      },
      [
        'spec.template.metadata.labels: Invalid value: {"app":"web","b":"c"}: `selector` does not match template `labels`',
      ],
    ],
    [
      "Pods that end",
      { template: { ...template, spec: { ...template.spec, restartPolicy: "Never", activeDeadlineSeconds: 1 } } },
      [
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported",
      ],
    ],
    [
      "no room to move",
      { strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } },
      ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
    ],
    [
      "a selector that says nothing sensible, whose template is not looked at",
      { selector: { matchExpressions: [{ key: "app", operator: "In" }] }, template: {} as never },
      [
        "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        'spec.selector: Invalid value: {"matchExpressions":[{"key":"app","operator":"In"}]}: invalid label selector',
      ],
    ],
    [
      "a strategy that is none",
      { strategy: { type: "Canary" } as never },
      [
        'spec.strategy: Unsupported value: {"Type":"Canary","RollingUpdate":null}: supported values: "Recreate", "RollingUpdate"',
      ],
    ],
    [
      "amounts that are none count as none",
      { strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 0, maxUnavailable: "some" } } },
      [
        expect.stringMatching(/^spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "some": a valid percent/),
        'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "some": may not be 0 when `maxSurge` is 0',
      ] as string[],
    ],
    [
      "Recreate has no parameters",
      { strategy: { type: "Recreate", rollingUpdate: { maxSurge: 1 } } },
      ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
    ],
    ["fewer than none", { replicas: -1 }, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]],
    [
      "a deadline that cannot be met",
      { minReadySeconds: 600 },
      ["spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"],
    ],
  ])("%s", (_, spec, expected) => expect(problems(deployment(spec))).toEqual(expected));

  test("a body with nothing in it is told what is missing", () => {
    const object = { metadata: { name: "d", namespace: "default" }, spec: {} } as Deployment;
    deployments.defaults(object);
    expect(problems(object)).toEqual([
      "spec.selector: Required value",
      "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`",
      "spec.template.spec.containers: Required value",
    ]);
  });

  test("the selector is immutable", () => {
    const changed = deployment({ selector: { matchExpressions: [{ key: "app", operator: "Exists" }] } });
    expect(deployments.validateUpdate(changed, deployment()).map(errorText)).toEqual([
      'spec.selector: Invalid value: {"matchExpressions":[{"key":"app","operator":"Exists"}]}: field is immutable',
    ]);
  });
});

describe("generation", () => {
  test.each<[string, (d: Deployment) => void, number]>([
    [
      "counts the spec",
      (d) => {
        d.spec.replicas = 5;
      },
      8,
    ],
    [
      "counts annotations, which reach the ReplicaSets",
      (d) => {
        d.metadata.annotations = { a: "b" };
      },
      8,
    ],
    [
      "does not count labels",
      (d) => {
        d.metadata.labels = { a: "b" };
      },
      7,
    ],
    [
      "does not count status, which this endpoint keeps",
      (d) => {
        d.status = { replicas: 9 };
      },
      7,
    ],
  ])("%s", (_, change, generation) => {
    const old = deployment();
    old.metadata.generation = 7;
    const object = structuredClone(old);
    change(object);
    deployments.prepareForUpdate(object, old);
    expect([object.metadata.generation, object.status]).toEqual([generation, undefined]);
  });
});

test("scale reads and writes replicas, with the selector as text", () => {
  const object = deployment({ replicas: 3 });
  expect(deployments.scale!.get({ ...object, status: { replicas: 2 } })).toMatchObject({
    kind: "Scale",
    metadata: { name: "d", namespace: "default" },
    spec: { replicas: 3 },
    status: { replicas: 2, selector: "app=web" },
  });
  deployments.scale!.set(object, 5);
  expect(object.spec.replicas).toBe(5);
});
