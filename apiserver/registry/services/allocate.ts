import { familyOf, hasNodePorts, needsHealthCheck, validateClusterIps } from "../../../api/core/service-validation.ts";
import type { Service, ServiceSpec } from "../../../api/generated/core-v1.ts";
import { type FieldError, invalid } from "../../../apimachinery/field-error.ts";
import { plainIp } from "../../../apimachinery/ip.ts";
import { sameJson } from "../../../apimachinery/same-json.ts";
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
  if (errors.length === 0 && spec.type !== "ExternalName") errors.push(...settleFamilies(spec, previous?.spec));
  if (errors.length > 0) return { service, ips, ports, errors };
  const refused = (error?: FieldError): Allocated => ({ service, ips, ports, errors: error ? [error] : [] });
  // Addresses do not change; validation says so to whoever tries.
  if (needsIP(spec) && previous && previous.spec?.type !== "ExternalName") ips = ips.with(before.ips, true);
  else if (needsIP(spec)) {
    const asked = spec.clusterIP ?? "";
    const offset = asked === "" ? next(ips, state.ips, "serviceIP") : state.ips.range.toOffset(plainIp(asked)!);
    const refuse = (text: string) =>
      refused(invalid("spec.clusterIPs", [asked], `failed to allocate IP ${asked}: ${text}`));
    if (offset < 0)
      return refuse(
        `the provided IP (${asked}) is not in the valid range. The range of valid IPs is ${state.ips.range.text}`,
      );
    if (ips.has(offset)) return refuse("provided IP is already allocated");
    ips = ips.with([offset], true);
    spec.clusterIP = asked || state.ips.range.toText(offset);
  }
  if (spec.type !== "ExternalName") spec.clusterIPs = [spec.clusterIP ?? ""];

  const { range } = state.ports;
  /** Why it cannot be taken. */
  const takePort = (asked: number): string | undefined => {
    const offset = range.toOffset(asked);
    if (offset < 0) return `provided port is not in the valid range. The range of valid ports is ${range.text}`;
    if (ports.has(offset)) return "provided port is already allocated";
    ports = ports.with([offset], true);
    return undefined;
  };
  const freePort = (): number => {
    const offset = next(ports, state.ports, "nodePort");
    ports = ports.with([offset], true);
    return Number(range.toText(offset));
  };
  const nodePorts = hasNodePorts(spec) ? (spec.ports ?? []) : [];
  const gives = spec.type === "NodePort" || spec.allocateLoadBalancerNodePorts !== false;
  /** What this Service has so far: by port when it is new, as one serves all protocols of a port; else by itself. */
  const own = new Map<number, number>();
  for (const [i, port] of nodePorts.entries()) {
    if (!port.nodePort && !gives) continue;
    const shared = own.get(previous ? (port.nodePort ?? 0) : port.port);
    const sibling = previous ? undefined : nodePorts.find((one) => one.nodePort && one.port === port.port);
    const asked = port.nodePort || shared || sibling?.nodePort;
    const problem = asked && asked !== shared ? takePort(asked) : undefined;
    if (problem) return refused(invalid(`spec.ports[${i}].nodePort`, asked, problem));
    port.nodePort = asked || freePort();
    if (shared === undefined) own.set(previous ? port.nodePort : port.port, port.nodePort);
  }
  if (needsHealthCheck(spec)) {
    const asked = spec.healthCheckNodePort;
    const kept = previous?.spec && needsHealthCheck(previous.spec) && previous.spec.healthCheckNodePort;
    if (kept) ports = ports.with([range.toOffset(kept)].filter(valid), true);
    const problem = asked && !kept ? takePort(asked) : undefined;
    if (problem)
      throw internalError(new Error(`failed to allocate requested HealthCheck NodePort ${asked}: ${problem}`));
    spec.healthCheckNodePort = asked || freePort();
  }
  return refused();
}

/** The cluster has IPv4 alone, and only what selects nothing and has no address may name both families. */
function settleFamilies(spec: ServiceSpec, old?: ServiceSpec): FieldError[] {
  const free = spec.clusterIP === "None" && Object.keys(spec.selector ?? {}).length === 0;
  spec.ipFamilyPolicy ??= free ? "RequireDualStack" : "SingleStack";
  const policy = spec.ipFamilyPolicy;
  const errors: FieldError[] = [];
  const refuse = (detail: string) => errors.push(invalid("spec.ipFamilyPolicy", policy, detail));
  const single = policy === "SingleStack";
  const families = [...(spec.ipFamilies ?? [])];
  // Who asks for one stack, and leaves the families, means the first of them.
  if (single && old && sameJson(families, old.ipFamilies)) families.splice(1);
  if (!single && families.length > 0 && families.length < (old?.ipFamilies?.length ?? 0))
    refuse("must be 'SingleStack' to release the secondary IP family");
  const demand = "must be 'RequireDualStack' or 'PreferDualStack' when multiple";
  const ips = (spec.clusterIPs ?? [spec.clusterIP ?? ""]).filter((ip) => ip !== "" && ip !== "None");
  if (single && ips.length > 1) refuse(`${demand} cluster IPs are specified`);
  if (single && families.length > 1) refuse(`${demand} IP families are specified`);
  for (const [i, ip] of ips.entries()) {
    const family = familyOf(ip);
    if (i < families.length) continue;
    if (family === "IPv4") families.push(family);
    else errors.push(invalid(`spec.clusterIPs[${i}]`, ips, `${family} is not configured on this cluster`));
  }
  if (errors.length > 0) return errors;
  if (families.length === 0) families.push("IPv4");
  if (free && families.length < 2 && !single) families.push(families[0] === "IPv6" ? "IPv4" : "IPv6");
  if (!free && policy === "RequireDualStack") refuse("this cluster is not configured for dual-stack services");
  if (!free)
    for (const [i, family] of families.entries())
      if (family !== "IPv4") errors.push(invalid(`spec.ipFamilies[${i}]`, family, "not configured on this cluster"));
  spec.ipFamilies = families;
  return errors;
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
