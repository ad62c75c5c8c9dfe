import { describe, expect, test } from "vitest";
import { errorText } from "../../apimachinery/field-error.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { make, row } from "../testing.ts";

const kind = "CustomResourceDefinition";
const definition = (change: object): KubernetesObject => {
  const object = make(kind, change);
  object.metadata.name = "crontabs.stable.example.com";
  return object;
};
const told = (change: object) => row(kind).validate(definition(change)).map(errorText);
const version = (more: object, schema: object = { type: "object" }) => ({
  ...{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: schema } },
  ...more,
});
const one = (more: object, schema?: object) => ({ versions: [version(more, schema)] });
const types = "must be one of boolean,date,integer,number,string";

describe("a definition", () => {
  test.each<[title: string, change: object, problems: string[]]>([
    ["as people write it", {}, []],
    [
      "without a schema, and with a warning that does not belong there",
      { versions: [version({ schema: {}, deprecationWarning: "old" })] },
      [
        "spec.versions[0].schema.openAPIV3Schema: Required value",
        'spec.versions[0].deprecationWarning: Invalid value: "old": can only be set for deprecated versions',
      ],
    ],
    [
      "that warns of nothing, or of what cannot be printed",
      {
        versions: [
          version({ deprecated: true, deprecationWarning: "" }),
          version({ name: "v2", storage: false, deprecated: true, deprecationWarning: "é\t" }),
        ],
      },
      [
        'spec.versions[0].deprecationWarning: Invalid value: "": must not be an empty string',
        'spec.versions[1].deprecationWarning: Invalid value: "é\\t": must only contain printable UTF-8 characters; non-printable character found at index 2',
      ],
    ],
    [
      "with columns and scales of no kind",
      one({
        additionalPrinterColumns: [
          { name: "a", type: "text", jsonPath: ".a" },
          { name: "b", type: "string", format: "x", jsonPath: "a" },
        ],
        subresources: { scale: { specReplicasPath: ".status.a", statusReplicasPath: "b", labelSelectorPath: ".a" } },
      }),
      [
        'spec.subresources.scale.specReplicasPath: Invalid value: ".status.a": should be a json path under .spec',
        'spec.subresources.scale.statusReplicasPath: Invalid value: "b": must be a simple json path starting with .',
        'spec.subresources.scale.labelSelectorPath: Invalid value: ".a": should be a json path under either .spec or .status',
        `spec.additionalPrinterColumns[0].type: Invalid value: "text": ${types}`,
        'spec.additionalPrinterColumns[1].format: Invalid value: "x": must be one of byte,date,date-time,double,float,int32,int64,password',
        'spec.additionalPrinterColumns[1].JSONPath: Invalid value: "a": must be a simple json path starting with .',
      ],
    ],
    [
      "with fields that cannot be selected by",
      one(
        { selectableFields: [".a", ".a", ".o", ".b", "", ".metadata"].map((jsonPath) => ({ jsonPath })) },
        {
          type: "object",
          properties: { a: { type: "string" }, o: { type: "object" }, metadata: { type: "object" } },
        },
      ),
      [
        'spec.selectableFields[1].jsonPath: Duplicate value: ".a"',
        'spec.selectableFields[2].jsonPath: Invalid value: ".o": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.',
        'spec.selectableFields[3].jsonPath: Invalid value: ".b": is an invalid path: does not refer to a valid field',
        "spec.selectableFields[4].jsonPath: Required value",
        'spec.selectableFields[5].jsonPath: Invalid value: ".metadata": must not point to fields in metadata',
        'spec.selectableFields[5].jsonPath: Invalid value: ".metadata": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.',
      ],
    ],
    [
      "that converts by nobody, with somebody's address",
      { conversion: { strategy: "Some", webhook: { clientConfig: {}, conversionReviewVersions: ["v1"] } } },
      [
        'spec.conversion.strategy: Unsupported value: "Some": supported values: "None", "Webhook"',
        ...["webhookClientConfig", "conversionReviewVersions"].map(
          (key) => `spec.conversion.${key}: Forbidden: should not be set when strategy is not set to Webhook`,
        ),
      ],
    ],
    [
      "that converts in no version",
      { conversion: { strategy: "Webhook", webhook: { clientConfig: { url: "https://a.b/" } } } },
      ["spec.conversion.conversionReviewVersions: Required value"],
    ],
  ])("%s", (_, change, problems) => expect(told(change)).toEqual(problems));

  const at = "spec.validation.openAPIV3Schema";
  const properties = (a: object) => ({ type: "object", properties: { a } });
  const items = (more: object, of: object) => properties({ type: "array", items: of, ...more });
  const map = (...keys: string[]) => ({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys });
  const key = "this property is in x-kubernetes-list-map-keys, so it";
  test.each<[title: string, schema: object, problems: string[], more?: object]>([
    [
      "of no type",
      properties({ type: "text" }),
      [
        '.type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", "string"',
      ],
    ],
    [
      "of sets whose members can change",
      items({ "x-kubernetes-list-type": "set" }, { type: "object", nullable: true }),
      [
        '.items.x-kubernetes-map-type: Invalid value: "null": must be atomic as item of a list with x-kubernetes-list-type=set',
        ".items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is set",
      ],
    ],
    [
      "of maps by keys that are none",
      items(map("b", "b", "c", "d"), {
        type: "object",
        properties: { b: { type: "object" }, d: { type: "string", nullable: true } },
        required: ["b", "d"],
      }),
      [
        '.items.properties[b].type: Invalid value: "object": must be a scalar type if parent array\'s x-kubernetes-list-type is map',
        '.items.properties[b].type: Invalid value: "object": must be a scalar type if parent array\'s x-kubernetes-list-type is map',
        '.x-kubernetes-list-map-keys: Invalid value: ["b","b","c","d"]: must not contain duplicate entries',
        '.x-kubernetes-list-map-keys: Invalid value: ["b","b","c","d"]: entries must all be names of item properties',
        `.items.properties[d].nullable: Forbidden: ${key} cannot be nullable`,
      ],
    ],
    [
      "of maps of what is no object",
      items(map("b"), { type: "string" }),
      ['.items.type: Invalid value: "string": must be object if parent array\'s x-kubernetes-list-type is map'],
    ],
    [
      "that says some properties, and none",
      properties({ type: "object", properties: { b: { type: "string" } }, additionalProperties: false }),
      [".additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
    ],
    [
      "with rules that say nothing",
      properties({
        type: "string",
        "x-kubernetes-validations": [
          { rule: " " },
          { rule: "true", message: " ", messageExpression: " ", reason: "Because", fieldPath: "\n" },
          { rule: "true &&\ntrue" },
          { rule: "true", message: "a\nb" },
        ],
      }),
      [
        ".x-kubernetes-validations[0].rule: Required value: rule is not specified",
        '.x-kubernetes-validations[1].message: Invalid value: " ": must be non-empty if specified',
        ".x-kubernetes-validations[1].messageExpression: Required value: messageExpression must be non-empty if specified",
        '.x-kubernetes-validations[1].fieldPath: Invalid value: "\\n": must be non-empty if specified',
        '.x-kubernetes-validations[1].fieldPath: Invalid value: "\\n": must not contain line breaks',
        '.x-kubernetes-validations[1].reason: Unsupported value: "Because": supported values: "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"',
        ".x-kubernetes-validations[2].message: Required value: message must be specified if rule contains line breaks",
        '.x-kubernetes-validations[3].message: Invalid value: "a\\nb": must not contain line breaks',
      ],
    ],
  ])("with a schema %s", (_, schema, problems) =>
    expect(told(one({}, schema))).toEqual(problems.map((text) => `${at}.properties[a]${text}`)),
  );

  test("whose status is written apart says little outside of its properties", () => {
    const [problem, ...more] = told(one({ subresources: { status: {} } }, { type: "object", minProperties: 1 }));
    expect([problem, more]).toEqual([
      expect.stringMatching(
        /^spec.validation.openAPIV3Schema: Invalid value: .*: only \[Description Type .* XValidations\] fields are allowed at the root/,
      ),
      [],
    ]);
    const schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true, required: ["spec"] };
    expect(told(one({ subresources: { status: {} } }, schema))).toEqual([]);
  });

  test("keeps the versions that objects are stored in, and an approval that nobody changes", () => {
    const old = definition({ group: "stable.k8s.io" });
    const next = definition({ group: "stable.k8s.io", versions: [version({ name: "v2" })] });
    Object.assign(next, { status: { acceptedNames: { plural: "-", kind: "" }, storedVersions: ["v1", "v2"] } });
    expect(row(kind).validateUpdate(next, old).map(errorText)).toEqual([
      expect.stringMatching(/^status.acceptedNames.plural: Invalid value: "-": a DNS-1035 label/),
      'status.storedVersions[0]: Invalid value: "v1": missing from spec.versions; v1 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 from status.storedVersions',
    ]);
  });
});
