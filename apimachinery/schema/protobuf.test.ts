import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import protobuf from "protobufjs";
import { describe, expect, test } from "vitest";
import { examples } from "../../api/examples.testing.ts";
import { resources } from "../../api/resources.ts";
import { schema } from "../../api/schema.ts";
import { apiVersionOf } from "../object.ts";
import { decodeBody, decodeStored } from "./decode.ts";
import type { JsonObject } from "./normalize.ts";
import { encodeEnvelope, encodeMessage } from "./protobuf.ts";

/** Bodies are written here by protobufjs from the same .proto files, as gogo does: every plain scalar, zero or not. */
const root = new protobuf.Root();
for (const file of readdirSync("proto/kubernetes").filter((name) => name.endsWith(".proto")))
  protobuf.parse(readFileSync(`proto/kubernetes/${file}`, "utf8"), root, { keepCase: true });
root.resolveAll();

function envelope(apiVersion: string, kind: string, message: string, value: object): Uint8Array {
  const type = root.lookupType(message);
  const unknown = root.lookupType("k8s.io.apimachinery.pkg.runtime.Unknown");
  const raw = type.encode(value).finish();
  const body = unknown.encode({ typeMeta: { apiVersion, kind }, raw, contentEncoding: "", contentType: "" }).finish();
  return Buffer.concat([Buffer.from("k8s\0"), body]);
}

const mediaType = "application/vnd.kubernetes.protobuf";
const decode = (kind: string, value: object) =>
  decodeBody(schema, envelope("v1", kind, `k8s.io.api.core.v1.${kind}`, value), {
    mediaType,
    expected: { group: "", version: "v1", kind },
  }).object;

describe("Kubernetes' protobuf becomes the JSON it stands for", () => {
  test("a Pod, with all that is special on the wire", () => {
    const pod = decode("Pod", {
      metadata: {
        name: "p",
        generateName: "",
        generation: 0,
        creationTimestamp: {},
        deletionTimestamp: { seconds: 1767323045, nanos: 0 },
        labels: { a: "b" },
        finalizers: ["x/y"],
      },
      spec: {
        hostNetwork: false,
        priority: 0,
        terminationGracePeriodSeconds: 30,
        nodeName: "",
        securityContext: {},
        containers: [
          {
            name: "c",
            image: "i",
            resources: { limits: { cpu: { string: "1000m" } } },
            ports: [{ name: "", hostPort: 0, containerPort: 80, protocol: "TCP" }],
            livenessProbe: {
              handler: { httpGet: { path: "/", port: { type: 1, intVal: 0, strVal: "http" } } },
              periodSeconds: 5,
            },
            readinessProbe: { handler: { tcpSocket: { port: { type: 0, intVal: 80, strVal: "" } } } },
          },
        ],
        volumes: [{ name: "v", volumeSource: { configMap: { localObjectReference: { name: "m" }, optional: false } } }],
      },
      status: {},
    });
    expect(pod).toEqual({
      kind: "Pod",
      apiVersion: "v1",
      metadata: { name: "p", deletionTimestamp: "2026-01-02T03:04:05Z", labels: { a: "b" }, finalizers: ["x/y"] },
      spec: {
        priority: 0,
        terminationGracePeriodSeconds: 30,
        securityContext: {},
        containers: [
          {
            name: "c",
            image: "i",
            resources: { limits: { cpu: "1" } },
            ports: [{ containerPort: 80, protocol: "TCP" }],
            livenessProbe: { httpGet: { path: "/", port: "http" }, periodSeconds: 5 },
            readinessProbe: { tcpSocket: { port: 80 } },
          },
        ],
        volumes: [{ name: "v", configMap: { name: "m", optional: false } }],
      },
      status: {},
    });
  });

  test("bytes are base64, micro times have six digits", () => {
    expect(decode("Secret", { metadata: { name: "s" }, data: { a: Buffer.from("hi") }, type: "Opaque" })).toMatchObject(
      {
        data: { a: "aGk=" },
      },
    );
    const lease = envelope("coordination.k8s.io/v1", "Lease", "k8s.io.api.coordination.v1.Lease", {
      metadata: { name: "l" },
      spec: { renewTime: { seconds: 1767323045, nanos: 123456000 }, leaseDurationSeconds: 0 },
    });
    expect(decodeStored(schema, lease)).toEqual({
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: "l" },
      spec: { renewTime: "2026-01-02T03:04:05.123456Z", leaseDurationSeconds: 0 },
    });
  });

  test("DeleteOptions come under any group-version", () => {
    const body = envelope("v1", "DeleteOptions", "k8s.io.apimachinery.pkg.apis.meta.v1.DeleteOptions", {
      gracePeriodSeconds: 0,
      propagationPolicy: "Background",
      preconditions: { uid: "u" },
    });
    const expected = { group: "apps", version: "v1", kind: "DeleteOptions" };
    expect(decodeBody(schema, body, { mediaType, expected }).object).toMatchObject({
      gracePeriodSeconds: 0,
      propagationPolicy: "Background",
      preconditions: { uid: "u" },
    });
  });
});

test.each([
  [
    "no magic",
    Buffer.from("{}"),
    "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] ({})",
  ],
  [
    "a cut body",
    envelope("v1", "Pod", "k8s.io.api.core.v1.Pod", { metadata: { name: "abc" } }).subarray(0, 20),
    "(6b387300",
  ],
])("%s is a 400", (_, body, message) => {
  const run = () => decodeBody(schema, body, { mediaType, expected: { group: "", version: "v1", kind: "Pod" } });
  expect(run).toThrow(message);
});

test("the unions of JSON schemas are what they hold", () => {
  const crd = envelope(
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
    "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    {
      metadata: { name: "x" },
      spec: {
        group: "g",
        versions: [
          {
            name: "v1",
            schema: {
              openAPIV3Schema: {
                type: "object",
                default: { raw: Buffer.from('{"a":1}') },
                properties: {
                  a: { items: { schema: { type: "string" } }, additionalProperties: { allows: true } },
                  b: { additionalProperties: { allows: true, schema: { type: "integer" } }, maximum: 5 },
                },
                xKubernetesPreserveUnknownFields: true,
              },
            },
          },
        ],
      },
    },
  );
  expect(decodeStored(schema, crd)).toMatchObject({
    spec: {
      versions: [
        {
          schema: {
            openAPIV3Schema: {
              type: "object",
              default: { a: 1 },
              properties: {
                a: { items: { type: "string" }, additionalProperties: true },
                b: { additionalProperties: { type: "integer" }, maximum: 5 },
              },
              "x-kubernetes-preserve-unknown-fields": true,
            },
          },
        },
      ],
    },
  });
});

test("JSON and protobuf of one ConfigMap decode alike", () => {
  const words = fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), fc.string({ unit: "grapheme" }), { maxKeys: 5 });
  fc.assert(
    fc.property(words, words, fc.option(fc.boolean(), { nil: undefined }), (labels, data, immutable) => {
      const object = { metadata: { name: "m", labels }, data, ...(immutable === undefined ? {} : { immutable }) };
      const json = decodeBody(schema, Buffer.from(JSON.stringify(object)), {
        mediaType: "application/json",
        expected: { group: "", version: "v1", kind: "ConfigMap" },
      }).object;
      expect(decode("ConfigMap", object)).toEqual(json);
    }),
  );
});

function encoded(object: JsonObject): Buffer {
  const { apiVersion, kind } = object as { apiVersion: string; kind: string };
  return encodeEnvelope({ apiVersion, kind, raw: encodeMessage(schema, schema.kind(apiVersion, kind)!, object) });
}

/** Which protobuf does not know, nor those of maps. */
function withoutEmptyLists<T>(value: T): T {
  return JSON.parse(
    JSON.stringify(value, (_, inner) => (Array.isArray(inner) && inner.length === 0 ? undefined : inner)),
  );
}

describe("JSON becomes Kubernetes' protobuf", () => {
  test.each(Object.entries(examples))("and is the same when it comes back: %s", (title, { body }) => {
    const [apiVersion, kind] = title.split(" ") as [string, string];
    const [group, version] = apiVersion.includes("/") ? (apiVersion.split("/") as [string, string]) : ["", apiVersion];
    const text = JSON.stringify({ kind, apiVersion, metadata: { name: "x" }, ...body });
    const expected = { group, version, kind };
    const { object } = decodeBody(schema, Buffer.from(text), { mediaType: "application/json", expected });
    const resource = resources().find((one) => apiVersionOf(one) === apiVersion && one.kind === kind)!;
    resource.defaults(object as never);
    const back = decodeStored(schema, encoded(object)) as never;
    resource.defaults(back); // kind and apiVersion of a set's claims are not on the wire
    expect(back).toEqual(withoutEmptyLists(object));
  });

  test("in the fields and forms of the .proto files, as protobufjs reads them", () => {
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p", creationTimestamp: "2026-01-02T03:04:05Z", labels: { a: "b" }, generation: 5_000_000_000 },
      spec: {
        hostNetwork: true,
        containers: [
          {
            name: "c",
            resources: { limits: { cpu: "1" } },
            livenessProbe: { httpGet: { path: "/", port: "http" } },
            readinessProbe: { tcpSocket: { port: 80 } },
          },
        ],
        volumes: [{ name: "v", configMap: { name: "m", optional: false } }],
      },
    };
    const unknown = root
      .lookupType("k8s.io.apimachinery.pkg.runtime.Unknown")
      .decode(encoded(pod).subarray(4)) as never as {
      typeMeta: object;
      raw: Uint8Array;
    };
    expect({ ...unknown.typeMeta }).toEqual({ apiVersion: "v1", kind: "Pod" });
    const type = root.lookupType("k8s.io.api.core.v1.Pod");
    expect(type.toObject(type.decode(unknown.raw), { longs: Number })).toEqual({
      metadata: {
        name: "p",
        creationTimestamp: { seconds: 1767323045, nanos: 0 },
        labels: { a: "b" },
        generation: 5e9,
      },
      spec: {
        hostNetwork: true,
        containers: [
          {
            name: "c",
            resources: { limits: { cpu: { string: "1" } } },
            livenessProbe: { handler: { httpGet: { path: "/", port: { type: 1, intVal: 0, strVal: "http" } } } },
            readinessProbe: { handler: { tcpSocket: { port: { type: 0, intVal: 80 } } } },
          },
        ],
        volumes: [{ name: "v", volumeSource: { configMap: { localObjectReference: { name: "m" }, optional: false } } }],
      },
    });
  });

  test("micro times, bytes, negative numbers and the unions of JSON schemas", () => {
    const back = (object: JsonObject) => expect(decodeStored(schema, encoded(object))).toEqual(object);
    back({
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: "l" },
      spec: { renewTime: "2026-01-02T03:04:05.123456Z" },
    });
    back({ apiVersion: "v1", kind: "Secret", metadata: { name: "s" }, data: { a: "aGk=" } });
    back({ apiVersion: "scheduling.k8s.io/v1", kind: "PriorityClass", metadata: { name: "p" }, value: -5 });
    const openAPIV3Schema = {
      type: "object",
      properties: {
        a: { items: { type: "string" }, default: { b: [1] } },
        c: { additionalProperties: { type: "number", minimum: 1.5 }, enum: ["x", 1, true] },
        d: {
          additionalProperties: false,
          items: [{ type: "string" }],
          dependencies: { e: ["f"], g: { type: "null" } },
        },
      },
    };
    back({
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: "x" },
      spec: { versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema } }] },
    });
  });
});
