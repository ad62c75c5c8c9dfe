import { expect, test } from "vitest";
import { errorText } from "../../apimachinery/field-error.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { make, row, type Told, told, toldOfStatus } from "../testing.ts";
import { mandatoryLevels, mandatorySchemas } from "./mandatory.ts";

const rule = (change: object) => ({
  rules: [{ subjects: [{ kind: "User", user: { name: "u" } }], ...change }],
});
const resource = { verbs: ["*"], apiGroups: ["*"], resources: ["*"], namespaces: ["*"] };

test.each<Told>([
  [
    "a schema of no level, with a method of its own",
    "FlowSchema",
    { matchingPrecedence: 1, distinguisherMethod: { type: "ByVerb" }, priorityLevelConfiguration: { name: "" } },
    [
      "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
      'spec.distinguisherMethod.type: Unsupported value: {"Type":"ByVerb"}: supported values: "ByNamespace", "ByUser"',
      "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
    ],
  ],
  [
    "subjects that are several things, and accounts of no namespace",
    "FlowSchema",
    {
      rules: [
        {
          subjects: [
            { kind: "ServiceAccount", serviceAccount: { name: "A" }, user: { name: "u" } },
            { kind: "ServiceAccount", serviceAccount: { name: "*", namespace: "*" } },
            { kind: "Group" },
            { kind: "Robot" },
          ],
        },
      ],
    },
    [
      expect.stringMatching(
        /^spec.rules\[0\].subjects\[0\].serviceAccount.name: Invalid value: "A": a lowercase RFC 1123 subdomain/,
      ) as string,
      "spec.rules[0].subjects[0].serviceAccount.namespace: Required value: must specify namespace for service account",
      "spec.rules[0].subjects[0].user: Forbidden: user is forbidden when subject kind is not 'User'",
      expect.stringMatching(
        /^spec.rules\[0\].subjects\[1\].serviceAccount.namespace: Invalid value: "\*": a lowercase RFC 1123 label/,
      ) as string,
      "spec.rules[0].subjects[2].group: Required value: group is required when subject kind is 'Group'",
      'spec.rules[0].subjects[3].kind: Unsupported value: "Robot": supported values: "Group", "ServiceAccount", "User"',
      "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
    ],
  ],
  [
    "verbs that are none, and stars in company",
    "FlowSchema",
    rule({
      resourceRules: [
        { ...resource, verbs: ["get", "head"], apiGroups: ["*", "a"], resources: [], namespaces: [] },
        { ...resource, namespaces: ["a", "B"] },
        { ...resource, verbs: ["*", "get"], namespaces: [], clusterScope: true },
      ],
    }),
    [
      'spec.rules[0].resourceRules[0].verbs: Unsupported value: ["get","head"]: supported values: "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"',
      `spec.rules[0].resourceRules[0].apiGroups: Invalid value: ["*","a"]: if '*' is present, must not specify other api groups`,
      "spec.rules[0].resourceRules[0].resources: Required value: resource rules must supply at least one resource",
      "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace",
      expect.stringMatching(
        /^spec.rules\[0\].resourceRules\[1\].namespaces\[1\]: Invalid value: "B": each member of this list must be '\*' or a DNS-1123 label; a lowercase RFC 1123 label/,
      ) as string,
      `spec.rules[0].resourceRules[2].verbs: Invalid value: ["*","get"]: if '*' is present, must not specify other verbs`,
    ],
  ],
  [
    "URLs that are none",
    "FlowSchema",
    rule({
      nonResourceRules: [
        { verbs: ["get"], nonResourceURLs: ["/", "/a/*", "", "a", "/a b", "/a//b", "/*/b", "/a*"] },
        { verbs: ["get"], nonResourceURLs: ["*", "/a"] },
        { verbs: ["get"] },
      ],
    }),
    [
      ...[
        "must not be empty",
        "must start with slash",
        "must not contain white-space",
        "must not contain double slash",
      ],
      ...["wildcard can only do suffix matching", "wildcard can only do suffix matching"],
    ]
      .map((text, i) => {
        const urls = ["", "a", "/a b", "/a//b", "/*/b", "/a*"];
        return `spec.rules[0].nonResourceRules[0].nonResourceURLs[${i + 2}]: Invalid value: "${urls[i]}": ${text}`;
      })
      .concat(
        `spec.rules[0].nonResourceRules[1].nonResourceURLs: Invalid value: ["*","/a"]: if '*' is present, must not specify other non-resource URLs`,
        "spec.rules[0].nonResourceRules[2].nonResourceURLs: Required value: nonResourceURLs must contain at least one value",
      ),
  ],
  [
    "a level that is exempt under another name, and queues beside",
    "PriorityLevelConfiguration",
    { type: "Exempt" },
    [
      "spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'",
      "spec.limited: Forbidden: must be nil if the type is not Limited",
    ],
  ],
  [
    "shares, percents and hands that are too small or too large",
    "PriorityLevelConfiguration",
    {
      limited: {
        ...{ nominalConcurrencyShares: -1, lendablePercent: 101, borrowingLimitPercent: -1 },
        limitResponse: { type: "Queue", queuing: { queues: 1024, handSize: 7, queueLengthLimit: -1 } },
      },
    },
    [
      "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
      "spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: -1: must be positive",
      "spec.limited.limitResponse.queuing.handSize: Invalid value: 7: required entropy bits of deckSize 1024 and handSize 7 should not be greater than 60",
      "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
      "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer",
    ],
  ],
])("%s", (_, kind, change, expected) => expect(told(kind, change)).toEqual(expected));

test.each(["FlowSchema", "PriorityLevelConfiguration"])("conditions of a %s have types, each its own", (kind) => {
  expect(toldOfStatus(kind, { conditions: [{ type: "A" }, { type: "A" }, {}] })).toEqual([
    'conditions[1].type: Duplicate value: "A"',
    "conditions[2].type: Required value: must not be empty",
  ]);
});

test.each([
  ["FlowSchema", mandatorySchemas],
  ["PriorityLevelConfiguration", mandatoryLevels],
])("mandatory ones of %s are as they are", (kind, mandatory) => {
  for (const [name, spec] of Object.entries(mandatory)) {
    const said = (spec: object) => {
      const object = { metadata: { name }, spec: structuredClone(spec) } as unknown as KubernetesObject;
      row(kind).defaults(object);
      return row(kind)
        .validate(object)
        .map((error) => errorText({ ...error, badValue: 0 }));
    };
    expect(said(spec)).toEqual([]);
    const other = "matchingPrecedence" in spec ? { ...spec, matchingPrecedence: 7 } : { ...spec, limited: {} };
    expect(said(other).at(-1)).toBe(
      `spec: Invalid value: 0: spec of '${name}'${name === "exempt" && kind !== "FlowSchema" ? " except the 'spec.exempt' field" : ""} must equal the fixed value`,
    );
  }
  expect(make(kind)).toHaveProperty("spec");
});
