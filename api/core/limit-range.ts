import { each, forbidden, invalid, type Problems, required, shaped } from "../../apimachinery/field-error.ts";
import { qualifiedName } from "../../apimachinery/names.ts";
import { compareQuantities, parseQuantity } from "../../apimachinery/quantity.ts";
import type { LimitRange, LimitRangeItem } from "../generated/core-v1.ts";
import { LimitRanges } from "../generated/resources.ts";
import { createdColumn, defineResource, nameColumn, namespaced, rules } from "../kind.ts";
import { isOvercommitAllowed, validateContainerResource, validateResourceName } from "./resource-names.ts";

export const limitRanges = defineResource(LimitRanges, {
  shortNames: ["limits"],
  createOnUpdate: true,
  defaults({ spec }) {
    for (const item of spec.limits ?? []) {
      if (item.type !== "Container") continue;
      if (item.max) item.default = { ...item.max, ...item.default };
      if (item.min || item.default) item.defaultRequest = { ...item.min, ...item.default, ...item.defaultRequest };
    }
  },
  ...rules(namespaced, ({ spec }: LimitRange) =>
    each(spec.limits, "spec.limits", validateItem, { key: ({ type = "" }) => type, at: "type" }),
  ),
  columns: [nameColumn, createdColumn],
});

/** What must not exceed what: the field that is blamed, and the value that is shown. */
const order = [
  ["min", "max", "min value", "max value", "min", "min"],
  ["min", "defaultRequest", "min value", "default request value", "defaultRequest", "defaultRequest"],
  ["defaultRequest", "max", "default request value", "max value", "defaultRequest", "defaultRequest"],
  ["defaultRequest", "default", "default request value", "default limit value", "defaultRequest", "defaultRequest"],
  ["min", "default", "min value", "default value", "default", "min"],
  ["default", "max", "default value", "max value", "default", "max"],
] as const;
const types = ["Container", "Pod", "PersistentVolumeClaim"];

function* validateItem(item: LimitRangeItem, at: string): Problems {
  const { type = "", min = {}, max = {}, maxLimitRequestRatio: ratios = {} } = item;
  const problems = qualifiedName(type);
  if (problems.length === 0 && !type.includes("/") && !types.includes(type))
    problems.push("must be a standard limit type or fully qualified");
  yield* shaped(`${at}.type`, type, () => problems);
  const isPod = type === "Pod";
  const defaults = ["default", "defaultRequest"] as const;
  const parts = ["max", "min", ...(isPod ? [] : defaults), "maxLimitRequestRatio"] as const;
  for (const part of isPod ? defaults : [])
    if (Object.keys(item[part] ?? {}).length)
      yield forbidden(`${at}.${part}`, "may not be specified when `type` is 'Pod'");
  const validateName = isPod || type === "Container" ? validateContainerResource : validateResourceName;
  for (const part of parts)
    for (const name of Object.keys(item[part] ?? {})) yield* validateName(name, `${at}.${part}[${name}]`);
  if (type === "PersistentVolumeClaim" && !min["storage"] && !max["storage"])
    yield required(`${at}.limits`, "either minimum or maximum storage value is required, but neither was provided");
  for (const key of new Set(parts.flatMap((part) => Object.keys(item[part] ?? {})))) {
    for (const [low, high, lowName, highName, field, shown] of order) {
      const [a, b] = [item[low]?.[key], item[high]?.[key]];
      if (a !== undefined && b !== undefined && compareQuantities(a, b) > 0) {
        const text = `${lowName} ${a} is greater than ${highName} ${b}`;
        yield invalid(`${at}.${field}[${key}]`, item[shown]![key], text);
      }
    }
    const [ratio, amount, asked] = [ratios[key], item.default?.[key], item.defaultRequest?.[key]];
    const wrong = (text: string) => invalid(`${at}.maxLimitRequestRatio[${key}]`, ratio, `ratio ${ratio} is ${text}`);
    if (ratio !== undefined && compareQuantities(ratio, "1") < 0) yield wrong("less than 1");
    if (ratio !== undefined && min[key] !== undefined && max[key] !== undefined) {
      const limit = Number(parseQuantity(max[key]).nano) / Number(parseQuantity(min[key]).nano);
      if (Number(parseQuantity(ratio).nano) / 1e9 > limit) yield wrong(`greater than max/min = ${limit.toFixed(6)}`);
    }
    if (!isOvercommitAllowed(key) && amount !== undefined && asked !== undefined && compareQuantities(amount, asked)) {
      const text = `default value ${amount} must equal to defaultRequest value ${asked} in ${key}`;
      yield invalid(`${at}.defaultRequest[${key}]`, asked, text);
    }
  }
}
