import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  Role,
  RoleBinding,
  Subject,
} from "../../api/generated/rbac-v1.ts";

/**
 * Upstream's default roles and bindings (plugin/pkg/auth/authorizer/rbac/bootstrappolicy) in a table:
 *
 *   NAME[@NAMESPACE] [+LABEL]... [SELECTS] [< SUBJECT...]     a role, and who is bound to it by a binding of its name
 *     VERBS GROUP RESOURCES [=NAMES]; VERBS url PATHS         its rules; the groups `core` and `*`
 *
 * VERBS may be R (get, list, watch), W (all that write), `events` alone stands for the usual rule. `+edit` labels a role
 * to be part of the aggregate `edit`, `^edit` makes it the aggregate. SUBJECT is `g:GROUP`, `u:USER` or `sa:NAMESPACE/NAME`.
 *
 * Differs: our controller-manager is one identity, so it is bound to the roles of all controllers.
 */
const table = `
cluster-admin < g:system:masters
  * * *; * url *
system:discovery < g:system:authenticated
  get url /livez,/readyz,/healthz,/version,/version/,/openapi,/openapi/*,/api,/api/*,/apis,/apis/*
system:monitoring < g:system:monitoring
  get url /metrics,/metrics/slis,/livez,/readyz,/healthz,/livez/*,/readyz/*,/healthz/*
system:basic-user < g:system:authenticated
  create authorization.k8s.io selfsubjectaccessreviews,selfsubjectrulesreviews
  create authentication.k8s.io selfsubjectreviews
system:public-info-viewer < g:system:authenticated g:system:unauthenticated
  get url /livez,/readyz,/healthz,/version,/version/
admin ^admin
edit ^edit +admin
view ^view +edit
system:aggregate-to-admin +admin
  create authorization.k8s.io localsubjectaccessreviews; R,W rbac.authorization.k8s.io roles,rolebindings
system:aggregate-to-edit +edit
  R core pods/attach,pods/proxy,pods/exec,pods/portforward,secrets,services/proxy; impersonate core serviceaccounts
  W core pods,pods/attach,pods/proxy,pods/exec,pods/portforward; create core pods/eviction,serviceaccounts/token
  W core replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/proxy
  W core persistentvolumeclaims,configmaps,secrets,events; W autoscaling horizontalpodautoscalers
  W apps statefulsets,statefulsets/scale,daemonsets,deployments,deployments/scale,deployments/rollback,replicasets
  W apps replicasets/scale; W batch jobs,cronjobs; W policy poddisruptionbudgets
  W extensions daemonsets,deployments,deployments/scale,deployments/rollback,ingresses,replicasets,replicasets/scale
  W extensions replicationcontrollers/scale,networkpolicies; W networking.k8s.io networkpolicies,ingresses
  W resource.k8s.io resourceclaims,resourceclaimtemplates; R,create,delete,deletecollection,patch,update coordination.k8s.io leases
system:aggregate-to-view +view
  R core pods,replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/status,endpoints
  R core persistentvolumeclaims,persistentvolumeclaims/status,configmaps,limitranges,resourcequotas,bindings,events
  R core pods/status,resourcequotas/status,namespaces/status,replicationcontrollers/status,pods/log,namespaces
  R apps controllerrevisions,statefulsets,statefulsets/status,statefulsets/scale,daemonsets,daemonsets/status
  R apps deployments,deployments/status,deployments/scale,replicasets,replicasets/status,replicasets/scale
  R autoscaling horizontalpodautoscalers,horizontalpodautoscalers/status; R batch jobs,cronjobs,cronjobs/status,jobs/status
  R extensions daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,ingresses,ingresses/status
  R extensions replicasets,replicasets/scale,replicasets/status,replicationcontrollers/scale,networkpolicies
  R policy poddisruptionbudgets,poddisruptionbudgets/status; R networking.k8s.io networkpolicies,ingresses,ingresses/status
  R discovery.k8s.io endpointslices; R resource.k8s.io resourceclaims,resourceclaims/status,resourceclaimtemplates
system:heapster
  R core events,pods,nodes,namespaces; R extensions deployments
system:node <
  create authentication.k8s.io tokenreviews; create authorization.k8s.io subjectaccessreviews,localsubjectaccessreviews
  R core services; create,R core nodes; update,patch core nodes/status; update,patch core nodes
  create,update,patch core events; R core pods; create,delete core pods; update,patch core pods/status
  create core pods/eviction; R core secrets,configmaps; get core persistentvolumeclaims,persistentvolumes,endpoints
  create,R certificates.k8s.io certificatesigningrequests; get,create,update,patch,delete coordination.k8s.io leases
  get storage.k8s.io volumeattachments; get,update,patch core persistentvolumeclaims/status
  create core serviceaccounts/token; R storage.k8s.io csidrivers; get,create,update,patch,delete storage.k8s.io csinodes
  R node.k8s.io runtimeclasses; get resource.k8s.io resourceclaims; R,create,update,patch,delete,deletecollection resource.k8s.io resourceslices
  R certificates.k8s.io clustertrustbundles
system:node-problem-detector
  get core nodes; patch core nodes/status; events
system:kubelet-api-admin
  R core nodes; proxy core nodes; * core nodes/proxy,nodes/metrics,nodes/stats,nodes/log,nodes/configz,nodes/healthz,nodes/pods
system:node-bootstrapper
  create,R certificates.k8s.io certificatesigningrequests
system:auth-delegator
  create authentication.k8s.io tokenreviews; create authorization.k8s.io subjectaccessreviews
system:kube-aggregator
  R core services,endpoints
system:kube-controller-manager < u:system:kube-controller-manager
  events; create coordination.k8s.io leases; get,update coordination.k8s.io leases =kube-controller-manager
  create core secrets,serviceaccounts; delete core secrets; get core namespaces,secrets,serviceaccounts,configmaps
  update core secrets,serviceaccounts; create authentication.k8s.io tokenreviews; list,watch * *
  create authorization.k8s.io subjectaccessreviews; create core serviceaccounts/token
system:kube-dns < sa:kube-system/kube-dns
  list,watch core endpoints,services
system:persistent-volume-provisioner
  R,create,delete core persistentvolumes; R,update core persistentvolumeclaims; R storage.k8s.io storageclasses
  watch core events; events
system:certificates.k8s.io:certificatesigningrequests:nodeclient
  create certificates.k8s.io certificatesigningrequests/nodeclient
system:certificates.k8s.io:certificatesigningrequests:selfnodeclient
  create certificates.k8s.io certificatesigningrequests/selfnodeclient
system:volume-scheduler < u:system:kube-scheduler
  R,patch,update core persistentvolumes,persistentvolumeclaims; R storage.k8s.io storageclasses
system:certificates.k8s.io:legacy-unknown-approver
  approve certificates.k8s.io signers =kubernetes.io/legacy-unknown
system:certificates.k8s.io:kubelet-serving-approver
  approve certificates.k8s.io signers =kubernetes.io/kubelet-serving
system:certificates.k8s.io:kube-apiserver-client-approver
  approve certificates.k8s.io signers =kubernetes.io/kube-apiserver-client
system:certificates.k8s.io:kube-apiserver-client-kubelet-approver
  approve certificates.k8s.io signers =kubernetes.io/kube-apiserver-client-kubelet
system:service-account-issuer-discovery < g:system:serviceaccounts
  get url /.well-known/openid-configuration,/.well-known/openid-configuration/,/openid/v1/jwks,/openid/v1/jwks/
system:node-proxier < u:system:kube-proxy
  list,watch core services,endpoints; R core nodes; events; list,watch discovery.k8s.io endpointslices
  list,watch networking.k8s.io servicecidrs
system:kube-scheduler < u:system:kube-scheduler
  events; create coordination.k8s.io leases; get,list,watch,update coordination.k8s.io leases =kube-scheduler
  R core nodes,namespaces; R,delete core pods; create core pods/binding,bindings; patch,update core pods/status
  R core services,replicationcontrollers,persistentvolumeclaims,persistentvolumes; R apps,extensions replicasets
  R apps statefulsets; R policy poddisruptionbudgets; create authentication.k8s.io tokenreviews
  create authorization.k8s.io subjectaccessreviews; R storage.k8s.io csinodes,csidrivers,csistoragecapacities,volumeattachments
  R resource.k8s.io deviceclasses,resourceslices,resourceclaims; update,patch resource.k8s.io resourceclaims/status
  R,update,patch resource.k8s.io resourceclaims
extension-apiserver-authentication-reader@kube-system < u:system:kube-controller-manager u:system:kube-scheduler
  R core configmaps =extension-apiserver-authentication
system::leader-locking-kube-controller-manager@kube-system < u:system:kube-controller-manager sa:kube-system/kube-controller-manager
  watch core configmaps; get,update core configmaps =kube-controller-manager
system::leader-locking-kube-scheduler@kube-system < u:system:kube-scheduler sa:kube-system/kube-scheduler
  watch core configmaps; get,update core configmaps =kube-scheduler
system:controller:bootstrap-signer@kube-system < sa:kube-system/bootstrap-signer
  R core secrets
system:controller:token-cleaner@kube-system < sa:kube-system/token-cleaner
  R,delete core secrets; events
system:controller:cloud-provider@kube-system < sa:kube-system/cloud-provider
  create,R core configmaps
system:controller:bootstrap-signer@kube-public < sa:kube-system/bootstrap-signer
  R core configmaps; update core configmaps =cluster-info; events
`;

/** Roles of controllers: \`system:controller:NAME\`, bound to the ServiceAccount kube-system/NAME. */
const controllers = `
attachdetach-controller
  list,watch core persistentvolumes,persistentvolumeclaims,pods; R core nodes; patch,update core nodes/status; events
  R,create,delete storage.k8s.io volumeattachments; R storage.k8s.io csidrivers,csinodes
clusterrole-aggregation-controller
  escalate,R,update,patch rbac.authorization.k8s.io clusterroles
cronjob-controller
  R,update batch cronjobs; R,create,update,delete,patch batch jobs; update batch cronjobs/status,cronjobs/finalizers
  list,watch,delete core pods; events
daemon-set-controller
  R apps,extensions daemonsets; update apps,extensions daemonsets/status,daemonsets/finalizers; list,watch core nodes
  list,watch,create,delete,patch core pods; create core pods/binding; R,create,delete,update,patch apps controllerrevisions
  events
deployment-controller
  R,update apps,extensions deployments; update apps,extensions deployments/status,deployments/finalizers
  R,create,update,patch,delete apps,extensions replicasets; R,update core pods; events
disruption-controller
  R apps,extensions deployments,replicasets; R core replicationcontrollers; R policy poddisruptionbudgets
  R apps statefulsets; update policy poddisruptionbudgets/status; patch,update core pods/status; get * */scale; events
endpoint-controller
  R core services,pods; R,create,update,delete core endpoints; create core endpoints/restricted; events
endpointslice-controller
  R core services,pods,nodes; update core services/finalizers; R,create,update,delete discovery.k8s.io endpointslices; events
endpointslicemirroring-controller
  R core services,endpoints; update core services/finalizers,endpoints/finalizers
  R,create,update,delete discovery.k8s.io endpointslices; events
expand-controller
  R,update,patch core persistentvolumes; update,patch core persistentvolumeclaims/status; R core persistentvolumeclaims
  events; get core services
ephemeral-volume-controller
  R core pods; update core pods/finalizers; R,create core persistentvolumeclaims; events
resource-claim-controller
  R core pods; update core pods/finalizers; R,create,delete resource.k8s.io resourceclaims
  update,patch resource.k8s.io resourceclaims,resourceclaims/status; update,patch core pods/status; events
generic-garbage-collector
  R,patch,update,delete * *; events
horizontal-pod-autoscaler
  R autoscaling horizontalpodautoscalers; update autoscaling horizontalpodautoscalers/status; get,update * */scale
  list,watch core pods; list,watch metrics.k8s.io pods; R custom.metrics.k8s.io *; R external.metrics.k8s.io *; events
job-controller
  R,update,patch batch jobs; update batch jobs/status,jobs/finalizers; list,watch,create,delete,patch core pods; events
namespace-controller
  R,delete core namespaces; update core namespaces/finalize,namespaces/status; R,delete,deletecollection * *
node-controller
  R,update,delete,patch core nodes; patch,update core nodes/status,pods/status; R,delete core pods; events
persistent-volume-binder
  R,update,create,delete core persistentvolumes; update core persistentvolumes/status,persistentvolumeclaims/status
  R,update core persistentvolumeclaims; R,create,delete core pods; R storage.k8s.io storageclasses; list,watch core nodes
  events; watch core events; get core services
pod-garbage-collector
  list,watch,delete core pods; R core nodes; patch core pods/status
replicaset-controller
  R,update apps,extensions replicasets; update apps,extensions replicasets/status,replicasets/finalizers
  list,watch,patch,create,delete core pods; events
replication-controller
  R,update core replicationcontrollers; update core replicationcontrollers/status,replicationcontrollers/finalizers
  list,watch,patch,create,delete core pods; events
resourcequota-controller
  list,watch * *; update core resourcequotas/status; events
route-controller
  list,watch core nodes; patch core nodes/status; events
service-account-controller
  create core serviceaccounts; events
service-controller
  R core services; patch,update core services/status; list,watch core nodes; events
service-cidrs-controller
  R,patch,update networking.k8s.io servicecidrs; patch,update networking.k8s.io servicecidrs/finalizers
  patch,update networking.k8s.io servicecidrs/status; R networking.k8s.io ipaddresses; events
statefulset-controller
  list,watch core pods; R apps statefulsets; update apps statefulsets/status,statefulsets/finalizers
  get,create,delete,update,patch core pods; R,create,delete,update,patch apps controllerrevisions
  get,create,list,watch core persistentvolumeclaims; update,delete core persistentvolumeclaims; update core pods/finalizers
  events
ttl-controller
  update,patch,list,watch core nodes; events
certificate-controller
  R,delete certificates.k8s.io certificatesigningrequests; create authorization.k8s.io subjectaccessreviews; events
  update certificates.k8s.io certificatesigningrequests/status,certificatesigningrequests/approval
  approve certificates.k8s.io signers =kubernetes.io/kube-apiserver-client-kubelet
  sign certificates.k8s.io signers =kubernetes.io/legacy-unknown,kubernetes.io/kube-apiserver-client,kubernetes.io/kube-apiserver-client-kubelet,kubernetes.io/kubelet-serving
pvc-protection-controller
  R,update core persistentvolumeclaims; R core pods; events
pv-protection-controller
  R,update core persistentvolumes; events
volumeattributesclass-protection-controller
  R core persistentvolumeclaims,persistentvolumes; R,update storage.k8s.io volumeattributesclasses; events
ttl-after-finished-controller
  R,delete batch jobs; events
root-ca-cert-publisher
  create,update core configmaps; events
validatingadmissionpolicy-status-controller
  R admissionregistration.k8s.io validatingadmissionpolicies; events
  get,patch,update admissionregistration.k8s.io validatingadmissionpolicies/status
legacy-service-account-token-cleaner
  get core configmaps =kube-apiserver-legacy-service-account-token-tracking; patch,delete core secrets
selinux-warning-controller
  events; R core persistentvolumes,persistentvolumeclaims,pods; R storage.k8s.io csidrivers
`;

export interface BootstrapPolicy {
  clusterRoles: ClusterRole[];
  clusterRoleBindings: ClusterRoleBinding[];
  roles: Role[];
  roleBindings: RoleBinding[];
}

export function bootstrapPolicy(): BootstrapPolicy {
  const policy: BootstrapPolicy = { clusterRoles: [], clusterRoleBindings: [], roles: [], roleBindings: [] };
  for (const block of blocks(table)) addRole(policy, block.name, block.words, block.rules);
  for (const { name, rules } of blocks(controllers))
    addRole(
      policy,
      `system:controller:${name}`,
      ["<", `sa:kube-system/${name}`, "u:system:kube-controller-manager"],
      rules,
    );
  return policy;
}

const aggregateTo = (name: string) => ({ [`rbac.authorization.k8s.io/aggregate-to-${name}`]: "true" });
const group = "rbac.authorization.k8s.io";

function addRole(policy: BootstrapPolicy, full: string, words: readonly string[], rules: PolicyRule[]): void {
  const [name, namespace] = full.split("@") as [string, string?];
  const marks = words.filter((word) => /^[+^]/.test(word));
  const metadata = {
    name,
    ...(namespace ? { namespace } : {}),
    labels: { "kubernetes.io/bootstrapping": "rbac-defaults" } as Record<string, string>,
    annotations: { "rbac.authorization.kubernetes.io/autoupdate": "true" },
  };
  const labels = Object.assign(
    {},
    metadata.labels,
    ...marks.flatMap((m) => (m[0] === "+" ? [aggregateTo(m.slice(1))] : [])),
  );
  const selectors = marks.filter((m) => m[0] === "^").map((m) => ({ matchLabels: aggregateTo(m.slice(1)) }));
  const aggregation = selectors.length > 0 ? { aggregationRule: { clusterRoleSelectors: selectors } } : {};
  const role = { metadata: { ...metadata, labels }, rules, ...aggregation };
  const at = words.indexOf("<");
  const binding = {
    metadata: { ...metadata, ...(name.startsWith("extension-") ? { name: `system::${name}` } : {}) },
    subjects: words.slice(at + 1).map(subjectOf),
    roleRef: { apiGroup: group, kind: namespace ? "Role" : "ClusterRole", name },
  };
  (namespace ? policy.roles : policy.clusterRoles).push(role);
  if (at >= 0) (namespace ? policy.roleBindings : policy.clusterRoleBindings).push(binding);
}

function subjectOf(text: string): Subject {
  const name = text.slice(text.indexOf(":") + 1);
  if (text.startsWith("g:")) return { kind: "Group", apiGroup: group, name };
  if (text.startsWith("u:")) return { kind: "User", apiGroup: group, name };
  const [namespace, account] = name.split("/");
  return { kind: "ServiceAccount", name: account!, namespace: namespace! };
}

function blocks(text: string): { name: string; words: string[]; rules: PolicyRule[] }[] {
  const result: { name: string; words: string[]; rules: PolicyRule[] }[] = [];
  for (const line of text.split("\n").filter(Boolean)) {
    if (line.startsWith(" ")) result.at(-1)!.rules.push(...line.trim().split("; ").map(ruleOf));
    else {
      const [name, ...words] = line.split(" ");
      result.push({ name: name!, words, rules: [] });
    }
  }
  return result;
}

const read = ["get", "list", "watch"];
const write = ["create", "delete", "deletecollection", "patch", "update"];

function ruleOf(text: string): PolicyRule {
  if (text === "events") return ruleOf("create,patch,update core,events.k8s.io events");
  const [verbs, groups, what, names] = text.split(" ") as [string, string, string, string?];
  const list = [...new Set(verbs.split(",").flatMap((v) => (v === "R" ? read : v === "W" ? write : v)))].sort();
  if (groups === "url") return { verbs: list, nonResourceURLs: what.split(",") };
  const apiGroups = groups.split(",").map((name) => (name === "core" ? "" : name));
  const resourceNames = names ? { resourceNames: names.slice(1).split(",") } : {};
  return { verbs: list, apiGroups, resources: what.split(","), ...resourceNames };
}
