import type { TokenRequest } from "../../api/generated/authentication-v1.ts";
import type { CertificateSigningRequest } from "../../api/generated/certificates-v1.ts";
import type { Node, PersistentVolumeClaim, Pod } from "../../api/generated/core-v1.ts";
import type { ResourceSlice } from "../../api/generated/resource-v1.ts";
import { CSIDrivers, Nodes, PersistentVolumeClaims, PersistentVolumes, Pods } from "../../api/generated/resources.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { forbidden, notFound } from "../../apimachinery/status.ts";
import { parseRequest } from "../../pki/request.ts";
import type { Authorizer } from "../authz/authorizer.ts";
import { claimsOf, nodeName, refersTo } from "../authz/node.ts";
import type { Attributes, Plugin } from "./chain.ts";
import type { Cluster } from "./cluster.ts";

/**
 * NodeRestriction: of what the Node authorizer lets a node write, only its own: the Node, Lease, CSINode and slices of its
 * name, and the status of, and the end of, Pods that are bound to it. Its taints are others' to set, and labels that steer
 * Pods. Since a node may read what its Pods refer to, a Pod that it makes itself refers to nothing.
 * Source: plugin/pkg/admission/noderestriction.
 */
export const nodeRestriction = (authorizer: Authorizer): Plugin => ({
  name: "NodeRestriction",
  mutate(attributes, cluster) {
    const { user, resource, name, operation } = attributes;
    const node = nodeName(user);
    if (node === undefined || operation === "CONNECT") return;
    const problem = objections[`${resource.resource}.${resource.group}`]?.(node, attributes, cluster);
    if (problem !== undefined) throw forbidden(resource, name, problem);
  },
  validate(attributes, cluster) {
    const node = nodeName(attributes.user);
    if (node === undefined || attributes.resource.resource !== "serviceaccounts" || attributes.subresource !== "token")
      return;
    return checkToken(attributes, node, cluster, authorizer);
  },
});

type Objection = (node: string, attributes: Attributes, cluster: Cluster) => string | undefined;

const ofItsName =
  (text: string): Objection =>
  (node, { name, object }) =>
    (name || object?.metadata.name) === node ? undefined : text;

const objections: Record<string, Objection> = {
  "pods.": ofPod,
  "nodes.": ofNode,
  "persistentvolumeclaims.": (node, { subresource, object, oldObject }) => {
    if (subresource !== "status") return "may only update PVC status";
    const same = sameJson(restOf(object as PersistentVolumeClaim), restOf(oldObject as PersistentVolumeClaim));
    return same ? undefined : `node "${node}" is not allowed to update fields other than ${ownOfClaims}`;
  },
  "leases.coordination.k8s.io": ofItsName("can only access node lease with the same name as the requesting node"),
  "csinodes.storage.k8s.io": ofItsName("can only access CSINode with the same name as the requesting node"),
  "resourceslices.resource.k8s.io": (node, { operation, object, oldObject }) => {
    const own = [object, oldObject].every((slice) => !slice || (slice as ResourceSlice).spec.nodeName === node);
    const verb = operation.toLowerCase();
    return own ? undefined : `can only ${verb} ResourceSlice with the same NodeName as the requesting node`;
  },
  "certificatesigningrequests.certificates.k8s.io": (node, { operation, object }) => {
    if (operation !== "CREATE") return undefined;
    const { signerName, request } = (object as CertificateSigningRequest).spec;
    if (!/^kubernetes\.io\/(kubelet-serving|kube-apiserver-client-kubelet)$/.test(signerName)) return undefined;
    const name = `system:node:${node}`;
    try {
      const { commonName } = parseRequest(Buffer.from(request, "base64").toString());
      return commonName === name ? undefined : `can only create a node CSR with CN=${name}`;
    } catch (error) {
      return `unable to parse csr: ${(error as Error).message}`;
    }
  },
};

function ofPod(node: string, attributes: Attributes, cluster: Cluster): string | undefined {
  const { operation, subresource, namespace, name, object, oldObject } = attributes;
  const who = `node ${JSON.stringify(node)}`;
  const [pod, old] = [object as Pod, oldObject as Pod];
  const isBound = (one: Pod | undefined) => one?.spec?.nodeName === node;
  if (subresource === "eviction") {
    const evicted = cluster.get(Pods, { namespace, name });
    if (evicted === undefined) throw notFound(Pods, name);
    return isBound(evicted) ? undefined : `node ${node} can only evict pods with spec.nodeName set to itself`;
  }
  if (subresource === "status") {
    if (!isBound(old)) return `${who} can only update pod status for pods with spec.nodeName set to itself`;
    if (!sameJson(pod.metadata.labels ?? {}, old.metadata.labels ?? {}))
      return `${who} cannot update labels through pod status`;
    const claims = ({ status }: Pod) => status?.resourceClaimStatuses ?? [];
    return sameJson(claims(pod), claims(old)) ? undefined : `${who} cannot update resource claim statues`;
  }
  if (subresource !== "")
    return `unexpected pod subresource "${subresource}", only 'status' and 'eviction' are allowed`;
  if (operation === "CREATE") return ofMirrorPod(pod, node, cluster);
  if (operation === "DELETE")
    return isBound(old) ? undefined : `${who} can only delete pods with spec.nodeName set to itself`;
  return `unexpected operation "${operation}", ${who} can only create and delete mirror pods`;
}

function ofMirrorPod(pod: Pod, node: string, cluster: Cluster): string | undefined {
  const { annotations, ownerReferences = [] } = pod.metadata;
  const who = `node ${JSON.stringify(node)}`;
  if (!annotations?.["kubernetes.io/config.mirror"])
    return `pod does not have "kubernetes.io/config.mirror" annotation, ${who} can only create mirror pods`;
  if (pod.spec.nodeName !== node) return `${who} can only create pods with spec.nodeName set to itself`;
  const [owner] = ownerReferences;
  if (ownerReferences.length > 1) return `${who} can only create pods with a single owner reference set to itself`;
  if (owner?.apiVersion !== "v1" || owner.kind !== "Node" || owner.name !== node)
    return `${who} can only create pods with an owner reference set to itself`;
  if (!owner.controller) return `${who} can only create pods with a controller owner reference set to itself`;
  if (owner.blockOwnerDeletion) return `${who} must not set blockOwnerDeletion on an owner reference`;
  const found = cluster.get(Nodes, { name: node });
  if (found === undefined) throw notFound(Nodes, node);
  if (found.metadata.uid !== owner.uid)
    return `node ${node} UID mismatch: expected ${owner.uid} got ${found.metadata.uid}`;
  const { serviceAccountName, volumes = [], resourceClaims = [] } = pod.spec;
  const has = { secrets: refersTo(pod, "secrets"), configmaps: refersTo(pod, "configmaps") };
  const referred = Object.entries({
    "a service account": Boolean(serviceAccountName),
    ...has,
    clustertrustbundles: volumes.some((one) => one.projected?.sources?.some((source) => source.clusterTrustBundle)),
    persistentvolumeclaims: claimsOf(pod).length > 0,
    resourceclaims: resourceClaims.length > 0,
  }).find(([, refers]) => refers);
  return referred && `${who} can not create pods that reference ${referred[0]}`;
}

function ofNode(node: string, { operation, name, object, oldObject }: Attributes): string | undefined {
  const who = `node ${JSON.stringify(node)}`;
  const requested = name || object!.metadata.name;
  if (requested !== node) return `${who} is not allowed to modify node ${JSON.stringify(requested)}`;
  if (operation === "DELETE") return undefined;
  const isNew = operation === "CREATE";
  const { spec = {}, metadata } = object as Node;
  const { spec: oldSpec = {}, metadata: oldMetadata } = (oldObject ?? { metadata: { name } }) as Node;
  if (spec.configSource && !sameJson(spec.configSource, oldSpec.configSource ?? null))
    return isNew
      ? `${who} is not allowed to create pods with a non-nil configSource`
      : `${who} is not allowed to update configSource to a new non-nil configSource`;
  if (!isNew && !sameJson(spec.taints ?? [], oldSpec.taints ?? [])) return `${who} is not allowed to modify taints`;
  if (!isNew && !sameJson(metadata.ownerReferences ?? [], oldMetadata.ownerReferences ?? []))
    return `${who} is not allowed to modify ownerReferences`;
  const labels = forbiddenLabels(metadata.labels, oldMetadata.labels).join(", ");
  if (labels === "") return undefined;
  return isNew
    ? `${who} is not allowed to set the following labels: ${labels}`
    : `is not allowed to modify labels: ${labels}`;
}

const ownOfClaims = "status.capacity and status.conditions";

/** A claim without what a node may tell of it. */
function restOf({ metadata, status = {}, ...rest }: PersistentVolumeClaim): object {
  const { resourceVersion: _v, managedFields: _m, ...kept } = metadata;
  const { capacity: _c, conditions: _s, allocatedResources: _a, allocatedResourceStatuses: _r, ...others } = status;
  return { ...rest, metadata: kept, status: others };
}

/** What changed of Kubernetes' own labels but those that kubelets set; and all that are kept for isolating nodes. */
function forbiddenLabels(labels: Record<string, string> = {}, old: Record<string, string> = {}): string[] {
  const changed = Object.keys({ ...labels, ...old }).filter((key) => labels[key] !== old[key]);
  return changed
    .filter((key) => {
      const domain = key.includes("/") ? key.slice(0, key.indexOf("/")) : "";
      if (/(^|\.)node-restriction\.kubernetes\.io$/.test(domain)) return true;
      if (!/(^|\.)(kubernetes|k8s)\.io$/.test(domain)) return false;
      return !/(^|\.)(kubelet|node)\.kubernetes\.io$/.test(domain) && !kubeletLabels.test(key);
    })
    .sort();
}

const kubeletLabels =
  /^(kubernetes\.io\/(hostname|os|arch)|beta\.kubernetes\.io\/(os|arch|instance-type)|topology\.kubernetes\.io\/(zone|region)|failure-domain\.beta\.kubernetes\.io\/(zone|region))$/;

/** A node may have tokens for its Pods, each for one of them and for whom a volume of it names (KEP-4412). */
async function checkToken(attributes: Attributes, node: string, cluster: Cluster, authorizer: Authorizer) {
  const { user, resource, namespace, name } = attributes;
  const refuse = (message: string) => forbidden(resource, name, message);
  const { boundObjectRef = {}, audiences = [] } = (attributes.object as TokenRequest).spec ?? {};
  const { kind, apiVersion, name: pod = "", uid } = boundObjectRef;
  if (kind !== "Pod" || apiVersion !== "v1" || pod === "") throw refuse("node requested token not bound to a pod");
  if (!uid) throw refuse("node requested token with a pod binding without a uid");
  const found: Pod | undefined = await cluster.live(Pods, { namespace, name: pod });
  if (found === undefined) throw notFound(Pods, pod);
  if (found.metadata.uid !== uid) return; // the registry says so
  if (found.spec?.nodeName !== node) throw refuse("node requested token bound to a pod scheduled on a different node");
  if (audiences.length > 1) throw refuse("node may only request 0 or 1 audiences");
  const [audience = ""] = audiences;
  if (audiencesOf(found, cluster).includes(audience)) return;
  const target = { group: "", version: "v1", resource: audience, subresource: "", namespace, name };
  const verb = "request-serviceaccounts-token-audience";
  if ((await authorizer.authorize({ user, verb, target })).type === "Allow") return;
  const text = `audience ${JSON.stringify(audience)} not found in pod spec volume`;
  throw refuse(`${text}, ${user.name} is not authorized to request tokens for this audience`);
}

/** "" is the apiserver's own. Drivers of volumes may want tokens, too. */
function audiencesOf(pod: Pod, cluster: Cluster): string[] {
  const { namespace } = pod.metadata;
  const volumes = pod.spec.volumes ?? [];
  const sources = volumes.flatMap(({ projected }) => projected?.sources ?? []);
  const claimed = claimsOf(pod).map((name) => {
    const volume = cluster.get(PersistentVolumeClaims, { namespace, name })?.spec?.volumeName;
    return volume ? cluster.get(PersistentVolumes, { name: volume })?.spec?.csi : undefined;
  });
  return [
    ...sources.flatMap(({ serviceAccountToken }) => (serviceAccountToken ? (serviceAccountToken.audience ?? "") : [])),
    ...[...volumes.map(({ csi }) => csi), ...claimed]
      .flatMap((csi) => (csi && cluster.get(CSIDrivers, { name: csi.driver })?.spec.tokenRequests) ?? [])
      .map(({ audience }) => audience),
  ];
}
