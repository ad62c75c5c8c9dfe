import {
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
} from "./admissionregistration/validating-admission-policy.ts";
import {
  mutatingWebhookConfigurations,
  validatingWebhookConfigurations,
} from "./admissionregistration/webhook-configuration.ts";
import { customResourceDefinitions } from "./apiextensions/custom-resource-definition.ts";
import { apiServices } from "./apiregistration/api-service.ts";
import { controllerRevisions } from "./apps/controller-revision.ts";
import { daemonSets } from "./apps/daemon-set.ts";
import { deployments } from "./apps/deployment.ts";
import { replicaSets } from "./apps/replica-set.ts";
import { statefulSets } from "./apps/stateful-set.ts";
import { authenticationReviews, authorizationReviews } from "./authorization/reviews.ts";
import { horizontalPodAutoscalers } from "./autoscaling/horizontal-pod-autoscaler.ts";
import { horizontalPodAutoscalersV1 } from "./autoscaling/v1.ts";
import { cronJobs } from "./batch/cron-job.ts";
import { jobs } from "./batch/job.ts";
import { certificateSigningRequests } from "./certificates/certificate-signing-request.ts";
import { leases } from "./coordination/lease.ts";
import { bindings, componentStatuses } from "./core/component-status.ts";
import { configMaps } from "./core/config-map.ts";
import { endpoints } from "./core/endpoints.ts";
import { events } from "./core/event.ts";
import { limitRanges } from "./core/limit-range.ts";
import { namespaces } from "./core/namespace.ts";
import { nodes } from "./core/node.ts";
import { persistentVolumes } from "./core/persistent-volume.ts";
import { persistentVolumeClaims } from "./core/persistent-volume-claim.ts";
import { pods } from "./core/pod.ts";
import { podTemplates } from "./core/pod-template.ts";
import { replicationControllers } from "./core/replication-controller.ts";
import { resourceQuotas } from "./core/resource-quota.ts";
import { secrets } from "./core/secret.ts";
import { services } from "./core/service.ts";
import { serviceAccounts } from "./core/service-account.ts";
import { endpointSlices } from "./discovery/endpoint-slice.ts";
import { eventsV1Events } from "./events/event.ts";
import { flowSchemas } from "./flowcontrol/flow-schema.ts";
import { priorityLevelConfigurations } from "./flowcontrol/priority-level.ts";
import { ingresses } from "./networking/ingress.ts";
import { ingressClasses } from "./networking/ingress-class.ts";
import { networkPolicies } from "./networking/network-policy.ts";
import { ipAddresses, serviceCidrs } from "./networking/service-range.ts";
import { runtimeClasses } from "./node/runtime-class.ts";
import { podDisruptionBudgets } from "./policy/pod-disruption-budget.ts";
import { clusterRoles, roles } from "./rbac/role.ts";
import { clusterRoleBindings, roleBindings } from "./rbac/role-binding.ts";
import { deviceClasses } from "./resource/device-class.ts";
import { resourceClaims, resourceClaimTemplates } from "./resource/resource-claim.ts";
import { resourceSlices } from "./resource/resource-slice.ts";
import type { Resource } from "./resource.ts";
import { priorityClasses } from "./scheduling/priority-class.ts";
import { csiDrivers, csiNodes, csiStorageCapacities } from "./storage/csi.ts";
import { storageClasses, volumeAttributesClasses } from "./storage/storage-class.ts";
import { volumeAttachments } from "./storage/volume-attachment.ts";

export type { Column, Resource, ScaleAccess, Subresource, Verb } from "./resource.ts";

/**
 * Every resource that is served, in the order of discovery: groups by preference, core first. Adding a kind is a name
 * here and a file beside the others.
 */
export function resources(options: { allowLoopbackEndpoints?: boolean } = {}): readonly Resource[] {
  const loopback = options.allowLoopbackEndpoints ?? false;
  return [
    ...[bindings, componentStatuses, configMaps, endpoints(loopback), events, limitRanges, namespaces, nodes],
    ...[persistentVolumeClaims, persistentVolumes, pods, podTemplates, replicationControllers, resourceQuotas],
    ...[secrets, serviceAccounts, services],
    apiServices,
    ...[controllerRevisions, daemonSets, deployments, replicaSets, statefulSets],
    ...[...authenticationReviews, ...authorizationReviews],
    ...[cronJobs, jobs],
    ...[horizontalPodAutoscalers, horizontalPodAutoscalersV1],
    certificateSigningRequests,
    ...[ingressClasses, ingresses, ipAddresses, networkPolicies, serviceCidrs],
    podDisruptionBudgets,
    ...[clusterRoleBindings, clusterRoles, roleBindings, roles],
    ...[csiDrivers, csiNodes, csiStorageCapacities, storageClasses, volumeAttachments, volumeAttributesClasses],
    priorityClasses,
    runtimeClasses,
    ...[mutatingWebhookConfigurations, validatingAdmissionPolicies, validatingAdmissionPolicyBindings],
    validatingWebhookConfigurations,
    customResourceDefinitions,
    ...[flowSchemas, priorityLevelConfigurations],
    leases,
    endpointSlices(loopback),
    eventsV1Events,
    ...[deviceClasses, resourceClaims, resourceClaimTemplates, resourceSlices],
  ] as readonly Resource[];
}
