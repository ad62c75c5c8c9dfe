import { apiVersionOf } from "../object.ts";
import { isObject, set } from "./normalize.ts";
import { isEmbedded, type JsonSchema } from "./structural.ts";
import { defaultOf, type Field, type JsonForm, type Message, type Scalar, type Schema } from "./table.ts";

/**
 * The OpenAPI v3 document of one group-version, from the schema table and the resources served. It has what clients
 * read (kubectl explain, validation, apply): x-kubernetes-group-version-kind on operations and schemas, the parameters
 * and content types of PATCH, and how lists merge.
 * Differs: fields carry no descriptions, as the schema has none.
 */
export interface PublishedResource {
  group: string;
  version: string;
  resource: string;
  kind: string;
  schema: string;
  namespaced: boolean;
  /** For custom resources: what their kind is instead of a message. */
  custom?: { schema: JsonSchema | undefined };
  verbs: readonly string[];
  subresources: readonly {
    name: string;
    kind: { group: string; version: string; kind: string };
    verbs: readonly string[];
  }[];
}

export type Json = { [key: string]: unknown };

export function openApiV3(
  schema: Schema,
  groupVersion: { group: string; version: string },
  resources: readonly PublishedResource[],
): Json {
  const { group, version } = groupVersion;
  const root = group ? `/apis/${group}/${version}` : `/api/${version}`;
  const builder = new Builder(schema);
  const paths: Json = {};
  for (const resource of resources) Object.assign(paths, builder.pathsOf(resource, root));
  return {
    openapi: "3.0.0",
    info: { title: "Kubernetes", version: "v1.34.0" },
    paths: Object.fromEntries(Object.entries(paths).sort(([a], [b]) => (a < b ? -1 : 1))),
    components: { schemas: builder.schemas() },
  };
}

const strategic = "application/strategic-merge-patch+json";
const patchTypes = [
  ...["application/json-patch+json", "application/merge-patch+json", strategic, "application/apply-patch+yaml"],
];
const protobuf = "application/vnd.kubernetes.protobuf";
const bodies = ["application/json", "application/yaml", protobuf];

const query = (name: string, type: string): Json => ({ name, in: "query", schema: { type, uniqueItems: true } });
const inPath = (name: string): Json => ({ ...query(name, "string"), in: "path", required: true });

const writeQueries = [query("dryRun", "string"), query("fieldManager", "string"), query("fieldValidation", "string")];
const listQueries = [
  ...["continue", "fieldSelector", "labelSelector", "resourceVersion", "resourceVersionMatch"].map((n) =>
    query(n, "string"),
  ),
  ...["limit", "timeoutSeconds"].map((n) => query(n, "integer")),
  ...["allowWatchBookmarks", "sendInitialEvents", "watch"].map((n) => query(n, "boolean")),
];
const deleteQueries = [
  ...[query("dryRun", "string"), query("gracePeriodSeconds", "integer")],
  ...[query("orphanDependents", "boolean"), query("propagationPolicy", "string")],
];

class Builder {
  readonly #schema: Schema;
  readonly #wanted = new Set<string>();
  /** By id: kinds of custom resources and their lists. */
  readonly #custom = new Map<string, Json>();
  #isCustom = false;

  constructor(schema: Schema) {
    this.#schema = schema;
  }

  pathsOf(resource: PublishedResource, root: string): Json {
    const { namespaced, resource: plural, verbs, schema: id } = resource;
    this.#isCustom = resource.custom !== undefined;
    if (resource.custom) this.#addCustom(resource, resource.custom.schema);
    const base = namespaced ? `${root}/namespaces/{namespace}/${plural}` : `${root}/${plural}`;
    const parameters = [...(namespaced ? [inPath("namespace")] : []), query("pretty", "string")];
    const has = (verb: string) => verbs.includes(verb);
    const gvk = { group: resource.group, kind: resource.kind, version: resource.version };
    const list = `${id}List`;
    const operation = (action: string, more: Json, answer: string) => ({
      tags: [tagOf(resource)],
      operationId: `${action}${tagOf(resource, true)}${namespaced ? "Namespaced" : ""}${resource.kind}`,
      "x-kubernetes-action": action,
      "x-kubernetes-group-version-kind": gvk,
      ...more,
      responses: { "200": this.#answer(answer), "401": { description: "Unauthorized" } },
    });
    const all: Json = { parameters };
    const one: Json = { parameters: [inPath("name"), ...parameters] };
    const add = (path: Json, method: string, verb: string, answer: string, more: () => Json = () => ({})) => {
      if (has(verb)) path[method] = operation(methodOf(verb), more(), answer);
    };
    const write = () => ({ parameters: writeQueries, requestBody: this.#body(id) });
    const remove = (parameters: Json[]) => () => ({ parameters, requestBody: this.#body("meta/v1.DeleteOptions") });
    add(all, "get", "list", list, () => ({ parameters: listQueries }));
    add(all, "post", "create", id, write);
    add(all, "delete", "deletecollection", "meta/v1.Status", remove([...listQueries, ...deleteQueries]));
    add(one, "get", "get", id);
    add(one, "put", "update", id, write);
    add(one, "patch", "patch", id, () => this.#patch());
    add(one, "delete", "delete", "meta/v1.Status", remove(deleteQueries));
    const paths: Json = { [base]: all, [`${base}/{name}`]: one };
    if (namespaced && has("list"))
      paths[`${root}/${plural}`] = {
        get: operation("list", {}, list),
        parameters: [...listQueries, query("pretty", "string")],
      };
    for (const sub of resource.subresources)
      paths[`${base}/{name}/${sub.name}`] = this.#subresource(sub, [inPath("name"), ...parameters], tagOf(resource));
    return paths;
  }

  #subresource(sub: PublishedResource["subresources"][number], parameters: Json[], tag: string): Json {
    const { group, version, kind } = sub.kind;
    const custom = this.#isCustom && sub.name === "status" ? { id: customId(sub.kind) } : undefined;
    const message = custom ?? this.#schema.kind(apiVersionOf(sub.kind), kind);
    const path: Json = { parameters };
    for (const verb of sub.verbs) {
      const method = methodOf(verb);
      path[method] = {
        tags: [tag],
        "x-kubernetes-action": method,
        "x-kubernetes-group-version-kind": { group, kind, version },
        ...(method === "patch" ? this.#patch() : {}),
        ...(message && (method === "put" || method === "post")
          ? { parameters: writeQueries, requestBody: this.#body(message.id) }
          : {}),
        responses: { "200": message ? this.#answer(message.id) : { description: "OK" } },
      };
    }
    return path;
  }

  #patch(): Json {
    const types = patchTypes.filter((type) => type !== strategic || !this.#isCustom);
    const content = Object.fromEntries(types.map((type) => [type, { schema: this.#ref("meta/v1.Patch") }]));
    return { parameters: [...writeQueries, query("force", "boolean")], requestBody: { content, required: true } };
  }

  #body(id: string): Json {
    const types = bodies.filter((type) => type !== protobuf || !this.#isCustom);
    return { content: Object.fromEntries(types.map((type) => [type, { schema: this.#ref(id) }])) };
  }

  #answer(id: string): Json {
    return { description: "OK", ...this.#body(id) };
  }

  #ref(id: string): Json {
    if (this.#custom.has(id)) return { $ref: `#/components/schemas/${id}` };
    this.#wanted.add(id);
    return { $ref: `#/components/schemas/${nameOf(id)}` };
  }

  /** Everything that was referred to, and what that refers to. */
  schemas(): Json {
    const done: [string, Json][] = [...this.#custom];
    // The set grows while it is walked.
    for (const id of this.#wanted) done.push([nameOf(id), this.#message(this.#schema.message(id))]);
    return Object.fromEntries(done.sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  #addCustom({ schema: id, group, version, kind }: PublishedResource, schema: JsonSchema | undefined): void {
    const gvk = (name: string) => ({ "x-kubernetes-group-version-kind": [{ group, kind: name, version }] });
    // The references are made before #isCustom matters to anything.
    this.#custom.set(id, { ...this.#published(schema ?? { type: "object" }, true), ...gvk(kind) });
    const items = { type: "array", items: { $ref: `#/components/schemas/${id}` } };
    const properties = { ...this.#metaFields("meta/v1.ListMeta"), items };
    this.#custom.set(`${id}List`, { type: "object", required: ["items"], properties, ...gvk(`${kind}List`) });
  }

  #metaFields(metadata: string): Json {
    return { apiVersion: { type: "string" }, kind: { type: "string" }, metadata: { allOf: [this.#ref(metadata)] } };
  }

  /** A structural schema as it is, with what its root and embedded resources have without saying so. */
  #published(schema: JsonSchema, root = false): Json {
    const each = (inner: JsonSchema) => this.#published(inner);
    const own: Json = {};
    for (const [name, inner] of Object.entries(schema.properties ?? {})) set(own, name, each(inner));
    const free = schema["x-kubernetes-preserve-unknown-fields"] && !schema.properties;
    const meta = (root && !(free && root)) || isEmbedded(schema) ? this.#metaFields("meta/v1.ObjectMeta") : {};
    const properties = { ...own, ...meta };
    const more = schema.additionalProperties;
    return {
      ...schema,
      ...(Object.keys(properties).length > 0 ? { properties } : {}),
      ...(schema.items ? { items: each(schema.items) } : {}),
      ...(isObject(more) ? { additionalProperties: each(more as JsonSchema) } : {}),
    };
  }

  #message(message: Message): Json {
    if (message.jsonForm || message.id === "meta/v1.Patch") return forms[message.jsonForm ?? "object"];
    const properties: Json = {};
    const required: string[] = [];
    if (message.isKind) for (const key of ["apiVersion", "kind"]) properties[key] = { type: "string" };
    for (const field of message.fields.values()) {
      properties[field.name] = this.#field(field);
      if (field.required) required.push(field.name);
    }
    const { group, version } = this.#schema.groupVersion(message.id);
    return {
      type: "object",
      ...(required.length ? { required: required.sort() } : {}),
      properties: Object.fromEntries(Object.entries(properties).sort(([a], [b]) => (a < b ? -1 : 1))),
      ...(message.isKind && !message.id.startsWith("meta/")
        ? { "x-kubernetes-group-version-kind": [{ group, kind: message.name, version }] }
        : {}),
      ...(message.atomic ? { "x-kubernetes-map-type": "atomic" } : {}),
    };
  }

  #field(field: Field): Json {
    const { scalar, values } = field;
    const one = scalar ? { ...scalars[scalar], ...(values && { enum: values }) } : this.#ref(field.messageId!);
    const extensions: Json = {
      ...(field.listType ? { "x-kubernetes-list-type": field.listType } : {}),
      ...(field.listMapKeys.length ? { "x-kubernetes-list-map-keys": field.listMapKeys } : {}),
      ...(field.mapType ? { "x-kubernetes-map-type": field.mapType } : {}),
      ...(field.patchMergeKey ? { "x-kubernetes-patch-merge-key": field.patchMergeKey } : {}),
      ...(field.patchStrategy.length ? { "x-kubernetes-patch-strategy": field.patchStrategy.join(",") } : {}),
    };
    if (field.shape === "list") return { type: "array", items: one, ...extensions };
    if (field.shape === "map") return { type: "object", additionalProperties: one, ...extensions };
    const value = field.default === undefined ? {} : { default: defaultOf(field) };
    // A $ref may have no siblings in OpenAPI 3.0.
    return "$ref" in one && Object.keys(extensions).length
      ? { allOf: [one], ...extensions }
      : { ...one, ...value, ...extensions };
  }
}

/** By HTTP's name where it has one; also what the documents call an action. */
const methodOf = (verb: string): string => ({ create: "post", update: "put" })[verb] ?? verb;

const scalars: Record<Scalar, Json> = {
  bool: { type: "boolean" },
  bytes: { type: "string", format: "byte" },
  double: { type: "number", format: "double" },
  int32: { type: "integer", format: "int32" },
  int64: { type: "integer", format: "int64" },
  string: { type: "string" },
};

const forms: Record<JsonForm, Json> = {
  quantity: { oneOf: [{ type: "string" }, { type: "number" }] },
  "int-or-string": { format: "int-or-string", oneOf: [{ type: "integer" }, { type: "string" }] },
  time: { type: "string", format: "date-time" },
  "micro-time": { type: "string", format: "date-time" },
  duration: { type: "string" },
  list: { type: "array", items: { type: "string" } },
  any: {},
  object: { type: "object" },
};

const customId = ({ group, version, kind }: { group: string; version: string; kind: string }): string =>
  `${group.split(".").reverse().join(".")}.${version}.${kind}`;

/** `core/v1.Pod` -> `io.k8s.api.core.v1.Pod`, as upstream names its schemas. */
export function nameOf(id: string): string {
  const [groupVersion = "", name = ""] = id.split(".");
  const [group = "", version] = groupVersion.split("/");
  if (version === undefined) {
    const machinery: Record<string, string> = { quantity: "api.resource", intstr: "util.intstr", runtime: "runtime" };
    return `io.k8s.apimachinery.pkg.${machinery[group] ?? group}.${name}`;
  }
  if (group === "meta") return `io.k8s.apimachinery.pkg.apis.meta.${version}.${name}`;
  if (group === "apiextensions") return `io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.${version}.${name}`;
  if (group === "apiregistration") return `io.k8s.kube-aggregator.pkg.apis.apiregistration.${version}.${name}`;
  return `io.k8s.api.${group}.${version}.${name}`;
}

/** `core_v1`; as part of an operationId `CoreV1`. */
function tagOf({ group, version }: { group: string; version: string }, capital = false): string {
  const name = (group || "core").replace(/\.k8s\.io$/, "");
  if (!capital) return `${name}_${version}`;
  return [...name.split("."), version].map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("");
}
