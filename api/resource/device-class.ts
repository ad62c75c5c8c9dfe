import { type FieldError, required, tooMany } from "../../apimachinery/field-error.ts";
import { ageColumn, nameColumn } from "../columns.ts";
import type { DeviceClass, DeviceConfiguration, DeviceSelector } from "../generated/resource-v1.ts";
import { DeviceClasses } from "../generated/resources.ts";
import { clusterWide, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { generationOnly } from "../strategy.ts";

export const deviceClasses: Resource<DeviceClass> = defineResource(DeviceClasses, {
  unconditionalUpdate: true,
  defaults: () => {},
  ...generationOnly,
  ...rules(clusterWide, ({ spec }: DeviceClass) => [
    ...validateSelectors(spec.selectors, "spec.selectors"),
    ...validateConfigs(spec.config, "spec.config"),
  ]),
  columns: [nameColumn, ageColumn],
});

const maxItems = 32;

/** Expressions are not compiled when they are written. */
export function validateSelectors(selectors: DeviceSelector[] = [], at: string): FieldError[] {
  return [
    ...(selectors.length > maxItems ? [tooMany(at, selectors.length, maxItems)] : []),
    ...selectors.flatMap(({ cel }, i) => {
      if (cel === undefined) return [required(`${at}[${i}].cel`)];
      return cel.expression ? [] : [required(`${at}[${i}].cel.expression`)];
    }),
  ];
}

export function validateConfigs(configs: DeviceConfiguration[] = [], at: string): FieldError[] {
  return [
    ...(configs.length > maxItems ? [tooMany(at, configs.length, maxItems)] : []),
    ...configs.flatMap(({ opaque }, i) => {
      if (opaque === undefined) return [required(`${at}[${i}].opaque`)];
      return [
        ...(opaque.driver ? [] : [required(`${at}[${i}].opaque.driver`)]),
        ...(opaque.parameters ? [] : [required(`${at}[${i}].opaque.parameters`)]),
      ];
    }),
  ];
}
