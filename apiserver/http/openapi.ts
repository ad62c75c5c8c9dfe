import { createHash } from "node:crypto";
import type { Resource } from "../../api/resource.ts";
import { schema } from "../../api/schema.ts";
import { openApiV3 } from "../../apimachinery/schema/openapi-v3.ts";
import { apiVersionOf } from "../registry/decode.ts";

/** The documents under `/openapi/v3/`, one a group-version, each made when it is first asked for and kept as text. */
export class OpenApi {
  readonly #groups = new Map<string, Resource[]>();
  readonly #documents = new Map<string, OpenApiDocument>();

  constructor(resources: readonly Resource[]) {
    for (const resource of resources) {
      const name = `${resource.group ? "apis" : "api"}/${apiVersionOf(resource)}`;
      this.#groups.set(name, [...(this.#groups.get(name) ?? []), resource]);
    }
  }

  /** `api/v1`, `apis/apps/v1` */
  get groupVersions(): Iterable<string> {
    return this.#groups.keys();
  }

  document(groupVersion: string): OpenApiDocument | undefined {
    const resources = this.#groups.get(groupVersion);
    if (resources === undefined) return undefined;
    let document = this.#documents.get(groupVersion);
    if (document === undefined) {
      const text = JSON.stringify(openApiV3(schema, resources[0]!, resources));
      document = { text, hash: createHash("sha256").update(text).digest("hex").toUpperCase() };
      this.#documents.set(groupVersion, document);
    }
    return document;
  }
}

/** The hash changes with the text: it is its ETag and part of its address. */
export interface OpenApiDocument {
  text: string;
  hash: string;
}
