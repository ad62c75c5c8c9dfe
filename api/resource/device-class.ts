import { type Problems, required, tooMany } from "../../apimachinery/field-error.ts";
import { ageColumn, nameColumn } from "../columns.ts";
import type { DeviceClass, DeviceConfiguration, DeviceSelector } from "../generated/resource-v1.ts";
import { DeviceClasses } from "../generated/resources.ts";
import { clusterWide, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { generationOnly } from "../strategy.ts";

export const deviceClasses: Resource<DeviceClass> = defineResource(DeviceClasses, {
  unconditionalUpdate: true,
  ...generationOnly,
  ...rules(clusterWide, ({ spec }: DeviceClass) => [
    ...validateSelectors(spec.selectors, "spec.selectors"),
    ...validateConfigs(spec.config, "spec.config"),
  ]),
  columns: [nameColumn, ageColumn],
});

const maxItems = 32;

/** Expressions are not compiled when they are written. */
export function* validateSelectors(selectors: DeviceSelector[] = [], at: string): Problems {
  if (selectors.length > maxItems) yield tooMany(at, selectors.length, maxItems);
  yield* selectors.flatMap(({ cel }, i) => {
    if (cel === undefined) return [required(`${at}[${i}].cel`)];
    return cel.expression ? [] : [required(`${at}[${i}].cel.expression`)];
  });
}

export function* validateConfigs(configs: DeviceConfiguration[] = [], at: string): Problems {
  if (configs.length > maxItems) yield tooMany(at, configs.length, maxItems);
  yield* configs.flatMap(({ opaque }, i) => {
    if (opaque === undefined) return [required(`${at}[${i}].opaque`)];
    return [
      ...(opaque.driver ? [] : [required(`${at}[${i}].opaque.driver`)]),
      ...(opaque.parameters ? [] : [required(`${at}[${i}].opaque.parameters`)]),
    ];
  });
}
