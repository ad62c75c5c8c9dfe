import type {
  ConfigMap,
  DownwardAPIVolumeFile,
  KeyToPath,
  Pod,
  Secret,
  ServiceAccountTokenProjection,
  Volume,
  VolumeProjection,
} from "../api/generated/core-v1.ts";
import { ConfigError, fieldValue, resourceValue } from "./env.ts";
import { namesOf, type References } from "./references.ts";

/** What the volumes of a Pod refer to, and what their files hold. Pure; `volumes-disk.ts` writes them. */
export interface VolumeInput {
  pod: Pod;
  podIPs: readonly string[];
  hostIP: string;
  allocatable: Readonly<Record<string, string>>;
  configMaps: ReadonlyMap<string, ConfigMap>;
  secrets: ReadonlyMap<string, Secret>;
  /** Of the Pod's service account, by `tokenKey`. */
  tokens: ReadonlyMap<string, string>;
}

export interface VolumeFile {
  content: Uint8Array;
  mode: number;
}

export type VolumePlan =
  | { type: "EmptyDir" }
  | { type: "HostPath"; path: string; kind: string }
  | { type: "Files"; files: Map<string, VolumeFile> };

const defaultMode = 0o644;

/** Throws ConfigError when something it refers to is missing, or its kind is not built. */
export function volumePlan(volume: Volume, input: VolumeInput): VolumePlan {
  const { configMap, secret, downwardAPI, projected, hostPath } = volume;
  // Differs: medium Memory is a directory too; a tmpfs of its own would need rights that an ordinary user lacks.
  if (volume.emptyDir) return { type: "EmptyDir" };
  if (hostPath) return { type: "HostPath", path: hostPath.path, kind: hostPath.type ?? "" };
  if (configMap)
    return filesOf([{ configMap: { ...configMap, name: configMap.name ?? "" } }], configMap.defaultMode, input);
  if (secret) {
    const { secretName: name = "", items, optional, defaultMode: mode } = secret;
    const source = { name, ...(items && { items }), ...(optional !== undefined && { optional }) };
    return filesOf([{ secret: source }], mode, input);
  }
  if (downwardAPI) return filesOf([{ downwardAPI }], downwardAPI.defaultMode, input);
  if (projected) return filesOf(projected.sources ?? [], projected.defaultMode, input);
  const kind = Object.keys(volume).find((key) => key !== "name");
  throw new ConfigError(`no volume plugin matched: this node has none for "${kind ?? "nothing"}"`);
}

/** ConfigMaps and Secrets that the volumes of a Pod need. */
export function volumeReferences({ spec }: Pod): References {
  return namesOf(
    (spec?.volumes ?? []).flatMap(({ configMap, secret, projected }) => [
      [configMap?.name, secret?.secretName],
      ...(projected?.sources ?? []).map((source) => [source.configMap?.name, source.secret?.name]),
    ]),
  );
}

/** The tokens that the volumes of a Pod project. */
export const tokenProjections = ({ spec }: Pod): ServiceAccountTokenProjection[] =>
  (spec?.volumes ?? []).flatMap(({ projected }) =>
    (projected?.sources ?? []).flatMap(({ serviceAccountToken }) => serviceAccountToken ?? []),
  );

export const tokenKey = ({ audience = "", expirationSeconds = 3600 }: ServiceAccountTokenProjection): string =>
  `${expirationSeconds} ${audience}`;

function filesOf(sources: readonly VolumeProjection[], mode = defaultMode, input: VolumeInput): VolumePlan {
  const files = new Map<string, VolumeFile>();
  for (const source of sources) {
    const reference = source.configMap ?? source.secret;
    if (reference) {
      const { name = "", items, optional } = reference;
      const configMap = source.configMap && input.configMaps.get(name);
      const object = configMap ?? (source.secret && input.secrets.get(name));
      if (!object && !optional)
        throw new ConfigError(`${source.configMap ? "configmap" : "secret"} "${name}" not found`);
      const { data = {}, binaryData = {} } = configMap ?? { binaryData: object?.data };
      const contents = new Map([...decoded(data, "utf8"), ...decoded(binaryData, "base64")]);
      const missing = source.configMap
        ? "configmap references non-existent config key"
        : "references non-existent secret key";
      select(files, contents, items, mode, optional || !object, missing);
    } else if (source.downwardAPI) {
      for (const item of source.downwardAPI.items ?? [])
        files.set(safePath(item.path), { content: Buffer.from(downward(item, input)), mode: item.mode ?? mode });
    } else if (source.serviceAccountToken) {
      const token = input.tokens.get(tokenKey(source.serviceAccountToken)) ?? "";
      files.set(safePath(source.serviceAccountToken.path), { content: Buffer.from(token), mode });
    } else {
      const kind = Object.keys(source)[0] ?? "nothing";
      throw new ConfigError(`no volume plugin matched: this node cannot project "${kind}"`);
    }
  }
  return { type: "Files", files };
}

function decoded(data: Record<string, string>, encoding: BufferEncoding): [string, Uint8Array][] {
  return Object.entries(data).map(([key, text]) => [key, Buffer.from(text, encoding)]);
}

/** All keys under their own names, or those of `items` under their paths. */
function select(
  files: Map<string, VolumeFile>,
  data: ReadonlyMap<string, Uint8Array>,
  items: readonly KeyToPath[] | undefined,
  mode: number,
  optional: boolean,
  missing: string,
): void {
  if (items === undefined) {
    for (const [key, content] of data) files.set(key, { content, mode });
    return;
  }
  for (const item of items) {
    const content = data.get(item.key);
    if (content !== undefined) files.set(safePath(item.path), { content, mode: item.mode ?? mode });
    else if (!optional) throw new ConfigError(`${missing}: ${item.key}`);
  }
}

function downward({ fieldRef, resourceFieldRef }: DownwardAPIVolumeFile, input: VolumeInput): string {
  if (fieldRef) return fieldValue(fieldRef.fieldPath, input);
  const { containerName, resource, divisor } = resourceFieldRef!;
  const { containers, initContainers = [] } = input.pod.spec!;
  const container = [...containers, ...initContainers].find(({ name }) => name === containerName);
  if (container === undefined) throw new ConfigError(`container ${containerName} not found`);
  return resourceValue(container, resource, divisor, input.allocatable);
}

function safePath(path: string): string {
  if (path === "" || path.startsWith("/") || path.split("/").some((part) => part === ".." || part.startsWith("..")))
    throw new ConfigError(`invalid path: ${path}`);
  return path;
}
