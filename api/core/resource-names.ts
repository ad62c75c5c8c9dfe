import { invalid, notSupported, type Problems } from "../../apimachinery/field-error.ts";
import { qualifiedName } from "../../apimachinery/names.ts";
import { parseQuantity } from "../../apimachinery/quantity.ts";

/** Which resources containers, limits and quotas may name, and how much of each (upstream: pkg/apis/core/helper). */
const compute = "cpu memory ephemeral-storage".split(" ");
export const counted = [
  ..."pods resourcequotas services replicationcontrollers secrets configmaps persistentvolumeclaims".split(" "),
  ...["services.nodeports", "services.loadbalancers"],
];
const ofQuotas = new Set([
  ...[...compute, ...counted, "requests.storage"],
  ...compute.flatMap((name) => [`requests.${name}`, `limits.${name}`]),
]);
const isHugePage = (name: string) => name.startsWith("hugepages-");
export const isQuotaResource = (name: string): boolean => ofQuotas.has(name) || /^(requests\.)?hugepages-/.test(name);

export const isNative = (name: string) => !name.includes("/") || name.includes("kubernetes.io/");
const isExtended = (name: string) =>
  !isNative(name) && !name.startsWith("requests.") && qualifiedName(`requests.${name}`).length === 0;
/** Of devices and huge pages a container gets what it asks for, no more. */
export const isOvercommitAllowed = (name: string): boolean => isNative(name) && !isHugePage(name);

export function* validateResourceName(name: string, at: string): Problems {
  const problems = qualifiedName(name);
  yield* problems.map((p) => invalid(at, name, p));
  if (problems.length === 0 && !name.includes("/") && !isQuotaResource(name) && name !== "storage")
    yield invalid(at, name, "must be a standard resource type or fully qualified");
}

export function* validateContainerResource(name: string, at: string): Problems {
  yield* validateResourceName(name, at);
  if (!name.includes("/")) {
    if (!compute.includes(name) && !isHugePage(name))
      yield invalid(at, name, "must be a standard resource for containers");
  } else if (!isNative(name) && !isExtended(name))
    yield invalid(at, name, "doesn't follow extended resource name standard");
}

export const isPodResource = (name: string): boolean => name === "cpu" || name === "memory" || isHugePage(name);

export function* validatePodResource(name: string, at: string): Problems {
  const problems = [...validateResourceName(name, at)];
  yield* problems;
  if (problems.length === 0 && !isPodResource(name)) yield notSupported(at, name, ["cpu", "hugepages-", "memory"]);
}

export function* validateQuotaResource(name: string, at: string): Problems {
  yield* validateResourceName(name, at);
  if (!name.includes("/") && !isQuotaResource(name)) yield invalid(at, name, "must be a standard resource for quota");
}

export function* validateAmount(name: string, quantity: string, at: string): Problems {
  const { nano } = parseQuantity(quantity);
  if (nano < 0n) yield invalid(at, quantity, "must be greater than or equal to 0");
  if ((counted.includes(name) || isExtended(name)) && nano % 1_000_000_000n !== 0n)
    yield invalid(at, quantity, "must be an integer");
}

export function* validateHugePages(name: string, quantity: string, at: string): Problems {
  if (!isHugePage(name)) return;
  const page = /^hugepages-\d+([KMGT]i)?$/.test(name) ? parseQuantity(name.slice("hugepages-".length)).nano : 0n;
  if (page <= 0n || parseQuantity(quantity).nano % page !== 0n)
    yield invalid(at, quantity, `${quantity} is not positive integer multiple of ${name}`);
}
