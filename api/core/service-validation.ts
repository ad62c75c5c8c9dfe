import { isIP } from "node:net";
import * as field from "../../apimachinery/field-error.ts";
import { legacyCidr, legacyIp, plainIp } from "../../apimachinery/ip.ts";
import { dns1035Label, dns1123Label, dns1123Subdomain, portNumber, qualifiedName } from "../../apimachinery/names.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { validateLabels } from "../../apimachinery/selectors.ts";
import type { Service, ServicePort, ServiceSpec } from "../generated/core-v1.ts";
import { capitalized, validateObjectMeta, validateObjectMetaUpdate } from "../kind.ts";
import { validateTargetPort } from "./container-validation.ts";
import { endpointAddress } from "./endpoints.ts";

export const hasNodePorts = ({ type }: ServiceSpec): boolean => type === "NodePort" || type === "LoadBalancer";
const hasClusterIp = ({ type }: ServiceSpec): boolean => type !== "ExternalName";

/** What was allocated stays when a client leaves it out (upstream: patchAllocatedValues, normalizeClusterIPs). */
export function keepAllocated({ spec }: Service, { spec: old }: Service): void {
  const both = (needed: (spec: ServiceSpec) => boolean) => needed(spec) && needed(old);
  if (both(hasClusterIp)) {
    for (const key of ["clusterIP", "clusterIPs", "ipFamilyPolicy"] as const)
      if (!spec[key]?.length && old[key]) Object.assign(spec, { [key]: structuredClone(old[key]) });
    if (spec.clusterIP !== "None" && old.ipFamilies) spec.ipFamilies ??= [...old.ipFamilies];
  } else if (spec.clusterIP === old.clusterIP && !spec.clusterIPs?.length && old.clusterIPs)
    spec.clusterIPs = [...old.clusterIPs];
  // Clients that know only clusterIP move the other along.
  if (spec.clusterIP !== old.clusterIP && sameJson(spec.clusterIPs ?? [], old.clusterIPs ?? [])) {
    if (spec.clusterIP) spec.clusterIPs = [spec.clusterIP];
    else delete spec.clusterIPs;
  }
  if (both(needsHealthCheck)) spec.healthCheckNodePort ||= old.healthCheckNodePort!;
  if (!both(hasNodePorts)) return;
  const before = new Map(old.ports?.map(({ name = "", nodePort }) => [name, nodePort]));
  const used = nodePortsOf(spec);
  for (const port of spec.ports ?? []) {
    const kept = before.get(port.name ?? "");
    if (!port.nodePort && kept && !used.has(kept)) port.nodePort = kept;
  }
}

const nodePortsOf = ({ ports = [] }: ServiceSpec) => new Set(ports.flatMap(({ nodePort }) => nodePort || []));

/** What went with the type that a Service had goes with it, unless the client changed it (upstream: dropTypeDependentFields). */
export function dropTypeDependentFields({ spec, status }: Service, { spec: old }: Service): void {
  const went = (needed: (spec: ServiceSpec) => unknown) => needed(old) && !needed(spec);
  const drop = (...keys: (keyof ServiceSpec)[]) => {
    if (keys.every((key) => sameJson(spec[key], old[key]))) for (const key of keys) delete spec[key];
  };
  if (went(hasClusterIp)) {
    drop("clusterIP", "clusterIPs");
    drop("ipFamilies");
    drop("ipFamilyPolicy");
  }
  const known = nodePortsOf(old);
  if (went(hasNodePorts) && [...nodePortsOf(spec)].every((port) => known.has(port)))
    for (const port of spec.ports ?? []) delete port.nodePort;
  if (went(isExternal)) drop("externalTrafficPolicy");
  if (went(needsHealthCheck)) drop("healthCheckNodePort");
  if (went(({ type }) => type === "LoadBalancer")) {
    drop("allocateLoadBalancerNodePorts");
    drop("loadBalancerClass");
  }
  if (spec.type !== "LoadBalancer" && status) status.loadBalancer = {};
}

const isExternal = ({ type, externalIPs }: ServiceSpec): boolean =>
  type === "LoadBalancer" || type === "NodePort" || (type === "ClusterIP" && Boolean(externalIPs?.length));

export const needsHealthCheck = ({ type, externalTrafficPolicy }: ServiceSpec): boolean =>
  type === "LoadBalancer" && externalTrafficPolicy === "Local";

export function* validateService(service: Service): field.Problems {
  yield* validateObjectMeta(service.metadata, { namespaced: true, name: dns1035Label });
  yield* validateSpec(service);
}

const policies = ["Cluster", "Local"];
const onlyBalancers = "may only be used when `type` is 'LoadBalancer'";
const rangesAnnotation = "service.beta.kubernetes.io/load-balancer-source-ranges";

const onlyExternal = "may only be set for externally-accessible services";

/** In upstream's order (ValidateService). */
function* validateSpec({ spec, metadata: { annotations = {} } }: Service, old?: Service): field.Problems {
  const { type, ports = [] } = spec;
  const headless = spec.clusterIP === "None";
  const balances = type === "LoadBalancer";
  const [mode, hints] = ["service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"] as const;
  if (annotations[mode] !== (annotations[hints] ?? annotations[mode]) && annotations[mode] !== undefined) {
    const text = `must match annotations[${hints}] when both are specified`;
    yield field.invalid(`metadata.annotations[${mode}]`, annotations[mode], text);
  }
  if (ports.length === 0 && !headless && type !== "ExternalName") yield field.required("spec.ports");
  if (headless && (balances || type === "NodePort"))
    yield field.invalid("spec.clusterIPs[0]", "None", `may not be set to 'None' for ${type} services`);
  if (type === "ExternalName") {
    for (const key of ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] as const)
      if (spec[key]?.length) yield field.forbidden(`spec.${key}`, "may not be set for ExternalName services");
    yield* field.requiredName("spec.externalName", spec.externalName?.replace(/\.$/, ""), dns1123Subdomain);
  }
  yield* validatePorts(ports);
  yield* validateLabels(spec.selector, "spec.selector");
  yield* validateAffinity(spec);
  yield* validateClusterIps(spec);
  yield* field.each(spec.externalIPs, "spec.externalIPs", (ip, at) => {
    const problems = legacyIp(at, ip, old?.spec.externalIPs);
    return problems.length ? problems : endpointAddress(ip, at, false);
  });
  yield* field.oneOf("spec.type", type, ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], true);
  for (const [i, { nodePort }] of ports.entries())
    if (nodePort && type === "ClusterIP")
      yield field.forbidden(`spec.ports[${i}].nodePort`, "may not be used when `type` is 'ClusterIP'");
  yield* duplicates(ports);

  const ranges = spec.loadBalancerSourceRanges ?? [];
  const annotated = annotations[rangesAnnotation];
  const at = ranges.length ? "spec.LoadBalancerSourceRanges" : `metadata.annotations[${rangesAnnotation}]`;
  if ((ranges.length || annotated !== undefined) && !balances) yield field.forbidden(at, onlyBalancers);
  const known = old?.spec.loadBalancerSourceRanges?.map((range) => range.trim());
  for (const [i, range] of ranges.entries()) yield* legacyCidr(`${at}[${i}]`, range.trim(), known);
  if (!ranges.length && annotated?.trim() && annotated !== old?.metadata.annotations?.[rangesAnnotation])
    for (const range of annotated.split(",")) yield* legacyCidr(at, range.trim());
  if (balances && spec.allocateLoadBalancerNodePorts === undefined)
    yield field.required("allocateLoadBalancerNodePorts");
  if (spec.allocateLoadBalancerNodePorts !== undefined && !balances)
    yield field.forbidden("spec.allocateLoadBalancerNodePorts", onlyBalancers);
  yield* validateClass(spec);

  const traffic = spec.externalTrafficPolicy;
  if (isExternal(spec)) yield* field.oneOf("spec.externalTrafficPolicy", traffic, policies, true);
  else if (traffic) yield field.invalid("spec.externalTrafficPolicy", traffic, onlyExternal);
  const health = spec.healthCheckNodePort;
  const healthAt = "spec.healthCheckNodePort";
  if (health && needsHealthCheck(spec)) yield* field.shaped(healthAt, health, portNumber);
  else if (health) yield field.invalid(healthAt, health, onlyLocal);
  if (spec.internalTrafficPolicy !== undefined)
    yield* field.oneOf("spec.internalTrafficPolicy", spec.internalTrafficPolicy, policies, false);
  if (spec.trafficDistribution !== undefined)
    yield* field.oneOf("spec.trafficDistribution", spec.trafficDistribution, distributions, false);
}

const onlyLocal = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
const distributions = ["PreferClose", "PreferSameZone", "PreferSameNode"];

function* validateClass({ type, loadBalancerClass: name }: ServiceSpec): field.Problems {
  if (name === undefined) return;
  if (type === "LoadBalancer") yield* field.shaped("spec.loadBalancerClass", name, qualifiedName);
  else yield field.forbidden("spec.loadBalancerClass", onlyBalancers);
}

function* validatePorts(ports: readonly ServicePort[]): field.Problems {
  const names = new Set<string>();
  yield* field.each(ports, "spec.ports", function* ({ name, port = 0, protocol, targetPort, appProtocol }, at) {
    if (name || ports.length > 1) yield* field.uniqueName(`${at}.name`, name, dns1123Label, names);
    yield* field.shaped(`${at}.port`, port, portNumber);
    yield* field.oneOf(`${at}.protocol`, protocol, ["SCTP", "TCP", "UDP"], true);
    yield* validateTargetPort(targetPort, `${at}.targetPort`);
    if (appProtocol !== undefined) yield* field.shaped(`${at}.appProtocol`, appProtocol, qualifiedName);
  });
}

function* duplicates(ports: readonly ServicePort[]): field.Problems {
  const seen = new Set<string>();
  const again = (key: string) => seen.size === seen.add(key).size;
  for (const [i, { protocol, nodePort }] of ports.entries())
    if (nodePort && again(`node ${protocol} ${nodePort}`)) yield field.duplicate(`spec.ports[${i}].nodePort`, nodePort);
  for (const [i, { protocol, port }] of ports.entries())
    if (again(`${protocol} ${port}`)) {
      const told = { name: "", protocol, appProtocol: null, port, targetPort: 0, nodePort: 0 };
      yield field.duplicate(`spec.ports[${i}]`, capitalized(told));
    }
}

const clusterIpsOf = ({ clusterIP, clusterIPs }: ServiceSpec): string[] => clusterIPs ?? (clusterIP ? [clusterIP] : []);

/** What addresses and families have to do with one another; looked at before any is allocated, too. */
export function* validateClusterIps(spec: ServiceSpec): field.Problems {
  const { type, clusterIP, ipFamilies = [], ipFamilyPolicy: policy } = spec;
  if (type === "ExternalName") return;
  const at = "spec.clusterIPs";
  const ips = clusterIpsOf(spec);
  const wrong = (detail: string) => field.invalid(at, ips, detail);
  if (clusterIP && ips[0] !== clusterIP) yield wrong("first value must match `clusterIP`");
  if (!clusterIP && ips.length) yield wrong("must be empty when `clusterIP` is not specified");
  for (const [i, family] of ipFamilies.entries()) {
    yield* field.oneOf(`spec.ipFamilies[${i}]`, family, ["IPv4", "IPv6"], false);
    if (ipFamilies.indexOf(family) < i) yield field.duplicate(`spec.ipFamilies[${i}]`, family);
  }
  if (policy !== undefined)
    yield* field.oneOf("spec.ipFamilyPolicy", policy, ["PreferDualStack", "RequireDualStack", "SingleStack"], false);
  const none = ips[0] === "None";
  if (none && ips.length > 1) yield wrong("'None' must be the first and only value");
  const bad = ips.flatMap((ip, i) => (i === 0 && none ? [] : legacyIp(`${at}[${i}]`, ip)));
  yield* bad;
  if (ips.length > 2) yield wrong("may only hold up to 2 values");
  if (bad.length || none) return;
  const both = new Set(ips.map(familyOf)).size === 2;
  if (ips.length > 1 && !both) yield wrong("may specify no more than one IP for each IP family");
  for (const [i, ip] of ips.entries())
    if (ipFamilies[i] && ipFamilies[i] !== familyOf(ip)) {
      const text = `expected an ${ipFamilies[i]} value as indicated by \`ipFamilies[${i}]\``;
      yield field.invalid(`${at}[${i}]`, ip, text);
    }
}

/** Of an address that is one. */
export const familyOf = (ip: string) => `IPv${isIP(plainIp(ip)!)}`;

function* validateAffinity({ sessionAffinity, sessionAffinityConfig }: Service["spec"]): field.Problems {
  if (!sessionAffinity) return yield field.required("spec.sessionAffinity");
  if (sessionAffinity === "None") {
    if (sessionAffinityConfig)
      yield field.forbidden("spec.sessionAffinityConfig", `must not be set when session affinity is None`);
    return;
  }
  if (sessionAffinity !== "ClientIP")
    return yield field.notSupported("spec.sessionAffinity", sessionAffinity, ["ClientIP", "None"]);
  const seconds = sessionAffinityConfig?.clientIP?.timeoutSeconds;
  const path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
  if (seconds === undefined) return yield field.required(path, "when session affinity type is ClientIP");
  if (!(seconds > 0 && seconds <= 86400))
    yield field.invalid(path, seconds, "must be greater than 0 and less than 86400");
}

export function* validateServiceStatusUpdate({ metadata, spec, status }: Service, old: Service): field.Problems {
  yield* validateObjectMetaUpdate(metadata, old.metadata);
  const at = "status.loadBalancer.ingress";
  const points = status?.loadBalancer?.ingress ?? [];
  if (spec.type !== "LoadBalancer" && points.length > 0)
    return yield field.forbidden(at, "may only be used when `spec.type` is 'LoadBalancer'");
  yield* validatePoints(points, old.status?.loadBalancer?.ingress, at, function* ({ ip, ipMode }, own) {
    if (ip && ipMode === undefined) yield field.required(own, "must be specified when `ip` is set");
    else if (!ip && ipMode !== undefined) yield field.forbidden(own, "may not be specified when `ip` is not set");
    else if (ip) yield* field.oneOf(own, ipMode, ["Proxy", "VIP"], false);
  });
}

/** Where a balancer is reached. */
export function* validatePoints<T extends { ip?: string; hostname?: string }>(
  points: readonly T[],
  before: readonly T[] = [],
  path: string,
  validateMode: (point: T, at: string) => Iterable<field.FieldError> = () => [],
): field.Problems {
  const known = before.flatMap(({ ip }) => ip ?? []);
  yield* field.each(points, path, function* (point, at) {
    const { ip, hostname } = point;
    if (ip) yield* legacyIp(`${at}.ip`, ip, known);
    yield* validateMode(point, `${at}.ipMode`);
    if (hostname) yield* field.shaped(`${at}.hostname`, hostname, dns1123Subdomain);
    if (plainIp(hostname ?? ""))
      yield field.invalid(`${at}.hostname`, hostname, "must be a DNS name, not an IP address");
  });
}

/** Addresses and families stay once they are given, but the second ones may come and go. */
export function* validateServiceUpdate(service: Service, old: Service): field.Problems {
  const [{ spec }, { spec: before }] = [service, old];
  yield* validateObjectMetaUpdate(service.metadata, old.metadata);
  const named = spec.type === "ExternalName" || before.type === "ExternalName";
  const [headless, was] = [spec, before].map(({ clusterIP }) => clusterIP === "None") as [boolean, boolean];
  if (!named && !(headless && was)) yield* stays(spec, before, "clusterIPs", "clusterIP");
  if (!named && !headless && !was) yield* stays(spec, before, "ipFamilies", "ipFamily");
  const balanced = spec.type === "LoadBalancer" && before.type === "LoadBalancer";
  if (balanced && spec.loadBalancerClass !== before.loadBalancerClass)
    yield field.invalid("spec.loadBalancerClass", spec.loadBalancerClass ?? null, "may not change once set");
  yield* validateClass(spec);
  if (needsHealthCheck(spec) && needsHealthCheck(before) && spec.healthCheckNodePort !== before.healthCheckNodePort)
    yield field.forbidden("spec.healthCheckNodePort", "field is immutable");
  yield* validateSpec(service, old);
}

function* stays(spec: ServiceSpec, before: ServiceSpec, key: "clusterIPs" | "ipFamilies", one: string): field.Problems {
  const of = (given: ServiceSpec): string[] => (key === "clusterIPs" ? clusterIpsOf(given) : (given.ipFamilies ?? []));
  const [now, then] = [of(spec), of(before)];
  // Upstream tells the addresses when there are more families, or fewer.
  const told = now.length === then.length ? now : clusterIpsOf(spec);
  const refuse = (i: number, detail: string) => field.invalid(`spec.${key}[${i}]`, told, detail);
  if (then.length > 0 && now.length === 0) yield refuse(0, `primary ${one} can not be unset`);
  // Upstream says [0] of both families.
  for (const [i, value] of (now.length === then.length ? then : then.slice(0, Math.min(1, now.length))).entries())
    if (now[i] !== value) yield refuse(key === "ipFamilies" ? 0 : i, "may not change once set");
  if (then.length > 1 && now.length === 1 && spec.ipFamilyPolicy !== "SingleStack") {
    const text = `must be set to 'SingleStack' when releasing the secondary ${one}`;
    yield field.invalid("spec.ipFamilyPolicy", spec.ipFamilyPolicy ?? null, text);
  }
}
