import * as field from "../../apimachinery/field-error.ts";
import { dns1123Label } from "../../apimachinery/names.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { validateConditions } from "../conditions.ts";
import { validateNodeSelector } from "../core/pod-rules.ts";
import type * as v1 from "../generated/resource-v1.ts";
import { immutableField } from "../metadata.ts";
import { interfaceProblems } from "../networking/service-range.ts";
import { validateDriverName } from "../storage/csi.ts";
import { maxItems, validateParameters, validatePoolName } from "./device-class.ts";
import { type Devices, validateConfigOf, validateReference } from "./device-requests.ts";

/** What a claim got, who may use it, and what its devices say. */
const maxReserved = 256;
const maxConditions = 8;
const maxIps = 16;
const deviceText = ({ driver, pool, device }: { driver: string; pool: string; device: string }) =>
  `${driver}/${pool}/${device}`;
const allocatedTo = (claim: v1.ResourceClaim): Set<string> =>
  new Set(claim.status?.allocation?.devices?.results?.map(deviceText));

/** What was taken away says nothing any more. */
export function dropTakenDevices(claim: v1.ResourceClaim, old: v1.ResourceClaim): void {
  const [now, before] = [allocatedTo(claim), allocatedTo(old)];
  const { status } = claim;
  if (!status?.devices) return;
  status.devices = status.devices.filter((one) => now.has(deviceText(one)) || !before.has(deviceText(one)));
  if (status.devices.length === 0) delete status.devices;
}

export function* validateStatus(claim: v1.ResourceClaim, old: v1.ResourceClaim): field.Problems {
  const { allocation, reservedFor = [], devices } = claim.status ?? {};
  const at = "status.reservedFor";
  yield* field.each(reservedFor, at, validateConsumer, { max: maxReserved, key: ({ uid }) => uid, at: "uid" });
  const allocated = allocatedTo(claim);
  yield* field.each(devices, "status.devices", (one, path) => validateDevice(one, path, allocated), {
    key: deviceText,
  });
  const before = old.status?.reservedFor ?? [];
  if (reservedFor.length > 0 && !allocation)
    yield field.forbidden(at, "may not be specified when `allocated` is not set");
  else if (claim.metadata.deletionTimestamp && !reservedFor.every((one) => before.some((b) => sameJson(one, b))))
    yield field.forbidden(at, notWhileDeleted);
  if (allocation && old.status?.allocation)
    yield* immutableField("status.allocation", allocation, old.status.allocation);
  else if (allocation) yield* validateAllocation(allocation, "status.allocation", claim.spec.devices);
}

const notWhileDeleted = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";

function* validateConsumer(consumer: v1.ResourceClaimConsumerReference, at: string): field.Problems {
  for (const key of ["resource", "name", "uid"] as const) if (!consumer[key]) yield field.required(`${at}.${key}`);
}

function* validateAllocation(result: v1.AllocationResult, at: string, claim: Devices): field.Problems {
  const { devices, nodeSelector } = result;
  yield* field.each(
    devices?.results,
    `${at}.devices.results`,
    function* (result, path) {
      yield* validateReference(claim, result.request ?? "", `${path}.request`);
      yield* validateDeviceId(result, path);
    },
    { max: maxItems },
  );
  yield* field.each(
    devices?.config,
    `${at}.devices.config`,
    function* (config, path) {
      yield* field.oneOf(`${path}.source`, config.source, ["FromClaim", "FromClass"], true);
      yield* validateConfigOf(claim, config, path);
    },
    { max: 2 * maxItems },
  );
  if (nodeSelector) yield* validateNodeSelector(nodeSelector, `${at}.nodeSelector`);
}

type DeviceId = Record<"driver" | "pool" | "device", string>;

function* validateDeviceId({ driver, pool, device }: DeviceId, at: string): field.Problems {
  yield* validateDriverName(driver, `${at}.driver`);
  yield* validatePoolName(pool, `${at}.pool`);
  yield* field.shaped(`${at}.device`, device ?? "", dns1123Label);
}

function* validateDevice(device: v1.AllocatedDeviceStatus, at: string, allocated: Set<string>): field.Problems {
  const { conditions = [], data, networkData = {} } = device;
  yield* validateDeviceId(device, at);
  if (!allocated.has(deviceText(device)))
    yield field.invalid(at, deviceText(device), "must be an allocated device in the claim");
  if (conditions.length > maxConditions) yield field.tooMany(`${at}.conditions`, conditions.length, maxConditions);
  yield* validateConditions(conditions, `${at}.conditions`);
  if (data !== undefined) yield* validateParameters(data, `${at}.data`);
  for (const [key, max] of [["interfaceName", 256] as const, ["hardwareAddress", 128] as const])
    if ((networkData[key]?.length ?? 0) > max) yield field.tooLong(`${at}.networkData.${key}`, max);
  const ips = `${at}.networkData.ips`;
  yield* field.each(networkData.ips, ips, (ip, path) => field.shaped(path, ip, interfaceProblems), {
    ...{ max: maxIps, key: String },
  });
}
