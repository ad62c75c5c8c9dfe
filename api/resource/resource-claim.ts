import type { Problems } from "../../apimachinery/field-error.ts";
import * as field from "../../apimachinery/field-error.ts";
import { dns1123Label, dns1123Subdomain } from "../../apimachinery/names.ts";
import { ageColumn, column, nameColumn } from "../columns.ts";
import { oneOf } from "../core/container-validation.ts";
import type * as v1 from "../generated/resource-v1.ts";
import { ResourceClaims, ResourceClaimTemplates } from "../generated/resources.ts";
import { immutableField, namespaced, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { statusOnly } from "../strategy.ts";
import { validateConfigs, validateSelectors } from "./device-class.ts";

/** What a claim asks for is fixed; what it got is its status. */
export const resourceClaims: Resource<v1.ResourceClaim> = defineResource(ResourceClaims, {
  subresources: ["status"],
  defaults: ({ spec }) => defaultDevices(spec.devices),
  ...statusOnly(),
  ...rules(
    namespaced,
    ({ spec }: v1.ResourceClaim) => validateDevices(spec.devices, "spec.devices"),
    ({ spec }, old) => immutableField("spec", spec, old.spec),
  ),
  columns: [nameColumn, column("State", state, "What became of it."), ageColumn],
});

export const resourceClaimTemplates: Resource<v1.ResourceClaimTemplate> = defineResource(ResourceClaimTemplates, {
  defaults({ spec }) {
    spec.spec ??= {};
    defaultDevices(spec.spec.devices);
  },
  ...rules(
    namespaced,
    ({ spec }: v1.ResourceClaimTemplate) => validateDevices(spec.spec?.devices, "spec.spec.devices"),
    ({ spec }, old) => immutableField("spec", spec, old.spec),
  ),
  columns: [nameColumn, ageColumn],
});

function state({ metadata, status = {} }: v1.ResourceClaim): string {
  const deleted = metadata.deletionTimestamp !== undefined;
  const states = deleted ? ["deleted"] : [];
  if (status.allocation) states.push("allocated", ...(status.reservedFor?.length ? ["reserved"] : []));
  else if (!deleted) states.push("pending");
  return states.join(",");
}

function defaultDevices(devices: v1.DeviceClaim | undefined): void {
  for (const { exactly, firstAvailable = [] } of devices?.requests ?? [])
    for (const request of exactly ? [exactly, ...firstAvailable] : firstAvailable) {
      request.allocationMode ||= "ExactCount";
      if (request.allocationMode === "ExactCount") request.count ??= 1;
    }
}

const maxRequests = 32;
const maxAlternatives = 8;

const onlyOne = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";

function* validateDevices({ requests = [], config }: v1.DeviceClaim = {}, path: string): Problems {
  yield* validateConfigs(config, `${path}.config`);
  const names = new Set<string>();
  if (requests.length > maxRequests) yield field.tooMany(`${path}.requests`, requests.length, maxRequests);
  for (const [i, { name, exactly, firstAvailable = [] }] of requests.entries()) {
    const at = `${path}.requests[${i}]`;
    yield* field.uniqueName(`${at}.name`, name, dns1123Label, names);
    if (exactly && firstAvailable.length > 0) yield field.invalidValue(at, null, onlyOne);
    else if (exactly) yield* validateRequest(exactly, `${at}.exactly`);
    else if (firstAvailable.length === 0)
      yield field.required(at, "exactly one of `exactly` or `firstAvailable` is required");
    if (firstAvailable.length > maxAlternatives)
      yield field.tooMany(`${at}.firstAvailable`, firstAvailable.length, maxAlternatives);
    const own = new Set<string>();
    for (const [j, request] of firstAvailable.entries()) {
      yield* field.uniqueName(`${at}.firstAvailable[${j}].name`, request.name, dns1123Label, own);
      yield* validateRequest(request, `${at}.firstAvailable[${j}]`);
    }
  }
}

function* validateRequest(
  { deviceClassName, selectors, allocationMode, count = 0 }: v1.ExactDeviceRequest,
  at: string,
): Problems {
  yield* validateSelectors(selectors, `${at}.selectors`);
  yield* field.requiredName(`${at}.deviceClassName`, deviceClassName, dns1123Subdomain);
  yield* oneOf(`${at}.allocationMode`, allocationMode, ["All", "ExactCount"], false);
  if (allocationMode === "ExactCount" && count <= 0)
    yield field.invalidValue(`${at}.count`, count, "must be greater than zero");
  if (allocationMode === "All" && count !== 0)
    yield field.invalidValue(`${at}.count`, count, "must not be specified when allocationMode is 'All'");
}
