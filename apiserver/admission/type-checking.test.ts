import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "vitest";
import { environment } from "../../api/admissionregistration/expressions.ts";
import type { ValidatingAdmissionPolicy } from "../../api/generated/admissionregistration-v1.ts";
import type { CustomResourceDefinition } from "../../api/generated/apiextensions-v1.ts";
import { resources } from "../../api/resources.ts";
import { Budget } from "../../apimachinery/cel/environment.ts";
import { jsonToCel } from "../../apimachinery/cel/values.ts";
import { customResource } from "../crd/custom-resource.ts";
import { call, TestWatch } from "../http.testing.ts";
import { startTestApiserver } from "../testing.ts";
import type { Cluster } from "./cluster.ts";
import { clusterWith } from "./testing.ts";
import { typeWarnings } from "./type-checking.ts";

const definition = {
  metadata: { name: "widgets.example.com" },
  spec: { group: "example.com", scope: "Namespaced", names: {}, versions: [] },
  status: { acceptedNames: { plural: "widgets", kind: "Widget" } },
} as unknown as CustomResourceDefinition;
const widgetSchema = {
  type: "object",
  properties: {
    spec: {
      type: "object",
      properties: {
        size: { type: "integer" },
        ratio: { type: "number" },
        "odd-name": { type: "string" },
        until: { type: "string", format: "date-time" },
        port: { "x-kubernetes-int-or-string": true },
        tags: { type: "array", items: { type: "string" } },
        parts: { type: "object", additionalProperties: { type: "object", properties: { size: { type: "integer" } } } },
        any: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
      },
    },
  },
};
const version = { name: "v1", served: true, storage: true, schema: { openAPIV3Schema: widgetSchema } };
const rows = [...resources(), customResource(definition, version as never, () => Promise.reject(new Error())) as never];
const cluster: Cluster = {
  ...clusterWith(),
  resource: (wanted) =>
    rows.find((row) => Object.entries(wanted).every(([key, value]) => row[key as "kind"] === value)),
};

const rule = (...names: string[]) =>
  names.map((name) => {
    const [group = "", apiVersion = "", resource = ""] = name.split(":");
    return { apiGroups: [group], apiVersions: [apiVersion], operations: ["*"], resources: [resource] };
  });
const policy = (spec: object, ...names: string[]) =>
  ({
    metadata: { name: "p" },
    spec: { matchConstraints: { resourceRules: rule(...names) }, ...spec },
  }) as unknown as ValidatingAdmissionPolicy;
const warningsOf = (spec: object, ...names: string[]) =>
  [...typeWarnings(policy(spec, ...names), cluster)].flat().map(({ fieldRef, warning }) => [fieldRef, warning]);
const deployments = "apps:v1:deployments";
const at = "spec.validations[0].expression";
const configMap = { paramKind: { apiVersion: "v1", kind: "ConfigMap" } };

describe("an expression that no value makes right is told of", () => {
  test("as cel-go prints it, for each kind", () => {
    const expression = "object.replicas > 1";
    const told = `ERROR: <input>:1:7: undefined field 'replicas'\n | ${expression}\n | ......^\n`;
    assert.deepEqual(warningsOf({ validations: [{ expression }] }, "apps:v1:replicasets", deployments), [
      [at, `apps/v1, Kind=Deployment: ${told}\napps/v1, Kind=ReplicaSet: ${told}`],
    ]);
  });

  // what it is, the expression, the line's and column's number with the message, the rest of the policy, the kind
  test.each<[string, string, string[], object?, string?]>([
    [
      "two types that cannot be compared",
      "object.spec.replicas > 'a'",
      ["1:22: found no matching overload for '_>_' applied to '(int, string)'"],
    ],
    [
      "or cannot be equal",
      "object.spec.replicas == 'a'",
      ["1:22: found no matching overload for '_==_' applied to '(int, string)'"],
    ],
    [
      "what is no condition",
      "object.metadata.name && true",
      ["1:1: found no matching overload for '_&&_' applied to '(string, bool)'"],
    ],
    [
      "all of it at once, in a macro",
      "object.spec.template.spec.containers.all(c, c.imag == 'x' && c.image > 3)",
      ["1:46: undefined field 'imag'", "1:70: found no matching overload for '_>_' applied to '(string, int)'"],
    ],
    [
      "a method that the type does not have",
      "object.spec.replicas.startsWith('a')",
      ["1:32: found no matching overload for 'startsWith' applied to 'int.(string)'"],
    ],
    ["a field of a string", "object.metadata.name.foo == ''", ["1:21: type 'string' does not support field selection"]],
    [
      "a macro over a number",
      "object.spec.replicas.exists(x, x > 1)",
      ["1:12: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)"],
    ],
    [
      "the elements that a filter leaves",
      "object.spec.template.spec.containers.filter(c, true)[0].nam == ''",
      ["1:56: undefined field 'nam'"],
    ],
    [
      "a member of the wrong list",
      "object.spec.replicas in ['a']",
      ["1:22: found no matching overload for '@in' applied to '(int, list(string))'"],
    ],
    [
      "branches that differ",
      "(object.spec.paused ? 1 : 'a') == 1",
      ["1:2: found no matching overload for '_?_:_' applied to '(bool, int, string)'"],
    ],
    ["an optional field that is not there", "object.spec.?template.?spe.hasValue()", ["1:23: undefined field 'spe'"]],
    ["a field that has() asks for", "has(object.spec.text)", ["1:4: undefined field 'text'"]],
    ["what the request does not have", "request.foo == ''", ["1:8: undefined field 'foo'"]],
    ["nor a Namespace", "namespaceObject.spec.foo == ''", ["1:21: undefined field 'foo'"]],
    [
      "what an authorizer cannot do",
      "authorizer.allowed()",
      ["1:19: found no matching overload for 'allowed' applied to 'kubernetes.authorization.Authorizer.()'"],
    ],
    ["params of a policy without", "params.x == 1", ["1:1: undeclared reference to 'params' (in container '')"]],
    ["params of a kind", "params.dat['a'] == ''", ["1:7: undefined field 'dat'"], configMap],
    [
      "a variable that is missing",
      "variables.b",
      ["1:10: undefined field 'b'"],
      { variables: [{ name: "a", expression: "true" }] },
    ],
    [
      "a variable's type",
      "variables.b > 1",
      ["1:13: found no matching overload for '_>_' applied to '(string, int)'"],
      {
        variables: [
          { name: "a", expression: "object.metadata" },
          { name: "b", expression: "variables.a.name" },
        ],
      },
    ],
    [
      "a custom resource's fields",
      "object.spec.parts['a'].siz > 1",
      ["1:23: undefined field 'siz'"],
      {},
      "example.com:v1:widgets",
    ],
    [
      "and its types",
      "object.spec.tags.all(t, t > 1)",
      ["1:26: found no matching overload for '_>_' applied to '(string, int)'"],
      {},
      "example.com:v1:widgets",
    ],
  ])("%s", (_name, expression, told, more = {}, kind = deployments) => {
    const [[fieldRef, warning] = []] = warningsOf({ validations: [{ expression }], ...more }, kind);
    assert.equal(fieldRef, at);
    assert.deepEqual(
      [...warning!.matchAll(/ERROR: <input>:(.*)/g)].map(([, text]) => text),
      told,
    );
  });

  test("a messageExpression has its own place", () => {
    const validations = [{ expression: "true" }, { expression: "true", messageExpression: "object.foo + 114514" }];
    assert.deepEqual(
      warningsOf({ validations }, deployments).map(([place]) => place),
      ["spec.validations[1].messageExpression"],
    );
  });
});

describe("what may be right is not told of", () => {
  const bad = { validations: [{ expression: "object.nothing" }] };
  test.each<[string, string[]]>([
    ["rules with wildcards", ["apps:*:deployments", "*:v1:deployments", "apps:v1:*"]],
    ["subresources", ["apps:v1:deployments/scale"]],
    ["kinds that nobody serves", ["apps:v2:deployments"]],
  ])("%s name no kind", (_name, names) => {
    assert.deepEqual(warningsOf(bad, ...names), []);
  });

  test("ten kinds of a rule are looked at", () => {
    const core = resources()
      .filter(({ group, virtual }) => group === "" && !virtual)
      .map(({ resource }) => resource);
    const resourceRules = [{ apiGroups: [""], apiVersions: ["v1"], operations: ["*"], resources: core }];
    const [[, warning] = []] = warningsOf({ matchConstraints: { resourceRules }, ...bad });
    assert.equal(warning!.match(/Kind=/g)!.length, 10);
  });

  const documented: [string, object?, string?][] = [
    ["object.spec.replicas <= 5"],
    [
      "object.spec.replicas <= params.maxReplicas",
      { paramKind: { apiVersion: "rules.example.com/v1", kind: "ReplicaLimit" } },
    ],
    ["object.spec.replicas <= int(params.data['maxReplicas']) && params.data.contains != ''", configMap],
    ["object.metadata.name.startsWith(object.metadata.namespace + '-') || object.metadata.name == request.name"],
    [
      "!has(object.metadata.labels) || !('protected' in object.metadata.labels) || object.metadata.labels['protected'] != 'true'",
    ],
    [
      "(object.kind == 'Deployment' || object.kind == 'ReplicaSet') && has(object.spec.replicas) && object.spec.replicas > 1",
    ],
    [
      "!(request.resource.group == 'coordination.k8s.io' && request.resource.resource == 'leases') && !('system:nodes' in request.userInfo.groups)",
    ],
    ["authorizer.group('').resource('endpoints').namespace(request.namespace).check('create').allowed()"],
    [
      "authorizer.requestResource.check('custom').allowed() && authorizer.serviceAccount('a', 'b').path('/healthz').check('get').reason() == ''",
    ],
    [
      "object.spec.template.spec.containers.map(c, c.image).all(i, i.matches('^[a-z/]+$') && size(i) < 100 && i.split('/').size() > 1)",
    ],
    [
      "object.spec.template.spec.containers.all(c, has(c.securityContext) && has(c.securityContext.runAsNonRoot) && c.securityContext.runAsNonRoot)",
    ],
    [
      "object.spec.template.spec.containers.all(c, c.?resources.?limits['cpu'].hasValue() && quantity(string(c.resources.limits.cpu)).isLessThan(quantity('1')))",
    ],
    ["object.spec.template.spec.volumes.all(v, !has(v.hostPath) || v.hostPath.path.startsWith('/var/log'))"],
    [
      "oldObject == null || object.spec.replicas - oldObject.spec.replicas < 5 || object.metadata.generation != oldObject.metadata.generation",
    ],
    [
      "timestamp(object.metadata.creationTimestamp) < timestamp('2030-01-01T00:00:00Z') && object.metadata.creationTimestamp != ''",
    ],
    ["object.metadata.annotations.exists(k, k.startsWith('x/') && object.metadata.annotations[k] in ['a', 'b'])"],
    [
      "object.metadata.labels.transformList(k, v, k + v).join(',') != '' && object.metadata.?labels['a'].orValue('b').lowerAscii() == 'b'",
    ],
    [
      "[1, 2, object.spec.replicas].sum() + 1 > [object.spec.replicas].max() && sets.contains([1], [object.spec.replicas]) && type(object.spec.replicas) == int",
    ],
    [
      "cel.bind(ports, object.spec.template.spec.containers.filter(c, has(c.ports)), ports.size() == 0 || ports[0].ports[0].containerPort > 1024)",
    ],
    [
      "object.spec.strategy.rollingUpdate.maxSurge == '25%' || object.spec.strategy.rollingUpdate.maxSurge == 1 || isURL(object.metadata.name)",
    ],
    [
      "object.spec.template.spec.?securityContext.?runAsUser.orValue(0) > 0 ? true : optional.ofNonZeroValue(object.metadata.name).hasValue()",
    ],
    [
      "object.spec.ratio > 1 && object.spec.until != '' && object.spec.port == 80 && object.spec.any.x.y == 1 && object.spec.__odd__dash__name == ''".replace(
        "__odd__dash__name",
        "odd__dash__name",
      ),
      {},
      "example.com:v1:widgets",
    ],
    [
      "object.metadata.name == 'a' && object.spec.tags.isSorted() && object.spec.parts.all(k, object.spec.parts[k].size > k.size()) && object.spec['odd-name'] == ''",
      {},
      "example.com:v1:widgets",
    ],
    [
      "variables.exempt || variables.check.all(c, c.image.startsWith(variables.environment + '.'))",
      {
        variables: [
          {
            name: "environment",
            expression: "'e' in namespaceObject.metadata.labels ? namespaceObject.metadata.labels['e'] : 'prod'",
          },
          {
            name: "exempt",
            expression: "'exempt' in object.metadata.labels && object.metadata.labels['exempt'] == 'true'",
          },
          { name: "containers", expression: "object.spec.template.spec.containers" },
          { name: "check", expression: "variables.containers.filter(c, c.image.contains('example.com'))" },
        ],
      },
    ],
    [
      "variables.signers.all(rule, rule.resourceNames.all(name, name.startsWith(params.data.domain + '/'))) == true",
      {
        ...configMap,
        variables: [
          {
            name: "rules",
            expression:
              "object.?rules.orValue([]).filter(rule, rule.apiGroups.exists(group, group == 'certificates.k8s.io'))",
          },
          {
            name: "signers",
            expression: "variables.rules.filter(rule, rule.verbs.exists(verb, verb == 'approve' || verb == 'sign'))",
          },
        ],
      },
      "rbac.authorization.k8s.io:v1:clusterroles",
    ],
  ];
  test.each(documented)("%s", (expression, more = {}, kind = deployments) => {
    assert.doesNotThrow(() => environment.compile(expression));
    assert.deepEqual(warningsOf({ validations: [{ expression }], ...more }, kind), []);
  });

  const strict = fc.letrec<{ expression: string }>((tie) => ({
    expression: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(...paths),
      fc
        .tuple(tie("expression"), fc.constantFrom(...operators), tie("expression"))
        .map((parts) => `(${parts.join(" ")})`),
      fc.tuple(tie("expression"), tie("expression")).map((parts) => `[${parts.join()}]`),
      fc.tuple(fc.constantFrom("size", "string", "int", "type"), tie("expression")).map(([name, a]) => `${name}(${a})`),
      fc.tuple(tie("expression"), fc.constantFrom(...methods)).map((parts) => parts.join(".")),
    ),
  }));
  test("whatever evaluates, but what == and in are given has to be alike, and what .? asks for has to exist", () => {
    const name = { name: "a", labels: { a: "b" } };
    const spec = {
      replicas: 2,
      strategy: { rollingUpdate: { maxSurge: 1 } },
      template: { spec: { containers: [name] } },
    };
    const values = { object: jsonToCel({ metadata: name, spec }) };
    let evaluated = 0;
    fc.assert(
      fc.property(strict.expression, (expression) => {
        try {
          environment.compile(expression).evaluate(values, new Budget());
        } catch {
          return;
        }
        evaluated++;
        const told = warningsOf({ validations: [{ expression }] }, deployments).flatMap(
          ([, text]) => text!.match(/ERROR.*/g)!,
        );
        assert.deepEqual(
          told.filter((text) => !/'(_==_|_!=_|@in)'|undefined field 'a'/.test(text)),
          [],
          expression,
        );
      }),
      { numRuns: 3000 },
    );
    assert.ok(evaluated > 300, `${evaluated} evaluated`);
  });
});

const paths = [
  "object",
  "object.spec.replicas",
  "object.metadata.name",
  "object.metadata.labels",
  "object.spec.template.spec.containers[0]",
];
paths.push(
  "object.spec.strategy.rollingUpdate.maxSurge",
  "object.metadata.none",
  "1",
  "2.5",
  "'a'",
  "true",
  "null",
  "[]",
  "[1]",
  "{'a': 1}",
);
const operators = ["+", "-", "*", "==", "!=", "<", ">=", "in", "%"];
const methods = [
  "startsWith('a')",
  "size()",
  "map(x, [x])",
  "filter(x, true)",
  "name",
  "isSorted()",
  "first().orValue(1)",
  "?a.hasValue()",
];

test("the type of a map in a map in a map is as long as they are many", () => {
  const maps = Array.from({ length: 60 }, (_, i) => `cel.bind(v${i + 1}, {v${i}: v${i}}, `);
  const expression = `cel.bind(v0, 1, ${maps.join("")}v60 > 1${")".repeat(61)}`;
  const [[, warning] = []] = warningsOf({ validations: [{ expression }] }, deployments);
  assert.match(warning!, /'_>_' applied to '\(map\(dyn, map\(dyn, .*map\(int, int\)+, int\)'/);
});

test("a policy's status tells of it, once a generation", async () => {
  const server = await startTestApiserver();
  try {
    const path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    const spec = (expression: string) => policy({ validations: [{ expression }] }, deployments).spec;
    const watch = new TestWatch(server, `${path}?watch=true`);
    const body = { metadata: { name: "p" }, spec: spec("object.replicas > 1") };
    assert.equal((await call(server, path, { method: "POST", body })).code, 201);
    const observed = async (generation: number) => {
      const has = () => watch.events.find(({ object }) => object.status?.observedGeneration === generation);
      await watch.until(() => has() !== undefined);
      return has()!.object;
    };
    const first = await observed(1);
    const [{ fieldRef, warning }] = first.status.typeChecking.expressionWarnings;
    assert.deepEqual([first.metadata.generation, fieldRef], [1, at]);
    assert.match(warning, /^apps\/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n/);
    const right = { ...first, spec: spec("object.spec.replicas > 1") };
    assert.equal((await call(server, `${path}/p`, { method: "PUT", body: right })).code, 200);
    assert.deepEqual((await observed(2)).status, { observedGeneration: 2, typeChecking: {} });
    watch.close();
  } finally {
    await server.close();
  }
});
