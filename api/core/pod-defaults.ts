import type * as v1 from "../generated/core-v1.ts";
import { defaultPodResources } from "./pod-resources.ts";

/** What a Pod gets when it does not say (k8s.io/kubernetes/pkg/apis/core/v1/defaults.go). */
export function defaultPod(pod: v1.Pod): void {
  defaultPodSpec(pod.spec);
  pod.spec.enableServiceLinks ??= true;
  for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
    // A limit without a request asks for as much.
    const { limits } = container.resources ?? {};
    if (limits)
      container.resources = { ...container.resources, requests: { ...limits, ...container.resources?.requests } };
    // Of Pods only: templates get none since v1.28.
    if (pod.spec.hostNetwork) for (const port of container.ports ?? []) port.hostPort ||= port.containerPort;
  }
  defaultPodResources(pod.spec);
}

/** Shared with templates. */
export function defaultPodSpec(spec: v1.PodSpec): void {
  spec.containers ??= [];
  spec.restartPolicy ||= "Always";
  spec.terminationGracePeriodSeconds ??= 30;
  spec.dnsPolicy ||= "ClusterFirst";
  spec.securityContext ??= {};
  spec.schedulerName ||= "default-scheduler";
  // The old name of the field is kept in step.
  const account = spec.serviceAccountName || spec.serviceAccount;
  if (account) {
    spec.serviceAccountName = account;
    spec.serviceAccount = account;
  }
  for (const volume of spec.volumes ?? []) defaultVolume(volume);
  const containers = [...(spec.initContainers ?? []), ...spec.containers];
  for (const container of [...containers, ...(spec.ephemeralContainers ?? [])]) defaultContainer(container);
}

/** Go's template is a struct: it and its spec are there even when nobody wrote them. */
export function defaultTemplate(owner: { template?: v1.PodTemplateSpec }): void {
  owner.template ??= { spec: { containers: [] } };
  owner.template.spec ??= { containers: [] };
  defaultPodSpec(owner.template.spec);
}

function defaultContainer(container: v1.Container | v1.EphemeralContainer): void {
  container.imagePullPolicy ||= hasLatestTag(container.image ?? "") ? "Always" : "IfNotPresent";
  container.terminationMessagePath ||= "/dev/termination-log";
  container.terminationMessagePolicy ||= "File";
  container.resources ??= {};
  for (const port of container.ports ?? []) defaultPort(port);
  for (const { valueFrom } of container.env ?? []) {
    if (valueFrom?.fieldRef) valueFrom.fieldRef.apiVersion ||= "v1";
    if (valueFrom?.resourceFieldRef) valueFrom.resourceFieldRef.divisor ??= "0";
    if (valueFrom?.fileKeyRef) valueFrom.fileKeyRef.optional ??= false;
  }
  for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe]) defaultProbe(probe);
  defaultLifecycle(container.lifecycle);
}

const defaultPort = (port: v1.ContainerPort): void => {
  port.protocol ||= "TCP";
};

/** No tag and no digest, or `:latest`. */
function hasLatestTag(image: string): boolean {
  const [name = "", digest] = image.split("@");
  const tag = /:([^/:]*)$/.exec(name)?.[1];
  return tag === "latest" || (tag === undefined && digest === undefined);
}

function defaultProbe(probe: v1.Probe | undefined): void {
  if (!probe) return;
  probe.timeoutSeconds ||= 1;
  probe.periodSeconds ||= 10;
  probe.successThreshold ||= 1;
  probe.failureThreshold ||= 3;
  defaultHttpGet(probe.httpGet);
  if (probe.grpc) probe.grpc.service ??= "";
}

function defaultLifecycle(lifecycle: v1.Lifecycle | undefined): void {
  defaultHttpGet(lifecycle?.postStart?.httpGet);
  defaultHttpGet(lifecycle?.preStop?.httpGet);
}

function defaultHttpGet(action: v1.Probe["httpGet"]): void {
  if (!action) return;
  action.path ||= "/";
  action.scheme ||= "HTTP";
}

function defaultVolume(volume: v1.Volume): void {
  // A volume that names no source is an empty directory.
  if (Object.keys(volume).every((key) => key === "name")) volume.emptyDir = {};
  for (const source of [volume.secret, volume.configMap, volume.downwardAPI, volume.projected])
    if (source) source.defaultMode ??= 0o644;
  if (volume.hostPath) volume.hostPath.type ??= "";
  for (const { fieldRef, resourceFieldRef } of volume.downwardAPI?.items ?? []) {
    if (fieldRef) fieldRef.apiVersion ||= "v1";
    if (resourceFieldRef) resourceFieldRef.divisor ??= "0";
  }
  for (const { serviceAccountToken, downwardAPI } of volume.projected?.sources ?? []) {
    if (serviceAccountToken) serviceAccountToken.expirationSeconds ??= 3600;
    for (const { fieldRef } of downwardAPI?.items ?? []) if (fieldRef) fieldRef.apiVersion ||= "v1";
  }
  if (volume.ephemeral?.volumeClaimTemplate) volume.ephemeral.volumeClaimTemplate.spec.volumeMode ??= "Filesystem";
  if (volume.image) volume.image.pullPolicy ||= hasLatestTag(volume.image.reference ?? "") ? "Always" : "IfNotPresent";
  defaultSource(volume);
}

/** What the sources of Pods' volumes and of PersistentVolumes have in common. */
export function defaultSource(
  volume: Pick<v1.Volume, "azureDisk"> & {
    iscsi?: { iscsiInterface?: string };
    rbd?: { pool?: string; user?: string; keyring?: string };
    scaleIO?: { storageMode?: string; fsType?: string };
  },
): void {
  if (volume.iscsi) volume.iscsi.iscsiInterface ||= "default";
  if (volume.rbd) {
    volume.rbd.pool ||= "rbd";
    volume.rbd.user ||= "admin";
    volume.rbd.keyring ||= "/etc/ceph/keyring";
  }
  if (volume.scaleIO) {
    volume.scaleIO.storageMode ||= "ThinProvisioned";
    volume.scaleIO.fsType ||= "xfs";
  }
  if (volume.azureDisk) {
    volume.azureDisk.cachingMode ??= "ReadWrite";
    volume.azureDisk.kind ??= "Shared";
    volume.azureDisk.fsType ??= "ext4";
    volume.azureDisk.readOnly ??= false;
  }
}
