import { ageColumn, column, join, labelsText, nameColumn, orNone, pointsOf, wide } from "../columns.ts";
import type { Service, ServicePort } from "../generated/core-v1.ts";
import { Services } from "../generated/resources.ts";
import { defineResource, keepAllButStatus, keepStatus, proxySubresource } from "../kind.ts";
import * as rules from "./service-validation.ts";

/**
 * Services. Cluster IPs, node ports and IP families are allocated by the registry when it writes them, so validation
 * asks for none.
 */
export const services = defineResource(Services, {
  shortNames: ["svc"],
  categories: ["all"],
  storagePrefix: "services/specs",
  createOnUpdate: true,
  subresources: [proxySubresource("ServiceProxyOptions"), "status"],
  selectable: { "spec.clusterIP": "", "spec.type": "" },
  defaults,
  prepareForCreate(service) {
    service.status = { loadBalancer: {} };
  },
  prepareForUpdate(service, old) {
    keepStatus(service, old);
    rules.keepAllocated(service, old);
    rules.dropTypeDependentFields(service, old);
  },
  prepareForStatusUpdate: keepAllButStatus,
  validate: rules.validateService,
  validateUpdate: rules.validateServiceUpdate,
  validateStatusUpdate: rules.validateServiceStatusUpdate,
  columns: [
    nameColumn,
    column("Type", ({ spec }) => spec.type ?? "", "How it is reached."),
    column("Cluster-IP", ({ spec }) => orNone(spec.clusterIPs?.[0] ?? spec.clusterIP), "Its address in the cluster."),
    column("External-IP", externalIp, "Addresses outside of the cluster."),
    column("Port(s)", ({ spec }) => orNone(join(spec.ports?.map(portText))), "Ports, and node ports after the colon."),
    ageColumn,
    column("Selector", ({ spec }) => labelsText(spec.selector), "Labels of the Pods behind it.", wide),
  ],
});

function defaults({ spec, status }: Service): void {
  spec.sessionAffinity ||= "None";
  if (spec.sessionAffinity === "None") delete spec.sessionAffinityConfig;
  if (spec.sessionAffinity === "ClientIP" && spec.sessionAffinityConfig?.clientIP?.timeoutSeconds === undefined)
    spec.sessionAffinityConfig = { clientIP: { timeoutSeconds: 10800 } };
  spec.type ||= "ClusterIP";
  for (const port of spec.ports ?? []) {
    port.protocol ||= "TCP";
    if (!port.targetPort) port.targetPort = port.port;
  }
  const external = spec.type === "NodePort" || spec.type === "LoadBalancer";
  if (external || (spec.type === "ClusterIP" && spec.externalIPs?.length)) spec.externalTrafficPolicy ||= "Cluster";
  if (external || spec.type === "ClusterIP") spec.internalTrafficPolicy ??= "Cluster";
  // Upstream once stored it for names, and leaves it out when they are read.
  else if (spec.type === "ExternalName" && /^(Cluster|Local)$/.test(spec.internalTrafficPolicy ?? ""))
    delete spec.internalTrafficPolicy;
  if (spec.type !== "LoadBalancer") return;
  spec.allocateLoadBalancerNodePorts ??= true;
  for (const ingress of status?.loadBalancer?.ingress ?? []) if (ingress.ip) ingress.ipMode ??= "VIP";
}

function externalIp({ spec, status }: Service): string {
  if (spec.type === "ExternalName") return spec.externalName ?? "";
  const ips = spec.externalIPs ?? [];
  if (spec.type !== "LoadBalancer") return orNone(join(ips));
  return join([...pointsOf(status?.loadBalancer), ...ips]) || "<pending>";
}

const portText = ({ port, nodePort, protocol }: ServicePort): string =>
  nodePort ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`;
