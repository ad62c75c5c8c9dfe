import { describe, expect, test } from "vitest";
import { schema } from "../../api/schema.ts";
import type { ManagedFieldsEntry } from "../object.ts";
import type { JsonObject } from "../schema/normalize.ts";
import { StatusError } from "../status.ts";
import { apply, track, type Writer } from "./apply.ts";
import { parseFieldsV1 } from "./field-set.ts";

/** One object in the hands of several managers. */
class Story {
  object: JsonObject | undefined;
  readonly #kind: { apiVersion: string; kind: string };
  #minute = 0;

  constructor(apiVersion: string, kind: string) {
    this.#kind = { apiVersion, kind };
  }

  apply(manager: string, body: object, more: Partial<Writer> & { force?: boolean } = {}): this {
    const config = this.#complete(body);
    const { object, managedFields } = apply(schema, this.#message, this.object, config, {
      ...this.#writer(manager),
      force: false,
      ...more,
    });
    return this.#keep(object, managedFields);
  }

  update(manager: string, body: object, more: Partial<Writer> = {}): this {
    const next = this.#complete(body);
    const sent = (next["metadata"] as JsonObject)["managedFields"] ?? this.entries;
    const given = { ...next, metadata: { ...(next["metadata"] as JsonObject), managedFields: sent } };
    const writer = { ...this.#writer(manager), ...more };
    return this.#keep(next, track(schema, this.#message, this.object, given, writer));
  }

  get entries(): ManagedFieldsEntry[] | undefined {
    return (this.object?.["metadata"] as { managedFields?: ManagedFieldsEntry[] } | undefined)?.managedFields;
  }

  /** Who owns what: `ci Apply`. */
  get owners(): Record<string, unknown> {
    return Object.fromEntries(
      (this.entries ?? []).map(({ manager, operation, subresource, fieldsV1 }) => [
        [manager, operation, subresource].filter(Boolean).join(" "),
        fieldsV1,
      ]),
    );
  }

  get spec(): unknown {
    return this.object?.["spec"];
  }

  get #message() {
    return schema.kind(this.#kind.apiVersion, this.#kind.kind)!;
  }

  #complete(body: object): JsonObject {
    const { metadata, ...rest } = body as JsonObject;
    return { ...this.#kind, metadata: { name: "x", ...(metadata as object) }, ...rest };
  }

  #writer(manager: string): Writer {
    const now = `2026-01-02T03:${String(this.#minute++).padStart(2, "0")}:00Z`;
    return { manager, apiVersion: this.#kind.apiVersion, subresource: "", now };
  }

  #keep(object: JsonObject, managedFields: ManagedFieldsEntry[] | undefined): this {
    const { managedFields: _, ...metadata } = object["metadata"] as JsonObject;
    this.object = { ...object, metadata: { ...metadata, ...(managedFields ? { managedFields } : {}) } };
    return this;
  }
}

const configMap = () => new Story("v1", "ConfigMap");
const pod = () => new Story("v1", "Pod");
const deployment = () => new Story("apps/v1", "Deployment");
const data = (entries: object, metadata: object = {}) => ({ metadata, data: entries });
const thrown = (run: () => unknown): StatusError => {
  try {
    run();
  } catch (error) {
    if (error instanceof StatusError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
};

describe("an apply", () => {
  test("owns the leaves of its config, and items of lists and maps, but nothing that says which object it is", () => {
    const story = pod().apply("ci", {
      metadata: { namespace: "default", labels: { app: "web" }, finalizers: ["a/b"] },
      spec: {
        containers: [{ name: "c", image: "i", command: ["x"], ports: [{ containerPort: 80 }] }],
        nodeSelector: { disk: "ssd" },
        volumes: [{ name: "v", emptyDir: {} }],
      },
    });
    expect(story.owners).toEqual({
      "ci Apply": {
        "f:metadata": { "f:labels": { "f:app": {} }, "f:finalizers": { 'v:"a/b"': {} } },
        "f:spec": {
          "f:containers": {
            'k:{"name":"c"}': {
              ".": {},
              "f:name": {},
              "f:image": {},
              "f:command": {},
              "f:ports": { 'k:{"containerPort":80,"protocol":"TCP"}': { ".": {}, "f:containerPort": {} } },
            },
          },
          "f:nodeSelector": {},
          "f:volumes": { 'k:{"name":"v"}': { ".": {}, "f:name": {}, "f:emptyDir": {} } },
        },
      },
    });
  });
  test("of the same config changes nothing, times included", () => {
    const story = configMap().apply("ci", data({ a: "1" }));
    const before = structuredClone(story.object);
    expect(story.apply("ci", data({ a: "1" })).object).toEqual(before);
  });
  test("of an equal value makes a second owner", () => {
    const story = configMap()
      .apply("a", data({ k: "1" }))
      .apply("b", data({ k: "1" }));
    expect(Object.keys(story.owners)).toEqual(["a Apply", "b Apply"]);
  });
  test("takes away what it no longer says", () => {
    const story = configMap()
      .apply("a", data({ k: "1", l: "2" }))
      .apply("a", data({ l: "2" }));
    expect(story.object?.["data"]).toEqual({ l: "2" });
  });
  test("leaves what another owns too", () => {
    const story = configMap()
      .apply("a", data({ k: "1" }))
      .apply("b", data({ k: "1" }))
      .apply("a", {});
    expect(story.object?.["data"]).toEqual({ k: "1" });
    expect(Object.keys(story.owners)).toEqual(["b Apply"]);
  });
  test("takes a list item away with all that was defaulted in it", () => {
    const story = pod().apply("a", { spec: { containers: [{ name: "c" }, { name: "d", image: "i" }] } });
    const containers = [{ name: "c" }, { name: "d", image: "i", terminationMessagePath: "/dev/x" }];
    story.object = { ...story.object, spec: { containers } };
    expect(story.apply("a", { spec: { containers: [{ name: "c" }] } }).spec).toEqual({ containers: [{ name: "c" }] });
  });
  test("merges ports by number and protocol, not by number alone", () => {
    const ports = (...list: object[]) => ({ spec: { ports: list } });
    const story = new Story("v1", "Service")
      .apply("a", ports({ port: 53, protocol: "UDP" }))
      .apply("b", ports({ port: 53, protocol: "TCP" }));
    expect(story.spec).toEqual(ports({ port: 53, protocol: "UDP" }, { port: 53, protocol: "TCP" }).spec);
  });
  test("orders items as the config does, others stay behind their neighbours", () => {
    const containers = (...names: string[]) => ({ spec: { containers: names.map((name) => ({ name })) } });
    const story = pod().apply("a", containers("a", "b")).apply("b", containers("x", "y"));
    expect(story.spec).toEqual(containers("a", "b", "x", "y").spec);
    expect(story.apply("b", containers("y", "x")).spec).toEqual(containers("a", "b", "y", "x").spec);
  });
  test("sets zeros that are another's", () => {
    const story = deployment().update("u", { spec: { paused: true } });
    expect(story.apply("a", { spec: { paused: false } }, { force: true }).spec).toEqual({ paused: false });
  });
});

describe("a conflict", () => {
  const error = (story: Story, body: object, more: Partial<Writer> = {}) =>
    thrown(() => story.apply("me", body, more)).status;

  test("with one field of an updater names manager, apiVersion and field", () => {
    const story = configMap()
      .apply("me", data({ b: "1" }))
      .update("kubectl-edit", data({ a: "2", b: "1" }));
    expect(error(story, data({ a: "3" }))).toEqual({
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      code: 409,
      reason: "Conflict",
      message: 'Apply failed with 1 conflict: conflict with "kubectl-edit" using v1: .data.a',
      details: {
        causes: [
          { reason: "FieldManagerConflict", message: 'conflict with "kubectl-edit" using v1', field: ".data.a" },
        ],
      },
    });
  });
  test("with several managers lists each with its fields", () => {
    const story = pod()
      .apply("b", { spec: { containers: [{ name: "x", image: "1", command: ["c"] }] } })
      .update("a", { spec: { nodeName: "n", containers: [{ name: "x", image: "1", command: ["c"] }] } });
    const config = { spec: { nodeName: "m", containers: [{ name: "x", image: "2", command: ["d"] }] } };
    expect(error(story, config).message).toBe(
      [
        'Apply failed with 3 conflicts: conflicts with "a" using v1:',
        "- .spec.nodeName",
        'conflicts with "b":',
        '- .spec.containers[name="x"].command',
        '- .spec.containers[name="x"].image',
      ].join("\n"),
    );
  });
  test("names the subresource through which a field was set", () => {
    const story = deployment()
      .apply("other", { metadata: { labels: { a: "b" } } })
      .update("hpa", { metadata: { labels: { a: "b" } }, spec: { replicas: 3 } }, { subresource: "scale" });
    expect(error(story, { spec: { replicas: 1 } }).message).toBe(
      'Apply failed with 1 conflict: conflict with "hpa" with subresource "scale" using apps/v1: .spec.replicas',
    );
  });
  test("does not arise where the values are equal, nor with force, which takes the fields over", () => {
    const story = configMap().apply("other", data({ a: "1" }));
    expect(story.apply("me", data({ a: "1" })).owners).toHaveProperty("other Apply");
    story.apply("me", data({ a: "2" }), { force: true });
    expect(story.owners).toEqual({ "me Apply": { "f:data": { "f:a": {} } } });
  });
  test("leaves the object as it was", () => {
    const story = configMap().apply("other", data({ a: "1" }));
    const before = structuredClone(story.object);
    error(story, data({ a: "2" }));
    expect(story.object).toEqual(before);
  });
});

describe("any other write", () => {
  test("owns what it set, maps and lists themselves when they are new", () => {
    const story = pod().update("kubectl-create", {
      metadata: { uid: "1", generation: 1, labels: { a: "b" } },
      spec: { containers: [{ name: "c" }] },
    });
    expect(story.owners).toEqual({
      "kubectl-create Update": {
        "f:metadata": { "f:labels": { ".": {}, "f:a": {} } },
        "f:spec": { "f:containers": { ".": {}, 'k:{"name":"c"}': { ".": {}, "f:name": {} } } },
      },
    });
  });
  test("takes changed and removed fields from all others", () => {
    const story = configMap()
      .apply("a", data({ k: "1", l: "2", m: "3" }))
      .update("u", data({ k: "x", l: "2" }));
    expect(story.owners).toEqual({
      "a Apply": { "f:data": { "f:l": {} } },
      "u Update": { "f:data": { "f:k": {} } },
    });
  });
  test("of nothing leaves entries and times alone", () => {
    const story = configMap().update("a", data({ k: "1" }));
    const { entries } = story;
    expect(story.update("b", data({ k: "1" })).entries).toEqual(entries);
  });
  test("does not begin to track an object that nobody tracks", () => {
    const story = configMap();
    story.object = { metadata: { name: "x" }, data: { a: "1" } };
    expect(story.update("u", data({ a: "2" })).entries).toBeUndefined();
  });
  test("through a subresource has an entry of its own, and owns nothing that the endpoint resets", () => {
    const reset = { "f:status": {} };
    const story = deployment()
      .update("c", { spec: { replicas: 1 }, status: { replicas: 9 } }, { resetFields: reset })
      .update("c", { spec: { replicas: 1 }, status: { replicas: 2 } }, { subresource: "status" });
    expect(story.owners).toEqual({
      "c Update": { "f:spec": { "f:replicas": {} } },
      "c Update status": { "f:status": { "f:replicas": {} } },
    });
  });
  test("keeps ten Update entries; the oldest become ancient-changes", () => {
    const story = configMap();
    const all: Record<string, string> = {};
    for (let i = 0; i < 14; i++) {
      all[`k${i}`] = "v";
      story.update(`m${i}`, data({ ...all }));
    }
    expect(Object.keys(story.owners)).toEqual(
      ["ancient-changes", "m5", "m6", "m7", "m8", "m9", "m10", "m11", "m12", "m13"].map((name) => `${name} Update`),
    );
    expect(Object.keys((story.owners["ancient-changes Update"] as JsonObject)["f:data"] as object)).toEqual([
      ".",
      "f:k0",
      "f:k1",
      "f:k2",
      "f:k3",
      "f:k4",
    ]);
  });
});

describe("an object that was there before anyone applied", () => {
  test("belongs to before-first-apply, so that the first apply conflicts", () => {
    const story = configMap();
    story.object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "x", uid: "u" }, data: { a: "1", b: "2" } };
    expect(thrown(() => story.apply("me", data({ a: "2" }))).message).toBe(
      'Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.a',
    );
    story.apply("me", data({ a: "1" }));
    expect(story.owners["before-first-apply Update"]).toEqual({ "f:data": { ".": {}, "f:a": {}, "f:b": {} } });
  });
});

describe("entries that a client sends", () => {
  const entry = {
    manager: "old",
    operation: "Apply" as const,
    apiVersion: "v1",
    fieldsType: "FieldsV1",
    fieldsV1: { "f:data": { "f:a": {} } },
  };
  const send = (managedFields: object[], more: Partial<Writer> = {}) =>
    configMap()
      .update("u", data({ a: "1" }))
      .update("u", data({ a: "1" }, { managedFields }), more).owners;
  const untouched = { "u Update": { "f:data": { ".": {}, "f:a": {} } } };

  test("replace what was tracked", () => expect(send([entry])).toEqual({ "old Apply": entry.fieldsV1 }));
  test("[{}] ends tracking", () => expect(send([{}])).toEqual({}));
  test("through a subresource are not heard", () =>
    expect(send([entry], { subresource: "status" })).toEqual(untouched));
  test.each([
    ["without an operation", { ...entry, operation: undefined }],
    ["of another operation", { ...entry, operation: "Merge" }],
    ["without an apiVersion", { ...entry, apiVersion: undefined }],
    ["of another fieldsType", { ...entry, fieldsType: "FieldsV2" }],
    ["with a path element that is none", { ...entry, fieldsV1: { data: {} } }],
    ["with a key that is no JSON", { ...entry, fieldsV1: { "k:{": {} } }],
    ["with a value that is no set", { ...entry, fieldsV1: { "f:data": 1 } }],
  ])("%s are not heard", (_, wrong) => expect(send([wrong])).toEqual(untouched));
  test("are read in any spelling", () => {
    const fields = { 'k:{ "protocol":"TCP", "containerPort":80}': {}, "v:1.0": {}, "x:new": {} };
    expect(parseFieldsV1(fields)).toEqual({ 'k:{"containerPort":80,"protocol":"TCP"}': {}, "v:1": {} });
  });
});

describe("from client-side to server-side apply", () => {
  const lastApplied = "kubectl.kubernetes.io/last-applied-configuration";
  const annotated = (entries: object, applied: object) =>
    data(entries, { annotations: { [lastApplied]: JSON.stringify({ data: applied }) } });

  test("kubectl takes over what the annotation says and the object still has", () => {
    const story = configMap().update("kubectl-client-side-apply", annotated({ a: "1" }, { a: "1" }));
    story.apply("kubectl", data({ a: "2" }));
    expect(story.object?.["data"]).toEqual({ a: "2" });
  });
  test("but not what was changed since", () => {
    const story = configMap().update("kubectl-edit", annotated({ a: "5" }, { a: "1" }));
    expect(thrown(() => story.apply("kubectl", data({ a: "2" }))).code).toBe(409);
  });
  test("and no other manager does", () => {
    const story = configMap().update("kubectl-client-side-apply", annotated({ a: "1" }, { a: "1" }));
    expect(thrown(() => story.apply("ci", data({ a: "2" }))).code).toBe(409);
  });
  test("the annotation follows, its keys in order and a newline behind", () => {
    const story = configMap().update("kubectl-client-side-apply", annotated({ a: "1" }, { a: "1" }));
    story.apply("kubectl", data({ b: "2", a: "1" }));
    const text = '{"apiVersion":"v1","data":{"a":"1","b":"2"},"kind":"ConfigMap","metadata":{"name":"x"}}\n';
    expect(story.object).toMatchObject({ metadata: { annotations: { [lastApplied]: text } } });
  });
});

describe("a config is refused", () => {
  const typed = "failed to create typed patch object (/x; apps/v1, Kind=Deployment): ";
  test.each([
    ["with managedFields", { metadata: { managedFields: [] } }, 400, "metadata.managedFields must be nil"],
    ["of another kind", { kind: "Pod" }, 400, "invalid object type: apps/v1, Kind=Pod"],
    ["without an apiVersion", { apiVersion: undefined }, 400, "invalid object type: /, Kind=Deployment"],
    ["with an unknown field", { spec: { foo: 1 } }, 500, `${typed}.spec.foo: field not declared in schema`],
    [
      "with a string for a number",
      { spec: { replicas: "3" } },
      500,
      `${typed}.spec.replicas: expected numeric (int or float), got string`,
    ],
    [
      "with two items of one key, and whatever else is wrong",
      { spec: { paused: "x", template: { spec: { containers: [{ name: "a" }, { name: "a" }, {}] } } } },
      500,
      `${typed}errors:\n  .spec.paused: expected boolean, got &{x}\n  .spec.template.spec.containers: duplicate entries for key [name="a"]\n  .spec.template.spec.containers: element 2: associative list with keys has an element that omits key field "name" (and doesn't have default value)`,
    ],
  ])("%s", (_, body, code, message) => {
    const error = thrown(() => deployment().apply("me", body));
    expect([error.code, error.message]).toEqual([code, message]);
  });
});
