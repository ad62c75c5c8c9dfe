import { isIP } from "node:net";
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
} from "../../apimachinery/field-error.ts";
import { dns1035Label, dns1123Label, dns1123Subdomain, portNumber } from "../../apimachinery/names.ts";
import { validateLabels } from "../../apimachinery/selectors.ts";
import type { Service } from "../generated/core-v1.ts";
import { validateObjectMeta, validateObjectMetaUpdate } from "../metadata.ts";
import { oneOf, validateTargetPort } from "./container-validation.ts";

/** Drops what the type does not have, so that changing the type alone is a valid update. */
export function resetServiceFields({ spec }: Service): void {
  if (spec.type === "ExternalName") {
    for (const key of ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] as const)
      delete spec[key];
  }
  if (spec.type !== "LoadBalancer") {
    delete spec.allocateLoadBalancerNodePorts;
    delete spec.loadBalancerClass;
  }
  if (spec.type !== "LoadBalancer" && spec.type !== "NodePort" && !spec.externalIPs?.length)
    delete spec.externalTrafficPolicy;
}

export const ipText = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

export function validateService(service: Service): FieldError[] {
  return [...validateObjectMeta(service.metadata, { namespaced: true, name: dns1035Label }), ...validateSpec(service)];
}

function validateSpec({ spec }: Service): FieldError[] {
  const errors = oneOf("spec.type", spec.type, ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], true);
  const headless = spec.clusterIP === "None";
  const ports = spec.ports ?? [];
  if (ports.length === 0 && !headless && spec.type !== "ExternalName") errors.push(required("spec.ports"));
  if (spec.type === "ExternalName") {
    const name = spec.externalName ?? "";
    if (!name) errors.push(required("spec.externalName"));
    else
      for (const p of dns1123Subdomain(name.replace(/\.$/, "")))
        errors.push(invalidValue("spec.externalName", name, p));
  }
  if (headless && (spec.type === "LoadBalancer" || spec.type === "NodePort"))
    errors.push(invalidValue("spec.clusterIPs[0]", "None", `may not be set to 'None' for ${spec.type} services`));
  const names = new Set<string>();
  const pairs = new Set<string>();
  const nodePorts = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const at = `spec.ports[${i}]`;
    if (!port.name) {
      if (ports.length > 1) errors.push(required(`${at}.name`));
    } else {
      for (const p of dns1123Label(port.name)) errors.push(invalidValue(`${at}.name`, port.name, p));
      if (names.has(port.name)) errors.push(duplicate(`${at}.name`, port.name));
      names.add(port.name);
    }
    for (const p of portNumber(port.port ?? 0)) errors.push(invalidValue(`${at}.port`, port.port ?? 0, p));
    errors.push(...oneOf(`${at}.protocol`, port.protocol, ["SCTP", "TCP", "UDP"], true));
    errors.push(...validateTargetPort(port.targetPort, `${at}.targetPort`));
    if (port.nodePort && spec.type === "ClusterIP")
      errors.push(forbiddenField(`${at}.nodePort`, "may not be used when `type` is 'ClusterIP'"));
    const pair = `${port.protocol}/${port.port}`;
    if (pairs.has(pair)) errors.push(duplicate(at, { protocol: port.protocol, port: port.port }));
    pairs.add(pair);
    const nodePort = `${port.protocol}/${port.nodePort}`;
    if (port.nodePort && nodePorts.has(nodePort)) errors.push(duplicate(`${at}.nodePort`, port.nodePort));
    nodePorts.add(nodePort);
  }
  errors.push(...validateLabels(spec.selector, "spec.selector"));
  errors.push(...validateAffinity(spec));
  for (const [i, ip] of (spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : [])).entries())
    if (ip !== "None" && isIP(ip) === 0) errors.push(invalidValue(`spec.clusterIPs[${i}]`, ip, ipText));
  if (spec.clusterIP && spec.clusterIPs?.length && spec.clusterIPs[0] !== spec.clusterIP)
    errors.push(invalidValue("spec.clusterIPs", spec.clusterIPs, "first value must match `clusterIP`"));
  for (const [i, ip] of (spec.externalIPs ?? []).entries())
    if (isIP(ip) === 0) errors.push(invalidValue(`spec.externalIPs[${i}]`, ip, ipText));
  const external = spec.type === "LoadBalancer" || spec.type === "NodePort" || spec.externalIPs?.length;
  if (spec.externalTrafficPolicy && !external)
    errors.push(
      invalidValue(
        "spec.externalTrafficPolicy",
        spec.externalTrafficPolicy,
        "may only be set for externally-accessible services",
      ),
    );
  else if (spec.externalTrafficPolicy)
    errors.push(...oneOf("spec.externalTrafficPolicy", spec.externalTrafficPolicy, ["Cluster", "Local"], true));
  if (spec.internalTrafficPolicy)
    errors.push(...oneOf("spec.internalTrafficPolicy", spec.internalTrafficPolicy, ["Cluster", "Local"], true));
  return errors;
}

function validateAffinity({ sessionAffinity, sessionAffinityConfig }: Service["spec"]): FieldError[] {
  if (!sessionAffinity) return [required("spec.sessionAffinity")];
  if (sessionAffinity === "None")
    return sessionAffinityConfig
      ? [forbiddenField("spec.sessionAffinityConfig", `must not be set when session affinity is None`)]
      : [];
  if (sessionAffinity !== "ClientIP")
    return [notSupported("spec.sessionAffinity", sessionAffinity, ["ClientIP", "None"])];
  const seconds = sessionAffinityConfig?.clientIP?.timeoutSeconds;
  const path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
  if (seconds === undefined) return [required(path)];
  return seconds > 0 && seconds <= 86400
    ? []
    : [invalidValue(path, seconds, "must be greater than 0 and less than 86400")];
}

export function validateServiceUpdate(service: Service, old: Service): FieldError[] {
  const errors = [...validateObjectMetaUpdate(service.metadata, old.metadata), ...validateSpec(service)];
  if (service.spec.type === "ExternalName" || old.spec.type === "ExternalName") return errors;
  const [ip, before] = [
    service.spec.clusterIPs?.[0] ?? service.spec.clusterIP,
    old.spec.clusterIPs?.[0] ?? old.spec.clusterIP,
  ];
  if (before && !ip)
    errors.push(
      invalidValue("spec.clusterIPs[0]", service.spec.clusterIPs ?? null, "primary clusterIP can not be unset"),
    );
  else if (before && ip !== before)
    errors.push(invalidValue("spec.clusterIPs[0]", service.spec.clusterIPs ?? [ip], "may not change once set"));
  return errors;
}
