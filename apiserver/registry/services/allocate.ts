import { needsHealthCheck, needsNodePorts, validateClusterIps } from "../../../api/core/service-validation.ts";
import type { Service, ServiceSpec } from "../../../api/generated/core-v1.ts";
import { type FieldError, invalid } from "../../../apimachinery/field-error.ts";
import { internalError } from "../../../apimachinery/status.ts";
import type { Bitmap, NumberRange } from "./range.ts";

/** What is taken, and where the search for a free number goes on. */
export interface Allocations {
  ips: { range: NumberRange; taken: Bitmap; last: number };
  ports: { range: NumberRange; taken: Bitmap; last: number };
}

export interface Allocated {
  service: Service;
  ips: Bitmap;
  ports: Bitmap;
  /** Not empty: nothing may be written. */
  errors: FieldError[];
}

/**
 * Gives a Service its ClusterIP and node ports, and takes back those that it no longer has. Pure: (service, previous
 * state, what is taken) -> (service, what is taken then). Numbers that are asked for are honoured or refused.
 *
 *   previous   service      outcome
 *   undefined  new          create
 *   old        new          update; what `service` keeps of `old` it says (keepAllocated)
 *   old        undefined    delete
 *
 * Throws 500 when a range is full.
 */
export function allocate(previous: Service | undefined, wanted: Service | undefined, state: Allocations): Allocated {
  const errors: FieldError[] = [];
  const service = structuredClone(wanted ?? previous!);
  const before = held(previous, state);
  const { spec } = service as { spec: ServiceSpec };

  let ips = state.ips.taken.with(before.ips, false);
  let ports = state.ports.taken.with(before.ports, false);
  if (wanted === undefined) return { service, ips, ports, errors };

  errors.push(...validateClusterIps(spec));
  if (errors.length === 0 && spec.type !== "ExternalName") errors.push(...settleFamilies(spec));
  if (errors.length > 0) return { service, ips, ports, errors };
  if (needsIP(spec)) {
    const asked = spec.clusterIP ?? spec.clusterIPs?.[0] ?? "";
    const offset = asked === "" ? next(ips, state.ips, "serviceIP") : state.ips.range.toOffset(asked);
    const refuse = (text: string) =>
      errors.push(invalid("spec.clusterIPs", [asked], `failed to allocate IP ${asked}: ${text}`));
    if (offset < 0)
      refuse(`the provided IP (${asked}) is not in the valid range. The range of valid IPs is ${state.ips.range.text}`);
    else if (ips.has(offset)) refuse("provided IP is already allocated");
    else {
      ips = ips.with([offset], true);
      spec.clusterIP = state.ips.range.toText(offset);
    }
  }
  if (spec.type !== "ExternalName") spec.clusterIPs = [spec.clusterIP ?? ""];

  const { range } = state.ports;
  const takePort = (field: string, asked: number, taken = ports.has(range.toOffset(asked))): boolean => {
    const offset = range.toOffset(asked);
    const outside = `provided port is not in the valid range. The range of valid ports is ${range.text}`;
    const problem = offset < 0 ? outside : taken ? "provided port is already allocated" : undefined;
    if (problem) errors.push(invalid(field, asked, problem));
    else ports = ports.with([offset], true);
    return problem === undefined;
  };
  const freePort = (): number => {
    const offset = next(ports, state.ports, "nodePort");
    ports = ports.with([offset], true);
    return Number(range.toText(offset));
  };
  const nodePorts = needsNodePorts(spec) ? (spec.ports ?? []) : [];
  /** A node port may serve one port in several protocols. */
  const own = new Map<number, Set<string>>();
  for (const [i, { protocol = "TCP", nodePort }] of nodePorts.entries()) {
    if (!nodePort) continue;
    const shared = own.get(nodePort);
    if (takePort(`spec.ports[${i}].nodePort`, nodePort, shared?.has(protocol)))
      own.set(nodePort, (shared ?? new Set()).add(protocol));
  }
  for (const port of nodePorts) {
    if (port.nodePort) continue;
    const sibling = nodePorts.find((other) => other.nodePort && other.port === port.port);
    port.nodePort = sibling ? sibling.nodePort! : freePort();
  }
  if (needsHealthCheck(spec)) {
    if (spec.healthCheckNodePort) takePort("spec.healthCheckNodePort", spec.healthCheckNodePort);
    else spec.healthCheckNodePort = freePort();
  }
  return { service, ips, ports, errors };
}

/** The cluster has IPv4 alone, and only what selects nothing and has no address may name both families. */
function settleFamilies(spec: ServiceSpec): FieldError[] {
  const { ipFamilies = [], clusterIPs = [] } = spec;
  const free = spec.clusterIP === "None" && Object.keys(spec.selector ?? {}).length === 0;
  const several = ipFamilies.length > 1 || clusterIPs.length > 1;
  spec.ipFamilyPolicy ??= several || free ? "RequireDualStack" : "SingleStack";
  const policy = spec.ipFamilyPolicy;
  const refuse = (detail: string) => invalid("spec.ipFamilyPolicy", policy, detail);
  const demand = "must be 'RequireDualStack' or 'PreferDualStack' when multiple";
  if (policy === "SingleStack" && clusterIPs.length > 1) return [refuse(`${demand} cluster IPs are specified`)];
  if (policy === "SingleStack" && ipFamilies.length > 1) return [refuse(`${demand} IP families are specified`)];
  if (ipFamilies.length === 0) spec.ipFamilies = ["IPv4"];
  if (free) {
    if (spec.ipFamilies!.length < 2 && policy !== "SingleStack")
      spec.ipFamilies = [spec.ipFamilies![0]!, spec.ipFamilies![0] === "IPv4" ? "IPv6" : "IPv4"];
    return [];
  }
  return [
    ...(policy === "RequireDualStack" ? [refuse("this cluster is not configured for dual-stack services")] : []),
    ...ipFamilies.flatMap((family, i) =>
      family === "IPv4" ? [] : [invalid(`spec.ipFamilies[${i}]`, family, "not configured on this cluster")],
    ),
  ];
}

function next(taken: Bitmap, { range, last }: { range: NumberRange; last: number }, what: string): number {
  const offset = taken.next(range, last);
  if (offset < 0) throw internalError(new Error(`failed to allocate a ${what}: range is full`));
  return offset;
}

/** The offsets that a Service holds. */
export function held(service: Service | undefined, { ips, ports }: Allocations): { ips: number[]; ports: number[] } {
  const spec = service?.spec;
  if (spec === undefined) return { ips: [], ports: [] };
  const address = needsIP(spec) ? ips.range.toOffset(spec.clusterIP ?? "") : -1;
  const given = [...(spec.ports ?? []).map(({ nodePort }) => nodePort), spec.healthCheckNodePort];
  const nodePorts = given.map((port) => (port ? ports.range.toOffset(port) : -1));
  return { ips: [address].filter(valid), ports: [...new Set(nodePorts)].filter(valid) };
}

const valid = (offset: number) => offset >= 0;

const needsIP = (spec: ServiceSpec) => spec.type !== "ExternalName" && spec.clusterIP !== "None";
