import { canonicalQuantity } from "../quantity.ts";
import { canonicalTime } from "../time.ts";
import type { JsonForm, Scalar } from "./table.ts";

/**
 * One JSON value as Go would read and write it again. `undefined` means absent. A value of the wrong type is a
 * `Mismatch`, from which the caller, who knows the place, makes Go's text; unreadable strings are an Error with the text.
 */
export class Mismatch {
  readonly value: string;
  readonly type: string;

  constructor(value: unknown, type: string) {
    this.value = describe(value);
    this.type = type;
  }
}

/** What encoding/json calls a value: a number that does not fit is printed. */
export function describe(value: unknown, withNumber = false): string {
  if (Array.isArray(value)) return "array";
  if (typeof value === "object") return "object";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "number") return withNumber ? `number ${value}` : "number";
  return typeof value;
}

export function readScalar(value: unknown, scalar: Scalar): unknown {
  switch (scalar) {
    case "string":
      return typeof value === "string" ? value : new Mismatch(value, "string");
    case "bool":
      return typeof value === "boolean" ? value : new Mismatch(value, "bool");
    case "double":
      return typeof value === "number" ? value : new Mismatch(value, "float64");
    case "bytes":
      if (typeof value !== "string") return new Mismatch(value, "[]uint8");
      return canonicalBase64(value);
    default: {
      if (typeof value !== "number") return new Mismatch(value, scalar);
      const fits = scalar === "int32" ? value === (value | 0) : Number.isInteger(value) && Math.abs(value) < 2 ** 63;
      return fits ? value : Object.assign(new Mismatch(value, scalar), { value: describe(value, true) });
    }
  }
}

export function readForm(value: unknown, form: JsonForm): unknown {
  switch (form) {
    case "quantity":
      if (typeof value === "string" || typeof value === "number") return canonicalQuantity(value);
      throw new Error(canonicalError(value));
    case "int-or-string":
      if (typeof value === "string") return value;
      return readScalar(value, "int32");
    case "time":
    case "micro-time":
      if (typeof value !== "string") return new Mismatch(value, "string");
      return canonicalTime(value, form === "micro-time");
    case "duration":
      return typeof value === "string" ? value : new Mismatch(value, "string");
    case "object":
      return typeof value === "object" && !Array.isArray(value)
        ? value
        : new Mismatch(value, "map[string]interface {}");
    case "list": {
      if (!Array.isArray(value)) return new Mismatch(value, "[]string");
      const wrong = value.find((item) => typeof item !== "string");
      return wrong === undefined ? value : new Mismatch(wrong, "string");
    }
    case "any":
      return value;
  }
}

function canonicalError(value: unknown): string {
  try {
    return canonicalQuantity(JSON.stringify(value));
  } catch (error) {
    return (error as Error).message;
  }
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function canonicalBase64(text: string): string {
  if (base64.test(text)) return text;
  const bare = text.replace(/[\r\n]/g, "");
  if (base64.test(bare)) return bare;
  const bad = bare.search(/[^A-Za-z0-9+/]/);
  const at = bad >= 0 && !/^={1,2}$/.test(bare.slice(bad)) ? bad : bare.length - (bare.length % 4);
  throw new Error(`illegal base64 data at input byte ${Math.max(0, at)}`);
}
