import * as field from "../../apimachinery/field-error.ts";
import { cIdentifier, dns1123Label, dns1123Subdomain } from "../../apimachinery/names.ts";
import { validateNodeSelector } from "../core/pod-rules.ts";
import type { Device, DeviceAttribute, ResourceSlice, ResourceSliceSpec } from "../generated/resource-v1.ts";
import { ResourceSlices } from "../generated/resources.ts";
import { clusterWide, column, defineResource, immutableField, immutableFields, rules, shown } from "../kind.ts";
import { validateDriverName } from "../storage/csi.ts";
import { generationOnly, without } from "../strategy.ts";
import { validatePoolName } from "./device-class.ts";

/** Of DRAPartitionableDevices, DRADeviceTaints, DRADeviceBindingConditions and DRAConsumableCapacity. */
const gated = [
  ...["spec.sharedCounters", "spec.perDeviceNodeSelection", "spec.devices.capacity.*.requestPolicy"],
  ...[
    ...["consumesCounters", "nodeName", "nodeSelector", "allNodes", "taints", "bindsToNode", "bindingConditions"],
    ...["bindingFailureConditions", "allowMultipleAllocations"],
  ].map((key) => `spec.devices.${key}`),
];

/** Devices that a driver offers, on one node or many. */
export const resourceSlices = defineResource(ResourceSlices, {
  selectable: { "spec.nodeName": "", "spec.driver": "" },
  unknownField: (name) => `field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: ${name}`,
  ...without(gated, generationOnly),
  ...rules(clusterWide, validate),
  columns: shown(
    column("Node", ({ spec }) => spec.nodeName ?? "", "Where they are."),
    column("Driver", ({ spec }) => spec.driver, "Who offers them."),
    column("Pool", ({ spec }) => spec.pool?.name ?? "", "What they belong to."),
  ),
});

const choice = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
const maxDevices = 128;

function* validate({ spec }: ResourceSlice, old?: ResourceSlice): field.Problems {
  yield* validateDriverName(spec.driver, "spec.driver");
  const { name, resourceSliceCount = 0, generation = 0 } = spec.pool ?? {};
  yield* validatePoolName(name, "spec.pool.name");
  if (resourceSliceCount <= 0)
    yield field.invalid("spec.pool.resourceSliceCount", resourceSliceCount, "must be greater than zero");
  if (generation < 0) yield field.invalid("spec.pool.generation", generation, "must be greater than or equal to zero");
  if (old) {
    yield* immutableField("spec.pool.name", name, old.spec.pool?.name);
    yield* immutableFields(spec, old.spec, ["driver", "nodeName"], "spec");
  }
  yield* validatePlace(spec);
  const where = (["nodeName", "nodeSelector", "allNodes"] as const).filter((key) => spec[key]);
  if (where.length === 0) yield field.required("spec", choice);
  const given = `{${where.map((key) => `\`${key}\``).join(", ")}}`;
  if (where.length > 1) yield field.invalid("spec", given, `${choice}, but multiple fields are set`);
  const key = ({ name = "" }: Device) => name;
  yield* field.each(spec.devices, "spec.devices", validateDevice, { max: maxDevices, key, at: "name" });
}

function* validatePlace({ nodeName, nodeSelector, allNodes }: ResourceSliceSpec): field.Problems {
  if (nodeName) yield* field.shaped("spec.nodeName", nodeName, dns1123Subdomain);
  else if (nodeName !== undefined)
    yield field.invalid("spec.nodeName", nodeName, "must be either unset or set to a non-empty string");
  if (nodeSelector) {
    yield* validateNodeSelector(nodeSelector, "spec.nodeSelector");
    const { nodeSelectorTerms: terms = [] } = nodeSelector;
    if (terms.length !== 1)
      yield field.invalid("spec.nodeSelector.nodeSelectorTerms", terms, "must have exactly one node selector term");
  }
  if (allNodes === false) yield field.invalid("spec.allNodes", allNodes, "must be either unset or set to true");
}

const maxAttributes = 32;
const tooManyAttributes = `the total number of attributes and capacities must not exceed ${maxAttributes}`;

function* validateDevice({ name = "", attributes = {}, capacity = {} }: Device, at: string): field.Problems {
  yield* field.shaped(`${at}.name`, name, dns1123Label);
  const count = Object.keys(attributes).length + Object.keys(capacity).length;
  if (count > maxAttributes) yield field.invalid(at, count, tooManyAttributes);
  for (const [key, attribute] of Object.entries(attributes)) {
    yield* validateAttributeName(key, `${at}.attributes`);
    yield* validateAttribute(attribute, `${at}.attributes[${key}]`);
  }
  for (const key of Object.keys(capacity)) yield* validateAttributeName(key, `${at}.capacity`);
}

const maxValue = 64;
const maxIdentifier = 32;
const [number, word] = ["(0|[1-9]\\d*)", "[0-9A-Za-z-]+"];
const [before, build] = [`(${number}|\\d*[A-Za-z-][0-9A-Za-z-]*)`, word].map((part) => `${part}(\\.${part})*`);
const version = new RegExp(`^${number}(\\.${number}){2}(-${before})?(\\+${build})?$`);

function* validateAttribute(attribute: DeviceAttribute, at: string): field.Problems {
  const given = Object.values(attribute).filter((value) => value !== undefined).length;
  const text = attribute.string ?? attribute.version ?? "";
  if (attribute.version !== undefined && !version.test(attribute.version))
    yield field.invalid(`${at}.version`, attribute.version, "must be a string compatible with semver.org spec 2.0.0");
  if (text.length > maxValue)
    yield field.tooLong(`${at}.${attribute.string === undefined ? "version" : "string"}`, maxValue);
  const one = "exactly one value must be specified";
  if (given === 0) yield field.required(at, one);
  else if (given > 1) yield field.invalid(at, attribute, one);
}

/** `name`, which is the driver's own, or `domain/name`. */
export function* validateAttributeName(text: string, at: string): field.Problems {
  const [first = "", second, ...more] = text.split("/");
  if (more.length > 0) return; // upstream takes these
  if (second === undefined) return yield* validateIdentifier(first, at);
  if (first) yield* validateDriverName(first, at);
  else yield field.required(at, "the domain must not be empty");
  if (second) yield* validateIdentifier(second, at);
  else yield field.required(at, "the name must not be empty");
}

function* validateIdentifier(text: string, at: string): field.Problems {
  if (text.length > maxIdentifier) yield field.tooLong(at, maxIdentifier);
  yield* field.shaped(at, text, cIdentifier);
}
