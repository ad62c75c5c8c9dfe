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

/** Of 10 and "10%" alike: 10; of what is neither: 0. */
export const amountOf = (value: number | string | undefined): number =>
  Number(/^(-?\d+)%?$/.exec(String(value ?? 0))?.[1] ?? 0);

/** A strategy as upstream prints it: its inner types have Go's names in JSON, and leave out none that is `zero`. */
export const asInGo = ({ type, rollingUpdate }: { type?: string; rollingUpdate?: object }, zero: object) => ({
  Type: type ?? "",
  RollingUpdate: rollingUpdate ? capitalized({ ...zero, ...rollingUpdate }) : null,
});

/** Go's inner types have no names in JSON but their fields' own. */
export const capitalized = (object: object): object =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key[0]!.toUpperCase() + key.slice(1), value]));

export function* notNegative(value: number | undefined, path: string): Problems {
  if ((value ?? 0) < 0) yield invalid(path, value, "must be greater than or equal to 0");
}

const percentText =
  "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
