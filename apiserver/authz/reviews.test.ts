import assert from "node:assert/strict";
import { expect, test } from "vitest";
import type { Attributes } from "./authorizer.ts";
import { authorizationMakers } from "./reviews.ts";

/** What the authorizer is asked when a review has these resource attributes. */
async function askedOf(resourceAttributes: object): Promise<Attributes> {
  let asked: Attributes | undefined;
  const makers = authorizationMakers({
    authorize(attributes) {
      asked = attributes;
      return { type: "NoOpinion", reason: "" };
    },
    rulesFor: () => ({ rules: [], incomplete: false, errors: [] }),
  });
  const make = new Map(makers).get("authorization.k8s.io/subjectaccessreviews")!;
  const review = { spec: { user: "u", resourceAttributes: { verb: "list", resource: "pods", ...resourceAttributes } } };
  await make(review as object as Parameters<typeof make>[0], {} as Parameters<typeof make>[1]);
  return asked!;
}

const requirement = (key: string, operator: string, ...values: string[]) => ({ key, operator, values });

test.each([
  ["nothing", {}, "", ""],
  ["a raw selector", { fieldSelector: { rawSelector: "a=b" }, labelSelector: { rawSelector: "x,!y" } }, "a=b", "x,!y"],
  [
    "fields, a comma within",
    { fieldSelector: { requirements: [requirement("a", "In", "b,c"), requirement("d", "NotIn", "e")] } },
    "a=b\\,c,d!=e",
    "",
  ],
  [
    "fields in a way that no selector of fields has",
    { fieldSelector: { requirements: [requirement("a", "Exists"), requirement("b", "In", "c", "d")] } },
    "",
    "",
  ],
  [
    "labels of each operator, and one that is not known",
    {
      labelSelector: {
        requirements: [
          requirement("a", "In", "b", "c"),
          requirement("d", "NotIn", "e"),
          requirement("f", "Exists"),
          requirement("g", "DoesNotExist"),
          requirement("h", "Near"),
        ],
      },
    },
    "",
    "a in (b,c),d notin (e),f,!g",
  ],
])("a review that selects %s is asked about so", async (_name, attributes, fieldSelector, labelSelector) => {
  expect(await askedOf(attributes)).toMatchObject({ fieldSelector, labelSelector });
});

test.each([
  [
    "an empty selector of fields",
    { fieldSelector: {} },
    "spec.resourceAttributes.fieldSelector.requirements: Required value: when spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required",
  ],
  [
    "a selector of labels said twice",
    { labelSelector: { rawSelector: "a", requirements: [requirement("a", "Exists")] } },
    'spec.resourceAttributes.labelSelector.rawSelector: Invalid value: "a": may not specified at the same time as requirements',
  ],
])("a review with %s is refused", async (_name, attributes, text) => {
  await assert.rejects(askedOf(attributes), (err: Error) => err.message.endsWith(text));
});
