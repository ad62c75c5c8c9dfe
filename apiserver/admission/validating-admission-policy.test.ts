import assert from "node:assert/strict";
import { describe, test } from "vitest";
import {
  ConfigMaps,
  Namespaces,
  ValidatingAdmissionPolicies,
  ValidatingAdmissionPolicyBindings,
} from "../../api/generated/resources.ts";
import { createRegistry } from "../../base/metrics.ts";
import type { Authorizer } from "../authz/authorizer.ts";
import { Expressions } from "./expressions.ts";
import { attributes, clusterWith } from "./testing.ts";
import { validatingAdmissionPolicy } from "./validating-admission-policy.ts";

const rule = { apiGroups: ["apps"], apiVersions: ["v1"], operations: ["CREATE", "UPDATE"], resources: ["deployments"] };
const deployment = { metadata: { name: "x", labels: { app: "a" } }, spec: { replicas: 7 } };
/** Answers later, as a webhook would, for who asks to `delete`. */
const authorizer: Authorizer = {
  authorize: (asked) =>
    asked.verb === "delete"
      ? Promise.resolve({ type: "Allow", reason: "" })
      : { type: "NoOpinion", reason: `no ${asked.verb}` },
};

async function outcome(spec: object, binding: object = {}, more: Parameters<typeof attributes>[2] = {}) {
  const cluster = clusterWith(
    [
      ValidatingAdmissionPolicies,
      {
        metadata: { name: "p" },
        spec: { matchConstraints: { resourceRules: [rule] }, failurePolicy: "Fail", ...spec },
      },
    ],
    [
      ValidatingAdmissionPolicyBindings,
      { metadata: { name: "b" }, spec: { policyName: "p", validationActions: ["Deny"], ...binding } },
    ],
    [Namespaces, { metadata: { name: "ns", labels: { env: "test" } } }],
    [ConfigMaps, { metadata: { name: "limits", namespace: "ns", labels: { kind: "limit" } }, data: { max: "5" } }],
  );
  const given = attributes("deployments", structuredClone(deployment), more);
  const plugin = validatingAdmissionPolicy(new Expressions(authorizer), createRegistry());
  try {
    await plugin.validate!(given, cluster);
    return { given };
  } catch (error) {
    const { status } = error as { status: { message: string; code: number; reason: string } };
    const prefix = `deployments.apps "x" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: `;
    assert.ok(status.message.startsWith(prefix), status.message);
    return { given, text: status.message.slice(prefix.length), code: status.code, reason: status.reason };
  }
}

const params = { paramKind: { apiVersion: "v1", kind: "ConfigMap" } };

describe("a policy", () => {
  test.each<[string, object, object, string | undefined]>([
    ["lets through what satisfies it", { validations: [{ expression: "object.spec.replicas <= 7" }] }, {}, undefined],
    [
      "refuses the rest",
      { validations: [{ expression: "object.spec.replicas <= 5" }] },
      {},
      "failed expression: object.spec.replicas <= 5",
    ],
    ["with its message", { validations: [{ expression: "false", message: "no" }] }, {}, "no"],
    [
      "or one that is computed",
      { validations: [{ expression: "false", messageExpression: "'not ' + string(object.spec.replicas)" }] },
      {},
      "not 7",
    ],
    [
      "has variables",
      {
        variables: [
          { name: "n", expression: "object.spec.replicas" },
          { name: "m", expression: "variables.n * 2" },
        ],
        validations: [{ expression: "variables.m == 14" }],
      },
      {},
      undefined,
    ],
    [
      "sees the request and the Namespace",
      {
        validations: [
          {
            expression:
              "request.operation == 'CREATE' && request.userInfo.username == 'u' && namespaceObject.metadata.labels.env == 'test' && oldObject == null",
          },
        ],
      },
      {},
      undefined,
    ],
    [
      "does not count where a condition does not hold",
      { matchConditions: [{ name: "c", expression: "request.name != 'x'" }], validations: [{ expression: "false" }] },
      {},
      undefined,
    ],
    [
      "fails on errors",
      { validations: [{ expression: "object.spec.none > 1" }] },
      {},
      "expression 'object.spec.none > 1' resulted in error: no such key: none",
    ],
    [
      "unless they are ignored",
      { failurePolicy: "Ignore", validations: [{ expression: "object.spec.none > 1" }] },
      {},
      undefined,
    ],
    [
      "takes parameters",
      { ...params, validations: [{ expression: "object.spec.replicas <= int(params.data.max)", message: "too many" }] },
      { paramRef: { name: "limits" } },
      "too many",
    ],
    [
      "by selector",
      { ...params, validations: [{ expression: "params.metadata.name == 'limits'" }] },
      { paramRef: { selector: { matchLabels: { kind: "limit" } } } },
      undefined,
    ],
    [
      "which must be there",
      { ...params, validations: [{ expression: "true" }] },
      { paramRef: { name: "no", parameterNotFoundAction: "Deny" } },
      "no params found for policy binding with `Deny` parameterNotFoundAction",
    ],
    [
      "or may be missing",
      { ...params, validations: [{ expression: "false" }] },
      { paramRef: { name: "no", parameterNotFoundAction: "Allow" } },
      undefined,
    ],
    [
      "is narrowed by its binding",
      { validations: [{ expression: "false" }] },
      { matchResources: { namespaceSelector: { matchLabels: { env: "prod" } } } },
      undefined,
    ],
    [
      "asks the authorizer",
      { validations: [{ expression: "authorizer.group('').resource('pods').namespace('ns').check('get').allowed()" }] },
      {},
      "failed expression: authorizer.group('').resource('pods').namespace('ns').check('get').allowed()",
    ],
    [
      "may ask an authorizer that is slow many questions",
      {
        validations: Array.from({ length: 20 }, (_, i) => ({
          expression: `authorizer.group('g${i}').resource('r').check('delete').allowed()`,
        })),
      },
      {},
      undefined,
    ],
    [
      "waits for its answer",
      { validations: [{ expression: "authorizer.requestResource.check('delete').allowed()" }] },
      {},
      undefined,
    ],
    [
      "fails on what does not compile",
      { validations: [{ expression: "range(0)", message: "m" }] },
      {},
      "expression 'range(0)' resulted in error: ERROR: <input>:1:6: undeclared reference to 'range' (in container '')\n | range(0)\n | .....^",
    ],
  ])("%s", async (_name, spec, binding, expected) => {
    assert.equal((await outcome(spec, binding)).text, expected);
  });

  test("gives the reason that it names, Invalid without", async () => {
    const denies = async (reason?: string) => {
      const { code, reason: given } = await outcome({ validations: [{ expression: "false", reason }] });
      return [code, given];
    };
    assert.deepEqual(
      [await denies(), await denies("Forbidden")],
      [
        [422, "Invalid"],
        [403, "Forbidden"],
      ],
    );
  });

  test("warns and notes instead, when its binding says so", async () => {
    const spec = {
      validations: [{ expression: "false", message: "no" }],
      auditAnnotations: [{ key: "k", valueExpression: "'v'" }],
    };
    const { given, text } = await outcome(spec, { validationActions: ["Warn", "Audit"] });
    assert.equal(text, undefined);
    assert.deepEqual(given.warnings, ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': no"]);
    assert.deepEqual(
      [...given.auditAnnotations.keys()],
      ["p/k", "validation.policy.admission.k8s.io/validation_failure"],
    );
  });

  test.each<[string, Parameters<typeof attributes>[2], boolean]>([
    ["another operation", { operation: "DELETE" }, false],
    ["a subresource", { subresource: "status" }, false],
    ["an update", { operation: "UPDATE", oldObject: deployment }, true],
  ])("is for what its rules name: %s", async (_name, more, expected) => {
    assert.equal((await outcome({ validations: [{ expression: "false" }] }, {}, more)).text !== undefined, expected);
  });
});
