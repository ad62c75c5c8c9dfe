import {
  type FieldError,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  tooLong,
} from "../../apimachinery/field-error.ts";
import { dns1123Label, dns1123Subdomain } from "../../apimachinery/names.ts";
import { parseQuantity } from "../../apimachinery/quantity.ts";
import { validateLabels } from "../../apimachinery/selectors.ts";
import type { DownwardAPIVolumeFile, KeyToPath, PersistentVolumeSpec, Volume } from "../generated/core-v1.ts";
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

type Sources = Omit<Volume, "name"> & PersistentVolumeSpec;
type Rules = {
  [K in keyof Sources]?: (source: NonNullable<Sources[K]>, at: string, persistent: boolean) => FieldError[];
};

export function validateSources(given: Omit<Volume, "name"> | PersistentVolumeSpec, at: string, persistent: boolean) {
  const errors: FieldError[] = [];
  for (const [kind, source] of Object.entries(given)) {
    if (source === undefined) continue;
    const path = `${at}.${kind}`;
    for (const key of needed[kind as keyof typeof needed]?.split(" ") ?? []) {
      const value = (source as Record<string, unknown>)[key] as string | undefined;
      if (!value?.length && typeof value !== "object") errors.push(required(`${path}.${key}`));
      else if (Array.isArray(value) && value.length === 0) errors.push(required(`${path}.${key}`));
    }
    const rule = rules[kind as keyof Rules] as
      | ((s: unknown, at: string, persistent: boolean) => FieldError[])
      | undefined;
    errors.push(...(rule?.(source, path, persistent) ?? []));
  }
  return errors;
}

const check = (at: string, value: unknown, good: boolean, detail: string): FieldError[] =>
  good ? [] : [invalidValue(at, value, detail)];
const among = (at: string, value: string | undefined, values: readonly string[]): FieldError[] =>
  value === undefined || values.includes(value) ? [] : [notSupported(at, value, values)];
const between = (at: string, value: number | undefined, from: number, to: number): FieldError[] =>
  check(at, value, value === undefined || (value >= 0 && value <= to), `must be between ${from} and ${to}, inclusive`);
const fileMode = (at: string, mode: number | undefined): FieldError[] =>
  check(
    at,
    mode,
    mode === undefined || (mode >= 0 && mode <= 0o777),
    "must be a number between 0 and 0777 (octal), both inclusive",
  );
const noBack = (at: string, path = ""): FieldError[] =>
  check(at, path, !path.split("/").includes(".."), "must not contain '..'");
const secretOf = (at: string, ref: { name?: string; namespace?: string } | undefined, spaced: boolean): FieldError[] =>
  (["name", ...(spaced ? ["namespace"] : [])] as const)
    .filter((key) => ref && !ref[key as "name"])
    .map((key) => required(`${at}.${key}`));

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

const hostPathTypes = [
  "",
  "BlockDevice",
  "CharDevice",
  "Directory",
  "DirectoryOrCreate",
  "File",
  "FileOrCreate",
  "Socket",
];
const hostPorts = "must be a host:port pair or multiple pairs separated by commas";

const rules: Rules = {
  awsElasticBlockStore: ({ partition }, at) => between(`${at}.partition`, partition, 1, 255),
  azureDisk: ({ cachingMode, kind, diskURI = "" }, at) => [
    ...among(`${at}.cachingMode`, cachingMode, ["None", "ReadOnly", "ReadWrite"]),
    ...among(`${at}.kind`, kind, ["Dedicated", "Managed", "Shared"]),
    ...(kind === "Managed" && !diskURI.startsWith("/subscriptions/")
      ? [
          notSupported(`${at}.diskURI`, diskURI, [
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
          ]),
        ]
      : []),
    ...(kind && kind !== "Managed" && !diskURI.startsWith("https://")
      ? [
          notSupported(`${at}.diskURI`, diskURI, [
            "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd",
          ]),
        ]
      : []),
  ],
  cinder: ({ secretRef }, at, persistent) => secretOf(`${at}.secretRef`, secretRef, persistent),
  configMap: ({ defaultMode, items }, at) => [...fileMode(`${at}.defaultMode`, defaultMode), ...keys(items, at)],
  csi(source, at, persistent) {
    const { driver = "" } = source;
    const errors = driver.length > 63 ? [tooLong(`${at}.driver`, 63)] : [];
    for (const p of dns1123Subdomain(driver.toLowerCase())) errors.push(invalidValue(`${at}.driver`, driver, p));
    if (persistent && !("volumeHandle" in source && source.volumeHandle)) errors.push(required(`${at}.volumeHandle`));
    for (const [key, ref] of Object.entries(source))
      if (key.endsWith("SecretRef")) errors.push(...secretOf(`${at}.${key}`, ref as object, persistent));
    return errors;
  },
  downwardAPI: ({ defaultMode, items = [] }, at) => [
    ...fileMode(`${at}.defaultMode`, defaultMode),
    ...items.flatMap((item) => downwardFile(item, at)), // upstream leaves the index out
  ],
  emptyDir: ({ sizeLimit, medium }, at) => [
    ...(sizeLimit !== undefined && parseQuantity(sizeLimit).nano < 0n
      ? [forbiddenField(`${at}.sizeLimit`, "SizeLimit field must be a valid resource quantity")]
      : []),
    ...(medium && !/^(Memory|HugePages(-.+)?)$/.test(medium)
      ? [notSupported(`${at}.medium`, medium, ["", "HugePages", "Memory"])]
      : []),
  ],
  ephemeral({ volumeClaimTemplate: template }, at) {
    const path = `${at}.volumeClaimTemplate`;
    if (!template) return [];
    return [
      ...validateLabels(template.metadata?.labels, `${path}.metadata.labels`),
      ...validateClaimSpec(template.spec ?? {}, `${path}.spec`),
    ];
  },
  fc: ({ targetWWNs = [], wwids = [], lun }, at) => [
    ...(targetWWNs.length + wwids.length
      ? []
      : [required(`${at}.targetWWNs`, "must specify either targetWWNs or wwids, but not both")]),
    ...check(
      `${at}.targetWWNs`,
      targetWWNs,
      !(targetWWNs.length && wwids.length),
      "targetWWNs and wwids can not be specified simultaneously",
    ),
    ...(targetWWNs.length && lun === undefined
      ? [required(`${at}.lun`, "lun is required if targetWWNs is specified")]
      : between(`${at}.lun`, targetWWNs.length ? lun : undefined, 0, 255)),
  ],
  flexVolume: ({ options = {} }, at) =>
    Object.keys(options).flatMap((key) =>
      check(
        `${at}.options[${key}]`,
        key,
        !/(^|\.)(kubernetes|k8s)\.io(\/|$)/i.test(key.split("/")[0]!),
        "kubernetes.io and k8s.io namespaces are reserved",
      ),
    ),
  flocker: ({ datasetName = "", datasetUUID = "" }, at) => [
    ...(datasetName || datasetUUID ? [] : [required(at, "one of datasetName and datasetUUID is required")]),
    ...check(
      at,
      "resource",
      !(datasetName && datasetUUID),
      "datasetName and datasetUUID can not be specified simultaneously",
    ),
    ...check(`${at}.datasetName`, datasetName, !datasetName.includes("/"), "must not contain '/'"),
  ],
  gcePersistentDisk: ({ partition }, at) => between(`${at}.partition`, partition, 1, 255),
  gitRepo: ({ directory }, at) => relativePath(directory, `${at}.directory`),
  hostPath: ({ path, type }, at) =>
    path ? [...noBack(`${at}.path`, path), ...among(`${at}.type`, type, hostPathTypes)] : [],
  iscsi: ({ iqn, lun, initiatorName, secretRef, chapAuthDiscovery, chapAuthSession }, at, persistent) => [
    ...iscsiName(`${at}.iqn`, iqn),
    ...between(`${at}.lun`, lun, 0, 255),
    ...((chapAuthDiscovery || chapAuthSession) && !secretRef ? [required(`${at}.secretRef`)] : []),
    ...(persistent ? secretOf(`${at}.secretRef`, secretRef, false) : []),
    ...iscsiName(`${at}.initiatorname`, initiatorName),
  ],
  local: ({ path }, at) => noBack(`${at}.path`, path),
  nfs: ({ path = "" }, at) => check(`${at}.path`, path, path.startsWith("/"), "must be an absolute path"),
  projected({ defaultMode, sources = [] }, at) {
    const errors = fileMode(`${at}.defaultMode`, defaultMode);
    const paths = new Set<string>();
    const once = (path: string | undefined, who: string | undefined) => {
      if (path && paths.size === paths.add(path).size)
        errors.push(invalidValue(at, who ?? "", "conflicting duplicate paths"));
    };
    for (const [i, source] of sources.entries()) {
      const own = `${at}.sources[${i}]`;
      for (const kind of ["secret", "configMap"] as const) {
        const { name, items = [] } = source[kind] ?? { name: "-" };
        if (!name) errors.push(required(`${own}.${kind}.name`));
        errors.push(...keys(items, `${own}.${kind}`));
        for (const { path } of items) once(path, name);
      }
      for (const item of source.downwardAPI?.items ?? []) {
        errors.push(...downwardFile(item, `${own}.downwardAPI`));
        once(item.path, item.path);
      }
      const token = source.serviceAccountToken;
      if (token) {
        const { path, expirationSeconds: seconds = 3600 } = token;
        const when = `${own}.serviceAccountToken.expirationSeconds`;
        errors.push(...check(when, seconds, seconds >= 600, "may not specify a duration less than 10 minutes"));
        errors.push(...check(when, seconds, seconds <= 2 ** 32, "may not specify a duration larger than 2^32 seconds"));
        errors.push(...(path ? ownPath(path, `${at}.path`) : [required(`${at}.path`)])); // upstream's path
      }
      if (Object.keys(source).length > 1)
        errors.push(forbiddenField(own, "may not specify more than 1 volume type per source"));
    }
    return errors;
  },
  quobyte({ registry, tenant = "" }, at) {
    if (!registry) return [required(`${at}.registry`, hostPorts)];
    if (tenant.length >= 65)
      return [required(`${at}.tenant`, "must be a UUID and may not exceed a length of 64 characters")];
    return registry
      .split(",")
      .flatMap((pair) => check(`${at}.registry`, registry, /^(\[[^\]]*\]|[^:]*):[^:]*$/.test(pair), hostPorts));
  },
  secret: ({ defaultMode, items }, at) => [...fileMode(`${at}.defaultMode`, defaultMode), ...keys(items, at)],
  storageos: ({ volumeName, volumeNamespace, secretRef }, at, persistent) => [
    ...Object.entries({ volumeName, volumeNamespace }).flatMap(([key, value]) =>
      value ? dns1123Label(value).map((p) => invalidValue(`${at}.${key}`, value, p)) : [],
    ),
    ...secretOf(`${at}.secretRef`, secretRef, persistent),
  ],
};

const keys = (items: readonly KeyToPath[] = [], at: string): FieldError[] =>
  items.flatMap(({ key, path, mode }, i) => [
    ...(key ? [] : [required(`${at}.items[${i}].key`)]),
    ...(path ? [] : [required(`${at}.items[${i}].path`)]),
    ...ownPath(path, `${at}.items[${i}].path`),
    ...fileMode(`${at}.items[${i}].mode`, mode),
  ]);

const fieldPaths = ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const subscripted = /^metadata\.(annotations|labels)\['.+'\]$/;
const amounts = ["limits.cpu", "limits.ephemeral-storage", "limits.memory"];
const resourcePaths = [...amounts, ...amounts.map((name) => name.replace("limits", "requests"))];

function downwardFile({ path, fieldRef, resourceFieldRef, mode }: DownwardAPIVolumeFile, at: string): FieldError[] {
  const errors = path ? [] : [required(`${at}.path`)];
  errors.push(...ownPath(path, `${at}.path`));
  if (fieldRef) {
    const field = `${at}.fieldRef.fieldPath`;
    if (!fieldRef.fieldPath) errors.push(required(field));
    else if (!subscripted.test(fieldRef.fieldPath)) errors.push(...among(field, fieldRef.fieldPath, fieldPaths));
    if (resourceFieldRef)
      errors.push(invalidValue(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"));
  } else if (resourceFieldRef) {
    const { containerName, resource } = resourceFieldRef;
    if (!containerName) errors.push(required(`${at}.resourceFieldRef.containerName`));
    if (!resource) errors.push(required(`${at}.resourceFieldRef.resource`));
    else if (!/^(limits|requests)\.hugepages-/.test(resource))
      errors.push(...among(`${at}.resourceFieldRef.resource`, resource, resourcePaths));
  } else errors.push(required(at, "one of fieldRef and resourceFieldRef is required"));
  return [...errors, ...fileMode(`${at}.mode`, mode)];
}
