import {
  duplicate,
  forbiddenField,
  invalidValue,
  type Problems,
  required,
  shaped,
} from "../../apimachinery/field-error.ts";
import { qualifiedName } from "../../apimachinery/names.ts";
import { compareQuantities } from "../../apimachinery/quantity.ts";
import { createdColumn, nameColumn } from "../columns.ts";
import type { LimitRange, LimitRangeItem } from "../generated/core-v1.ts";
import { LimitRanges } from "../generated/resources.ts";
import { namespaced, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";

export const limitRanges: Resource<LimitRange> = defineResource(LimitRanges, {
  shortNames: ["limits"],
  createOnUpdate: true,
  defaults({ spec }) {
    for (const item of spec.limits ?? []) {
      if (item.type !== "Container") continue;
      item.default = { ...item.max, ...item.default };
      item.defaultRequest = { ...item.min, ...item.default, ...item.defaultRequest };
    }
  },
  ...rules(namespaced, function* ({ spec }: LimitRange) {
    const types = new Set<string>();
    for (const [i, item] of (spec.limits ?? []).entries()) {
      const at = `spec.limits[${i}]`;
      yield* shaped(`${at}.type`, item.type ?? "", qualifiedName);
      if (types.has(item.type)) yield duplicate(`${at}.type`, item.type);
      types.add(item.type);
      yield* validateItem(item, at);
    }
  }),
  columns: [nameColumn, createdColumn],
});

/** What must not exceed what; the first names the field. */
const order = [
  ["min", "max", "min value", "max value", "min"],
  ["min", "defaultRequest", "min value", "default request value", "defaultRequest"],
  ["min", "default", "min value", "default value", "default"],
  ["defaultRequest", "max", "default request value", "max value", "defaultRequest"],
  ["defaultRequest", "default", "default request value", "default limit value", "defaultRequest"],
  ["default", "max", "default value", "max value", "default"],
] as const;

function* validateItem(item: LimitRangeItem, at: string): Problems {
  const keys = new Set(
    (["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] as const).flatMap((part) =>
      Object.keys(item[part] ?? {}),
    ),
  );
  if (item.type === "Pod") {
    for (const part of ["default", "defaultRequest"] as const)
      if (Object.keys(item[part] ?? {}).length)
        yield forbiddenField(`${at}.${part}`, "may not be specified when `type` is 'Pod'");
  } else if (item.type === "PersistentVolumeClaim" && !item.min?.["storage"] && !item.max?.["storage"])
    yield required(`${at}.limits`, "either minimum or maximum storage value is required, but neither was provided");
  for (const key of keys) {
    for (const [low, high, lowName, highName, field] of order) {
      const [a, b] = [item[low]?.[key], item[high]?.[key]];
      if (a !== undefined && b !== undefined && compareQuantities(a, b) > 0)
        yield invalidValue(
          `${at}.${field}[${key}]`,
          item[field]![key],
          `${lowName} ${a} is greater than ${highName} ${b}`,
        );
    }
    const ratio = item.maxLimitRequestRatio?.[key];
    if (ratio !== undefined && compareQuantities(ratio, "1") < 0)
      yield invalidValue(`${at}.maxLimitRequestRatio[${key}]`, ratio, `ratio ${ratio} is less than 1`);
  }
}
