import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { schema } from "../../api/schema.ts";
import { StatusError } from "../status.ts";
import { decodeBody, decodePatched, decodeStored, type FieldValidation } from "./decode.ts";
import { scanJson } from "./json-scan.ts";

const expected = { group: "apps", version: "v1", kind: "Deployment" };
const decode = (text: string, validation: FieldValidation = "Strict", mediaType = "application/json") =>
  decodeBody(schema, Buffer.from(text), { mediaType, expected, validation });
const yaml = (text: string, validation: FieldValidation = "Strict") => decode(text, validation, "application/yaml");

const cannot = 'Deployment in version "v1" cannot be handled as a Deployment: ';
const unrecognized =
  "the object provided is unrecognized (must be of type Deployment): couldn't get version/kind; json parse error: ";

describe("a body that is wrong gets upstream's words, and 400", () => {
  test.each([
    [
      "unknown and duplicate fields, in the order of the text",
      '{"metadata":{"labels":{"a":"b","a":"c"}},"spec":{"foo":1,"foo":2,"paused":false,"paused":true,"template":{"spec":{"containers":[{"name":"a","bar":{}}]}}}}',
      `${cannot}strict decoding error: duplicate field "metadata.labels.a", unknown field "spec.foo", duplicate field "spec.paused", unknown field "spec.template.spec.containers[0].bar"`,
    ],
    [
      "a string for a number",
      '{"spec":{"replicas":"3"}}',
      `${cannot}json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32`,
    ],
    [
      "a fraction for an integer",
      '{"spec":{"replicas":1.5}}',
      `${cannot}json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32`,
    ],
    [
      "a number too large",
      '{"spec":{"replicas":3000000000}}',
      `${cannot}json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32`,
    ],
    [
      "a number for a string, deep inside a list",
      '{"spec":{"template":{"spec":{"containers":[{"image":3}]}}}}',
      `${cannot}json: cannot unmarshal number into Go struct field Container.spec.template.spec.containers.image of type string`,
    ],
    [
      "a bool for a label",
      '{"metadata":{"labels":{"a":true}}}',
      `${cannot}json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string`,
    ],
    [
      "an object for a list",
      '{"spec":{"template":{"spec":{"containers":{}}}}}',
      `${cannot}json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container`,
    ],
    [
      "a quantity that is none",
      '{"spec":{"template":{"spec":{"overhead":{"cpu":"a"}}}}}',
      `${cannot}quantities must match the regular expression`,
    ],
    [
      "a time that is none",
      '{"metadata":{"creationTimestamp":"now"}}',
      `${cannot}parsing time "now" as "2006-01-02T15:04:05Z07:00"`,
    ],
    [
      "another kind",
      '{"kind":"Pod","apiVersion":"v1"}',
      'Pod in version "v1" cannot be handled as a Deployment: converting (v1.Pod) to (apps.Deployment): unknown conversion',
    ],
    [
      "no kind of ours",
      '{"kind":"Foo","apiVersion":"v1"}',
      'Foo in version "v1" cannot be handled as a Deployment: no kind "Foo" is registered for version "v1" in scheme',
    ],
    [
      "a body that is cut",
      '{"kind":"Deployment",',
      `${unrecognized}unexpected end of JSON input ({"kind":"Deployment",)`,
    ],
    [
      "a stray character",
      '{"kind":"Deployment" x}',
      `${unrecognized}invalid character 'x' after object key:value pair`,
    ],
    [
      "a literal that is misspelled",
      '{"a":nul!}',
      `${unrecognized}invalid character '!' in literal null (expecting 'l')`,
    ],
    ["a list", "[1]", "json: cannot unmarshal array into Go value of type struct"],
    ["nothing", "", `${unrecognized}unexpected end of JSON input (<empty>)`],
    ["nesting without end", `{"a":${"[".repeat(5000)}`, "exceeded max depth"],
  ])("%s", (_, text, message) => {
    expect(() => decode(text)).toThrow(message);
    expect(codeOf(() => decode(text))).toBe(400);
  });
});

test("Warn tells and drops, Ignore drops", () => {
  const text = '{"spec":{"foo":1,"paused":false,"paused":true}}';
  expect(decode(text, "Warn").warnings).toEqual(['unknown field "spec.foo"', 'duplicate field "spec.paused"']);
  expect(decode(text, "Ignore").warnings).toEqual([]);
  expect(decode(text, "Ignore").object["spec"]).toEqual({ paused: true });
});

describe("what Go would have written back", () => {
  const spec = (text: string) => decode(`{"spec":${text}}`, "Strict").object["spec"];
  test.each([
    ["nulls are absent", '{"strategy":null}', {}],
    ["zeros that are pointers stay", '{"replicas":0}', { replicas: 0 }],
    ["zeros that are plain go", '{"minReadySeconds":0,"paused":false}', {}],
    ["empty lists and maps go", '{"selector":{"matchLabels":{},"matchExpressions":[]}}', { selector: {} }],
    [
      "numbers or strings stay what they are",
      '{"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":1}}}',
      { strategy: { rollingUpdate: { maxSurge: "25%", maxUnavailable: 1 } } },
    ],
  ])("%s", (_, text, result) => expect(spec(text)).toEqual(result));

  test("metadata and spec are there, if only empty; kind and apiVersion are filled in", () => {
    expect(decode('{"metadata":{"creationTimestamp":null}}').object).toEqual({
      kind: "Deployment",
      apiVersion: "apps/v1",
      metadata: {},
      spec: {},
    });
  });
  test("quantities and times are canonical, base64 is checked", () => {
    const pod = { mediaType: "application/json", expected: { group: "", version: "v1", kind: "Pod" } };
    const body =
      '{"metadata":{"creationTimestamp":"2026-01-02T03:04:05+01:00"},"spec":{"containers":[{"resources":{"limits":{"cpu":"1000m","memory":0.5}}}]}}';
    expect(decodeBody(schema, Buffer.from(body), pod).object).toMatchObject({
      metadata: { creationTimestamp: "2026-01-02T02:04:05Z" },
      spec: { containers: [{ resources: { limits: { cpu: "1", memory: "500m" } } }] },
    });
    const secret = { mediaType: "application/json", expected: { group: "", version: "v1", kind: "Secret" } };
    expect(() => decodeBody(schema, Buffer.from('{"data":{"a":"b!"}}'), secret)).toThrow(
      "illegal base64 data at input byte 1",
    );
  });
  test("a field called __proto__ is unknown like any other; as a data key it is kept", () => {
    expect(() => decode('{"spec":{"__proto__":{"x":1}}}')).toThrow('unknown field "spec.__proto__"');
    const map = { mediaType: "application/json", expected: { group: "", version: "v1", kind: "ConfigMap" } };
    const { object } = decodeBody(schema, Buffer.from('{"data":{"__proto__":"v"}}'), map);
    expect(JSON.stringify(object["data"])).toBe('{"__proto__":"v"}');
  });
});

describe("YAML", () => {
  test("is read as Go reads YAML 1.1", () => {
    expect(
      yaml("metadata:\n  name: x\n  creationTimestamp: 2024-01-01T00:00:00Z\nspec:\n  paused: yes\n  replicas: 03\n")
        .object,
    ).toMatchObject({
      metadata: { name: "x", creationTimestamp: "2024-01-01T00:00:00Z" },
      spec: { paused: true, replicas: 3 },
    });
  });
  test("tells duplicate keys with their lines", () => {
    expect(() => yaml("metadata:\n  name: a\n  name: b\n")).toThrow(
      'strict decoding error: yaml: unmarshal errors:\n  line 3: key "name" already set in map',
    );
  });
  test("expands anchors, but no bombs", () => {
    const levels = [...Array(12)].map(
      (_, i) =>
        `a${i}: &a${i} [${Array(10)
          .fill(i ? `*a${i - 1}` : "x")
          .join(",")}]`,
    );
    expect(() => yaml(levels.join("\n"))).toThrow("error converting YAML to JSON: yaml: Excessive alias count");
  });
  test("that is none is a 400", () => expect(() => yaml("a: [")).toThrow("error converting YAML to JSON: yaml: line"));
});

test("no bytes make decoding fail otherwise than with BadRequest", () => {
  const types = fc.constantFrom("application/json", "application/yaml", "application/vnd.kubernetes.protobuf");
  const bodies = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.json().map((text) => Buffer.from(text)),
    fc
      .uint8Array({ maxLength: 60 })
      .map((raw) =>
        Buffer.concat([
          Buffer.from("k8s\0\n\x15\n\x07apps/v1\x12\nDeployment\x12", "latin1"),
          Buffer.from([raw.length]),
          raw,
        ]),
      ),
  );
  fc.assert(
    fc.property(bodies, types, (body, mediaType) => {
      try {
        decodeBody(schema, body, { mediaType, expected, validation: "Strict" });
      } catch (error) {
        expect(error).toMatchObject({ code: 400, reason: "BadRequest" });
      }
    }),
  );
});

test("the scan finds no duplicates in what JSON.stringify wrote", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(scanJson(JSON.stringify(value))).toMatchObject({ duplicates: [], error: undefined });
    }),
  );
});

test("duplicates are found among few keys and among many", () => {
  const many = [...Array(100)].map((_, i) => `"k${i}":1`);
  expect(scanJson(`{"a":{${[...many, '"k7":2'].join(",")}}}`).duplicates.map((d) => d.path)).toEqual(["a.k7"]);
  expect(scanJson('{"a":[{"b":1},{"b":1,"\\u0062":2}]}').duplicates.map((d) => d.path)).toEqual(["a[1].b"]);
});

test("a patch that makes nonsense of the object is a 422 that quotes the patch", () => {
  const patched = { kind: "Deployment", apiVersion: "apps/v1", spec: { replicas: "x" } };
  const run = () => decodePatched(schema, patched, { expected, patch: '{"spec":{"replicas":"x"}}' });
  expect(run).toThrow('patch: Invalid value: "{\\"spec\\":{\\"replicas\\":\\"x\\"}}": json: cannot unmarshal string');
  expect(codeOf(run)).toBe(422);
});

test("the store's bytes are JSON of ours, or protobuf of an upstream apiserver", () => {
  expect(decodeStored(schema, Buffer.from('{"kind":"Pod"}'))).toEqual({ kind: "Pod" });
  expect(() => decodeStored(schema, Buffer.from("x"))).toThrow("does not appear to be a protobuf message");
});

function codeOf(run: () => unknown): number | undefined {
  try {
    run();
  } catch (error) {
    return error instanceof StatusError ? error.code : undefined;
  }
  return undefined;
}
