import type { Field, Message, Scalar, Schema } from "./table.ts";
import { Mismatch, readForm, readScalar } from "./values.ts";

/**
 * Makes of parsed JSON what a Go server would have stored: unknown fields dropped (and told), nulls and zeros that mean
 * absence dropped, quantities and times in canonical form. Works in place. Throws an Error with Go's text when a value
 * has the wrong type.
 *
 * `unknown` receives the paths of what was dropped: `spec.containers[0].foo`.
 */
export function normalize(schema: Schema, message: Message, object: JsonObject, unknown: string[] = []): void {
  new Normalizer(schema, unknown).object(object, message);
}

export type JsonObject = Record<string, unknown>;

export const maxProblems = 100;

class Normalizer {
  readonly #schema: Schema;
  readonly #unknown: string[];
  /** Where we are; joined only when something is to be told. */
  readonly #at: (string | number)[] = [];

  constructor(schema: Schema, unknown: string[]) {
    this.#schema = schema;
    this.#unknown = unknown;
  }

  object(object: JsonObject, message: Message): void {
    for (const key of Object.keys(object)) {
      const value = object[key];
      const field = message.fields.get(key);
      this.#at.push(key);
      if (!field) this.#unknownKey(object, key, message);
      else if (value === null) delete object[key];
      else {
        const kept = this.#field(value, field, message);
        if (kept === undefined) delete object[key];
        else if (kept !== value) object[key] = kept;
      }
      this.#at.pop();
    }
  }

  #unknownKey(object: JsonObject, key: string, message: Message): void {
    if (message.isKind && (key === "apiVersion" || key === "kind")) {
      if (typeof object[key] !== "string") throw this.#mismatch(new Mismatch(object[key], "string"), "TypeMeta");
      return;
    }
    // Go tells a hundred at most, and so nobody makes us build millions of paths.
    if (this.#unknown.length < maxProblems) this.#unknown.push(this.#path());
    delete object[key];
  }

  /** The value to keep, or undefined when it means absence. */
  #field(value: unknown, field: Field, owner: Message): unknown {
    if (field.shape === "list") {
      if (!Array.isArray(value)) throw this.#mismatch(new Mismatch(value, typeText(field)), owner.name);
      if (value.length === 0 && !field.required) return undefined;
      for (let i = 0; i < value.length; i++) {
        this.#at.push(i);
        value[i] = this.#one(value[i], field, owner);
        this.#at.pop();
      }
      return value;
    }
    if (field.shape === "map") {
      if (!isObject(value)) throw this.#mismatch(new Mismatch(value, typeText(field)), owner.name);
      const keys = Object.keys(value);
      if (keys.length === 0 && !field.required) return undefined;
      for (const key of keys) {
        const kept = this.#mapValue(value[key], key, field, owner);
        if (kept !== value[key]) set(value, key, kept);
      }
      return value;
    }
    const kept = this.#one(value, field, owner);
    const zero = kept === "" || kept === 0 || kept === false;
    return zero && field.scalar && !field.required && !field.presence ? undefined : kept;
  }

  /** Go names the map, not the key, where a plain value is wrong. */
  #mapValue(value: unknown, key: string, field: Field, owner: Message): unknown {
    if (field.scalar) return this.#one(value, field, owner);
    this.#at.push(key);
    const kept = this.#one(value, field, owner);
    this.#at.pop();
    return kept;
  }

  #one(value: unknown, field: Field, owner: Message): unknown {
    if (field.scalar) return this.#checked(readScalar(value ?? zeroOf(field.scalar), field.scalar), owner);
    const message = this.#schema.message(field.messageId!);
    if (message.jsonForm) {
      const union = message.jsonForm === "any" && isObject(value) ? message.fields.get("schema") : undefined;
      if (union) this.object(value as JsonObject, this.#schema.message(union.messageId!)); // JSONSchemaPropsOrBool ...
      if (value === null) return message.jsonForm === "quantity" ? "0" : null;
      return this.#checked(readForm(value, message.jsonForm), owner);
    }
    if (value === null) return {};
    if (!isObject(value)) throw this.#mismatch(new Mismatch(value, goType(field.messageId!)), owner.name);
    this.object(value, message);
    return value;
  }

  #checked(read: unknown, owner: Message): unknown {
    if (read instanceof Mismatch) throw this.#mismatch(read, owner.name);
    return read;
  }

  #path(): string {
    return this.#at.map((part, i) => (typeof part === "number" ? `[${part}]` : i === 0 ? part : `.${part}`)).join("");
  }

  /** Go leaves list indexes out of the path and names the struct that holds the field. */
  #mismatch({ value, type }: Mismatch, struct: string): Error {
    const path = this.#at.filter((part) => typeof part === "string").join(".");
    return new Error(`json: cannot unmarshal ${value} into Go struct field ${struct}.${path} of type ${type}`);
  }
}

const zeroOf = (scalar: Scalar): unknown =>
  scalar === "string" || scalar === "bytes" ? "" : scalar === "bool" ? false : 0;

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Assigns also where the key is `__proto__`. */
export function set(object: JsonObject, key: string, value: unknown): void {
  if (key === "__proto__")
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  else object[key] = value;
}

const goType = (messageId: string): string => {
  const [groupVersion = "", name = ""] = messageId.split(".");
  return `${groupVersion.split("/")[1] ?? groupVersion}.${name}`;
};

const typeText = (field: Field): string => {
  const inner = field.scalar === "bytes" ? "[]uint8" : field.scalar === "double" ? "float64" : field.scalar;
  const text = inner ?? goType(field.messageId!);
  return field.shape === "map" ? `map[string]${text}` : `[]${text}`;
};
