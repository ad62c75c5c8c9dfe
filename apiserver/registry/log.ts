import type { IncomingMessage } from "node:http";
import type { Node, Pod } from "../../api/generated/core-v1.ts";
import { Nodes } from "../../api/generated/resources.ts";
import * as field from "../../apimachinery/field-error.ts";
import { badRequest, internalError, invalid, notFound } from "../../apimachinery/status.ts";
import type { TlsMaterial } from "../../net/tls.ts";
import { registryRoot } from "../storage/storage.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import { dial, dialText } from "../streams/dial.ts";
import type { Location } from "../streams/location.ts";
import type { Context, Place } from "./context.ts";

/**
 * GET pods/log: passed on to the agent of the Pod's node (port 10250, TLS both ways with the kubelet client
 * certificate), as `GET /containerLogs/{namespace}/{pod}/{container}?...`.
 */
export interface KubeletClient {
  tls: TlsMaterial;
}

/** The query parameters that the agent knows; the rest stays here. */
const passed = ["follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream"];

export async function podLog(
  { context, target }: Place,
  kubelet: KubeletClient | undefined,
  stored: StoredObject,
  query: URLSearchParams,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const pod = stored.parse() as Pod;
  const container = chooseContainer(pod, query.get("container") ?? "");
  checkLogOptions(target.name, query);
  const nodeName = pod.spec?.nodeName;
  if (!nodeName) return empty(); // upstream: nothing has run, so nothing was said
  const { host, port } = agentAddress(context, nodeName);
  const parameters = new URLSearchParams();
  for (const name of passed) if (query.has(name)) parameters.set(name, query.get(name)!);
  const path = `/containerLogs/${target.namespace}/${target.name}/${container}?${parameters}`;
  if (kubelet === undefined) throw internalError(new Error("no kubelet client certificate is configured"));
  return request({ host, port, path, tls: kubelet.tls, faults: context.faults }, signal);
}

/** Upstream's ValidatePodLogOptions. */
function checkLogOptions(pod: string, query: URLSearchParams): void {
  const errors: field.FieldError[] = [];
  for (const [name, least] of Object.entries({ tailLines: 0, limitBytes: 1, sinceSeconds: 1 })) {
    const value = query.get(name);
    if (value === null) continue;
    if (!/^-?\d{1,15}$/.test(value))
      throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
    const detail = `must be greater than ${least === 0 ? "or equal to " : ""}0`;
    if (Number(value) < least) errors.push(field.invalid(name, Number(value), detail));
  }
  if (query.has("sinceSeconds") && query.has("sinceTime"))
    errors.push(field.forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
  if (errors.length > 0) throw invalid({ group: "", kind: "PodLogOptions" }, pod, errors);
}

/** Throws 400 unless the name stands for exactly one container. */
export function chooseContainer({ metadata, spec }: Pod, wanted: string): string {
  const names = (list: { name: string }[] | undefined) => (list ?? []).map(({ name }) => name);
  const containers = names(spec?.containers);
  const init = names(spec?.initContainers);
  if (wanted === "") {
    if (containers.length === 1) return containers[0]!;
    const others = init.length > 0 ? ` or one of the init containers: [${init.join(" ")}]` : "";
    throw badRequest(
      `a container name must be specified for pod ${metadata.name}, choose one of: [${containers.join(" ")}]${others}`,
    );
  }
  if (![...containers, ...init, ...names(spec?.ephemeralContainers as { name: string }[])].includes(wanted))
    throw badRequest(`container ${wanted} is not valid for pod ${metadata.name}`);
  return wanted;
}

export function agentAddress({ cache }: Context, name: string): { host: string; port: number } {
  const prefix = `${registryRoot}minions/`;
  const node = cache.resource(prefix).objects.get(`${prefix}${name}`)?.parse() as Node | undefined;
  if (node === undefined) throw notFound(Nodes, name);
  const { addresses = [], daemonEndpoints } = node.status ?? {};
  const of = (type: string) => addresses.find((address) => address.type === type)?.address;
  const host = of("InternalIP") ?? of("Hostname") ?? of("ExternalIP");
  if (host === undefined) throw internalError(new Error(`no preferred addresses found; known addresses: []`));
  return { host, port: daemonEndpoints?.kubeletEndpoint?.Port || 10250 };
}

async function* empty(): AsyncGenerator<Uint8Array> {}

/** Resolves at the agent's 200; what else it says is the client's error. */
function request(location: Location, signal: AbortSignal): Promise<IncomingMessage> {
  const url = `https://${location.host}:${location.port}${location.path.replace(/\?$/, "")}`;
  return new Promise((resolve, reject) => {
    const call = dial(location, { signal });
    call.on("response", (response: IncomingMessage) => {
      if (response.statusCode === 200) return resolve(response);
      response.setEncoding("utf8");
      let text = "";
      response.on("data", (chunk: string) => {
        if (text.length < 64 * 1024) text += chunk;
      });
      response.on("end", () => reject(agentError(response.statusCode ?? 500, text.trim(), url)));
      response.on("error", reject);
    });
    call.on("error", (error) =>
      reject(internalError(new Error(`Get "${url}": ${dialText(location, error)}`, { cause: error }))),
    );
    call.end();
  });
}

/** Not started, no such container: the agent's text as it is, since kubectl prints it. */
function agentError(code: number, text: string, url: string): Error {
  if (code === 400) return badRequest(text);
  if (code === 404) return badRequest(text || `the server could not find the requested resource (${url})`);
  return internalError(new Error(text || `unexpected status ${code} from ${url}`));
}
