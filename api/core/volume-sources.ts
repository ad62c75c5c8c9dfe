import type { FieldError, Problems } from "../../apimachinery/field-error.ts";
import * as field from "../../apimachinery/field-error.ts";
import { dns1123Label, dns1123Subdomain, qualifiedName } from "../../apimachinery/names.ts";
import { parseQuantity } from "../../apimachinery/quantity.ts";
import { validateLabels } from "../../apimachinery/selectors.ts";
import type * as v1 from "../generated/core-v1.ts";
import { validateClaimSpec } from "./persistent-volume-claim.ts";

/**
 * Where a volume comes from: of a Pod's and of a PersistentVolume (upstream: validateVolumeSource and
 * ValidatePersistentVolumeSpec). First what a source cannot be without, then the rules that some have.
 */
const needed = {
  awsElasticBlockStore: "volumeID",
  azureDisk: "diskName diskURI",
  azureFile: "secretName shareName",
  cephfs: "monitors",
  cinder: "volumeID",
  configMap: "name",
  csi: "driver",
  ephemeral: "volumeClaimTemplate",
  flexVolume: "driver",
  gcePersistentDisk: "pdName",
  gitRepo: "repository",
  glusterfs: "endpoints path",
  hostPath: "path",
  iscsi: "targetPortal iqn",
  local: "path",
  nfs: "server path",
  persistentVolumeClaim: "claimName",
  photonPersistentDisk: "pdID",
  portworxVolume: "volumeID",
  quobyte: "volume",
  rbd: "monitors image",
  scaleIO: "gateway system volumeName",
  secret: "secretName",
  storageos: "volumeName",
  vsphereVolume: "volumePath",
};

type Sources = Omit<v1.Volume, "name"> & v1.PersistentVolumeSpec;
type Rule<S> = (source: S, at: string, persistent: boolean) => Iterable<FieldError>;
type Rules = { [K in keyof Sources]?: Rule<NonNullable<Sources[K]>> };

type Given = Omit<v1.Volume, "name"> | v1.PersistentVolumeSpec;

export function* validateSources(given: Given, at: string, persistent: boolean): Problems {
  for (const [kind, source] of Object.entries(given)) {
    if (source === undefined) continue;
    const path = `${at}.${kind === "gcePersistentDisk" ? "persistentDisk" : kind}`; // as upstream calls it
    for (const key of needed[kind as keyof typeof needed]?.split(" ") ?? []) {
      const value = (source as Record<string, unknown>)[key] as string | undefined;
      if (!value?.length && (typeof value !== "object" || Array.isArray(value))) yield field.required(`${path}.${key}`);
    }
    yield* (rules[kind as keyof Rules] as Rule<unknown> | undefined)?.(source, path, persistent) ?? [];
  }
}

const check = (at: string, value: unknown, good: boolean, detail: string): FieldError[] =>
  good ? [] : [field.invalid(at, value, detail)];
const among = (at: string, value: string | undefined, values: readonly string[]): FieldError[] =>
  value === undefined || values.includes(value) ? [] : [field.notSupported(at, value, values)];
const between = (at: string, value = 0, from: number, to: number): FieldError[] =>
  check(at, value, value >= 0 && value <= to, `must be between ${from} and ${to}, inclusive`);
const modeText = "must be a number between 0 and 0777 (octal), both inclusive";
const fileMode = (at: string, mode = 0): FieldError[] => check(at, mode, mode >= 0 && mode <= 0o777, modeText);
const noBack = (at: string, path = ""): FieldError[] =>
  check(at, path, !path.split("/").includes(".."), "must not contain '..'");

function* secretOf(at: string, ref: { name?: string; namespace?: string } | undefined, spaced: boolean): Problems {
  if (ref && !ref.name) yield field.required(`${at}.name`);
  if (ref && spaced && !ref.namespace) yield field.required(`${at}.namespace`);
}

export const relativePath = (path: string | undefined, at: string): FieldError[] => [
  ...check(at, path, !path?.startsWith("/"), "must be a relative path"),
  ...noBack(at, path),
];

/** The kubelet keeps names that begin with two dots to itself. */
const ownPath = (path: string | undefined, at: string): FieldError[] => [
  ...relativePath(path, at),
  ...check(at, path, !path?.startsWith("..") || path === ".." || path.startsWith("../"), "must not start with '..'"),
];

const iqnText = "must be valid format";
const iqns: [prefix: string, RegExp][] = [
  ["iqn", /iqn\.\d{4}-\d{2}\.([A-Za-z0-9-.]+)(:[^,;*&$|\s]+)$/],
  ["eui", /^eui.[A-Za-z0-9]{16}$/],
  ["naa", /^naa.[A-Za-z0-9]{32}$/],
];

function iscsiName(at: string, name: string | undefined): FieldError[] {
  if (!name) return [];
  const [, form] = iqns.find(([prefix]) => name.startsWith(prefix)) ?? [];
  return check(at, name, form?.test(name) ?? false, form ? iqnText : `${iqnText} starting with iqn, eui, or naa`);
}

const files = "BlockDevice CharDevice Directory DirectoryOrCreate File FileOrCreate Socket";
const hostPathTypes = ["", ...files.split(" ")];
const hostPorts = "must be a host:port pair or multiple pairs separated by commas";
const [managedUri, blobUri] = [
  "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
  "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd",
];
const reserved = "kubernetes.io and k8s.io namespaces are reserved";
const oneOfWWNs = "must specify either targetWWNs or wwids, but not both";
const bothWWNs = "targetWWNs and wwids can not be specified simultaneously";
const bothDatasets = "datasetName and datasetUUID can not be specified simultaneously";
const bothRefs = "fieldRef and resourceFieldRef can not be specified simultaneously";
const longTenant = "must be a UUID and may not exceed a length of 64 characters";

const rules: Rules = {
  awsElasticBlockStore: ({ partition }, at) => between(`${at}.partition`, partition, 1, 255),
  *azureDisk({ cachingMode, kind, diskURI = "" }, at) {
    yield* among(`${at}.cachingMode`, cachingMode, ["None", "ReadOnly", "ReadWrite"]);
    yield* among(`${at}.kind`, kind, ["Dedicated", "Managed", "Shared"]);
    const [start, form] = kind === "Managed" ? ["/subscriptions/", managedUri] : ["https://", blobUri];
    if (kind && !diskURI.startsWith(start!)) yield field.notSupported(`${at}.diskURI`, diskURI, [form!]);
  },
  cinder: ({ secretRef }, at, persistent) => secretOf(`${at}.secretRef`, secretRef, persistent),
  configMap: ({ defaultMode, items }, at) => [...fileMode(`${at}.defaultMode`, defaultMode), ...keys(items, at)],
  *csi(source, at, persistent) {
    const { driver = "" } = source;
    if (driver.length > 63) yield field.tooLong(`${at}.driver`, 63);
    for (const p of dns1123Subdomain(driver.toLowerCase())) yield field.invalid(`${at}.driver`, driver, p);
    if (persistent && !("volumeHandle" in source && source.volumeHandle)) yield field.required(`${at}.volumeHandle`);
    for (const [key, ref] of Object.entries(source))
      if (key.endsWith("SecretRef")) yield* secretOf(`${at}.${key}`, ref as object, persistent);
  },
  *downwardAPI({ defaultMode, items = [] }, at) {
    yield* fileMode(`${at}.defaultMode`, defaultMode);
    for (const item of items) yield* downwardFile(item, at); // upstream leaves the index out
  },
  *emptyDir({ sizeLimit, medium }, at) {
    if (sizeLimit !== undefined && parseQuantity(sizeLimit).nano < 0n)
      yield field.forbidden(`${at}.sizeLimit`, "SizeLimit field must be a valid resource quantity");
    if (medium && !/^(Memory|HugePages(-.+)?)$/.test(medium))
      yield field.notSupported(`${at}.medium`, medium, ["", "HugePages", "Memory"]);
  },
  *ephemeral({ volumeClaimTemplate: template }, at) {
    if (!template) return;
    yield* validateLabels(template.metadata?.labels, `${at}.volumeClaimTemplate.metadata.labels`);
    yield* validateClaimSpec(template.spec ?? {}, `${at}.volumeClaimTemplate.spec`);
  },
  *fc({ targetWWNs = [], wwids = [], lun }, at) {
    if (targetWWNs.length + wwids.length === 0) yield field.required(`${at}.targetWWNs`, oneOfWWNs);
    if (targetWWNs.length && wwids.length) yield field.invalid(`${at}.targetWWNs`, targetWWNs, bothWWNs);
    if (targetWWNs.length === 0) return;
    if (lun === undefined) yield field.required(`${at}.lun`, "lun is required if targetWWNs is specified");
    yield* between(`${at}.lun`, lun, 0, 255);
  },
  *flexVolume({ options = {} }, at) {
    for (const key of Object.keys(options))
      if (/(^|\.)(kubernetes|k8s)\.io(\/|$)/i.test(key.split("/")[0]!))
        yield field.invalid(`${at}.options[${key}]`, key, reserved);
  },
  *flocker({ datasetName = "", datasetUUID = "" }, at) {
    if (!datasetName && !datasetUUID) yield field.required(at, "one of datasetName and datasetUUID is required");
    if (datasetName && datasetUUID) yield field.invalid(at, "resource", bothDatasets);
    yield* check(`${at}.datasetName`, datasetName, !datasetName.includes("/"), "must not contain '/'");
  },
  gcePersistentDisk: ({ partition }, at) => between(`${at}.partition`, partition, 1, 255),
  gitRepo: ({ directory }, at) => relativePath(directory, `${at}.directory`),
  hostPath: ({ path, type }, at) =>
    path ? [...noBack(`${at}.path`, path), ...among(`${at}.type`, type, hostPathTypes)] : [],
  *iscsi({ iqn, lun, initiatorName, secretRef, chapAuthDiscovery, chapAuthSession }, at, persistent) {
    yield* iscsiName(`${at}.iqn`, iqn);
    yield* between(`${at}.lun`, lun, 0, 255);
    if ((chapAuthDiscovery || chapAuthSession) && !secretRef) yield field.required(`${at}.secretRef`);
    if (persistent) yield* secretOf(`${at}.secretRef`, secretRef, false);
    yield* iscsiName(`${at}.initiatorname`, initiatorName);
  },
  local: ({ path }, at) => noBack(`${at}.path`, path),
  nfs: ({ path = "" }, at) => check(`${at}.path`, path, path.startsWith("/"), "must be an absolute path"),
  *projected({ defaultMode, sources = [] }, at) {
    yield* fileMode(`${at}.defaultMode`, defaultMode);
    const paths = new Set<string>();
    const once = (path: string | undefined, who = "") =>
      path && paths.size === paths.add(path).size ? [field.invalid(at, who, "conflicting duplicate paths")] : [];
    yield* field.each(sources, `${at}.sources`, function* (source, own) {
      for (const kind of ["secret", "configMap"] as const) {
        const { name, items = [] } = source[kind] ?? { name: "-" };
        if (!name) yield field.required(`${own}.${kind}.name`);
        yield* keys(items, `${own}.${kind}`);
        yield* items.flatMap(({ path }) => once(path, name));
      }
      for (const item of source.downwardAPI?.items ?? []) {
        yield* downwardFile(item, `${own}.downwardAPI`);
        yield* once(item.path, item.path);
      }
      const token = source.serviceAccountToken;
      if (token) {
        const { path, expirationSeconds: seconds = 3600 } = token;
        const when = `${own}.serviceAccountToken.expirationSeconds`;
        yield* check(when, seconds, seconds >= 600, "may not specify a duration less than 10 minutes");
        yield* check(when, seconds, seconds <= 2 ** 32, "may not specify a duration larger than 2^32 seconds");
        yield* path ? ownPath(path, `${at}.path`) : [field.required(`${at}.path`)]; // upstream's path
      }
      if (Object.keys(source).length > 1)
        yield field.forbidden(own, "may not specify more than 1 volume type per source");
    });
  },
  *quobyte({ registry, tenant = "" }, at) {
    if (!registry) return yield field.required(`${at}.registry`, hostPorts);
    if (tenant.length >= 65) return yield field.required(`${at}.tenant`, longTenant);
    for (const pair of registry.split(","))
      yield* check(`${at}.registry`, registry, /^(\[[^\]]*\]|[^:]*):[^:]*$/.test(pair), hostPorts);
  },
  secret: ({ defaultMode, items }, at) => [...fileMode(`${at}.defaultMode`, defaultMode), ...keys(items, at)],
  *storageos({ volumeName, volumeNamespace, secretRef }, at, persistent) {
    for (const [key, value] of Object.entries({ volumeName, volumeNamespace }))
      if (value) yield* field.shaped(`${at}.${key}`, value, dns1123Label);
    yield* secretOf(`${at}.secretRef`, secretRef, persistent);
  },
};

function* keys(items: readonly v1.KeyToPath[] = [], path: string): Problems {
  yield* field.each(items, `${path}.items`, function* (item, at) {
    for (const name of ["key", "path"] as const) if (!item[name]) yield field.required(`${at}.${name}`);
    yield* ownPath(item.path, `${at}.path`);
    yield* fileMode(`${at}.mode`, item.mode);
  });
}

const ofObject = ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
/** What of a Pod a variable may be; a file, `ofObject`. */
export const envFields = [
  ...[...ofObject.slice(2), "spec.nodeName", "spec.serviceAccountName"],
  ...["status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"],
];
const known = [...ofObject, ...envFields, "spec.host", "spec.restartPolicy", "spec.schedulerName", "status.phase"];
const amounts = ["limits.cpu", "limits.ephemeral-storage", "limits.memory"];
const resourcePaths = [...amounts, ...amounts.map((name) => name.replace("limits", "requests"))];

export function* validateFieldRef({ fieldPath }: v1.ObjectFieldSelector, at: string, fields: string[]): Problems {
  const from = `${at}.fieldPath`;
  if (!fieldPath) return yield field.required(from);
  const [, path = fieldPath, key] = /^(.+)\['(.*)'\]$/.exec(fieldPath) ?? [];
  const unknown = (why: string) => field.invalid(from, fieldPath, `error converting fieldPath: field label ${why}`);
  if (key === undefined) {
    if (!known.includes(path)) yield unknown(`not supported: ${path}`);
    else if (!fields.includes(path)) yield field.notSupported(from, path, fields);
  } else if (path === "metadata.annotations") yield* field.shaped(at, key.toLowerCase(), qualifiedName);
  else if (path === "metadata.labels") yield* field.shaped(at, key, qualifiedName);
  else yield unknown(`does not support subscript: ${fieldPath}`);
}

/** Files name the container, too. */
export function* validateResourceField(ref: v1.ResourceFieldSelector, at: string, inFile: boolean): Problems {
  if (inFile && !ref.containerName) yield field.required(`${at}.containerName`);
  else if (!ref.resource) yield field.required(`${at}.resource`);
  else if (!/^(limits|requests)\.hugepages-/.test(ref.resource))
    yield* among(`${at}.resource`, ref.resource, resourcePaths);
}

function* downwardFile({ path, fieldRef, resourceFieldRef, mode }: v1.DownwardAPIVolumeFile, at: string): Problems {
  if (!path) yield field.required(`${at}.path`);
  yield* ownPath(path, `${at}.path`);
  if (fieldRef) {
    yield* validateFieldRef(fieldRef, `${at}.fieldRef`, ofObject);
    if (resourceFieldRef) yield field.invalid(at, "resource", bothRefs);
  } else if (resourceFieldRef) yield* validateResourceField(resourceFieldRef, `${at}.resourceFieldRef`, true);
  else yield field.required(at, "one of fieldRef and resourceFieldRef is required");
  yield* fileMode(`${at}.mode`, mode);
}
