import { expect, test } from "vitest";
import { errorText } from "../../apimachinery/field-error.ts";
import { make, row, told } from "../testing.ts";

const of = (...metrics: object[]) => ({ metrics });
const target = { type: "AverageValue", averageValue: "1" };

test.each<[title: string, change: object, problems: string[]]>([
  [
    "a metric of no type, and of one that is none",
    of({}, { type: "Queue", resource: { name: "cpu", target } }),
    [
      "spec.metrics[0].type: Required value: must specify a metric source type",
      ...["", "", "Queue", "Queue"].map(
        (type, i) =>
          `spec.metrics[${i >> 1}].type: Unsupported value: "${type}": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"`,
      ),
    ],
  ],
  [
    "a source that is missing, beside others",
    of({ type: "Pods", resource: { name: "", target }, external: { target: { type: "Size" } } }),
    [
      "spec.metrics[0].external.metric.name: Required value: must specify a metric name",
      'spec.metrics[0].external.target.type: Invalid value: "Size": must be either Utilization, Value, or AverageValue',
      "spec.metrics[0].external.target.averageValue: Required value: must set either a target value for metric or a per-pod target",
      "spec.metrics[0].pods: Required value: must populate information for the given metric source",
      "spec.metrics[0].external: Forbidden: must populate the given metric source only",
      "spec.metrics[0].resource: Forbidden: must populate the given metric source only",
    ],
  ],
  [
    "targets of two values, of none, and below zero",
    of(
      { type: "External", external: { metric: { name: "m" }, target: { ...target, value: "-1" } } },
      { type: "Resource", resource: { name: "cpu", target: { ...target, averageUtilization: 0 } } },
      { type: "Pods", pods: { metric: { name: "a/b" }, target: { type: "Value", value: "1" } } },
      { type: "Object", object: { describedObject: { kind: "", name: "x" }, metric: { name: "m" }, target: {} } },
    ),
    [
      'spec.metrics[0].external.target.value: Invalid value: "-1": must be positive',
      "spec.metrics[0].external.target.value: Forbidden: may not set both a target value for metric and a per-pod target",
      "spec.metrics[1].resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
      "spec.metrics[1].resource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization",
      `spec.metrics[2].pods.metric.name: Invalid value: "a/b": may not contain '/'`,
      "spec.metrics[2].pods.target.averageValue: Required value: must specify a positive target averageValue",
      "spec.metrics[3].object.describedObject.kind: Required value",
      "spec.metrics[3].object.target.type: Required value: must specify a metric target type",
      'spec.metrics[3].object.target.type: Invalid value: "": must be either Utilization, Value, or AverageValue',
      "spec.metrics[3].object.target.averageValue: Required value: must set either a target value or averageValue",
    ],
  ],
  [
    "a container's resource that no container has",
    of({ type: "ContainerResource", containerResource: { name: "gpus", container: "", target } }),
    [
      'spec.metrics[0].containerResource.name: Invalid value: "gpus": must be a standard resource type or fully qualified',
      'spec.metrics[0].containerResource.name: Invalid value: "gpus": must be a standard resource for containers',
      "spec.metrics[0].containerResource.container: Required value: must specify a container",
    ],
  ],
  [
    "behaviour without policies, for too long",
    { behavior: { scaleUp: { stabilizationWindowSeconds: 3601, selectPolicy: "Some", policies: [] } } },
    [
      "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
      'spec.behavior.scaleUp.selectPolicy: Unsupported value: "Some": supported values: "Disabled", "Max", "Min"',
      "spec.behavior.scaleUp.policies: Required value: must specify at least one Policy",
    ],
  ],
])("%s", (_, change, expected) => expect(told("HorizontalPodAutoscaler", change)).toEqual(expected));

test("what scales to zero may go on, by a metric that is not the Pods' own", () => {
  const zero = make("HorizontalPodAutoscaler", { minReplicas: 0 });
  const { validate, validateUpdate } = row("HorizontalPodAutoscaler");
  expect([validate(zero), validateUpdate(zero, zero)].map((errors) => errors.map(errorText)[0])).toEqual([
    "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
    "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas",
  ]);
});
