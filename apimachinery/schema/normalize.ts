import type { Field, Message, Schema } from "./table.ts";
import { Mismatch, readForm, readScalar } from "./values.ts";

/**
 * Makes of parsed JSON what a Go server would have stored: unknown fields dropped (and told), nulls and zeros that mean
 * absence dropped, quantities and times in canonical form. Works in place. Throws an Error with Go's text when a value
 * has the wrong type.
 *
 * `unknown` receives the paths of what was dropped: `spec.containers[0].foo`.
 */
export function normalize(schema: Schema, message: Message, object: JsonObject, unknown: string[] = []): void {
  new Normalizer(schema, unknown).object(object, message, "", message.isKind);
}

export type JsonObject = Record<string, unknown>;

class Normalizer {
  readonly #schema: Schema;
  readonly #unknown: string[];

  constructor(schema: Schema, unknown: string[]) {
    this.#schema = schema;
    this.#unknown = unknown;
  }

  object(object: JsonObject, message: Message, path: string, isKind: boolean): void {
    for (const key of Object.keys(object)) {
      const value = object[key];
      const field = message.fields.get(key);
      if (!field) {
        if (isKind && (key === "apiVersion" || key === "kind")) {
          if (typeof value !== "string") throw mismatch(new Mismatch(value, "string"), "TypeMeta", key);
        } else {
          this.#unknown.push(path ? `${path}.${key}` : key);
          delete object[key];
        }
        continue;
      }
      if (value === null) {
        delete object[key];
        continue;
      }
      const at = path ? `${path}.${key}` : key;
      const kept = this.#field(value, field, message, at);
      if (kept === undefined) delete object[key];
      else if (kept !== value) object[key] = kept;
    }
  }

  /** The value to keep, or undefined when it means absence. */
  #field(value: unknown, field: Field, owner: Message, path: string): unknown {
    if (field.shape === "list") {
      if (!Array.isArray(value)) throw mismatch(new Mismatch(value, typeText(field)), owner.name, path);
      if (value.length === 0 && !field.required) return undefined;
      for (let i = 0; i < value.length; i++) value[i] = this.#one(value[i], field, owner, `${path}[${i}]`);
      return value;
    }
    if (field.shape === "map") {
      if (!isObject(value)) throw mismatch(new Mismatch(value, typeText(field)), owner.name, path);
      const keys = Object.keys(value);
      if (keys.length === 0 && !field.required) return undefined;
      for (const key of keys) {
        const kept = this.#one(value[key], field, owner, `${path}.${key}`, path);
        if (kept !== value[key]) set(value, key, kept);
      }
      return value;
    }
    const kept = this.#one(value, field, owner, path);
    const zero = kept === "" || kept === 0 || kept === false;
    return zero && field.scalar && !field.required && !field.presence ? undefined : kept;
  }

  #one(value: unknown, field: Field, owner: Message, path: string, told = path): unknown {
    if (field.scalar) {
      if (value === null)
        return field.scalar === "string" || field.scalar === "bytes" ? "" : field.scalar === "bool" ? false : 0;
      return this.#checked(readScalar(value, field.scalar), owner, told);
    }
    const message = this.#schema.message(field.messageId!);
    if (message.jsonForm) {
      if (value === null) return message.jsonForm === "quantity" ? "0" : null;
      return this.#checked(readForm(value, message.jsonForm), owner, told);
    }
    if (value === null) return {};
    if (!isObject(value)) throw mismatch(new Mismatch(value, goType(field.messageId!)), owner.name, told);
    this.object(value, message, path, message.isKind);
    return value;
  }

  #checked(read: unknown, owner: Message, path: string): unknown {
    if (read instanceof Mismatch) throw mismatch(read, owner.name, path);
    return read;
  }
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Assigns also where the key is `__proto__`. */
export function set(object: JsonObject, key: string, value: unknown): void {
  if (key === "__proto__")
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  else object[key] = value;
}

/** Go leaves list indexes out of the path and names the struct that holds the field. */
const mismatch = ({ value, type }: Mismatch, struct: string, path: string): Error =>
  new Error(
    `json: cannot unmarshal ${value} into Go struct field ${struct}.${path.replace(/\[\d+\]/g, "")} of type ${type}`,
  );

const goType = (messageId: string): string => {
  const [groupVersion = "", name = ""] = messageId.split(".");
  return `${groupVersion.split("/")[1] ?? groupVersion}.${name}`;
};

const typeText = (field: Field): string => {
  const inner = field.scalar === "bytes" ? "[]uint8" : field.scalar === "double" ? "float64" : field.scalar;
  const text = inner ?? goType(field.messageId!);
  return field.shape === "map" ? `map[string]${text}` : `[]${text}`;
};
