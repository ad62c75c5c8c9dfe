import { expect, test } from "vitest";
import { errorText } from "../../apimachinery/field-error.ts";
import type { PersistentVolumeSpec, Volume } from "../generated/core-v1.ts";
import { validateSources } from "./volume-sources.ts";

const table: [string, Omit<Volume, "name"> | PersistentVolumeSpec, string[], "of a volume"?][] = [
  ["a path of the host", { hostPath: { path: "/var", type: "Directory" } }, []],
  ["no path", { hostPath: { path: "", type: "X" } }, ["hostPath.path: Required value"]],
  [
    "a path that goes up, of no type",
    { hostPath: { path: "/a/../b", type: "X" } },
    [
      "hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
      'hostPath.type: Unsupported value: "X": supported values: "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"',
    ],
  ],
  [
    "an empty nfs",
    { nfs: { server: "", path: "" } },
    ["nfs.server: Required value", "nfs.path: Required value", 'nfs.path: Invalid value: "": must be an absolute path'],
  ],
  ["an iscsi target", { iscsi: { targetPortal: "p", iqn: "iqn.2001-04.com.example:storage", lun: 0 } }, []],
  [
    "iscsi names that are none, with a password from nowhere",
    { iscsi: { targetPortal: "", iqn: "iqn.x", lun: 256, chapAuthSession: true, initiatorName: "foo" } },
    [
      "iscsi.targetPortal: Required value",
      'iscsi.iqn: Invalid value: "iqn.x": must be valid format',
      "iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
      "iscsi.secretRef: Required value",
      'iscsi.initiatorname: Invalid value: "foo": must be valid format starting with iqn, eui, or naa',
    ],
  ],
  [
    "a fibre channel with neither name, and one with both",
    { fc: {} },
    ["fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both"],
  ],
  [
    "a fibre channel with both",
    { fc: { targetWWNs: ["a"], wwids: ["b"] } },
    [
      'fc.targetWWNs: Invalid value: ["a"]: targetWWNs and wwids can not be specified simultaneously',
      "fc.lun: Required value: lun is required if targetWWNs is specified",
    ],
  ],
  [
    "a driver of a volume, and its secret",
    { csi: { driver: "a_b", nodePublishSecretRef: { name: "" } } },
    [
      expect.stringContaining('csi.driver: Invalid value: "a_b": a lowercase RFC 1123 subdomain') as unknown as string,
      "csi.nodePublishSecretRef.name: Required value",
    ],
  ],
  [
    "a driver needs its handle, and secrets lie in Namespaces",
    { csi: { driver: "a.b", volumeHandle: "", controllerExpandSecretRef: { name: "x" } } },
    ["csi.volumeHandle: Required value", "csi.controllerExpandSecretRef.namespace: Required value"],
    "of a volume",
  ],
  ["a claim of its own", { ephemeral: {} as never }, ["ephemeral.volumeClaimTemplate: Required value"]],
  [
    "a claim of its own for nothing",
    { ephemeral: { volumeClaimTemplate: { spec: {} } } },
    [
      "ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required",
      "ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
    ],
  ],
  [
    "files of a secret",
    { secret: { secretName: "", defaultMode: 0o1000, items: [{ key: "", path: "..x", mode: -1 }] } },
    [
      "secret.secretName: Required value",
      "secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
      "secret.items[0].key: Required value",
      "secret.items[0].path: Invalid value: \"..x\": must not start with '..'",
      "secret.items[0].mode: Invalid value: -1: must be a number between 0 and 0777 (octal), both inclusive",
    ],
  ],
  [
    "what a Pod may know of itself in files",
    {
      downwardAPI: {
        items: [
          { path: "a", fieldRef: { fieldPath: "status.podIP" } },
          { path: "b", fieldRef: { fieldPath: "metadata.labels['x']" }, resourceFieldRef: { resource: "limits.cpu" } },
          { path: "c", resourceFieldRef: { resource: "limits.cpu" } },
          { path: "d", resourceFieldRef: { containerName: "c", resource: "limits.gpu" } },
        ],
      },
    },
    [
      'downwardAPI.fieldRef.fieldPath: Unsupported value: "status.podIP": supported values: "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"',
      'downwardAPI: Invalid value: "resource": fieldRef and resourceFieldRef can not be specified simultaneously',
      "downwardAPI.resourceFieldRef.containerName: Required value",
      'downwardAPI.resourceFieldRef.resource: Unsupported value: "limits.gpu": supported values: "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"',
    ],
  ],
  [
    "projections onto one path, and of two things at once",
    {
      projected: {
        sources: [
          { secret: { name: "s", items: [{ key: "a", path: "x" }] } },
          { configMap: { name: "", items: [{ key: "a", path: "x" }] }, secret: { name: "s" } },
        ],
      },
    },
    [
      "projected.sources[1].configMap.name: Required value",
      'projected: Invalid value: "": conflicting duplicate paths',
      "projected.sources[1]: Forbidden: may not specify more than 1 volume type per source",
    ],
  ],
  [
    "a disk of the cloud",
    { azureDisk: { diskName: "d", diskURI: "x", kind: "Managed", cachingMode: "Fast" } },
    [
      'azureDisk.cachingMode: Unsupported value: "Fast": supported values: "None", "ReadOnly", "ReadWrite"',
      'azureDisk.diskURI: Unsupported value: "x": supported values: "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"',
    ],
  ],
  [
    "options that are reserved",
    { flexVolume: { driver: "d", options: { "a.kubernetes.io/x": "1", "kubernetes.iox/y": "1" } } },
    [
      'flexVolume.options[a.kubernetes.io/x]: Invalid value: "a.kubernetes.io/x": kubernetes.io and k8s.io namespaces are reserved',
    ],
  ],
  ["monitors that are none", { rbd: { monitors: [], image: "i" } }, ["rbd.monitors: Required value"]],
  [
    "a registry without port",
    { quobyte: { registry: "a", volume: "v" } },
    ['quobyte.registry: Invalid value: "a": must be a host:port pair or multiple pairs separated by commas'],
  ],
];

test.each(table)("%s", (_, source, problems, persistent) => {
  const prefixed = problems.map((p) => (typeof p === "string" ? `at.${p}` : p));
  expect([...validateSources(source, "at", persistent !== undefined)].map(errorText)).toEqual(prefixed);
});
