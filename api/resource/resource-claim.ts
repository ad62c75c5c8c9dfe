import {
  invalidValue,
  type Problems,
  required,
  requiredName,
  tooMany,
  uniqueName,
} from "../../apimachinery/field-error.ts";
import { dns1123Label, dns1123Subdomain } from "../../apimachinery/names.ts";
import { ageColumn, column, nameColumn } from "../columns.ts";
import { oneOf } from "../core/container-validation.ts";
import type {
  DeviceClaim,
  ExactDeviceRequest,
  ResourceClaim,
  ResourceClaimTemplate,
} from "../generated/resource-v1.ts";
import { ResourceClaims, ResourceClaimTemplates } from "../generated/resources.ts";
import { immutableField, namespaced, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { statusOnly } from "../strategy.ts";
import { validateConfigs, validateSelectors } from "./device-class.ts";

/** What a claim asks for is fixed; what it got is its status. */
export const resourceClaims: Resource<ResourceClaim> = defineResource(ResourceClaims, {
  subresources: ["status"],
  defaults: ({ spec }) => defaultDevices(spec.devices),
  ...statusOnly(),
  ...rules(
    namespaced,
    ({ spec }: ResourceClaim) => validateDevices(spec.devices, "spec.devices"),
    ({ spec }, old) => immutableField("spec", spec, old.spec),
  ),
  columns: [nameColumn, column("State", state, "What became of it."), ageColumn],
});

export const resourceClaimTemplates: Resource<ResourceClaimTemplate> = defineResource(ResourceClaimTemplates, {
  defaults({ spec }) {
    spec.spec ??= {};
    defaultDevices(spec.spec.devices);
  },
  ...rules(
    namespaced,
    ({ spec }: ResourceClaimTemplate) => validateDevices(spec.spec?.devices, "spec.spec.devices"),
    ({ spec }, old) => immutableField("spec", spec, old.spec),
  ),
  columns: [nameColumn, ageColumn],
});

function state({ metadata, status = {} }: ResourceClaim): string {
  const deleted = metadata.deletionTimestamp !== undefined;
  const states = deleted ? ["deleted"] : [];
  if (status.allocation) states.push("allocated", ...(status.reservedFor?.length ? ["reserved"] : []));
  else if (!deleted) states.push("pending");
  return states.join(",");
}

function defaultDevices(devices: DeviceClaim | undefined): void {
  for (const { exactly, firstAvailable = [] } of devices?.requests ?? [])
    for (const request of exactly ? [exactly, ...firstAvailable] : firstAvailable) {
      request.allocationMode ||= "ExactCount";
      if (request.allocationMode === "ExactCount") request.count ??= 1;
    }
}

const maxRequests = 32;
const maxAlternatives = 8;

function* validateDevices({ requests = [], config }: DeviceClaim = {}, path: string): Problems {
  yield* validateConfigs(config, `${path}.config`);
  const names = new Set<string>();
  if (requests.length > maxRequests) yield tooMany(`${path}.requests`, requests.length, maxRequests);
  for (const [i, { name, exactly, firstAvailable = [] }] of requests.entries()) {
    const at = `${path}.requests[${i}]`;
    yield* uniqueName(`${at}.name`, name, dns1123Label, names);
    if (exactly && firstAvailable.length > 0)
      yield invalidValue(
        at,
        null,
        "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set",
      );
    else if (exactly) yield* validateRequest(exactly, `${at}.exactly`);
    else if (firstAvailable.length === 0)
      yield required(at, "exactly one of `exactly` or `firstAvailable` is required");
    if (firstAvailable.length > maxAlternatives)
      yield tooMany(`${at}.firstAvailable`, firstAvailable.length, maxAlternatives);
    const own = new Set<string>();
    for (const [j, request] of firstAvailable.entries()) {
      yield* uniqueName(`${at}.firstAvailable[${j}].name`, request.name, dns1123Label, own);
      yield* validateRequest(request, `${at}.firstAvailable[${j}]`);
    }
  }
}

function* validateRequest(
  { deviceClassName, selectors, allocationMode, count = 0 }: ExactDeviceRequest,
  at: string,
): Problems {
  yield* validateSelectors(selectors, `${at}.selectors`);
  yield* requiredName(`${at}.deviceClassName`, deviceClassName, dns1123Subdomain);
  yield* oneOf(`${at}.allocationMode`, allocationMode, ["All", "ExactCount"], false);
  if (allocationMode === "ExactCount" && count <= 0)
    yield invalidValue(`${at}.count`, count, "must be greater than zero");
  if (allocationMode === "All" && count !== 0)
    yield invalidValue(`${at}.count`, count, "must not be specified when allocationMode is 'All'");
}
