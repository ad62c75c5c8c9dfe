import * as field from "../../apimachinery/field-error.ts";
import { legacyCidr, plainCidr } from "../../apimachinery/ip.ts";
import { labelValue, qualifiedName } from "../../apimachinery/names.ts";
import { ageColumn, column, nameColumn, orNone, wide } from "../columns.ts";
import type { Node, Taint } from "../generated/core-v1.ts";
import { Nodes } from "../generated/resources.ts";
import { capitalized, clusterWide, defineResource, keepAllButStatus, keepStatus, proxySubresource } from "../kind.ts";
import { validateObjectMeta, validateObjectMetaUpdate } from "../metadata.ts";
import { without } from "../strategy.ts";
import { validateAmount } from "./resource-names.ts";

const address = (type: string) => (node: Node) => orNone(node.status?.addresses?.find((a) => a.type === type)?.address);
const info = (key: "osImage" | "kernelVersion" | "containerRuntimeVersion") => (node: Node) =>
  node.status?.nodeInfo?.[key] || "<unknown>";

export const nodes = defineResource(Nodes, {
  shortNames: ["no"],
  storagePrefix: "minions",
  subresources: [proxySubresource("NodeProxyOptions"), "status"],
  selectable: { "spec.unschedulable": "false" },
  defaults({ spec, status }) {
    if (status?.capacity) status.allocatable ??= { ...status.capacity };
    // The older of the two names wins.
    if (spec.podCIDR && spec.podCIDRs?.[0] !== spec.podCIDR) spec.podCIDRs = [spec.podCIDR];
    if (spec.podCIDRs?.length) spec.podCIDR = spec.podCIDRs[0]!;
  },
  // Agents took their settings from here once; clients that still say so are not heard.
  ...without<Node>(["spec.configSource", "status.config"], {
    prepareForUpdate: keepStatus,
    prepareForStatusUpdate: keepAllButStatus,
  }),
  validate: validateNode,
  // Upstream says of a change once more what it said of the node.
  *validateUpdate(node, old) {
    yield* validateNode(node);
    yield* validateChange(node, old);
  },
  validateStatusUpdate: validateChange,
  columns: [
    nameColumn,
    column("Status", status, "Whether it takes Pods."),
    column("Roles", roles, "From its labels."),
    ageColumn,
    column("Version", (node) => node.status?.nodeInfo?.kubeletVersion ?? "", "Of its agent."),
    column("Internal-IP", address("InternalIP"), "Inside the cluster.", wide),
    column("External-IP", address("ExternalIP"), "Outside the cluster.", wide),
    column("OS-Image", info("osImage"), "Operating system.", wide),
    column("Kernel-Version", info("kernelVersion"), "Kernel.", wide),
    column("Container-Runtime", info("containerRuntimeVersion"), "What runs its containers.", wide),
  ],
});

function status({ spec, status }: Node): string {
  const ready = status?.conditions?.find((c) => c.type === "Ready");
  const word = !ready ? "Unknown" : ready.status === "True" ? "Ready" : "NotReady";
  return spec.unschedulable ? `${word},SchedulingDisabled` : word;
}

function roles({ metadata }: Node): string {
  const found = new Set<string>();
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    if (key.startsWith("node-role.kubernetes.io/")) found.add(key.slice("node-role.kubernetes.io/".length));
    else if (key === "kubernetes.io/role" && value) found.add(value);
  }
  return orNone([...found].filter(Boolean).sort().join(","));
}

function* validateChange(node: Node, old: Node): field.Problems {
  yield* validateObjectMetaUpdate(node.metadata, old.metadata);
  yield* validateAmounts(node);
  const addresses = new Set<string>();
  for (const [i, address] of (node.status?.addresses ?? []).entries())
    if (addresses.size === addresses.add(`${address.type} ${address.address}`).size)
      yield field.duplicate(`status.addresses[${i}]`, capitalized(address));
  const before = old.spec.podCIDRs ?? [];
  if (before.length && before.join() !== (node.spec.podCIDRs ?? []).join())
    yield field.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid');
  if (old.spec.providerID && old.spec.providerID !== node.spec.providerID)
    yield field.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid');
  yield* validateTaints(node);
  if ((node.spec.externalID ?? "") !== (old.spec.externalID ?? ""))
    yield field.forbidden("spec.externalID", "may not be updated");
}

const effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

function* validateTaints({ spec: { taints = [] } }: Node): field.Problems {
  for (const [i, taint] of taints.entries()) {
    const at = `metadata.taints[${i}]`; // upstream's path
    yield* field.shaped(`${at}.key`, taint.key, qualifiedName);
    const wrong = labelValue(taint.value ?? "").join(";");
    if (wrong) yield field.invalid(`${at}.value`, taint.value, wrong);
    yield* field.oneOf(`${at}.effect`, taint.effect, effects, true);
    const { key, value = "", effect, timeAdded = null } = taint as Taint & { timeAdded?: string | null };
    const again = field.duplicate(at, capitalized({ key, value, effect, timeAdded }));
    if (taints.findIndex((other) => key === other.key && effect === other.effect) < i)
      yield { ...again, detail: "taints must be unique by key and effect pair" };
  }
}

function* validateAmounts({ status = {} }: Node): field.Problems {
  for (const part of ["capacity", "allocatable"] as const)
    for (const [name, amount] of Object.entries(status[part] ?? {}))
      yield* validateAmount(name, amount, `status.${part}.${name}`);
}

function* validateNode(node: Node): field.Problems {
  yield* validateObjectMeta(node.metadata, clusterWide);
  yield* validateTaints(node);
  yield* validateAmounts(node);
  const cidrs = node.spec.podCIDRs ?? [];
  const families = cidrs.map((cidr) => plainCidr(cidr)?.bits);
  for (const [i, cidr] of cidrs.entries()) yield* legacyCidr(`spec.podCIDRs[${i}]`, cidr);
  if (new Set(families).size !== cidrs.length)
    yield field.invalid("spec.podCIDRs", cidrs, "may specify no more than one CIDR for each IP family");
}
