import type * as v1 from "../generated/resource-v1.ts";
import { ResourceClaims, ResourceClaimTemplates } from "../generated/resources.ts";
import { column, defineResource, immutableField, namespaced, rules, shown, validateTemplateMeta } from "../kind.ts";
import { drop, statusOnly, without } from "../strategy.ts";
import { dropTakenDevices, validateStatus } from "./claim-status.ts";
import { validateDevices } from "./device-requests.ts";

/** Of DRAConsumableCapacity, DRADeviceTaints and DRADeviceBindingConditions. */
const gated = [
  ...["exactly", "firstAvailable"].flatMap((key) => [`requests.${key}.tolerations`, `requests.${key}.capacity`]),
  "constraints.distinctAttribute",
].map((path) => `spec.devices.${path}`);
const gatedOfResults = ["tolerations", "bindingConditions", "bindingFailureConditions", "shareID", "consumedCapacity"];
const gatedOfStatus = [
  ...gatedOfResults.map((key) => `status.allocation.devices.results.${key}`),
  ...["status.allocation.allocationTimestamp", "status.devices.shareID"],
];

const claimStrategy = statusOnly<v1.ResourceClaim>();

/** What a claim asks for is fixed; what it got is its status. */
export const resourceClaims = defineResource(ResourceClaims, {
  subresources: ["status"],
  defaults: ({ spec }) => defaultDevices(spec.devices),
  ...without(gated, claimStrategy),
  prepareForStatusUpdate(claim, old) {
    claimStrategy.prepareForStatusUpdate(claim, old);
    dropTakenDevices(claim, old);
    drop(claim, gatedOfStatus);
  },
  ...rules(
    namespaced,
    ({ spec }: v1.ResourceClaim) => validateDevices(spec.devices, "spec.devices"),
    ({ spec }, old) => immutableField("spec", spec, old.spec),
    validateStatus,
  ),
  columns: shown(column("State", state, "What became of it.")),
});

export const resourceClaimTemplates = defineResource(ResourceClaimTemplates, {
  defaults({ spec }) {
    spec.spec ??= {};
    defaultDevices(spec.spec.devices);
  },
  prepareForCreate: ({ spec }) => drop(spec, gated),
  prepareForUpdate: ({ spec }) => drop(spec, gated),
  ...rules(
    namespaced,
    function* ({ spec }: v1.ResourceClaimTemplate) {
      yield* validateTemplateMeta(spec.metadata, "spec.metadata");
      yield* validateDevices(spec.spec?.devices, "spec.spec.devices");
    },
    ({ spec }, old) => immutableField("spec", spec, old.spec),
  ),
  columns: shown(),
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
