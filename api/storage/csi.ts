import * as field from "../../apimachinery/field-error.ts";
import { dns1123Subdomain, pathSegmentName, qualifiedName } from "../../apimachinery/names.ts";
import { parseQuantity } from "../../apimachinery/quantity.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import { CSIDrivers, CSINodes, CSIStorageCapacities } from "../generated/resources.ts";
import type { CSIDriver, CSINodeDriver, TokenRequest } from "../generated/storage-v1.ts";
import { boolean, column, defineResource, integer, join, nameColumn, notNegative, shown, unset } from "../kind.ts";
import { clusterWide, immutableField, immutableFields, namespaced, rules } from "../metadata.ts";
import { countGeneration } from "../strategy.ts";

const maxDriverName = 63;
const maxNodeIdBytes = 256;

export const csiDrivers = defineResource(CSIDrivers, {
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
  columns: shown(
    column("AttachRequired", ({ spec }) => spec.attachRequired ?? true, "Whether volumes are attached.", boolean),
    column("PodInfoOnMount", ({ spec }) => spec.podInfoOnMount ?? false, "Whether mounts tell the Pod.", boolean),
    column("StorageCapacity", ({ spec }) => spec.storageCapacity ?? false, "Whether capacity counts.", boolean),
    column("TokenRequests", (d) => d.spec.tokenRequests?.map((t) => t.audience).join() ?? unset, "Tokens' audiences."),
    column("RequiresRepublish", ({ spec }) => spec.requiresRepublish ?? false, "Whether it is called again.", boolean),
    column("Modes", ({ spec }) => join(spec.volumeLifecycleModes), "Kinds of volumes it makes."),
  ),
});

function* validateDriver({ metadata, spec }: CSIDriver): field.Problems {
  yield* validateDriverName(metadata.name, "name"); // upstream's path
  const policies = ["File", "None", "ReadWriteOnceWithFSType"];
  yield* field.oneOf("spec.fsGroupPolicy", spec.fsGroupPolicy, policies, true);
  for (const mode of spec.volumeLifecycleModes ?? [])
    yield* field.oneOf("spec.volumeLifecycleModes", mode, ["Ephemeral", "Persistent"], false);
  const audience = { key: (request: TokenRequest) => request.audience ?? "", at: "audience" };
  yield* field.each(spec.tokenRequests, "spec.tokenRequests", validateToken, audience);
}

function* validateToken({ expirationSeconds: seconds = 600 }: TokenRequest, at: string): field.Problems {
  const wrong = seconds < 600 ? "less than 10 minutes" : seconds > 2 ** 32 ? "larger than 2^32 seconds" : "";
  if (wrong) yield field.invalid(`${at}.expirationSeconds`, seconds, `may not specify a duration ${wrong}`);
}

export function* validateDriverName(name: string | undefined, at: string): field.Problems {
  if (!name) return yield field.required(at);
  if (name.length > maxDriverName) yield field.tooLong(at, maxDriverName);
  yield* dns1123Subdomain(name.toLowerCase()).map((p) => field.invalid(at, name, p));
}

export const csiNodes = defineResource(CSINodes, {
  unconditionalUpdate: false,
  defaults({ spec }) {
    spec.drivers ??= [];
  },
  ...rules(
    clusterWide,
    ({ spec }) => field.each(spec.drivers, "spec.drivers", validateNodeDriver, { key: ({ name }) => name, at: "name" }),
    ({ spec }, old) =>
      (spec.drivers ?? []).flatMap((driver) => {
        const before = old.spec.drivers?.find((d) => d.name === driver.name);
        return before ? immutableField("CSINodeDriver", driver, before) : [];
      }),
  ),
  columns: shown(column("Drivers", ({ spec }) => spec.drivers?.length ?? 0, "How many it has.", integer)),
});

function* validateNodeDriver(driver: CSINodeDriver, at: string): field.Problems {
  const { name, nodeID, topologyKeys = [], allocatable } = driver;
  yield* validateDriverName(name, `${at}.name`);
  if (!nodeID) yield field.required(`${at}.nodeID`);
  else if (nodeID.length > maxNodeIdBytes)
    yield field.invalid(`${at}.nodeID`, nodeID, `must be ${maxNodeIdBytes} characters or less`);
  yield* notNegative(allocatable?.count, `${at}.allocatable.count`);
  for (const [i, key] of topologyKeys.entries()) {
    if (!key) yield field.required(at);
    if (topologyKeys.indexOf(key) < i) yield field.duplicate(at, key);
    for (const problem of qualifiedName(key)) yield field.invalid(at, topologyKeys, problem);
  }
}

export const csiStorageCapacities = defineResource(CSIStorageCapacities, {
  unconditionalUpdate: false,
  ...rules(
    namespaced,
    ({ storageClassName = "", nodeTopology, capacity, maximumVolumeSize }) => [
      ...dns1123Subdomain(storageClassName).map((p) => field.invalid("storageClassName", storageClassName, p)),
      ...validateLabelSelector(nodeTopology, "nodeTopology"),
      ...Object.entries({ capacity, maximumVolumeSize }).flatMap(([key, value]) =>
        value !== undefined && parseQuantity(value).nano < 0n
          ? [field.invalid(key, value, "must be greater than or equal to 0")]
          : [],
      ),
    ],
    (capacity, old) => immutableFields(capacity, old, ["nodeTopology", "storageClassName"]),
  ),
  columns: [
    nameColumn,
    column("StorageClassName", ({ storageClassName }) => storageClassName ?? "", "The class it is about."),
    column("Capacity", ({ capacity }) => capacity ?? unset, "How much is left."),
  ],
});
