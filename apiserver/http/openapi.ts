import { createHash } from "node:crypto";
import type { Resource } from "../../api/resource.ts";
import { schema } from "../../api/schema.ts";
import { apiVersionOf } from "../../apimachinery/object.ts";
import { set } from "../../apimachinery/schema/normalize.ts";
import { encodeOpenApiV2, openApiV2 } from "../../apimachinery/schema/openapi-v2.ts";
import { type Json, openApiV3 } from "../../apimachinery/schema/openapi-v3.ts";
import { memo } from "../../base/memo.ts";
import type { RemoteApis, RemoteVersion } from "../aggregation/remote-apis.ts";
import type { ResourceTable } from "../resource-table.ts";

/**
 * The documents under `/openapi/v3/`, one a group-version, each made when it is first asked for and kept as text until
 * one of its resources is another; and that of v2. What takes long is done in slices, so that others are served meanwhile.
 */
export class OpenApi {
  readonly #table: ResourceTable;
  readonly #remotes: RemoteApis;
  #all: readonly Resource[] | undefined;
  #groups = new Map<string, Resource[]>();
  #v2: { from: readonly Resource[]; remote: readonly RemoteVersion[]; made: Promise<OpenApiV2> } | undefined;
  readonly #documents = new Map<string, { resources: readonly Resource[]; document: OpenApiDocument }>();

  constructor(table: ResourceTable, remotes: RemoteApis) {
    this.#table = table;
    this.#remotes = remotes;
  }

  /** By `api/v1`, `apis/apps/v1`. */
  documents(): Promise<Map<string, OpenApiDocument>> {
    return inSlices(this.#everyDocument());
  }

  document(groupVersion: string): OpenApiDocument | undefined {
    const resources = this.#current().get(groupVersion);
    if (resources === undefined) return undefined;
    const known = this.#documents.get(groupVersion);
    if (known?.resources.length === resources.length && resources.every((r, i) => r === known.resources[i]))
      return known.document;
    const text = JSON.stringify(openApiV3(schema, resources[0]!, resources));
    const document = { text, hash: hashOf(text) };
    this.#documents.set(groupVersion, { resources, document });
    return document;
  }

  /** All in one, for clients that know no v3. */
  get v2(): Promise<OpenApiV2> {
    const { all } = this.#table;
    const { versions } = this.#remotes;
    if (this.#v2?.from !== all || this.#v2.remote !== versions)
      this.#v2 = { from: all, remote: versions, made: inSlices(this.#makeV2(versions)) };
    return this.#v2.made;
  }

  *#everyDocument(): Generator<undefined, Map<string, OpenApiDocument>> {
    const made = new Map<string, OpenApiDocument>();
    for (const name of [...this.#current().keys()]) {
      const document = this.document(name);
      if (document) made.set(name, document); // its group may be gone meanwhile
      yield;
    }
    return made;
  }

  *#makeV2(remote: readonly RemoteVersion[]): Generator<undefined, OpenApiV2> {
    const parts: Json[] = [];
    for (const { text } of (yield* this.#everyDocument()).values()) {
      parts.push(JSON.parse(text) as Json);
      yield;
    }
    const document = yield* openApiV2(parts);
    for (const one of remote) yield* addRemote(document, one);
    const json = Buffer.from(JSON.stringify(document));
    yield;
    return { json, protobuf: yield* encodeOpenApiV2(document), hash: hashOf(json) };
  }

  #current(): Map<string, Resource[]> {
    const { all } = this.#table;
    if (this.#all === all) return this.#groups;
    this.#all = all;
    this.#groups = new Map();
    for (const resource of all) {
      const name = `${resource.group ? "apis" : "api"}/${apiVersionOf(resource)}`;
      memo(this.#groups, name, (): Resource[] => []).push(resource);
    }
    for (const name of this.#documents.keys()) if (!this.#groups.has(name)) this.#documents.delete(name);
    return this.#groups;
  }
}

/** What another server's document says of its version. One that cannot be written as protobuf is left out. */
function* addRemote(document: Json, { service: { spec }, discovered }: RemoteVersion): Generator<undefined, void> {
  if (discovered?.openapiV2 === undefined) return;
  const root = `/apis/${spec.group}/${spec.version}/`;
  const refs = (name: string, value: Json) =>
    name === "parameters" && Array.isArray(value) ? value.map((one: Json) => parameters[nameOf(one)] ?? one) : value;
  let parameters: Record<string, Json> = {};
  try {
    ({ parameters = {} } = JSON.parse(discovered.openapiV2) as { parameters?: typeof parameters });
    const told = JSON.parse(discovered.openapiV2, refs) as Record<"paths" | "definitions", Json>;
    const paths = Object.entries(told.paths ?? {}).filter(([path]) => path.startsWith(root) || `${path}/` === root);
    const own = { paths: Object.fromEntries(paths), definitions: told.definitions ?? {} };
    yield* encodeOpenApiV2(own);
    for (const key of ["paths", "definitions"] as const)
      for (const [name, value] of Object.entries(own[key])) {
        const all = document[key] as Json;
        if (!Object.hasOwn(all, name)) set(all, name, value);
      }
  } catch {}
}

/** Of what `#/parameters/NAME` refers to. */
const nameOf = ({ $ref }: Json): string => String($ref).replace("#/parameters/", "");

async function inSlices<R>(work: Generator<undefined, R>): Promise<R> {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const hashOf = (text: string | Buffer) => createHash("sha256").update(text).digest("hex").toUpperCase();

/** The hash changes with the text: it is its ETag and part of its address. */
export interface OpenApiDocument {
  text: string;
  hash: string;
}

export interface OpenApiV2 {
  json: Buffer;
  protobuf: Buffer;
  hash: string;
}
