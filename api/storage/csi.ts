import type { Problems } from "../../apimachinery/field-error.ts";
import * as field from "../../apimachinery/field-error.ts";
import { dns1123Subdomain, pathSegmentName, qualifiedName } from "../../apimachinery/names.ts";
import { parseQuantity } from "../../apimachinery/quantity.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import { ageColumn, boolean, column, integer, join, nameColumn, unset } from "../columns.ts";
import { oneOf } from "../core/container-validation.ts";
import { CSIDrivers, CSINodes, CSIStorageCapacities } from "../generated/resources.ts";
import type { CSIDriver, CSINode, CSIStorageCapacity } from "../generated/storage-v1.ts";
import { clusterWide, immutableField, namespaced, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { countGeneration } from "../strategy.ts";

const maxDriverName = 63;
const maxNodeIdBytes = 256;

export const csiDrivers: Resource<CSIDriver> = defineResource(CSIDrivers, {
  unconditionalUpdate: false,
  defaults({ spec }) {
    spec.attachRequired ??= true;
    spec.podInfoOnMount ??= false;
    spec.storageCapacity ??= false;
    spec.fsGroupPolicy ??= "ReadWriteOnceWithFSType";
    if (!spec.volumeLifecycleModes?.length) spec.volumeLifecycleModes = ["Persistent"];
    spec.requiresRepublish ??= false;
    spec.seLinuxMount ??= false;
  },
  prepareForUpdate: countGeneration,
  ...rules({ namespaced: false, name: pathSegmentName }, validateDriver, ({ spec }, old) => [
    ...immutableField("spec.attachedRequired", spec.attachRequired, old.spec.attachRequired),
    ...immutableField("spec.volumeLifecycleModes", spec.volumeLifecycleModes, old.spec.volumeLifecycleModes),
  ]),
  columns: [
    nameColumn,
    column("AttachRequired", ({ spec }) => spec.attachRequired ?? true, "Whether volumes are attached.", boolean),
    column("PodInfoOnMount", ({ spec }) => spec.podInfoOnMount ?? false, "Whether mounts tell the Pod.", boolean),
    column("StorageCapacity", ({ spec }) => spec.storageCapacity ?? false, "Whether capacity counts.", boolean),
    column(
      "TokenRequests",
      ({ spec }) => spec.tokenRequests?.map((t) => t.audience).join() ?? unset,
      "Its tokens' audiences.",
    ),
    column("RequiresRepublish", ({ spec }) => spec.requiresRepublish ?? false, "Whether it is called again.", boolean),
    column("Modes", ({ spec }) => join(spec.volumeLifecycleModes), "Kinds of volumes it makes."),
    ageColumn,
  ],
});

const tenMinutes = "may not specify a duration less than 10 minutes";

function* validateDriver({ metadata, spec }: CSIDriver): Problems {
  yield* validateDriverName(metadata.name, "name"); // upstream's path
  const policies = ["File", "None", "ReadWriteOnceWithFSType"];
  yield* oneOf("spec.fsGroupPolicy", spec.fsGroupPolicy, policies, true);
  for (const mode of spec.volumeLifecycleModes ?? [])
    if (mode !== "Persistent" && mode !== "Ephemeral")
      yield field.notSupported("spec.volumeLifecycleModes", mode, ["Ephemeral", "Persistent"]);
  const audiences = new Set<string>();
  for (const [i, { audience = "", expirationSeconds }] of (spec.tokenRequests ?? []).entries()) {
    const at = `spec.tokenRequests[${i}]`;
    if (audiences.has(audience)) yield field.duplicate(`${at}.audience`, audience);
    audiences.add(audience);
    if (expirationSeconds !== undefined && expirationSeconds < 600)
      yield field.invalidValue(`${at}.expirationSeconds`, expirationSeconds, tenMinutes);
  }
}

export function* validateDriverName(name: string | undefined, at: string): Problems {
  if (!name) return yield field.required(at);
  if (name.length > maxDriverName) yield field.tooLong(at, maxDriverName);
  yield* dns1123Subdomain(name.toLowerCase()).map((p) => field.invalidValue(at, name, p));
}

export const csiNodes: Resource<CSINode> = defineResource(CSINodes, {
  unconditionalUpdate: false,
  defaults({ spec }) {
    spec.drivers ??= [];
  },
  ...rules(clusterWide, validateNode, ({ spec }, old) =>
    (spec.drivers ?? []).flatMap((driver) => {
      const before = old.spec.drivers?.find((d) => d.name === driver.name);
      return before ? immutableField("CSINodeDriver", driver, before) : [];
    }),
  ),
  columns: [
    nameColumn,
    column("Drivers", ({ spec }) => spec.drivers?.length ?? 0, "How many it has.", integer),
    ageColumn,
  ],
});

function* validateNode({ spec }: CSINode): Problems {
  const names = new Set<string>();
  for (const [i, { name, nodeID, topologyKeys = [], allocatable }] of (spec.drivers ?? []).entries()) {
    const at = `spec.drivers[${i}]`;
    yield* validateDriverName(name, `${at}.name`);
    if (names.has(name)) yield field.duplicate(`${at}.name`, name);
    names.add(name);
    if (!nodeID) yield field.required(`${at}.nodeID`);
    else if (nodeID.length > maxNodeIdBytes)
      yield field.invalidValue(`${at}.nodeID`, nodeID, `must be ${maxNodeIdBytes} characters or less`);
    const keys = new Set<string>();
    for (const key of topologyKeys) {
      if (!key) yield field.required(at);
      if (keys.size === keys.add(key).size) yield field.duplicate(at, key);
      for (const problem of qualifiedName(key)) yield field.invalidValue(at, topologyKeys, problem);
    }
    const count = allocatable?.count;
    if (count !== undefined && count < 0)
      yield field.invalidValue(`${at}.allocatable.count`, count, "must be greater than or equal to 0");
  }
}

export const csiStorageCapacities: Resource<CSIStorageCapacity> = defineResource(CSIStorageCapacities, {
  unconditionalUpdate: false,
  ...rules(
    namespaced,
    ({ storageClassName = "", nodeTopology, capacity, maximumVolumeSize }) => [
      ...dns1123Subdomain(storageClassName).map((p) => field.invalidValue("storageClassName", storageClassName, p)),
      ...validateLabelSelector(nodeTopology, "nodeTopology"),
      ...Object.entries({ capacity, maximumVolumeSize }).flatMap(([key, value]) =>
        value !== undefined && parseQuantity(value).nano < 0n
          ? [field.invalidValue(key, value, "must be greater than or equal to 0")]
          : [],
      ),
    ],
    (capacity, old) => [
      ...immutableField("nodeTopology", capacity.nodeTopology, old.nodeTopology),
      ...immutableField("storageClassName", capacity.storageClassName, old.storageClassName),
    ],
  ),
  columns: [
    nameColumn,
    column("StorageClassName", ({ storageClassName }) => storageClassName ?? "", "The class it is about."),
    column("Capacity", ({ capacity }) => capacity ?? unset, "How much is left."),
  ],
});
