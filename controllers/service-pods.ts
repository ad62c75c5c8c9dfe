import { isPodTerminal, isSidecar } from "../api/core/pod-status.ts";
import type { Pod, Service, ServicePort } from "../api/generated/core-v1.ts";
import { Pods, Services } from "../api/generated/resources.ts";
import { labelsSelector, matches } from "../apimachinery/selectors.ts";
import { keyOf } from "../client/store.ts";
import type { ControllerContext } from "./context.ts";

/** What the controllers of Endpoints and of EndpointSlices share: which Pods stand behind a Service, at which ports. */
export interface PodPort {
  name: string;
  port: number;
  protocol: "TCP" | "UDP" | "SCTP";
  appProtocol?: string;
}

export function hasEndpoints({ spec }: Service): boolean {
  return spec?.selector !== undefined && Object.keys(spec.selector).length > 0 && spec.type !== "ExternalName";
}

/** Has an address that may serve. Pods that terminate have one still; it is for the caller to tell them apart. */
export const hasAddress = (pod: Pod): boolean => !isPodTerminal(pod) && Boolean(pod.status?.podIP);

/** The ports of the Service as this Pod has them. A named targetPort that the Pod does not declare is left out. */
export function podPorts({ spec }: Service, pod: Pod): PodPort[] {
  return (spec?.ports ?? []).flatMap((servicePort) => {
    const port = targetPort(servicePort, pod);
    if (port === undefined) return [];
    const { name = "", protocol = "TCP", appProtocol } = servicePort;
    return [{ name, port, protocol, ...(appProtocol !== undefined && { appProtocol }) }];
  });
}

function targetPort({ targetPort, port, protocol = "TCP" }: ServicePort, pod: Pod): number | undefined {
  if (typeof targetPort !== "string") return targetPort || port;
  const sidecars = (pod.spec.initContainers ?? []).filter(isSidecar);
  const ports = [...pod.spec.containers, ...sidecars].flatMap((container) => container.ports ?? []);
  return ports.find((candidate) => candidate.name === targetPort && (candidate.protocol ?? "TCP") === protocol)
    ?.containerPort;
}

/** What both say of one Pod. Its own host name holds within a headless Service of the same name as its subdomain. */
export function targetOf(service: Service, { metadata: { namespace, name, uid }, spec }: Pod) {
  return {
    ...(spec.hostname && spec.subdomain === service.metadata.name && { hostname: spec.hostname }),
    ...(spec.nodeName && { nodeName: spec.nodeName }),
    targetRef: { kind: "Pod", namespace: namespace!, name, uid: uid! },
  };
}

/** The Service's labels, and who manages it. */
export function labelsOf({ metadata, spec }: Service, own: Record<string, string>): Record<string, string> {
  const headless = spec?.clusterIP === "None" && { "service.kubernetes.io/headless": "" };
  return { ...metadata.labels, ...own, ...headless };
}

/** Looks up a Service's Pods, and calls `enqueue` for each Service that a change may concern. */
export function watchServices(context: ControllerContext, enqueue: (key: string) => void): (service: Service) => Pod[] {
  const services = context.informer(Services);
  const pods = context.informer(Pods);
  const servicesIn = services.store.index(({ metadata }) => [metadata.namespace!]);
  const podsIn = pods.store.index(({ metadata }) => [metadata.namespace!]);
  services.on((service) => enqueue(keyOf(service)));

  function enqueueFor(...versions: Pod[]): void {
    for (const service of servicesIn(versions[0]!.metadata.namespace!)) {
      if (hasEndpoints(service) && versions.some((pod) => selectsPod(service, pod))) enqueue(keyOf(service));
    }
  }

  pods.on({
    onAdd: (pod) => enqueueFor(pod),
    onUpdate: (old, pod) => enqueueFor(old, pod),
    onDelete: (pod) => enqueueFor(pod),
  });
  return (service) => podsIn(service.metadata.namespace!).filter((pod) => selectsPod(service, pod));
}

function selectsPod({ spec }: Service, { metadata }: Pod): boolean {
  return matches(labelsSelector(spec!.selector!), metadata.labels);
}
