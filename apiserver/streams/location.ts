import type { ConnectionOptions } from "node:tls";
import type { Pod } from "../../api/generated/core-v1.ts";
import { badRequest } from "../../apimachinery/status.ts";
import type { Faults } from "../../base/faults.ts";
import { isTrue } from "../http/request-info.ts";
import { chooseContainer } from "../registry/log.ts";

/** Where a connection or a request goes on to. */
export interface Location extends Address {
  path: string;
  /** Of a request that is passed on: what its path began with here. Others must ask for an upgrade. */
  prefix?: string;
  /** Besides the client's, of which none says who it is. */
  headers?: Readonly<Record<string, string | string[]>>;
  /** Of exec, attach and port-forward. */
  streams?: StreamOptions;
  /** What the connection suffers on request, by `host`. */
  faults?: Faults | undefined;
}

export interface Address {
  host: string;
  /** Undefined: that of the protocol. */
  port?: number | undefined;
  /** Our client certificate, only towards agents and aggregated APIs; "any" is TLS with whoever is there, without a name. */
  tls?: Pick<ConnectionOptions, "ca" | "cert" | "key" | "servername" | "rejectUnauthorized"> | "any" | undefined;
}

/** The options of a stream as admission sees them, and the agent reads them. Unset fields are absent. */
export interface StreamOptions {
  kind: string;
  apiVersion: "v1";
  stdin?: boolean;
  stdout?: boolean;
  stderr?: boolean;
  tty?: boolean;
  container?: string;
  command?: string[];
  ports?: number[];
}

/** `?command=ls&command=-l&stdout=true` as PodExecOptions, PodAttachOptions or PodPortForwardOptions. */
export function streamOptions(kind: string, query: URLSearchParams): StreamOptions {
  const options: StreamOptions = { kind, apiVersion: "v1" };
  if (kind === "PodPortForwardOptions") {
    const ports = query.getAll("ports").flatMap((text) => text.split(","));
    const bad = ports.find((text) => !/^-?\d{1,9}$/.test(text));
    if (bad !== undefined) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(bad)}: invalid syntax`);
    return ports.length > 0 ? { ...options, ports: ports.map(Number) } : options;
  }
  for (const name of ["stdin", "stdout", "stderr", "tty"] as const) if (isTrue(query.get(name))) options[name] = true;
  const container = query.get("container");
  if (container) options.container = container;
  const command = query.getAll("command");
  return kind === "PodExecOptions" && command.length > 0 ? { ...options, command } : options;
}

/**
 * Where the stream is at the agent of the Pod's node:
 *
 *   /exec/{namespace}/{pod}/{container}?command=..&input=1&output=1&error=1&tty=1
 *   /attach/{namespace}/{pod}/{container}?...
 *   /portForward/{namespace}/{pod}?port=80,81
 *
 * Throws 400 for a container that is not the Pod's, and for a Pod that has no node yet.
 */
export function streamLocation(pod: Pod, options: StreamOptions): { nodeName: string; path: string } {
  const { namespace, name } = pod.metadata;
  const forwards = options.kind === "PodPortForwardOptions";
  const container = forwards ? "" : `/${chooseContainer(pod, options.container ?? "")}`;
  const nodeName = pod.spec?.nodeName;
  if (!nodeName) throw badRequest(`pod ${name} does not have a host assigned`);
  const parameters = new URLSearchParams();
  for (const command of options.command ?? []) parameters.append("command", command);
  if (options.stderr) parameters.set("error", "1");
  if (options.stdin) parameters.set("input", "1");
  if (options.stdout) parameters.set("output", "1");
  if (options.tty) parameters.set("tty", "1");
  if (options.ports) parameters.set("port", options.ports.join(","));
  const root = forwards ? "portForward" : options.kind === "PodExecOptions" ? "exec" : "attach";
  return { nodeName, path: `/${root}/${namespace}/${name}${container}?${parameters}`.replace(/\?$/, "") };
}
