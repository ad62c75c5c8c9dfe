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
    ["'a1b22'.find('[0-9]+') + 'x'.find('[0-9]')", "1"],
    ["'a1b22c333'.findAll('[0-9]+')", ["1", "22", "333"]],
    ["'a1b22c333'.findAll('[0-9]+', 2)", ["1", "22"]],
    ["'baaac'.findAll('a*')", ["", "aaa", ""]],
    ["'abcd'.find('abcd|ab') + 'abcd'.find('ab|abcd') + 'xay'.find('(?i)A.$')", "abcdabay"],
    ["'foo bar'.findAll('\\\\b[a-z]')", ["f", "b"]],
    ["semver('1.2.3-rc.1').isLessThan(semver('1.2.3')) && semver('1.10.0').isGreaterThan(semver('1.9.9'))", true],
    ["semver('1.0.0-alpha.2').compareTo(semver('1.0.0-alpha.10'))", -1],
    ["semver('1.2.3+b').major() + semver('v1.02', true).minor() * 10 + semver('1.2.3').patch() * 100", 321],
    ["isSemver('v1.0') || !isSemver('v1.0', true) || isSemver('01.0.0') || isSemver('1.0.0-')", false],
    ["semver('1.0.0+a') == semver('1.0.0+b')", true],
    ["[10, 20].all(i, v, v == (i + 1) * 10) && {'a': 'b'}.all(k, v, k != v)", true],
    ["[1, 2].exists(i, v, i == 1 && v == 2) && !{'a': 1}.exists(k, v, v > 1)", true],
    ["[1, 1, 2].existsOne(i, v, v == 2) && ![1, 1].exists_one(i, v, v == 1)", true],
    ["[1, 2, 3].transformList(i, v, i * v + v)", [1, 4, 9]],
    ["[1, 2, 3].transformList(i, v, i % 2 == 0, i * v + v)", [1, 9]],
    ["{'a': 1, 'b': 2}.transformMap(k, v, v > 1, k + string(v))", { b: "b2" }],
    ["['x', 'y'].transformMapEntry(i, v, {v: i})", { x: 0, y: 1 }],
    ["[[1, 2], [3]].transformList(i, v, v.transformList(i, w, i + w)).size()", 2],
    ["object.?spec.?replicas.optMap(r, r * 2).orValue(0) + optional.none().optMap(x, 1).orValue(1)", 7],
    ["optional.of({'a': 1}).optFlatMap(m, m.?a).value() + optional.of({'a': 1}).a.value()", 2],
    ["[1, ?optional.of(2), ?optional.none()]", [1, 2]],
    ["{'a': 1, ?'b': optional.of(2), ?'c': optional.none()}", { a: 1, b: 2 }],
    ["1 in [?optional.of(1)] && [1, 2][?1].hasValue() && !{'a': 1}[?'b'].hasValue()", true],
    ["[1, 2].first().value() + [1, 2].last().value() + [optional.of(1), optional.none()].unwrapOpt().size()", 4],
    ["optional.none().or(optional.of(3)).value() + (has(object.?spec.replicas) ? 1 : 0)", 4],
    ["[1, 2, 3].filter(x, x > 1).exists_one(x, x == 3) && 'abc'.split('').size() == 3", true],
    ["'a,b'.split(',')[1] + ' x '.trim() + 'abc'.substring(1, 2) + 'abc'.charAt(0) + 'A'.lowerAscii()", "bxbaa"],
    ["'abab'.replace('a', 'x', 1) + ['a', 'b'].join('-') + string('abab'.lastIndexOf('b'))", "xbaba-b3"],
    ["strings.quote('a\"b') + '%.2f %x %b %e'.format([dyn(1.5), 255, 5, 1000.0])", '"a\\"b"1.50 ff 101 1.000000e+03'],
    ["duration('1h30m').getMinutes() + duration('90s').getMilliseconds() + duration(1000000000).getSeconds()", 90091],
    ["int(timestamp(5)) + timestamp('2020-02-03T04:05:06.789Z').getMonth()", 6],
    ["timestamp('2020-02-03T04:05:06Z').getHours('+02:00') + timestamp('2020-02-03T04:05:06Z').getDayOfYear()", 39],
    ["timestamp('2020-01-02T00:00:00Z') - timestamp('2020-01-01T00:00:00Z') == duration('24h')", true],
    ["int('12') + int(3.9) + int(uint(4)) + size(bytes('ab')) + int(double('1e1'))", 31],
    ["string(b'ab') + string(1) + string(1.5) + string(true) + string(duration('90s')) + string(2u)", "ab11.5true90s2"],
    ["bool('true') && !bool('f') && b'a' + b'b' == b'ab' && dyn(1) == 1.0 && 1 <= 1.5 && dyn(1) < 1.5", true],
    ["type([]) == list && type({}) == map && type(null) == null_type && type('') == string && type(int) == type", true],
    ["// a ?. comment\n1", 1],
  ])("%s", (expression, expected) => {
    assert.deepEqual(evaluate(expression), expected);
  });

  test.each([
    ["object.spec.none", "no such key: none"],
    ["1 / (object.spec.replicas - 3)", "division by zero"],
    ["1 % (object.spec.replicas - 3)", "modulus by zero"],
    ["9223372036854775807 + object.spec.replicas", "integer overflow"],
    ["object.spec.list[9]", "index out of bounds: 9"],
    ["object.spec.name + object.spec.replicas", "no such overload"],
    ["object.spec.name.add(quantity('1'))", "no such overload"],
    ["int(object.spec.name)", "type conversion error from 'string' to 'int'"],
    ["bool(object.spec.name)", "type conversion error from 'string' to 'bool'"],
    ["timestamp(object.spec.name)", "type conversion error from 'string' to 'google.protobuf.Timestamp'"],
    ["['a', 'a'].transformMapEntry(i, v, {v: i})", "insert failed: key a already exists"],
    ["semver('1.0')", "No Major.Minor.Patch elements found"],
    ["semver('1.0.x')", 'Invalid character(s) found in patch number "x"'],
    ["semver('1.01.0')", 'Minor number must not contain leading zeroes "01"'],
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
  const at = (column: number, message: string) => `ERROR: <input>:1:${column}: ${message}`;
  test.each([
    ["object.foo(", at(7, "Syntax error")],
    ["size(other) > 0", `${at(6, "undeclared reference to 'other' (in container '')")}\n | size(other) > 0\n | .....^`],
    ["object.all(x, foo(x))", at(18, "undeclared reference to 'foo' (in container '')")],
    ["(".repeat(3000), at(1, "Syntax error")],
    [Array(9000).fill("1").join("+"), at(1, "Syntax error: ")],
    ["object.?a + other", at(13, "undeclared reference to 'other' (in container '')")],
    ["Some{}", at(1, "undeclared reference to 'Some' (in container '')")],
  ])("%s", (expression, message) => {
    assert.throws(
      () => environment.compile(expression),
      (error) => error instanceof CompileError && error.message.includes(message),
    );
  });
});

test("the type of a result is known where the expression alone tells", () => {
  const table = {
    ...{
      "object.x == 1": "bool",
      "object.a && object.b": "bool",
      "'a'": "string",
      "object.x": "dyn",
      "'a' + 'b'": "dyn",
    },
    ...{
      "isURL('a')": "bool",
      "object.find('a')": "string",
      "[1].all(x, x > 0)": "dyn",
      "{'a': 1}": "map",
      "[1]": "list",
    },
  };
  const found = Object.keys(table).map((expression) => [expression, environment.compile(expression).type]);
  assert.deepEqual(Object.fromEntries(found), table);
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
