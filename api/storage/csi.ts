import * as field from "../../apimachinery/field-error.ts";
import { dns1123Subdomain, qualifiedName } from "../../apimachinery/names.ts";
import { parseQuantity } from "../../apimachinery/quantity.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import { CSIDrivers, CSINodes, CSIStorageCapacities } from "../generated/resources.ts";
import type { CSIDriver, CSINodeDriver, TokenRequest } from "../generated/storage-v1.ts";
import { boolean, column, defineResource, integer, join, nameColumn, notNegative, shown, unset } from "../kind.ts";
import { clusterWide, immutableField, immutableFields, namespaced, rules } from "../metadata.ts";
import { countGeneration, without } from "../strategy.ts";

const notBelowZero = "must be greater than or equal to 0";
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
  ...without(["spec.nodeAllocatableUpdatePeriodSeconds"], {
    // Upstream counts changes of these only.
    prepareForUpdate({ metadata, spec }: CSIDriver, { metadata: old, spec: before }: CSIDriver) {
      const counted = ({ tokenRequests, requiresRepublish, seLinuxMount }: CSIDriver["spec"]) =>
        ({ tokenRequests, requiresRepublish, seLinuxMount }) as object;
      countGeneration({ metadata, ...counted(spec) }, { metadata: old, ...counted(before) });
    },
  }),
  ...rules(clusterWide, validateDriver, ({ spec }, old) => [
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

function* validateDriver({ spec }: CSIDriver): field.Problems {
  const policies = ["File", "None", "ReadWriteOnceWithFSType"];
  yield* field.oneOf("spec.fsGroupPolicy", spec.fsGroupPolicy, policies, true);
  const audience = { key: (request: TokenRequest) => request.audience ?? "", at: "audience" };
  yield* field.each(spec.tokenRequests, "spec.tokenRequests", validateToken, audience);
  for (const mode of spec.volumeLifecycleModes ?? [])
    yield* field.oneOf("spec.volumeLifecycleModes", mode, ["Persistent", "Ephemeral"], false);
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
    for (const problem of qualifiedName(key)) yield field.invalid(at, key, problem);
  }
}

export const csiStorageCapacities = defineResource(CSIStorageCapacities, {
  unconditionalUpdate: false,
  ...rules(
    namespaced,
    ({ storageClassName = "", nodeTopology, capacity = "0" }) => [
      ...validateLabelSelector(nodeTopology, "nodeTopology"),
      ...field.shaped("storageClassName", storageClassName, dns1123Subdomain),
      ...(parseQuantity(capacity).nano < 0n ? [field.invalid("capacity", capacity, notBelowZero)] : []),
    ],
    (capacity, old) => immutableFields(capacity, old, ["nodeTopology", "storageClassName"]),
  ),
  columns: [
    nameColumn,
    column("StorageClassName", ({ storageClassName }) => storageClassName ?? "", "The class it is about."),
    column("Capacity", ({ capacity }) => capacity ?? unset, "How much is left."),
  ],
});
