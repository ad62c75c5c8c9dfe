import { isIP } from "node:net";
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalidValue,
  notSupported,
  type Problems,
  required,
} from "../../apimachinery/field-error.ts";
import { parseCidr } from "../../apimachinery/ip.ts";
import { dns1035Label, dns1123Label, dns1123Subdomain, portNumber, qualifiedName } from "../../apimachinery/names.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { validateLabels } from "../../apimachinery/selectors.ts";
import type { Service, ServicePort, ServiceSpec } from "../generated/core-v1.ts";
import { validateObjectMeta, validateObjectMetaUpdate } from "../metadata.ts";
import { cidrText } from "../networking/network-policy.ts";
import { oneOf, validateTargetPort } from "./container-validation.ts";
import { endpointAddress } from "./endpoints.ts";

/** What went with the type that a Service had goes with it, unless the client changed it (upstream: dropTypeDependentFields). */
export function dropTypeDependentFields({ spec }: Service, { spec: old }: Service): void {
  const went = (needed: (spec: ServiceSpec) => unknown) => needed(old) && !needed(spec);
  const drop = (...keys: (keyof ServiceSpec)[]) => {
    if (keys.every((key) => sameJson(spec[key], old[key]))) for (const key of keys) delete spec[key];
  };
  if (went(({ type }) => type !== "ExternalName")) {
    drop("clusterIP", "clusterIPs");
    drop("ipFamilies");
    drop("ipFamilyPolicy");
  }
  if (went(isExternal)) drop("externalTrafficPolicy");
  if (went(needsHealthCheck)) drop("healthCheckNodePort");
  if (went(({ type }) => type === "LoadBalancer")) {
    drop("allocateLoadBalancerNodePorts");
    drop("loadBalancerClass");
  }
}

const isExternal = ({ type, externalIPs }: ServiceSpec): boolean =>
  type === "LoadBalancer" || type === "NodePort" || (type === "ClusterIP" && Boolean(externalIPs?.length));

export const needsHealthCheck = ({ type, externalTrafficPolicy }: ServiceSpec): boolean =>
  type === "LoadBalancer" && externalTrafficPolicy === "Local";

export const ipText = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

export function* validateService(service: Service): Problems {
  yield* validateObjectMeta(service.metadata, { namespaced: true, name: dns1035Label });
  yield* validateSpec(service);
}

const policies = ["Cluster", "Local"];
const onlyBalancers = "may only be used when `type` is 'LoadBalancer'";
const rangesAnnotation = "service.beta.kubernetes.io/load-balancer-source-ranges";

/** In upstream's order (ValidateService). */
function validateSpec({ spec, metadata: { annotations = {} } }: Service): FieldError[] {
  const errors: FieldError[] = [];
  const { type, ports = [] } = spec;
  const headless = spec.clusterIP === "None";
  const balances = type === "LoadBalancer";
  const check = (at: string, value: string | number, problems: readonly string[]) =>
    errors.push(...problems.map((p) => invalidValue(at, value, p)));
  const [mode, hints] = ["service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"] as const;
  if (annotations[mode] && annotations[hints] && annotations[mode] !== annotations[hints])
    check(`metadata.annotations[${mode}]`, annotations[mode], [
      `must match annotations[${hints}] when both are specified`,
    ]);
  if (ports.length === 0 && !headless && type !== "ExternalName") errors.push(required("spec.ports"));
  if (headless && (balances || type === "NodePort"))
    check("spec.clusterIPs[0]", "None", [`may not be set to 'None' for ${type} services`]);
  if (type === "ExternalName") {
    for (const key of ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] as const)
      if (spec[key]?.length) errors.push(forbiddenField(`spec.${key}`, "may not be set for ExternalName services"));
    const name = (spec.externalName ?? "").replace(/\.$/, "");
    if (name) check("spec.externalName", name, dns1123Subdomain(name));
    else errors.push(required("spec.externalName"));
  }
  errors.push(...validatePorts(ports));
  errors.push(...validateLabels(spec.selector, "spec.selector"));
  errors.push(...validateAffinity(spec), ...validateClusterIps(spec));
  for (const [i, ip] of (spec.externalIPs ?? []).entries())
    errors.push(...endpointAddress(ip, `spec.externalIPs[${i}]`, false));
  errors.push(...oneOf("spec.type", type, ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], true));
  if (type === "ClusterIP")
    for (const [i, { nodePort }] of ports.entries())
      if (nodePort)
        errors.push(forbiddenField(`spec.ports[${i}].nodePort`, "may not be used when `type` is 'ClusterIP'"));
  errors.push(...duplicates(ports));

  const ranges = spec.loadBalancerSourceRanges ?? [];
  const annotated = annotations[rangesAnnotation];
  const at = ranges.length ? "spec.LoadBalancerSourceRanges" : `metadata.annotations[${rangesAnnotation}]`;
  if ((ranges.length || annotated !== undefined) && !balances) errors.push(forbiddenField(at, onlyBalancers));
  for (const [i, range] of (ranges.length ? ranges : ((annotated?.trim() || undefined)?.split(",") ?? [])).entries())
    if (!parseCidr(range.trim())) check(ranges.length ? `${at}[${i}]` : at, range.trim(), [cidrText]);
  if (balances && spec.allocateLoadBalancerNodePorts === undefined)
    errors.push(required("allocateLoadBalancerNodePorts"));
  for (const key of ["allocateLoadBalancerNodePorts", "loadBalancerClass"] as const)
    if (spec[key] !== undefined && !balances) errors.push(forbiddenField(`spec.${key}`, onlyBalancers));
  if (balances && spec.loadBalancerClass !== undefined)
    check("spec.loadBalancerClass", spec.loadBalancerClass, qualifiedName(spec.loadBalancerClass));

  const traffic = spec.externalTrafficPolicy;
  if (isExternal(spec)) errors.push(...oneOf("spec.externalTrafficPolicy", traffic, policies, true));
  else if (traffic)
    check("spec.externalTrafficPolicy", traffic, ["may only be set for externally-accessible services"]);
  const health = spec.healthCheckNodePort ?? 0;
  const healthAt = "spec.healthCheckNodePort";
  if (!needsHealthCheck(spec)) {
    if (health)
      check(healthAt, health, ["may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"]);
  } else if (health === 0) errors.push(required(healthAt));
  else check(healthAt, health, portNumber(health));
  if (spec.internalTrafficPolicy || ["ClusterIP", "NodePort", "LoadBalancer"].includes(type ?? ""))
    errors.push(...oneOf("spec.internalTrafficPolicy", spec.internalTrafficPolicy, policies, true));
  if (spec.trafficDistribution !== undefined)
    errors.push(...oneOf("spec.trafficDistribution", spec.trafficDistribution, distributions, false));
  return errors;
}

const distributions = ["PreferClose", "PreferSameZone", "PreferSameNode"];

function validatePorts(ports: readonly ServicePort[]): FieldError[] {
  const names = new Set<string>();
  return ports.flatMap(({ name, port = 0, protocol, targetPort, appProtocol }, i) => {
    const at = `spec.ports[${i}]`;
    const errors: FieldError[] = [];
    if (!name) {
      if (ports.length > 1) errors.push(required(`${at}.name`));
    } else {
      for (const p of dns1123Label(name)) errors.push(invalidValue(`${at}.name`, name, p));
      if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
      names.add(name);
    }
    for (const p of portNumber(port)) errors.push(invalidValue(`${at}.port`, port, p));
    errors.push(...oneOf(`${at}.protocol`, protocol, ["SCTP", "TCP", "UDP"], true));
    errors.push(...validateTargetPort(targetPort, `${at}.targetPort`));
    if (appProtocol !== undefined)
      for (const p of qualifiedName(appProtocol)) errors.push(invalidValue(`${at}.appProtocol`, appProtocol, p));
    return errors;
  });
}

function* duplicates(ports: readonly ServicePort[]): Problems {
  const seen = new Set<string>();
  const again = (key: string) => seen.size === seen.add(key).size;
  yield* ports.flatMap(({ protocol, nodePort }, i) =>
    nodePort && again(`node ${protocol} ${nodePort}`) ? [duplicate(`spec.ports[${i}].nodePort`, nodePort)] : [],
  );
  yield* ports.flatMap(({ protocol, port }, i) =>
    again(`${protocol} ${port}`) ? [duplicate(`spec.ports[${i}]`, { protocol, port })] : [],
  );
}

const clusterIpsOf = ({ clusterIP, clusterIPs }: ServiceSpec): string[] => clusterIPs ?? (clusterIP ? [clusterIP] : []);

/** What addresses and families have to do with one another; looked at before any is allocated, too. */
export function validateClusterIps(spec: ServiceSpec): FieldError[] {
  const { type, clusterIP, ipFamilies = [], ipFamilyPolicy: policy } = spec;
  if (type === "ExternalName") return [];
  const at = "spec.clusterIPs";
  const ips = clusterIpsOf(spec);
  const errors: FieldError[] = [];
  const wrong = (detail: string) => errors.push(invalidValue(at, ips, detail));
  if (clusterIP) {
    if (ips[0] !== clusterIP) wrong("first value must match `clusterIP`");
  } else if (ips.length) wrong("must be empty when `clusterIP` is not specified");
  for (const [i, family] of ipFamilies.entries()) {
    if (family !== "IPv4" && family !== "IPv6")
      errors.push(notSupported(`spec.ipFamilies[${i}]`, family, ["IPv4", "IPv6"]));
    if (ipFamilies.indexOf(family) < i) errors.push(duplicate(`spec.ipFamilies[${i}]`, family));
  }
  if (policy !== undefined)
    errors.push(...oneOf("spec.ipFamilyPolicy", policy, ["PreferDualStack", "RequireDualStack", "SingleStack"], false));
  const none = ips[0] === "None";
  if (none && ips.length > 1) wrong("'None' must be the first and only value");
  const bad = ips.flatMap((ip, i) => ((i === 0 && none) || isIP(ip) ? [] : [invalidValue(`${at}[${i}]`, ip, ipText)]));
  errors.push(...bad);
  if (ips.length > 2) wrong("may only hold up to 2 values");
  if (bad.length || (none && ips.length > 1)) return errors;
  const both = new Set(ips.map((ip) => isIP(ip))).size === 2;
  if (ips.length > 1 && !both) wrong("may specify no more than one IP for each IP family");
  for (const [i, ip] of none ? [] : ips.entries())
    if (ipFamilies[i] && ipFamilies[i] !== `IPv${isIP(ip)}`)
      errors.push(
        invalidValue(`${at}[${i}]`, ip, `expected an ${ipFamilies[i]} value as indicated by \`ipFamilies[${i}]\``),
      );
  return errors;
}

function* validateAffinity({ sessionAffinity, sessionAffinityConfig }: Service["spec"]): Problems {
  if (!sessionAffinity) return yield required("spec.sessionAffinity");
  if (sessionAffinity === "None") {
    if (sessionAffinityConfig)
      yield forbiddenField("spec.sessionAffinityConfig", `must not be set when session affinity is None`);
    return;
  }
  if (sessionAffinity !== "ClientIP")
    return yield notSupported("spec.sessionAffinity", sessionAffinity, ["ClientIP", "None"]);
  const seconds = sessionAffinityConfig?.clientIP?.timeoutSeconds;
  const path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
  if (seconds === undefined) return yield required(path);
  if (!(seconds > 0 && seconds <= 86400))
    yield invalidValue(path, seconds, "must be greater than 0 and less than 86400");
}

/** Addresses and families stay once they are given, but the second ones may come and go. */
export function* validateServiceUpdate(service: Service, old: Service): Problems {
  const [{ spec }, { spec: before }] = [service, old];
  yield* validateObjectMetaUpdate(service.metadata, old.metadata);
  const named = spec.type === "ExternalName" || before.type === "ExternalName";
  const [headless, was] = [spec, before].map(({ clusterIP }) => clusterIP === "None") as [boolean, boolean];
  if (!named && !(headless && was)) yield* stays(spec, before, "clusterIPs", "clusterIP");
  if (!named && !headless && !was) yield* stays(spec, before, "ipFamilies", "ipFamily");
  const classAt = "spec.loadBalancerClass";
  if (
    spec.type === "LoadBalancer" &&
    before.type === "LoadBalancer" &&
    spec.loadBalancerClass !== before.loadBalancerClass
  )
    yield invalidValue(classAt, spec.loadBalancerClass ?? null, "may not change once set");
  if (needsHealthCheck(spec) && needsHealthCheck(before) && spec.healthCheckNodePort !== before.healthCheckNodePort)
    yield forbiddenField("spec.healthCheckNodePort", "field is immutable");
  yield* validateSpec(service);
}

function stays(spec: ServiceSpec, before: ServiceSpec, key: "clusterIPs" | "ipFamilies", one: string): FieldError[] {
  const of = (given: ServiceSpec): string[] => (key === "clusterIPs" ? clusterIpsOf(given) : (given.ipFamilies ?? []));
  const [now, then] = [of(spec), of(before)];
  const errors: FieldError[] = [];
  const refuse = (i: number, detail: string) => errors.push(invalidValue(`spec.${key}[${i}]`, now, detail));
  if (then.length > 0 && now.length === 0) refuse(0, `primary ${one} can not be unset`);
  // Upstream says [0] of both families.
  for (const [i, value] of (now.length === then.length ? then : then.slice(0, Math.min(1, now.length))).entries())
    if (now[i] !== value) refuse(key === "ipFamilies" ? 0 : i, "may not change once set");
  if (then.length > 1 && now.length === 1 && spec.ipFamilyPolicy !== "SingleStack")
    errors.push(
      invalidValue(
        "spec.ipFamilyPolicy",
        spec.ipFamilyPolicy ?? null,
        `must be set to 'SingleStack' when releasing the secondary ${one}`,
      ),
    );
  return errors;
}
