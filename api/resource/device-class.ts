import { Environment } from "../../apimachinery/cel/environment.ts";
import * as field from "../../apimachinery/field-error.ts";
import { dns1123Subdomain } from "../../apimachinery/names.ts";
import type { DeviceClass, DeviceConfiguration, DeviceSelector } from "../generated/resource-v1.ts";
import { DeviceClasses } from "../generated/resources.ts";
import { clusterWide, defineResource, generationOnly, rules, shown, without } from "../kind.ts";
import { validateDriverName } from "../storage/csi.ts";

export const deviceClasses = defineResource(DeviceClasses, {
  ...without(["spec.extendedResourceName"], generationOnly),
  ...rules(clusterWide, function* ({ spec }: DeviceClass) {
    yield* validateSelectors(spec.selectors, "spec.selectors");
    yield* field.each(spec.config, "spec.config", validateConfig, { max: maxItems });
  }),
  columns: shown(),
});

/** Of selectors, of configurations, and of most lists of this group. */
export const maxItems = 32;
const maxParameters = 10 * 1024;
const maxPoolName = 253;

const environment = new Environment(["device"]);

export const validateSelectors = (selectors: DeviceSelector[] | undefined, at: string): field.Problems =>
  field.each(selectors, at, validateSelector, { max: maxItems });

function* validateSelector({ cel }: DeviceSelector, at: string): field.Problems {
  if (cel === undefined) return yield field.required(`${at}.cel`);
  const { expression = "" } = cel;
  const path = `${at}.cel.expression`;
  if (expression.length > maxParameters) return yield field.tooLong(path, maxParameters);
  try {
    const { type } = environment.compile(expression);
    if (type !== "dyn" && type !== "bool")
      yield field.invalid(path, expression, `must evaluate to bool or the unknown type, not ${type}`);
  } catch (error) {
    yield field.invalid(path, expression, `compilation failed: ${(error as Error).message}`);
  }
}

export function* validateConfig({ opaque }: DeviceConfiguration, at: string): field.Problems {
  if (opaque === undefined) return yield field.required(`${at}.opaque`);
  yield* validateDriverName(opaque.driver, `${at}.opaque.driver`);
  yield* validateParameters(opaque.parameters, `${at}.opaque.parameters`);
}

export function* validateParameters(value: unknown, at: string): field.Problems {
  if (value === undefined || value === null) yield field.required(at);
  else if (JSON.stringify(value).length > maxParameters) yield field.tooLong(at, maxParameters);
  else if (typeof value !== "object" || Array.isArray(value))
    yield field.invalid(at, "<value omitted>", "must be a valid JSON object");
}

export function* validatePoolName(name: string | undefined, at: string): field.Problems {
  if (!name) return yield field.required(at);
  if (name.length > maxPoolName) yield field.tooLong(at, maxPoolName);
  for (const part of name.split("/")) yield* field.shaped(at, part, dns1123Subdomain);
}
