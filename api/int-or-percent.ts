import { invalid, type Problems } from "../apimachinery/field-error.ts";

/** The rules of `maxUnavailable` and its like: a number, or a percentage as text. */
export function* intOrPercent(value: number | string | undefined, path: string): Problems {
  if (typeof value !== "string") return yield* notNegative(value, path);
  if (!/^\d+%$/.test(value)) yield invalid(path, value, percentText);
}

export function* atMost100Percent(value: number | string | undefined, path: string): Problems {
  const percent = /^(\d+)%$/.exec(String(value))?.[1];
  if (percent !== undefined && Number(percent) > 100) yield invalid(path, value, "must not be greater than 100%");
}

/** Of 10 and "10%" alike: 10. */
export const amountOf = (value: number | string | undefined): number => Number.parseInt(String(value ?? 0), 10);

export function* notNegative(value: number | undefined, path: string): Problems {
  if ((value ?? 0) < 0) yield invalid(path, value, "must be greater than or equal to 0");
}

const percentText =
  "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
