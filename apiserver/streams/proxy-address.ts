import { endpointAddress } from "../../api/core/endpoints.ts";
import type { Pod, Service } from "../../api/generated/core-v1.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { badRequest, serviceUnavailable } from "../../apimachinery/status.ts";
import type { Context } from "../registry/context.ts";
import type { Target } from "../request.ts";
import { registryRoot } from "../storage/storage.ts";
import { readyEndpoints } from "../webhook-client.ts";
import type { Address } from "./location.ts";

/**
 * Whom `[scheme:]name[:port]/proxy` of a Pod, Service or node means. A Pod's port is by default the first that it
 * declares; a Service's is a number or a name, and one of its ready Pods is chosen; a node's is by default its agent's.
 * `read` gets the Pod or Service. Throws upstream's 400, 404 and 503.
 */
export async function proxyAddress(
  context: Context,
  { namespace, resource, name: id }: Target,
  read: (name: string) => Promise<KubernetesObject>,
  agent: (nodeName: string) => Address,
): Promise<Address> {
  const parts = id.split(":");
  const [scheme = "", name, port = ""] = parts.length === 3 ? parts : ["", ...parts];
  if (parts.length > 3 || !name || !["", "http", "https"].includes(scheme))
    throw badRequest(`invalid ${resource.slice(0, -1)} request ${JSON.stringify(id)}`);
  const tls = scheme === "https" ? "any" : undefined;
  const proxyable = (ip: string | undefined) =>
    ip !== undefined &&
    [...endpointAddress(ip, "", context.allowLoopbackEndpoints ?? false)].length === 0 &&
    !/^(22[4-9]|23\d)\.|^255\.255\.255\.255$|^ff/i.test(ip);
  if (resource === "nodes") {
    const address = agent(name);
    if (port === "" || Number(port) === address.port) return address;
    if (!proxyable(address.host)) throw badRequest("address not allowed");
    return { host: address.host, port: toPort(port), tls };
  }
  if (resource === "pods") {
    const { spec, status } = (await read(name)) as Pod;
    const declared = spec.containers.find(({ ports }) => ports?.length)?.ports?.[0]?.containerPort;
    const host = podIPs(status)[0];
    if (!proxyable(host)) throw badRequest("address not allowed");
    return { host: host!, port: port === "" ? declared : toPort(port), tls };
  }
  const { spec } = (await read(name)) as Service;
  const isNumber = /^[+-]?\d+$/.test(port);
  const own = isNumber && spec.ports?.find((one) => one.port === Number(port));
  if (isNumber && !own)
    throw serviceUnavailable(`no service port ${Number(port)} found for service ${JSON.stringify(name)}`);
  const found = readyPods(context, namespace, name, own ? (own.name ?? "") : port).filter(({ host }) =>
    proxyable(host),
  );
  if (found.length === 0) throw serviceUnavailable(`no endpoints available for service ${JSON.stringify(name)}`);
  return { ...found[context.rand.below(found.length)]!, tls };
}

/**
 * Unlike for webhooks, only addresses that are a Pod's: else who may write endpoints could reach through the apiserver
 * whatever it reaches.
 */
function readyPods({ cache }: Context, namespace: string, service: string, portName: string) {
  const { objects: pods } = cache.resource(`${registryRoot}pods/`);
  return [...readyEndpoints(cache, namespace, service, portName)].flatMap(({ endpoint, port }) => {
    if (endpoint.targetRef?.kind !== "Pod") return [];
    const pod = pods.get(`${registryRoot}pods/${namespace}/${endpoint.targetRef.name}`)?.parse() as Pod | undefined;
    const host = endpoint.addresses.find((ip) => podIPs(pod?.status).includes(ip));
    return host === undefined ? [] : [{ host, port }];
  });
}

const podIPs = (status: Pod["status"]): string[] =>
  status?.podIPs?.length ? status.podIPs.map(({ ip }) => ip!) : status?.podIP ? [status.podIP] : [];

/** Upstream puts the text into a URL and fails when it dials. */
function toPort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65535)
    throw serviceUnavailable(`error trying to reach service: dial tcp: address ${text}: invalid port`);
  return port;
}
