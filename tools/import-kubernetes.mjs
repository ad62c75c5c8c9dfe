// Writes proto/kubernetes from the schema facts (kubernetes-v1.34.json): one file a package. What the facts do not
// hold (which optional scalars are pointers in Go, what is inlined, which closed set a field draws from) is listed here.
import { mkdirSync, writeFileSync } from "node:fs";

/** Optional numbers and bools whose zero means absent; all others tell 0 from absent, as Go pointers do. */
const zeroIsAbsent = new Set(
  `*.observedGeneration *.readOnly *.partition *.minReadySeconds *.follow *.previous *.timestamps *.insecureSkipTLSVerifyBackend
  *.stdin *.stdout *.stderr *.tty *.stdinOnce *.chapAuthDiscovery *.chapAuthSession *.sslEnabled *.fullyLabeledReplicas
  *.readyReplicas *.availableReplicas *.updatedReplicas *.unavailableReplicas *.currentReplicas *.updatedNumberScheduled
  *.numberAvailable *.numberUnavailable *.watch *.allowWatchBookmarks *.globalDefault *.clusterScope *.priority
  DeploymentSpec.paused DeploymentStatus.replicas TokenReviewStatus.authenticated SubjectAccessReviewStatus.denied
  ScaleSpec.replicas JobStatus.active JobStatus.succeeded JobStatus.failed ContainerImage.sizeBytes ContainerPort.hostPort
  ContainerStateTerminated.signal Event.count Event.deprecatedCount NodeSpec.unschedulable PodSpec.hostNetwork
  PodSpec.hostPID PodSpec.hostIPC Probe.initialDelaySeconds Probe.timeoutSeconds Probe.periodSeconds
  Probe.successThreshold Probe.failureThreshold ServicePort.nodePort ServiceSpec.healthCheckNodePort
  ServiceSpec.publishNotReadyAddresses ServiceBackendPort.number DeviceSubRequest.count ExactDeviceRequest.count
  ObjectMeta.generation Status.code StatusDetails.retryAfterSeconds CustomResourceDefinitionSpec.preserveUnknownFields
  CustomResourceDefinitionVersion.deprecated APIServiceSpec.insecureSkipTLSVerify JSONSchemaProps.exclusiveMaximum
  JSONSchemaProps.exclusiveMinimum JSONSchemaProps.uniqueItems JSONSchemaProps.nullable
  JSONSchemaProps.xKubernetesEmbeddedResource JSONSchemaProps.xKubernetesIntOrString APIResource.namespaced
  ListOptions.limit ApplyOptions.force StatefulSetOrdinals.start FlowSchemaSpec.matchingPrecedence`.split(/\s+/),
);
const zeroIsPresent = new Set(
  `PodSpec.priority AzureDiskVolumeSource.readOnly CSIVolumeSource.readOnly HorizontalPodAutoscalerStatus.observedGeneration
  RollingUpdateStatefulSetStrategy.partition`.split(/\s+/),
);
/** Optional strings that tell "" from absent. */
const emptyIsPresent = new Set(
  `*.matchPolicy *.failurePolicy *.reinvocationPolicy *.localhostProfile *.storageClassName *.volumeMode
  *.volumeAttributesClassName *.appProtocol *.apiGroup *.aPIGroup *.preemptionPolicy *.propagationPolicy
  AdmissionResponse.patchType Rule.scope ServiceReference.path Validation.reason WebhookClientConfig.url
  CronJobSpec.timeZone JobSpec.completionMode JobSpec.podReplacementPolicy JobSpec.managedBy JobStatus.failedIndexes
  PodFailurePolicyOnExitCodesRequirement.containerName SuccessPolicyRule.succeededIndexes LeaseSpec.holderIdentity
  LeaseSpec.strategy LeaseSpec.preferredHolder AzureDiskVolumeSource.cachingMode AzureDiskVolumeSource.fsType
  AzureFilePersistentVolumeSource.secretNamespace CSIVolumeSource.fsType ClusterTrustBundleProjection.name
  ClusterTrustBundleProjection.signerName Container.restartPolicy EphemeralContainerCommon.restartPolicy
  ContainerStatus.stopSignal Lifecycle.stopSignal EndpointAddress.nodeName GRPCAction.service
  GlusterfsPersistentVolumeSource.endpointsNamespace HostPathVolumeSource.type ISCSIVolumeSource.initiatorName
  ISCSIPersistentVolumeSource.initiatorName LoadBalancerIngress.ipMode LocalVolumeSource.fsType
  PersistentVolumeClaimStatus.currentVolumeAttributesClassName PodDNSConfigOption.value PodLogOptions.stream
  PodResourceClaimStatus.resourceClaimName PodSecurityContext.supplementalGroupsPolicy
  PodSecurityContext.fsGroupChangePolicy PodSecurityContext.seLinuxChangePolicy PodSpec.runtimeClassName
  PodSpec.hostnameOverride PortStatus.error IngressPortStatus.error Preconditions.uid Preconditions.resourceVersion
  SecurityContext.procMount ServiceSpec.ipFamilyPolicy ServiceSpec.loadBalancerClass ServiceSpec.internalTrafficPolicy
  ServiceSpec.trafficDistribution TypedObjectReference.namespace TopologySpreadConstraint.nodeAffinityPolicy
  TopologySpreadConstraint.nodeTaintsPolicy VolumeMount.recursiveReadOnly VolumeMount.mountPropagation
  VolumeMountStatus.recursiveReadOnly WindowsSecurityContextOptions.gmsaCredentialSpecName
  WindowsSecurityContextOptions.gmsaCredentialSpec WindowsSecurityContextOptions.runAsUserName Endpoint.hostname
  Endpoint.nodeName Endpoint.zone IngressClassParametersReference.scope IngressClassParametersReference.namespace
  IngressSpec.ingressClassName NetworkPolicyPort.protocol PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy
  DeviceAttribute.string DeviceAttribute.version DeviceClassSpec.extendedResourceName DeviceConstraint.matchAttribute
  DeviceConstraint.distinctAttribute ResourceSliceSpec.nodeName Device.nodeName CSIDriverSpec.fsGroupPolicy
  StorageClass.reclaimPolicy StorageClass.volumeBindingMode VolumeAttachmentSource.persistentVolumeName
  CustomResourceDefinitionVersion.deprecationWarning CustomResourceSubresourceScale.labelSelectorPath
  ValidationRule.reason JSONSchemaProps.xKubernetesListType JSONSchemaProps.xKubernetesMapType`.split(/\s+/),
);
/** Optional although upstream's marker is missing: Go omits them when empty. */
const optional = new Set(
  `JSONSchemaProps.* ManagedFieldsEntry.* Unknown.* VolumeSource.* PersistentVolumeSource.* VolumeProjection.*
  ExternalDocumentation.* JSONSchemaPropsOrArray.* JSONSchemaPropsOrBool.* JSONSchemaPropsOrStringArray.* *.conditions
  DeploymentSpec.progressDeadlineSeconds StatefulSetSpec.revisionHistoryLimit JobStatus.ready EndpointPort.name
  EndpointPort.protocol Endpoint.conditions ListMeta.continue ListOptions.limit ListOptions.continue NodeSystemInfo.swap
  APIServiceSpec.insecureSkipTLSVerify APIResource.group APIResource.version ApplyOptions.force FlowSchemaCondition.*
  PriorityLevelConfigurationCondition.* ConversionResponse.result TableOptions.includeObject
  PersistentVolumeClaimTemplate.metadata PodSpec.initContainers ServiceSpec.ports EndpointHints.* APIResource.shortNames
  APIResource.categories PolicyRulesWithSubjects.resourceRules *.serverAddressByClientCIDRs`.split(/\s+/),
);
const inlined = new Set(
  `Volume.volumeSource PersistentVolumeSpec.persistentVolumeSource Probe.handler RuleWithOperations.rule
  EphemeralContainer.ephemeralContainerCommon NamedRuleWithOperations.ruleWithOperations ConfigMapEnvSource.localObjectReference
  ConfigMapKeySelector.localObjectReference ConfigMapProjection.localObjectReference ConfigMapVolumeSource.localObjectReference
  SecretEnvSource.localObjectReference SecretKeySelector.localObjectReference SecretProjection.localObjectReference
  DeviceAllocationConfiguration.deviceConfiguration DeviceClaimConfiguration.deviceConfiguration
  DeviceClassConfiguration.deviceConfiguration`.split(/\s+/),
);
/** Messages whose JSON is not an object of their fields. */
const jsonForm = {
  Quantity: "quantity",
  QuantityValue: "quantity",
  IntOrString: "int-or-string",
  Time: "time",
  MicroTime: "micro-time",
  Timestamp: "time",
  RawExtension: "object",
  FieldsV1: "object",
  JSON: "any",
  Duration: "duration",
  Verbs: "list",
  ExtraValue: "list",
  JSONSchemaPropsOrArray: "any",
  JSONSchemaPropsOrBool: "any",
  JSONSchemaPropsOrStringArray: "any",
};
/** Which closed set a string field draws from, where the field is not called like the set. */
const closedSets = {
  "DeploymentStrategy.type": "DeploymentStrategyType",
  "DaemonSetUpdateStrategy.type": "DaemonSetUpdateStrategyType",
  "StatefulSetUpdateStrategy.type": "StatefulSetUpdateStrategyType",
  "ServiceSpec.type": "ServiceType",
  "StatefulSetSpec.podManagementPolicy": "PodManagementPolicyType",
  "ServiceSpec.sessionAffinity": "ServiceAffinity",
  "ServiceSpec.internalTrafficPolicy": "ServiceInternalTrafficPolicy",
  "ServiceSpec.externalTrafficPolicy": "ServiceExternalTrafficPolicy",
  "Container.imagePullPolicy": "PullPolicy",
  "ServiceSpec.ipFamilyPolicy": "IPFamilyPolicy",
  "ServiceSpec.ipFamilies": "IPFamily",
  "EphemeralContainerCommon.imagePullPolicy": "PullPolicy",
  "HTTPGetAction.scheme": "URIScheme",
  "Container.restartPolicy": "ContainerRestartPolicy",
  "EphemeralContainerCommon.restartPolicy": "ContainerRestartPolicy",
  "Taint.effect": "TaintEffect",
  "Toleration.effect": "TaintEffect",
  "Toleration.operator": "TolerationOperator",
  "NodeSelectorRequirement.operator": "NodeSelectorOperator",
  "PodStatus.phase": "PodPhase",
  "PodStatus.qosClass": "PodQOSClass",
  "NamespaceStatus.phase": "NamespacePhase",
  "NodeAddress.type": "NodeAddressType",
  "TopologySpreadConstraint.whenUnsatisfiable": "UnsatisfiableConstraintAction",
  "TopologySpreadConstraint.nodeAffinityPolicy": "NodeInclusionPolicy",
  "TopologySpreadConstraint.nodeTaintsPolicy": "NodeInclusionPolicy",
  "PersistentVolumeSpec.persistentVolumeReclaimPolicy": "PersistentVolumeReclaimPolicy",
  "PersistentVolumeSpec.volumeMode": "PersistentVolumeMode",
  "PersistentVolumeClaimSpec.volumeMode": "PersistentVolumeMode",
  "PersistentVolumeStatus.phase": "PersistentVolumePhase",
  "PersistentVolumeClaimStatus.phase": "PersistentVolumeClaimPhase",
  "PersistentVolumeSpec.accessModes": "PersistentVolumeAccessMode",
  "PersistentVolumeClaimSpec.accessModes": "PersistentVolumeAccessMode",
  "EmptyDirVolumeSource.medium": "",
  "VolumeMount.mountPropagation": "MountPropagationMode",
  "SeccompProfile.type": "SeccompProfileType",
  "AppArmorProfile.type": "AppArmorProfileType",
  "LimitRangeItem.type": "LimitType",
  "EndpointSlice.addressType": ["IPv4", "IPv6", "FQDN"],
  "JobSpec.completionMode": "CompletionMode",
  "MetricSpec.type": "MetricSourceType",
  "MetricTarget.type": "MetricTargetType",
  "HTTPIngressPath.pathType": ["Exact", "Prefix", "ImplementationSpecific"],
  "NetworkPolicySpec.policyTypes": "PolicyType",
  "PodOS.name": "OSName",
  "LabelSelectorRequirement.operator": "LabelSelectorOperator",
  "ManagedFieldsEntry.operation": "ManagedFieldsOperationType",
  "DeleteOptions.propagationPolicy": "DeletionPropagation",
};
const named = new Set(
  `RestartPolicy DNSPolicy Protocol PreemptionPolicy TerminationMessagePolicy ConcurrencyPolicy PodReplacementPolicy
  VolumeBindingMode`.split(/\s+/),
);

export function importKubernetes(facts, into) {
  mkdirSync(into, { recursive: true });
  const file = (pkg) => `${fileOf(pkg)}.proto`;
  for (const [pkg, messages] of Object.entries(facts.packages)) {
    const imports = new Set();
    const body = Object.entries(messages).flatMap(([name, message]) =>
      messageLines(facts, pkg, name, message, (other) => imports.add(`import "${file(other)}";`)),
    );
    const head = [
      'syntax = "proto2";',
      `package ${pkg};`,
      "",
      'import "../options.proto";',
      ...[...imports].sort(),
      "",
    ];
    writeFileSync(`${into}/${file(pkg)}`, `${[...head, ...body].join("\n")}`);
  }
}

/** `k8s.io.api.core.v1` -> `core-v1`; `k8s.io.apimachinery.pkg.api.resource` -> `quantity`. */
function fileOf(pkg) {
  const parts = pkg.split(".");
  const last = parts.at(-1);
  if (/^v\d/.test(last)) return `${parts.at(-2)}-${last}`;
  return last === "resource" ? "quantity" : last;
}

function messageLines(facts, pkg, name, message, use) {
  const options = [];
  const kind = facts.kinds[pkg]?.[name];
  if (kind) options.push(`  option (kubelab.scope) = "${kind.namespaced ? "Namespaced" : "Cluster"}";`);
  if (message.tags?.includes("structType=atomic")) options.push(`  option (kubelab.struct_type) = "atomic";`);
  if (jsonForm[name]) options.push(`  option (kubelab.json_form) = "${jsonForm[name]}";`);
  const fields = Object.entries(message.fields).map(([key, field]) => {
    const at = `${name}.${key}`;
    for (const other of Object.keys(facts.packages))
      if (other !== pkg && field.t.startsWith(`${other}.`) && !field.t.slice(other.length + 1).includes("."))
        use(other);
    const label = field.r ? "repeated " : field.t.startsWith("map<") ? "" : "optional ";
    const list = fieldOptions(facts, pkg, at, name, key, field);
    return `  ${label}${field.t} ${key} = ${field.n}${list.length ? ` [${list.join(", ")}]` : ""};`;
  });
  if (options.length && fields.length) options.push("");
  return [`message ${name} {`, ...options, ...fields, "}", ""];
}

function fieldOptions(facts, pkg, at, message, key, field) {
  const tags = field.tags ?? [];
  const has = (set) => set.has(at) || set.has(`*.${key}`) || set.has(`${message}.*`);
  const value = (name) => tags.filter((t) => t.startsWith(`${name}=`)).map((t) => t.slice(name.length + 1));
  const isOptional =
    tags.includes("optional") ||
    tags.includes("k8s:optional") ||
    has(optional) ||
    inlined.has(at) ||
    (pkg.endsWith("discovery.v1") && at === "EndpointPort.port") ||
    (/Status$/.test(message) && (field.r || field.t.startsWith("map<")));
  const options = [];
  const add = (name, text) =>
    options.push(`(kubelab.${name}) = ${typeof text === "string" ? JSON.stringify(text) : text}`);
  if (inlined.has(at)) add("inline", true);
  const json = jsonName(message, key);
  if (json !== key) add("json", json);
  if (!isOptional) add("required", true);
  else if (!field.r && /^(int32|int64|bool|double)$/.test(field.t)) {
    if (!has(zeroIsAbsent) || zeroIsPresent.has(at)) add("presence", true);
  } else if (!field.r && field.t === "string") {
    const pointer = has(emptyIsPresent) || (pkg.endsWith("discovery.v1") && message === "EndpointPort");
    if (pointer && at !== "PersistentVolumeSpec.storageClassName") add("presence", true);
  }
  if (value("patchStrategy")[0]) add("patch_strategy", value("patchStrategy")[0]);
  if (value("patchMergeKey")[0]) add("patch_merge_key", value("patchMergeKey")[0]);
  const listType = value("listType")[0] ?? value("k8s:listType")[0];
  if (listType && field.r) add("list_type", listType);
  const keys = [...value("listMapKey"), ...value("k8s:listMapKey")];
  if (keys.length) add("list_map_keys", [...new Set(keys)].join(","));
  if (value("mapType")[0]) add("map_type", value("mapType")[0]);
  else if (value("structType")[0]) add("map_type", value("structType")[0]);
  const byDefault = value("default")[0]
    ?.replace(/^ref\((.*)\)$/, (_, name) => JSON.stringify(name.replace(/^AzureDataDiskCaching|^Azure|BlobDisk$/g, "")))
    .replace(/^"(.*)"$/, "$1");
  if (byDefault !== undefined) add("default_value", byDefault);
  const values = field.t === "string" ? closedSet(facts, pkg, at, message, key) : undefined;
  if (values) add("values", values.filter((v) => v !== "").join(","));
  const gate = value("featureGate")[0]?.replace(/ .*/, "");
  if (gate) add("feature_gate", gate);
  return options;
}

function closedSet(facts, pkg, at, message, key) {
  if (key === "status" && message.endsWith("Condition")) return ["True", "False", "Unknown"];
  const like = key === "dnsPolicy" ? "DNSPolicy" : key[0].toUpperCase() + key.slice(1);
  const set = closedSets[at] ?? (named.has(like) ? like : undefined);
  if (set === undefined || Array.isArray(set)) return set;
  return facts.stringConstants[pkg]?.[set] ?? facts.stringConstants["k8s.io.api.core.v1"][set];
}

function jsonName(message, key) {
  if (message === "JSONSchemaProps" && /^(ref|schema)$/.test(key)) return `$${key}`;
  if (message === "JSONSchemaProps" && key.startsWith("xKubernetes"))
    return key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
  if (key === "uID") return "uid";
  if (key === "aPIGroup") return "apiGroup";
  return key;
}
