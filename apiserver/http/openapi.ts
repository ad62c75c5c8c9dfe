import { createHash } from "node:crypto";
import type { Resource } from "../../api/resource.ts";
import { schema } from "../../api/schema.ts";
import { encodeOpenApiV2, openApiV2 } from "../../apimachinery/schema/openapi-v2.ts";
import { type Json, openApiV3 } from "../../apimachinery/schema/openapi-v3.ts";
import { apiVersionOf } from "../registry/decode.ts";
import type { ResourceTable } from "../resource-table.ts";

/**
 * The documents under `/openapi/v3/`, one a group-version, each made when it is first asked for and kept as text until
 * one of its resources is another.
 */
export class OpenApi {
  readonly #table: ResourceTable;
  #all: readonly Resource[] | undefined;
  #groups = new Map<string, Resource[]>();
  #v2: { from: readonly Resource[] | undefined; json: Buffer; protobuf: Buffer; hash: string } | undefined;
  readonly #documents = new Map<string, { resources: readonly Resource[]; document: OpenApiDocument }>();

  constructor(table: ResourceTable) {
    this.#table = table;
  }

  /** `api/v1`, `apis/apps/v1` */
  get groupVersions(): Iterable<string> {
    return this.#current().keys();
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
  get v2(): { json: Buffer; protobuf: Buffer; hash: string } {
    const groups = this.#current();
    let known = this.#v2;
    if (known?.from !== this.#all || known === undefined) {
      const documents = [...groups.keys()].map((name) => JSON.parse(this.document(name)!.text) as Json);
      const document = openApiV2(documents);
      const json = Buffer.from(JSON.stringify(document));
      known = { from: this.#all, json, protobuf: encodeOpenApiV2(document), hash: hashOf(json) };
      this.#v2 = known;
    }
    return known;
  }

  #current(): Map<string, Resource[]> {
    const { all } = this.#table;
    if (this.#all === all) return this.#groups;
    this.#all = all;
    this.#groups = new Map();
    for (const resource of all) {
      const name = `${resource.group ? "apis" : "api"}/${apiVersionOf(resource)}`;
      const group = this.#groups.get(name);
      if (group === undefined) this.#groups.set(name, [resource]);
      else group.push(resource);
    }
    for (const name of this.#documents.keys()) if (!this.#groups.has(name)) this.#documents.delete(name);
    return this.#groups;
  }
}

const hashOf = (text: string | Buffer) => createHash("sha256").update(text).digest("hex").toUpperCase();

/** The hash changes with the text: it is its ETag and part of its address. */
export interface OpenApiDocument {
  text: string;
  hash: string;
}
