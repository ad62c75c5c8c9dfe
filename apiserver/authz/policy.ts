/**
 * Who may do what, as a table in the shape of RBAC rules. The groups and identities are upstream's, and so are the rules
 * as far as our components need them (each has what its upstream counterpart has, cut to the resources that exist).
 *
 * Differs: upstream keeps these as ClusterRole objects that an operator may change.
 */
export interface Rule {
  verbs: readonly string[];
  apiGroups?: readonly string[];
  /** `pods`, `pods/log`, `*`. */
  resources?: readonly string[];
  resourceNames?: readonly string[];
  namespaces?: readonly string[];
  /** Paths, a `*` at the end stands for anything. */
  nonResourceURLs?: readonly string[];
}

export interface Binding {
  users?: readonly string[];
  groups?: readonly string[];
  rules: readonly Rule[];
}

const read = ["get", "list", "watch"] as const;
const write = ["create", "update", "patch", "delete"] as const;
const events: Rule = { verbs: ["create", "update", "patch"], apiGroups: ["", "events.k8s.io"], resources: ["events"] };

function leaderElection(name: string): Rule[] {
  const lease = { apiGroups: ["coordination.k8s.io"], resources: ["leases"], namespaces: ["kube-system"] };
  return [
    { ...lease, verbs: ["create", "list", "watch"] },
    { ...lease, verbs: ["get", "update", "patch"], resourceNames: [name] },
  ];
}

export const policy: readonly Binding[] = [
  {
    groups: ["system:masters"],
    rules: [
      { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
      { verbs: ["*"], nonResourceURLs: ["*"] },
    ],
  },
  {
    // system:public-info-viewer
    groups: ["system:authenticated", "system:unauthenticated"],
    rules: [
      { verbs: ["get"], nonResourceURLs: ["/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*"] },
    ],
  },
  {
    // system:discovery
    groups: ["system:authenticated"],
    rules: [
      {
        verbs: ["get"],
        nonResourceURLs: ["/version", "/version/", "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"],
      },
    ],
  },
  {
    users: ["system:kube-controller-manager"],
    rules: [
      // The garbage collector and the namespace controller follow every resource.
      { verbs: [...read, "delete", "deletecollection", "patch", "update"], apiGroups: ["*"], resources: ["*"] },
      { verbs: ["create"], apiGroups: [""], resources: ["pods", "endpoints", "serviceaccounts", "configmaps"] },
      { verbs: ["create"], apiGroups: ["apps"], resources: ["replicasets"] },
      { verbs: ["create"], apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"] },
      { verbs: ["update", "patch"], apiGroups: ["*"], resources: ["*/status", "*/scale", "namespaces/finalize"] },
      events,
      ...leaderElection("kube-controller-manager"),
    ],
  },
  {
    users: ["system:kube-scheduler"],
    rules: [
      {
        verbs: read,
        apiGroups: ["", "apps"],
        resources: ["pods", "nodes", "namespaces", "services", "replicationcontrollers", "replicasets"],
      },
      { verbs: ["delete"], apiGroups: [""], resources: ["pods"] },
      { verbs: ["create"], apiGroups: [""], resources: ["pods/binding", "bindings"] },
      { verbs: ["update", "patch"], apiGroups: [""], resources: ["pods/status"] },
      events,
      ...leaderElection("kube-scheduler"),
    ],
  },
  {
    // system:node; what a node may touch of these is narrowed in node.ts
    groups: ["system:nodes"],
    rules: [
      {
        verbs: read,
        apiGroups: [""],
        resources: ["nodes", "pods", "services", "configmaps", "secrets"],
      },
      { verbs: ["create", "update", "patch"], apiGroups: [""], resources: ["nodes"] },
      { verbs: ["update", "patch"], apiGroups: [""], resources: ["nodes/status", "pods/status"] },
      { verbs: ["delete"], apiGroups: [""], resources: ["pods"] },
      {
        verbs: ["get", ...write],
        apiGroups: ["coordination.k8s.io"],
        resources: ["leases"],
        namespaces: ["kube-node-lease"],
      },
      events,
    ],
  },
  {
    // system:node-proxier
    users: ["system:kube-proxy"],
    rules: [
      { verbs: read, apiGroups: [""], resources: ["services", "endpoints", "nodes"] },
      { verbs: read, apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"] },
      events,
    ],
  },
];
