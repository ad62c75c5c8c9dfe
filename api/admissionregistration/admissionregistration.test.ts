import { expect, test } from "vitest";
import { type Told, told, toldOfStatus } from "../testing.ts";

const rule = { operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"] };
const hook = {
  ...{ name: "a.b.c", sideEffects: "None", admissionReviewVersions: ["v1"], clientConfig: { url: "https://a/b" } },
  rules: [rule],
};
const webhooks = (...changes: object[]) => ({ webhooks: changes.map((change) => ({ ...hook, ...change })) });
const match = { resourceRules: [rule] };
const policy = (change: object) => ({
  ...{ matchConstraints: match, validations: [{ expression: "true" }], ...change },
});

test.each<Told>([
  [
    "webhooks of a name that is none, and of one name",
    "MutatingWebhookConfiguration",
    webhooks({ name: "A.b" }, {}, { reinvocationPolicy: "Always", timeoutSeconds: 31 }),
    [
      expect.stringMatching(/^webhooks\[0\].name: Invalid value: "A.b": a lowercase RFC 1123 subdomain/) as string,
      "webhooks[2].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
      'webhooks[2].reinvocationPolicy: Unsupported value: "Always": supported values: "IfNeeded", "Never"',
      'webhooks[2].name: Duplicate value: "a.b.c"',
    ],
  ],
  [
    "rules that say a thing twice",
    "ValidatingWebhookConfiguration",
    webhooks({
      rules: [
        { ...rule, operations: ["*", "PATCH"], apiVersions: ["*", ""], resources: ["pods/*", "pods/status", "*/*"] },
        { ...rule, apiGroups: [], resources: ["*/scale", "pods/scale", "*", "pods", ""], scope: "Node" },
      ],
    }),
    [
      `operations: Invalid value: ["*","PATCH"]: if '*' is present, must not specify other operations`,
      'operations[1]: Unsupported value: "PATCH": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"',
      `apiVersions: Invalid value: ["*",""]: if '*' is present, must not specify other API versions`,
      "apiVersions[1]: Required value",
      `resources[1]: Invalid value: "pods/status": if 'pods/*' is present, must not specify pods/status`,
      `resources: Invalid value: ["pods/*","pods/status","*/*"]: if '*/*' is present, must not specify other resources`,
    ]
      .map((text) => `webhooks[0].rules[0].${text}`)
      .concat(
        [
          "apiGroups: Required value",
          `resources[1]: Invalid value: "pods/scale": if '*/scale' is present, must not specify pods/scale`,
          "resources[4]: Required value",
          `resources: Invalid value: ["*/scale","pods/scale","*","pods",""]: if '*' is present, must not specify other resources without subresources`,
          'scope: Unsupported value: "Node": supported values: "*", "Cluster", "Namespaced"',
        ].map((text) => `webhooks[0].rules[1].${text}`),
      ),
  ],
  [
    "versions that we do not speak, and paths that are none",
    "ValidatingWebhookConfiguration",
    webhooks({
      admissionReviewVersions: ["v2", "v2"],
      clientConfig: { service: { name: "", namespace: "n", path: "a//B/", port: 0 } },
    }),
    [
      "webhooks[0].clientConfig.service.name: Required value: service name is required",
      "webhooks[0].clientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
      `webhooks[0].clientConfig.service.path: Invalid value: "a//B/": must start with a '/'`,
      'webhooks[0].clientConfig.service.path: Invalid value: "a//B/": segment[0] may not be empty',
      'webhooks[0].clientConfig.service.path: Invalid value: "a//B/": segment[1] may not be empty',
      expect.stringMatching(/path: Invalid value: "a\/\/B\/": segment\[2\]: a lowercase RFC 1123 subdomain/) as string,
      'webhooks[0].admissionReviewVersions[1]: Invalid value: "v2": duplicate version',
      'webhooks[0].admissionReviewVersions: Invalid value: ["v2","v2"]: must include at least one of v1, v1beta1',
    ],
  ],
  [
    "conditions without a name, and of one",
    "ValidatingWebhookConfiguration",
    webhooks({
      matchConditions: [
        { name: "", expression: " " },
        { name: "a", expression: "true" },
        { name: "a", expression: "'x'" },
      ],
    }),
    [
      "webhooks[0].matchConditions[0].expression: Required value",
      "webhooks[0].matchConditions[0].name: Required value",
      `webhooks[0].matchConditions[2].expression: Invalid value: "'x'": must evaluate to bool`,
      'webhooks[0].matchConditions[2].name: Duplicate value: "a"',
    ],
  ],
  [
    "parameters of no kind",
    "ValidatingAdmissionPolicy",
    policy({ paramKind: { apiVersion: "A/1", kind: "a b" } }),
    [
      expect.stringMatching(/^spec.paramKind.apiVersion: Invalid value: "A": a lowercase RFC 1123 subdomain/),
      expect.stringMatching(/^spec.paramKind.apiVersion: Invalid value: "1": a DNS-1035 label/),
      expect.stringMatching(
        /^spec.paramKind.kind: Invalid value: "a b": may have mixed case, but should otherwise match: a/,
      ),
    ] as string[],
  ],
  [
    "expressions over parameters of a policy without",
    "ValidatingAdmissionPolicy",
    policy({
      paramKind: undefined,
      matchConditions: [{ name: "a", expression: "has(params.a)" }],
      variables: [{ name: "b", expression: "params.b" }],
      validations: [{ expression: "params.c", messageExpression: "params.d" }],
      auditAnnotations: [{ key: "e", valueExpression: "params.e" }],
    }),
    [
      ["matchConditions[0].expression", "has(params.a)", 5],
      ["variables[0].expression", "params.b", 1],
      ["validations[0].expression", "params.c", 1],
      ["validations[0].messageExpression", "params.d", 1],
      ["auditAnnotations[0].valueExpression", "params.e", 1],
    ].map(([at, text, column]) => {
      const place = `\n | ${text}\n | ${".".repeat(Number(column) - 1)}^`;
      return `spec.${at}: Invalid value: "${text}": compilation failed: ERROR: <input>:1:${column}: undeclared reference to 'params' (in container '')${place}`;
    }),
  ],
  [
    "names of resources twice, and paths",
    "ValidatingAdmissionPolicy",
    policy({ matchConstraints: { resourceRules: [{ ...rule, resourceNames: ["a", "a", "b/c"] }] } }),
    [
      'spec.matchConstraints.resourceRules[0].resourceNames[1]: Duplicate value: "a"',
      `spec.matchConstraints.resourceRules[0].resourceNames[2]: Invalid value: "b/c": may not contain '/'`,
    ],
  ],
  [
    "variables of no name, messages of no word, reasons of no sort",
    "ValidatingAdmissionPolicy",
    policy({
      variables: [
        { name: "for", expression: "1" },
        { name: " ", expression: "" },
      ],
      validations: [
        { expression: "true", message: " ", messageExpression: " ", reason: "Unauthorized" },
        { expression: "", message: "a\nb" },
      ],
    }),
    [
      'spec.variables[0].name: Invalid value: "for": must be a valid CEL identifier',
      "spec.variables[1].name: Required value: name is not specified",
      "spec.variables[1].expression: Required value: expression is not specified",
      'spec.validations[0].messageExpression: Invalid value: " ": must be non-empty if specified',
      'spec.validations[0].message: Invalid value: " ": must be non-empty if specified',
      'spec.validations[0].reason: Unsupported value: "Unauthorized": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge"',
      "spec.validations[1].expression: Required value: expression is not specified",
      'spec.validations[1].message: Invalid value: "a\\nb": must not contain line breaks',
    ],
  ],
  [
    "annotations of one key, and too long ones",
    "ValidatingAdmissionPolicy",
    policy({
      auditAnnotations: [
        { key: "a", valueExpression: `'${"x".repeat(6000)}'` },
        { key: "a", valueExpression: "" },
        { key: "b c", valueExpression: "'x'" },
      ],
    }),
    [
      "spec.auditAnnotations[0].valueExpression: Required value: must not exceed 5120 bytes in length",
      "spec.auditAnnotations[1].valueExpression: Required value: valueExpression is not specified",
      'spec.auditAnnotations[1].key: Duplicate value: "a"',
      expect.stringMatching(
        /^spec.auditAnnotations\[2\].key: Invalid value: "x\/b c": name part must consist/,
      ) as string,
    ],
  ],
  [
    "a binding by name and by labels, for nothing",
    "ValidatingAdmissionPolicyBinding",
    { policyName: "", paramRef: { name: "a/b", selector: {} }, validationActions: [] },
    [
      "spec.policyName: Required value",
      `spec.paramRef.name: Invalid value: "a/b": may not contain '/'`,
      "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
      "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
      "spec.paramRef.parameterNotFoundAction: Required value",
      "spec.validationActions: Required value: at least one validation action is required",
    ],
  ],
])("%s", (_, kind, change, expected) => expect(told(kind, change)).toEqual(expected));

test("a policy's status has warnings with a place, and conditions", () => {
  const status = {
    typeChecking: { expressionWarnings: [{}] },
    conditions: [{ type: "A", status: "True", reason: "B" }],
  };
  expect(toldOfStatus("ValidatingAdmissionPolicy", status)).toEqual([
    "typeChecking.expressionWarnings[0].warning: Required value",
    "typeChecking.expressionWarnings[0].fieldRef: Required value",
    "conditions[0].lastTransitionTime: Required value: must be set",
  ]);
});
