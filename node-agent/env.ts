import type { ConfigMap, Container, EnvVarSource, Pod, Secret, Service } from "../api/generated/core-v1.ts";
import { parseQuantity } from "../apimachinery/quantity.ts";
import { namesOf, type References } from "./references.ts";
import { serviceEnvironment } from "./service-env.ts";

/** The container cannot be made from what its spec refers to (upstream's reason CreateContainerConfigError). */
export class ConfigError extends Error {
  override name = "ConfigError";
}

export interface EnvInput {
  pod: Pod;
  container: Container;
  podIPs: readonly string[];
  hostIP: string;
  /** All Services; those of the Pod's namespace are told. */
  services: readonly Service[];
  /** By name in the Pod's namespace: what `references` asked for; absent ones are missing. */
  configMaps: ReadonlyMap<string, ConfigMap>;
  secrets: ReadonlyMap<string, Secret>;
  allocatable: Readonly<Record<string, string>>;
}

/**
 * The environment of a container, in order: Services, `envFrom`, `env`; a later name wins. `$(NAME)` in values and in
 * `command` and `args` is what NAME has by then. Throws ConfigError with upstream's text.
 */
export function environment(input: EnvInput): Map<string, string> {
  const { pod, container, services } = input;
  const links = pod.spec?.enableServiceLinks ?? true;
  const env = serviceEnvironment(services, pod.metadata.namespace!, links);
  for (const { prefix = "", configMapRef, secretRef } of container.envFrom ?? []) {
    for (const [key, value] of Object.entries(dataOf(input, "configMap", configMapRef))) env.set(prefix + key, value);
    for (const [key, value] of Object.entries(dataOf(input, "secret", secretRef)))
      env.set(prefix + key, fromBase64(value));
  }
  const own = new Map<string, string>();
  for (const { name, value = "", valueFrom } of container.env ?? []) {
    const text = valueFrom ? sourceValue(valueFrom, input) : expand(value, (key) => own.get(key) ?? env.get(key));
    if (text === undefined) continue; // an optional reference to nothing
    own.delete(name); // a later one of the same name takes its place in the order too
    own.set(name, text);
  }
  for (const [name, text] of own) env.set(name, text);
  return env;
}

/** ConfigMaps and Secrets that a container's environment needs. */
export function references({ env = [], envFrom = [] }: Container): References {
  return namesOf([
    ...envFrom.map(({ configMapRef, secretRef }) => [configMapRef?.name, secretRef?.name]),
    ...env.map(({ valueFrom }) => [valueFrom?.configMapKeyRef?.name, valueFrom?.secretKeyRef?.name]),
  ]);
}

/** `$(NAME)` becomes its value, or stays as it is when there is none; `$$` is a plain dollar sign. */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  return text.replace(/\$(\$|\(([^)]*)\))/g, (whole, dollar, name) =>
    dollar === "$" ? "$" : (lookup(name as string) ?? whole),
  );
}

function sourceValue(from: EnvVarSource, input: EnvInput): string | undefined {
  const { pod, container } = input;
  if (from.fieldRef) return fieldValue(from.fieldRef.fieldPath, input);
  if (from.resourceFieldRef) {
    const { containerName, resource, divisor } = from.resourceFieldRef;
    const all = [...pod.spec!.containers, ...(pod.spec!.initContainers ?? [])];
    const of = containerName ? all.find(({ name }) => name === containerName) : container;
    if (of === undefined) throw new ConfigError(`container ${containerName} not found`);
    return resourceValue(of, resource, divisor, input.allocatable);
  }
  for (const kind of ["configMap", "secret"] as const) {
    const reference = from[`${kind}KeyRef`];
    if (reference === undefined) continue;
    const { name = "", key, optional } = reference;
    const value = dataOf(input, kind, reference)[key];
    if (value === undefined && !optional)
      throw new ConfigError(`couldn't find key ${key} in ${words[kind]} ${pod.metadata.namespace}/${name}`);
    return value === undefined || kind === "configMap" ? value : fromBase64(value);
  }
  throw new ConfigError("unsupported source of an environment variable");
}

/** The downward API's fields. Throws ConfigError for another path. */
export function fieldValue(path: string, { pod, podIPs, hostIP }: Pick<EnvInput, "pod" | "podIPs" | "hostIP">): string {
  const { metadata, spec } = pod;
  const subscript = /^metadata\.(labels|annotations)\['([^']*)'\]$/.exec(path);
  if (subscript) return metadata[subscript[1] as "labels" | "annotations"]?.[subscript[2]!] ?? "";
  const listed = (map: Record<string, string> = {}) =>
    Object.keys(map)
      .sort()
      .map((key) => `${key}=${JSON.stringify(map[key])}`)
      .join("\n");
  const fields: Record<string, string | undefined> = {
    "metadata.name": metadata.name,
    "metadata.namespace": metadata.namespace,
    "metadata.uid": metadata.uid,
    "metadata.labels": listed(metadata.labels),
    "metadata.annotations": listed(metadata.annotations),
    "spec.nodeName": spec?.nodeName,
    "spec.serviceAccountName": spec?.serviceAccountName,
    "status.hostIP": hostIP,
    "status.hostIPs": hostIP,
    "status.podIP": podIPs[0],
    "status.podIPs": podIPs.join(","),
  };
  if (!Object.hasOwn(fields, path)) throw new ConfigError(`unsupported fieldPath: ${path}`);
  return fields[path] ?? "";
}

/** `limits.cpu` and the like, in units of `divisor`, rounded up; a limit that is not set is the whole node. */
export function resourceValue(
  { resources = {} }: Container,
  resource: string,
  divisor: string | undefined,
  allocatable: Readonly<Record<string, string>>,
): string {
  const [list, ...rest] = resource.split(".");
  const name = rest.join(".");
  const amount =
    list === "limits"
      ? (resources.limits?.[name] ?? allocatable[name])
      : list === "requests"
        ? (resources.requests?.[name] ?? resources.limits?.[name])
        : undefined;
  if (list !== "limits" && list !== "requests") throw new ConfigError(`unsupported container resource : ${resource}`);
  const unit = parseQuantity(divisor === undefined || divisor === "0" ? "1" : divisor).nano;
  const nano = parseQuantity(amount ?? "0").nano;
  return String((nano + unit - 1n) / unit);
}

const words = { configMap: "ConfigMap", secret: "Secret" };

/** What is referred to, if anything; of a Secret in base64. */
function dataOf(
  input: EnvInput,
  kind: "configMap" | "secret",
  reference: { name?: string; optional?: boolean } | undefined,
): Record<string, string> {
  if (reference === undefined) return {};
  const { name = "", optional } = reference;
  const found = input[`${kind}s`].get(name);
  if (found === undefined && !optional) throw new ConfigError(`${kind.toLowerCase()} "${name}" not found`);
  return found?.data ?? {};
}

const fromBase64 = (text: string): string => Buffer.from(text, "base64").toString("utf8");
