import * as field from "../../apimachinery/field-error.ts";
import { dns1123Label, dns1123Subdomain, pathSegmentName } from "../../apimachinery/names.ts";
import type { TypedLocalObjectReference } from "../generated/core-v1.ts";
import type { IngressClassParametersReference } from "../generated/networking-v1.ts";
import { IngressClasses } from "../generated/resources.ts";
import { clusterWide, column, defineResource, generationOnly, immutableField, rules, shown } from "../kind.ts";

const maxController = 250;

export const ingressClasses = defineResource(IngressClasses, {
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
  columns: shown(
    column("Controller", ({ spec }) => spec.controller ?? "", "Who serves it."),
    column("Parameters", ({ spec }) => parametersText(spec.parameters), "Its settings."),
  ),
});

function parametersText(parameters: IngressClassParametersReference | undefined): string {
  if (!parameters) return "<none>";
  const { apiGroup, kind, name } = parameters;
  return `${kind}${apiGroup ? `.${apiGroup}` : ""}/${name}`;
}

const pathShape = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";

function* validateController(controller = ""): field.Problems {
  const at = "spec.controller";
  if (controller.length > maxController) yield field.tooLong(at, maxController);
  if (controller === "") return yield field.required(at);
  const [domain, path] = controller.split(/\/(.*)/s);
  if (!domain || !path)
    return yield field.invalid(at, controller, 'must be a domain-prefixed path (such as "acme.io/foo")');
  yield* field.shaped(at, domain, dns1123Subdomain);
  if (!new RegExp(`^${pathShape}$`).test(path))
    yield field.invalid(at, path, `Invalid path (regex used for validation is '${pathShape}')`);
}

function* validateParameters(parameters: IngressClassParametersReference, at: string): field.Problems {
  yield* validateReference(parameters, at);
  const { scope, namespace } = parameters;
  yield* field.oneOf(`${at}.scope`, scope, ["Cluster", "Namespace"], scope === undefined);
  if (scope === "Namespace") {
    if (namespace === undefined) yield field.required(`${at}.namespace`, "`parameters.scope` is set to 'Namespace'");
    else yield* field.shaped(`${at}.namespace`, namespace, dns1123Label);
  } else if (scope === "Cluster" && namespace !== undefined)
    yield field.forbidden(`${at}.namespace`, "`parameters.scope` is set to 'Cluster'");
}

/** A kind and a name in a group. */
export function* validateReference({ apiGroup, kind, name }: TypedLocalObjectReference, at: string): field.Problems {
  if (apiGroup !== undefined) yield* field.shaped(`${at}.apiGroup`, apiGroup, dns1123Subdomain);
  for (const [key, value] of Object.entries({ kind, name })) {
    if (!value) yield field.required(`${at}.${key}`, `${key} is required`);
    else yield* field.shaped(`${at}.${key}`, value, pathSegmentName);
  }
}
