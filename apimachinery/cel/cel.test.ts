import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { Budget, CompileError, Environment } from "./environment.ts";
import { celToJson, jsonToCel } from "./values.ts";

const object = {
  spec: { replicas: 3, name: "web", ratio: 0.5, list: [3, 1, 2], labels: { app: "a" }, empty: {} },
  metadata: { namespace: "ns" },
};
const environment = new Environment(["object", "big"]);

function evaluate(expression: string, budget = new Budget()): unknown {
  const big = jsonToCel(Array.from({ length: 2000 }, (_, i) => i));
  return celToJson(environment.compile(expression).evaluate({ object: jsonToCel(object), big }, budget));
}

describe("an expression", () => {
  test.each<[string, unknown]>([
    ["object.spec.replicas % 2 == 1", true],
    ["object.spec.ratio < 1.0", true],
    ["object.metadata.namespace == 'ns'", true],
    ["has(object.spec.name) && !has(object.spec.other)", true],
    ["'app' in object.spec.labels", true],
    ["object.spec.list.filter(x, x > 1).map(x, x * 2)", [6, 4]],
    ["size(big.map(x, x + 1)) == 2000 && big.map(x, x + 1)[1999] == 2000", true],
    ["object.spec.list.isSorted()", false],
    ["object.spec.list.sum()", 6],
    ["object.spec.list.min() + object.spec.list.max()", 4],
    ["[1, 2, 1].indexOf(1) + [1, 2, 1].lastIndexOf(1)", 2],
    ["'abc'.indexOf('c')", 2],
    ["sets.contains([1, 2, 3], [2, 1]) && sets.equivalent([1], [1, 1]) && !sets.intersects([1], [2])", true],
    ["quantity('1.5Gi').isGreaterThan(quantity('1Gi')) && quantity('1000m') == quantity('1')", true],
    ["quantity('1').add(quantity('500m')).compareTo(quantity('1500m'))", 0],
    ["quantity('2k').asInteger() + (isQuantity('x') ? 1 : 0)", 2000],
    ["url('https://u@example.com:8080/a/b?x=1&x=2').getHostname()", "example.com"],
    ["url('https://example.com:8080/a/b?x=1&x=2').getQuery()['x']", ["1", "2"]],
    ["url('https://[::1]:80/p').getHost() + url('/a').getEscapedPath()", "[::1]:80/a"],
    ["isURL('nothing')", false],
    ["ip('127.0.0.1').isLoopback() && ip('::1').family() == 6 && !isIP('1.2.3')", true],
    ["ip.isCanonical('::0:1')", false],
    ["cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')", true],
    ["string(cidr('10.1.2.3/8').masked())", "10.0.0.0/8"],
    ["format.dns1123Label().validate('web').hasValue()", false],
    ["format.named('uuid').value().validate('x').value()", ["does not match the UUID format"]],
    ["object.spec.?replicas.orValue(1) + object.spec.?other.orValue(1)", 4],
    ["object.?status.replicas.orValue(7)", 7],
    ["object.spec.list[?9].orValue(0)", 0],
    ["'a.?b' + ' [?'", "a.?b [?"],
    ["optional.of(1).hasValue() && !optional.none().hasValue()", true],
    ["cel.bind(x, object.spec.replicas, x + x)", 6],
    ["'%s has %d'.format([object.spec.name, 3])", "web has 3"],
    ["timestamp('2020-01-01T00:00:00Z') + duration('1h') == timestamp('2020-01-01T01:00:00Z')", true],
    ["type(object.spec.replicas) == int", true],
  ])("%s", (expression, expected) => {
    assert.deepEqual(evaluate(expression), expected);
  });

  test.each([
    ["object.spec.none", "no such key: none"],
    ["quantity('x')", "quantities must match the regular expression"],
    ["ip('x')", 'IP Address "x" parse error during conversion from string'],
    ["optional.none().value()", "optional.none() dereference"],
  ])("%s fails", (expression, message) => {
    assert.throws(
      () => evaluate(expression),
      (error: Error) => error.message.startsWith(message),
    );
  });
});

test.each([
  ["nested loops", "big.all(x, big.all(y, x + y >= 0))"],
  ["strings that double", `cel.bind(s, 'aaaa', ${"cel.bind(s, s + s, ".repeat(40)}s${")".repeat(40)})`],
  ["replacements", "cel.bind(s, big.map(x, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa').join(), s.replace('a', s))"],
])("%s run out of budget", (_name, expression) => {
  assert.throws(() => evaluate(expression), { message: "operation cancelled: actual cost limit exceeded" });
});

describe("what does not compile says where", () => {
  test.each([
    ["object.foo(", "ERROR: <input>:1:7: Syntax error"],
    [
      "size(other) > 0",
      "ERROR: <input>:1:6: undeclared reference to 'other' (in container '')\n | size(other) > 0\n | .....^",
    ],
    ["object.all(x, foo(x))", "undeclared reference to 'foo'"],
    ["(".repeat(3000), "ERROR: <input>:1:1: Syntax error"],
    [Array(9000).fill("1").join("+"), "ERROR: <input>:1:1: Syntax error: "],
  ])("%s", (expression, message) => {
    assert.throws(
      () => environment.compile(expression),
      (error) => error instanceof CompileError && error.message.includes(message),
    );
  });
});

test("the type of a result is known where the expression alone tells", () => {
  const types = ["object.x == 1", "'a' + 'b'", "'a'", "object.x", "[1].all(x, x > 0)", "object.a && object.b"];
  assert.deepEqual(
    types.map((expression) => environment.compile(expression).type),
    ["bool", "dyn", "string", "dyn", "dyn", "bool"],
  );
});

test("a schema tells names, doubles and formats", () => {
  const shape = {
    type: "object",
    properties: {
      "a-b": { type: "number" },
      namespace: { type: "string" },
      at: { type: "string", format: "date-time" },
      labels: { type: "object", additionalProperties: { type: "string" } },
    },
  };
  const self = jsonToCel({ "a-b": 1, namespace: "x", at: "2020-01-01T00:00:00Z", labels: { "a-b": "c" } }, shape);
  const program = new Environment(["self"]).compile(
    "self.a__dash__b / 2.0 == 0.5 && self.__namespace__ == 'x' && self.at.getFullYear() == 2020 && self.labels['a-b'] == 'c'",
  );
  assert.equal(program.evaluate({ self }, new Budget()), true);
});
