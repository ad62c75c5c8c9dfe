import { memo } from "../../base/memo.ts";

/**
 * The schema of every kind, as `npm run generate` writes it: per message one line of
 * `["<flags>", "<json name> <number> <type> <flags>", ...]`. A type is a scalar, a message id (`core/v1.PodSpec`),
 * `[type]` for a list or `{type}` for a map with string keys. Lines are read when first asked for.
 */
export interface Message {
  id: string;
  /** `PodSpec` */
  name: string;
  /** Its JSON has apiVersion and kind. */
  isKind: boolean;
  scope: "Namespaced" | "Cluster" | undefined;
  atomic: boolean;
  jsonForm: JsonForm | undefined;
  /** By JSON name, with those of inlined messages; in the order of the .proto file. */
  fields: ReadonlyMap<string, Field>;
  /** As on the wire: inlined messages are fields here. */
  numbers: ReadonlyMap<number, Field>;
}

export type JsonForm = "quantity" | "int-or-string" | "time" | "micro-time" | "duration" | "object" | "any" | "list";
export type Scalar = "string" | "bool" | "int32" | "int64" | "double" | "bytes";

export interface Field {
  name: string;
  number: number;
  shape: "single" | "list" | "map";
  /** Of the value, or of each in a list or map. */
  scalar: Scalar | undefined;
  messageId: string | undefined;
  required: boolean;
  /** Zero is not absence. */
  presence: boolean;
  inline: boolean;
  /** merge, replace, retainKeys */
  patchStrategy: readonly string[];
  patchMergeKey: string | undefined;
  listType: "atomic" | "set" | "map" | undefined;
  listMapKeys: readonly string[];
  mapType: "atomic" | "granular" | undefined;
  default: string | undefined;
  values: readonly string[] | undefined;
}

const scalars = new Set(["string", "bool", "int32", "int64", "double", "bytes"]);

export class Schema {
  readonly #rows: Record<string, string[]>;
  readonly #groupVersions: Record<string, string>;
  readonly #messages = new Map<string, Message>();
  readonly #kinds = new Map<string, Message>();

  /** `groupVersions`: `{ "core/v1": "/v1", "apps/v1": "apps/v1" }`. */
  constructor(table: string, groupVersions: Record<string, string>) {
    this.#rows = JSON.parse(table) as Record<string, string[]>;
    this.#groupVersions = groupVersions;
  }

  message(id: string): Message {
    return memo(this.#messages, id, () => {
      const row = this.#rows[id];
      if (!row) throw new Error(`no message ${id} in the schema`);
      return this.#read(id, row);
    });
  }

  has(id: string): boolean {
    return Object.hasOwn(this.#rows, id);
  }

  /** The message of `apps/v1`, `Deployment`; kinds of meta/v1 (DeleteOptions, Status) are known in every group-version. */
  kind(apiVersion: string, kind: string): Message | undefined {
    const key = `${apiVersion} ${kind}`;
    const known = this.#kinds.get(key);
    if (known) return known;
    const found = this.#findKind(apiVersion, kind);
    if (found) this.#kinds.set(key, found);
    return found;
  }

  #findKind(apiVersion: string, kind: string): Message | undefined {
    const wanted = apiVersion.includes("/") ? apiVersion : `/${apiVersion}`;
    for (const [short, full] of Object.entries(this.#groupVersions)) {
      if (full !== wanted || !this.has(`${short}.${kind}`)) continue;
      const message = this.message(`${short}.${kind}`);
      if (message.isKind) return message;
    }
    return this.has(`meta/v1.${kind}`) && this.message(`meta/v1.${kind}`).isKind
      ? this.message(`meta/v1.${kind}`)
      : undefined;
  }

  /** `core/v1.Pod` -> group "" and version "v1". */
  groupVersion(id: string): { group: string; version: string } {
    const [group = "", version = ""] = (this.#groupVersions[id.slice(0, id.indexOf("."))] ?? "/").split("/");
    return { group, version };
  }

  #read(id: string, [head = "", ...rows]: string[]): Message {
    const flags = parseFlags(head.split(" "));
    const fields = new Map<string, Field>();
    const numbers = new Map<number, Field>();
    for (const row of rows) {
      const field = parseField(row);
      numbers.set(field.number, field);
      if (field.inline)
        for (const inner of this.message(field.messageId!).fields.values()) fields.set(inner.name, inner);
      else fields.set(field.name, field);
    }
    return {
      id,
      name: id.slice(id.indexOf(".") + 1),
      isKind: flags.has("kind"),
      scope: flags.has("Namespaced") ? "Namespaced" : flags.has("Cluster") ? "Cluster" : undefined,
      atomic: flags.get("struct") === "atomic",
      jsonForm: flags.get("json") as JsonForm | undefined,
      fields,
      numbers,
    };
  }
}

function parseField(row: string): Field {
  const [name = "", number = "", type = "", ...rest] = row.split(" ");
  const shape = type.startsWith("[") ? "list" : type.startsWith("{") ? "map" : "single";
  const inner = shape === "single" ? type : type.slice(1, -1);
  const flags = parseFlags(rest);
  return {
    name,
    number: Number(number),
    shape,
    scalar: scalars.has(inner) ? (inner as Scalar) : undefined,
    messageId: scalars.has(inner) ? undefined : inner,
    required: flags.has("required"),
    presence: flags.has("presence"),
    inline: flags.has("inline"),
    patchStrategy: flags.get("patch")?.split(",") ?? [],
    patchMergeKey: flags.get("key"),
    listType: flags.get("list") as Field["listType"],
    listMapKeys: flags.get("keys")?.split(",") ?? [],
    mapType: flags.get("map") as Field["mapType"],
    default: flags.get("default"),
    values: flags.get("values")?.split(","),
  };
}

/** The default as it stands in JSON. */
export function defaultOf({ scalar, default: text }: Field): unknown {
  if (text === undefined || scalar === "string") return text;
  return scalar === "bool" ? text === "true" : Number(text);
}

function parseFlags(words: string[]): Map<string, string> {
  const flags = new Map<string, string>();
  for (const word of words) {
    const at = word.indexOf("=");
    if (at < 0) flags.set(word, "");
    else flags.set(word.slice(0, at), word.slice(at + 1));
  }
  return flags;
}
