/**
 * What is wrong with one field, in upstream's words. Validation returns all of them; `invalid()` in status.ts makes the
 * 422 of it. Paths are strings: `spec.containers[0].name`, `metadata.labels[a/b]`.
 */
export interface FieldError {
  type: FieldErrorType;
  field: string;
  badValue?: unknown;
  detail: string;
}

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

const withoutValue = new Set<FieldErrorType>([
  "FieldValueRequired",
  "FieldValueForbidden",
  "FieldValueTooLong",
  "InternalError",
]);

export const required = (field: string, detail = ""): FieldError => ({ type: "FieldValueRequired", field, detail });

export const forbiddenField = (field: string, detail: string): FieldError => ({
  type: "FieldValueForbidden",
  field,
  detail,
});

export const invalidValue = (field: string, badValue: unknown, detail: string): FieldError => ({
  type: "FieldValueInvalid",
  field,
  badValue,
  detail,
});

export const duplicate = (field: string, badValue: unknown): FieldError => ({
  type: "FieldValueDuplicate",
  field,
  badValue,
  detail: "",
});

export const notFoundValue = (field: string, badValue: unknown): FieldError => ({
  type: "FieldValueNotFound",
  field,
  badValue,
  detail: "",
});

export const notSupported = (field: string, badValue: unknown, values: readonly string[]): FieldError => ({
  type: "FieldValueNotSupported",
  field,
  badValue,
  detail: values.length ? `supported values: ${values.map((v) => JSON.stringify(v)).join(", ")}` : "",
});

export const tooLong = (field: string, max: number): FieldError => ({
  type: "FieldValueTooLong",
  field,
  detail: `may not be more than ${max} bytes`,
});

export const tooMany = (field: string, actual: number, max: number): FieldError => ({
  type: "FieldValueTooMany",
  field,
  badValue: actual,
  detail: `must have at most ${max} ${max === 1 ? "item" : "items"}`,
});

/** The message without the field: `Invalid value: "x": must be ...`. Composite values are printed as JSON. */
export function errorBody(error: FieldError): string {
  const value = withoutValue.has(error.type)
    ? ""
    : `: ${JSON.stringify(error.badValue ?? null).replace(/^null$/, '"null"')}`;
  return `${types[error.type]}${value}${error.detail ? `: ${error.detail}` : ""}`;
}

export const errorText = (error: FieldError): string => `${error.field}: ${errorBody(error)}`;

/** `[a, b]` when there are several different ones, as Go's aggregates print. */
export function aggregate(texts: readonly string[]): string {
  const distinct = [...new Set(texts)];
  return distinct.length === 1 ? distinct[0]! : `[${distinct.join(", ")}]`;
}

/** The path of a field below `path`; the root is "". */
export const child = (path: string, name: string): string => (path ? `${path}.${name}` : name);
