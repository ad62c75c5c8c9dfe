/**
 * What is wrong with one field, in upstream's words. Validation returns all of them; `invalid()` of status.ts makes the
 * 422 of it. Paths are strings: `spec.containers[0].name`, `metadata.labels[a/b]`.
 */
export interface FieldError {
  type: FieldErrorType;
  field: string;
  badValue?: unknown;
  detail: string;
}

/**
 * What validators are: generators that yield each problem they find, and all of another validator's with `yield*`.
 *
 *     function* validateName(name: string | undefined, at: string): Problems {
 *       if (!name) return yield required(at);
 *       for (const p of dns1123Label(name)) yield invalid(at, name, p);
 *     }
 */
export type Problems = Generator<FieldError, void, undefined>;

const types = {
  FieldValueNotFound: "Not found",
  FieldValueRequired: "Required value",
  FieldValueDuplicate: "Duplicate value",
  FieldValueInvalid: "Invalid value",
  FieldValueNotSupported: "Unsupported value",
  FieldValueForbidden: "Forbidden",
  FieldValueTooLong: "Too long",
  FieldValueTooMany: "Too many",
  FieldValueTypeInvalid: "Invalid value",
  InternalError: "Internal error",
} as const;

export type FieldErrorType = keyof typeof types;

const withoutValue = /^(FieldValueRequired|FieldValueForbidden|FieldValueTooLong|InternalError)$/;

/** Each: (the field, its bad value where it is told, what is wrong with it). */
export const required = (field: string, detail = ""): FieldError => ({ type: "FieldValueRequired", field, detail });
export const forbidden = (field: string, detail: string): FieldError => {
  return { type: "FieldValueForbidden", field, detail };
};
const withValue =
  (type: FieldErrorType) =>
  (field: string, badValue: unknown, detail = ""): FieldError => ({ type, field, badValue, detail });
export const invalid: (field: string, badValue: unknown, detail: string) => FieldError = withValue("FieldValueInvalid");
export const duplicate = withValue("FieldValueDuplicate");
export const notFound = withValue("FieldValueNotFound");

export function notSupported(field: string, badValue: unknown, values: readonly string[]): FieldError {
  const detail = values.length ? `supported values: ${values.map((v) => JSON.stringify(v)).join(", ")}` : "";
  return { type: "FieldValueNotSupported", field, badValue, detail };
}

export const tooLong = (field: string, max: number): FieldError => {
  return { type: "FieldValueTooLong", field, detail: `may not be more than ${max} bytes` };
};

export function tooMany(field: string, actual: number, max: number): FieldError {
  const detail = `must have at most ${max} ${max === 1 ? "item" : "items"}`;
  return { type: "FieldValueTooMany", field, badValue: actual, detail };
}

/** What is wrong with a value, in words: those of names.ts. */
type Shape<T> = (value: T) => readonly string[];

export function* shaped<T>(field: string, value: T, shape: Shape<T>): Problems {
  for (const problem of shape(value)) yield invalid(field, value, problem);
}

/** A name that must be there, of a shape. */
export function* requiredName<T>(field: string, value: T | undefined, shape: Shape<T>): Problems {
  if (value) yield* shaped(field, value, shape);
  else yield required(field);
}

/** The same, in a list where each has its own name; `names` are those before it. */
export function* uniqueName(field: string, value = "", shape: Shape<string>, names: Set<string>): Problems {
  yield* requiredName(field, value, shape);
  if (value && names.size === names.add(value).size) yield duplicate(field, value);
}

/** Required unless empty is allowed, and one of the values. */
export function* oneOf(field: string, value = "", values: readonly string[], must: boolean): Problems {
  if (!value && must) yield required(field);
  else if (!values.includes(value)) yield notSupported(field, value, values);
}

interface Each<T> {
  max?: number;
  /** What no two may share; a second one is told at its field `at`, or at the whole. */
  key?: (item: T) => string | undefined;
  at?: string;
}

/** A list of things, each checked at its own path (upstream: validateSlice, validateSet). */
export function* each<T>(
  list: readonly T[] = [],
  field: string,
  check: (item: T, field: string) => Iterable<FieldError>,
  { max = Number.POSITIVE_INFINITY, key, at = "" }: Each<T> = {},
): Problems {
  if (list.length > max) yield tooMany(field, list.length, max);
  const keys = new Set<string>();
  for (const [i, item] of list.entries()) {
    yield* check(item, `${field}[${i}]`);
    const own = key?.(item);
    if (own !== undefined && keys.size === keys.add(own).size) yield duplicate(child(`${field}[${i}]`, at), own);
  }
}

/** Instead of a bad value that is not told (upstream: field.OmitValueType). */
export const omitted = Symbol("omitted");

/** An absent map or list: Go prints it as a bare null. */
export const nil = { toJSON: () => null };
/** A map as Go prints it: sorted, if it is there. */
export const inOrder = (map: Record<string, unknown> | undefined): object =>
  map ? Object.fromEntries(Object.entries(map).sort()) : nil;

/** The message without the field: `Invalid value: "x": must be ...`. Composite values are printed as JSON. */
export function errorBody(error: FieldError): string {
  const value =
    withoutValue.test(error.type) || error.badValue === omitted ? "" : `: ${JSON.stringify(error.badValue ?? "null")}`;
  return `${types[error.type]}${value}${error.detail ? `: ${error.detail}` : ""}`;
}

export const errorText = (error: FieldError): string => `${error.field}: ${errorBody(error)}`;

/** `[a, b]` when there are several different ones, as Go's aggregates print. */
export function aggregate(texts: readonly string[]): string {
  const distinct = [...new Set(texts)];
  return distinct.length === 1 ? distinct[0]! : `[${distinct.join(", ")}]`;
}

/** The path of a field below `path`; the root is "". */
export const child = (path: string, name: string): string => (path && name ? `${path}.${name}` : path || name);
