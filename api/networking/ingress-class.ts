import { type FieldError, forbiddenField, invalidValue, required, tooLong } from "../../apimachinery/field-error.ts";
import { dns1123Label, dns1123Subdomain, pathSegmentName } from "../../apimachinery/names.ts";
import { ageColumn, column, nameColumn } from "../columns.ts";
import { oneOf } from "../core/container-validation.ts";
import type { IngressClass, IngressClassParametersReference } from "../generated/networking-v1.ts";
import { IngressClasses } from "../generated/resources.ts";
import { clusterWide, immutableField, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { generationOnly } from "../strategy.ts";

const maxController = 250;

export const ingressClasses: Resource<IngressClass> = defineResource(IngressClasses, {
  defaults({ spec }) {
    if (spec.parameters) spec.parameters.scope ??= "Cluster";
  },
  ...generationOnly,
  ...rules(
    clusterWide,
    ({ spec }) => [
      ...validateController(spec.controller),
      ...(spec.parameters ? validateParameters(spec.parameters, "spec.parameters") : []),
    ],
    ({ spec }, old) => immutableField("spec.controller", spec.controller, old.spec.controller),
  ),
  columns: [
    nameColumn,
    column("Controller", ({ spec }) => spec.controller ?? "", "Who serves it."),
    column("Parameters", ({ spec }) => parametersText(spec.parameters), "Its settings."),
    ageColumn,
  ],
});

function parametersText(parameters: IngressClassParametersReference | undefined): string {
  if (!parameters) return "<none>";
  const { apiGroup, kind, name } = parameters;
  return `${kind}${apiGroup ? `.${apiGroup}` : ""}/${name}`;
}

function validateController(controller = ""): FieldError[] {
  const at = "spec.controller";
  if (controller.length > maxController) return [tooLong(at, maxController)];
  if (controller === "") return [required(at)];
  const [domain = "", path] = controller.split(/\/(.*)/s);
  if (!path) return [invalidValue(at, controller, 'must be a domain-prefixed path (such as "acme.io/foo")')];
  return dns1123Subdomain(domain).map((p) => invalidValue(at, domain, p));
}

function validateParameters(parameters: IngressClassParametersReference, at: string): FieldError[] {
  const errors = validateReference(parameters, at);
  const { scope, namespace } = parameters;
  if (!scope) return [...errors, required(`${at}.scope`)];
  errors.push(...oneOf(`${at}.scope`, scope, ["Cluster", "Namespace"], true));
  if (scope === "Namespace") {
    if (!namespace) errors.push(required(`${at}.namespace`, "`parameters.scope` is set to 'Namespace'"));
    else for (const p of dns1123Label(namespace)) errors.push(invalidValue(`${at}.namespace`, namespace, p));
  } else if (scope === "Cluster" && namespace !== undefined)
    errors.push(forbiddenField(`${at}.namespace`, "`parameters.scope` is set to 'Cluster'"));
  return errors;
}

/** A kind and a name in a group. */
export function validateReference(
  { apiGroup, kind, name }: { apiGroup?: string; kind: string; name: string },
  at: string,
): FieldError[] {
  const errors: FieldError[] = [];
  if (apiGroup) for (const p of dns1123Subdomain(apiGroup)) errors.push(invalidValue(`${at}.apiGroup`, apiGroup, p));
  for (const [key, value] of Object.entries({ kind, name })) {
    if (!value) errors.push(required(`${at}.${key}`, `${key} is required`));
    else for (const p of pathSegmentName(value)) errors.push(invalidValue(`${at}.${key}`, value, p));
  }
  return errors;
}
