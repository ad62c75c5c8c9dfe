/** One manifest a kind (apiVersion, kind and a name are added), and the cells behind its name in `kubectl get -o wide`. */
export interface Example {
  body: object;
  /** Ages and times are `AGE`. */
  columns: readonly string[];
  /** What kubectl says when it is applied again; `unchanged` without it. */
  again?: "configured";
  /** What to wait for (kubectl wait --for) before it is looked at: a controller of the server has its say. */
  until?: string;
}

const selector = { matchLabels: { app: "web" } };
const containers = [{ name: "echo", image: "kubelab/echo" }];
const template = { metadata: { labels: { app: "web" } }, spec: { containers } };
const rule = { operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["secrets"] };
/** The example answers nobody and looks at a kind that no test here makes. */
const webhooks = {
  webhooks: [
    {
      name: "a.example.com",
      clientConfig: { url: "https://127.0.0.1:9/" },
      rules: [{ ...rule, scope: "*" }],
      sideEffects: "None",
      admissionReviewVersions: ["v1"],
      failurePolicy: "Ignore",
    },
  ],
};
/** Of `CN=x`, signed by its key, which nobody has any more. */
export const requestPem = [
  "-----BEGIN CERTIFICATE REQUEST-----",
  "MIHGMG4CAQAwDDEKMAgGA1UEAwwBeDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA",
  "BOGBIhti/CdjJGBu+zH1hQkNJMh0E/sNEVX82e97r8CQvccV8EWgLT5Kraz+fvdy",
  "tvgx+WOvXdle7JrCSPxVO/SgADAKBggqhkjOPQQDAgNIADBFAiATegG9/mSZOT4f",
  "5Bo0LufYbyrM13frxsjFHWaRXVSelQIhAKIqKaTFl+3bv0/Hm0wW5c4uthrFLcm/",
  "6LO/1YQ0YKii",
  "-----END CERTIFICATE REQUEST-----",
].join("\n");
const certificateRequest = Buffer.from(requestPem).toString("base64");

export const examples: Record<string, Example> = {
  "apps/v1 StatefulSet": {
    body: {
      spec: {
        serviceName: "web",
        replicas: 2,
        selector,
        template,
        volumeClaimTemplates: [
          {
            // kubectl compares the list as a whole, so it holds the defaults too.
            apiVersion: "v1",
            kind: "PersistentVolumeClaim",
            metadata: { name: "data" },
            spec: {
              accessModes: ["ReadWriteOnce"],
              resources: { requests: { storage: "1Gi" } },
              volumeMode: "Filesystem",
            },
            status: { phase: "Pending" },
          },
        ],
      },
    },
    columns: ["0/2", "AGE", "echo", "kubelab/echo"],
  },
  "apps/v1 DaemonSet": {
    body: { spec: { selector, template: { ...template, spec: { containers, nodeSelector: { disk: "ssd" } } } } },
    columns: ["0", "0", "0", "0", "0", "disk=ssd", "AGE", "echo", "kubelab/echo", "app=web"],
  },
  "apps/v1 ControllerRevision": {
    body: { data: { spec: { replicas: 1 } }, revision: 3 },
    columns: ["<none>", "3", "AGE"],
  },
  "batch/v1 Job": {
    body: { spec: { completions: 3, template: { spec: { containers, restartPolicy: "OnFailure" } } } },
    columns: ["Running", "0/3", "AGE", "echo", "kubelab/echo", "batch.kubernetes.io/controller-uid=UID"],
  },
  "batch/v1 CronJob": {
    body: {
      spec: {
        schedule: "*/5 * * * mon-fri",
        timeZone: "Europe/Paris",
        jobTemplate: { spec: { template: { spec: { containers, restartPolicy: "Never" } } } },
      },
    },
    columns: ["*/5 * * * mon-fri", "Europe/Paris", "False", "0", "<none>", "AGE", "echo", "kubelab/echo", "<none>"],
  },
  "v1 ReplicationController": {
    body: { spec: { replicas: 2, selector: { app: "web" }, template } },
    columns: ["2", "0", "0", "AGE", "echo", "kubelab/echo", "app=web"],
  },
  "v1 PodTemplate": { body: { template }, columns: ["echo", "kubelab/echo", "app=web"] },
  "v1 LimitRange": {
    body: {
      spec: { limits: [{ type: "Container", max: { cpu: "2" }, default: { cpu: "1" }, defaultRequest: { cpu: "1" } }] },
    },
    columns: ["AGE"],
  },
  "v1 ResourceQuota": { body: { spec: { hard: { pods: "10", "requests.cpu": "4" } } }, columns: ["AGE"] },
  "v1 PersistentVolume": {
    body: {
      spec: {
        capacity: { storage: "1Gi" },
        accessModes: ["ReadWriteOnce", "ReadOnlyMany"],
        storageClassName: "slow",
        hostPath: { path: "/data" },
      },
    },
    columns: ["1Gi", "RWO,ROX", "Retain", "Pending", "slow", "<unset>", "AGE", "Filesystem"],
  },
  "v1 PersistentVolumeClaim": {
    body: {
      spec: { accessModes: ["ReadWriteOnce"], storageClassName: "slow", resources: { requests: { storage: "1Gi" } } },
    },
    columns: ["Pending", "slow", "<unset>", "AGE", "Filesystem"],
  },
  "networking.k8s.io/v1 Ingress": {
    body: {
      spec: {
        ingressClassName: "nginx",
        tls: [{ hosts: ["a.example.com"], secretName: "tls" }],
        rules: ["a", "b", "c", "d"].map((host) => ({
          host: `${host}.example.com`,
          http: {
            paths: [{ path: "/", pathType: "Prefix", backend: { service: { name: "web", port: { number: 80 } } } }],
          },
        })),
      },
    },
    columns: ["nginx", "a.example.com,b.example.com,c.example.com + 1 more...", "80, 443", "AGE"],
  },
  "networking.k8s.io/v1 IngressClass": {
    body: {
      spec: { controller: "example.com/ingress", parameters: { apiGroup: "example.com", kind: "P", name: "p" } },
    },
    columns: ["example.com/ingress", "P.example.com/p", "AGE"],
  },
  "networking.k8s.io/v1 NetworkPolicy": {
    body: {
      spec: {
        podSelector: selector,
        ingress: [
          {
            ports: [{ port: 80, protocol: "TCP" }],
            from: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] } }, { podSelector: {} }],
          },
        ],
      },
    },
    columns: ["app=web", "AGE"],
  },
  "policy/v1 PodDisruptionBudget": {
    body: { spec: { minAvailable: "50%", selector } },
    columns: ["50%", "N/A", "0", "AGE"],
    again: "configured", // its selector has the patch strategy replace, so that kubectl always sends it
  },
  "rbac.authorization.k8s.io/v1 Role": {
    body: { rules: [{ verbs: ["get"], apiGroups: [""], resources: ["pods"] }] },
    columns: ["AGE"],
  },
  "rbac.authorization.k8s.io/v1 ClusterRole": {
    body: { rules: [{ verbs: ["get"], nonResourceURLs: ["/metrics"] }] },
    columns: ["AGE"],
  },
  "rbac.authorization.k8s.io/v1 RoleBinding": {
    body: {
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "reader" },
      subjects: [
        { apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "ann" },
        { apiGroup: "rbac.authorization.k8s.io", kind: "Group", name: "ops" },
        { kind: "ServiceAccount", namespace: "default", name: "bot" },
      ],
    },
    columns: ["Role/reader", "AGE", "ann", "ops", "default/bot"],
  },
  "rbac.authorization.k8s.io/v1 ClusterRoleBinding": {
    body: {
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "reader" },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "ann" }],
    },
    columns: ["ClusterRole/reader", "AGE", "ann"],
  },
  "scheduling.k8s.io/v1 PriorityClass": {
    body: { value: 1000, description: "Before others." },
    columns: ["1000", "false", "AGE", "PreemptLowerPriority"],
  },
  "storage.k8s.io/v1 StorageClass": {
    body: { provisioner: "example.com/disk", parameters: { type: "ssd" } },
    columns: ["example.com/disk", "Delete", "Immediate", "false", "AGE"],
  },
  "storage.k8s.io/v1 CSIDriver": {
    body: { spec: { tokenRequests: [{ audience: "a" }] } },
    columns: ["true", "false", "false", "a", "false", "Persistent", "AGE"],
  },
  "storage.k8s.io/v1 CSINode": {
    body: { spec: { drivers: [{ name: "d.example.com", nodeID: "n1", topologyKeys: ["zone"] }] } },
    columns: ["1", "AGE"],
  },
  "storage.k8s.io/v1 CSIStorageCapacity": {
    body: { storageClassName: "slow", capacity: "5Gi" },
    columns: ["slow", "5Gi"],
  },
  "storage.k8s.io/v1 VolumeAttachment": {
    body: { spec: { attacher: "d.example.com", nodeName: "n1", source: { persistentVolumeName: "v" } } },
    columns: ["d.example.com", "v", "n1", "false", "AGE"],
  },
  "storage.k8s.io/v1 VolumeAttributesClass": {
    body: { driverName: "d.example.com", parameters: { iops: "100" } },
    columns: ["d.example.com", "AGE"],
  },
  "node.k8s.io/v1 RuntimeClass": { body: { handler: "runc" }, columns: ["runc", "AGE"] },
  "autoscaling/v2 HorizontalPodAutoscaler": {
    body: {
      spec: {
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
        maxReplicas: 5,
        metrics: [
          { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 60 } } },
          { type: "Resource", resource: { name: "memory", target: { type: "AverageValue", averageValue: "1Gi" } } },
        ],
        behavior: { scaleDown: { stabilizationWindowSeconds: 60 } },
      },
    },
    columns: ["Deployment/web", "cpu: <unknown>/60%, memory: <unknown>/1Gi", "1", "5", "0", "AGE"],
  },
  "autoscaling/v1 HorizontalPodAutoscaler": {
    body: {
      spec: {
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
        maxReplicas: 5,
        targetCPUUtilizationPercentage: 60,
      },
    },
    columns: ["Deployment/web", "cpu: <unknown>/60%", "1", "5", "0", "AGE"],
  },
  "resource.k8s.io/v1 DeviceClass": {
    body: { spec: { selectors: [{ cel: { expression: "device.driver == 'd.example.com'" } }] } },
    columns: ["AGE"],
  },
  "resource.k8s.io/v1 ResourceClaim": {
    body: { spec: { devices: { requests: [{ name: "one", exactly: { deviceClassName: "gpu" } }] } } },
    columns: ["pending", "AGE"],
    again: "configured", // kubectl up to 1.33 does not know how its lists merge
  },
  "resource.k8s.io/v1 ResourceClaimTemplate": {
    body: {
      spec: {
        spec: {
          devices: {
            requests: [{ name: "one", firstAvailable: [{ name: "big", deviceClassName: "gpu", count: 2 }] }],
          },
        },
      },
    },
    columns: ["AGE"],
    again: "configured",
  },
  "resource.k8s.io/v1 ResourceSlice": {
    body: {
      spec: {
        driver: "d.example.com",
        nodeName: "n1",
        pool: { name: "p", generation: 1, resourceSliceCount: 1 },
        devices: [{ name: "d1", attributes: { model: { string: "x" } } }],
      },
    },
    columns: ["n1", "d.example.com", "p", "AGE"],
  },
  "certificates.k8s.io/v1 CertificateSigningRequest": {
    body: {
      spec: {
        request: certificateRequest,
        signerName: "example.com/signer",
        usages: ["client auth"],
        expirationSeconds: 3600,
      },
    },
    columns: ["AGE", "example.com/signer", "kubernetes-admin", "60m", "Pending"],
  },
  "flowcontrol.apiserver.k8s.io/v1 FlowSchema": {
    body: {
      spec: {
        priorityLevelConfiguration: { name: "example" },
        distinguisherMethod: { type: "ByUser" },
        rules: [
          {
            subjects: [{ kind: "Group", group: { name: "ops" } }],
            resourceRules: [
              { verbs: ["*"], apiGroups: ["*"], resources: ["*"], clusterScope: true, namespaces: ["*"] },
            ],
          },
        ],
      },
    },
    columns: ["example", "1000", "ByUser", "AGE", "?"],
  },
  "flowcontrol.apiserver.k8s.io/v1 PriorityLevelConfiguration": {
    body: {
      spec: { type: "Limited", limited: { limitResponse: { type: "Queue", queuing: { queues: 16, handSize: 4 } } } },
    },
    columns: ["Limited", "30", "16", "4", "50", "AGE"],
  },
  "admissionregistration.k8s.io/v1 MutatingWebhookConfiguration": { body: webhooks, columns: ["1", "AGE"] },
  "admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration": { body: webhooks, columns: ["1", "AGE"] },
  "admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy": {
    body: {
      spec: {
        paramKind: { apiVersion: "v1", kind: "ConfigMap" },
        matchConstraints: { resourceRules: [{ ...rule, resources: ["pods"], scope: "*" }] },
        variables: [{ name: "count", expression: "size(object.spec.containers)" }],
        validations: [{ expression: "variables.count < 5", message: "too many" }],
      },
    },
    columns: ["1", "v1/ConfigMap", "AGE"],
  },
  "admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding": {
    body: {
      spec: {
        policyName: "example",
        validationActions: ["Deny"],
        paramRef: { namespace: "default", name: "limits", parameterNotFoundAction: "Deny" },
      },
    },
    columns: ["example", "default/limits", "AGE"],
  },
  "apiextensions.k8s.io/v1 CustomResourceDefinition": {
    body: {
      metadata: { name: "crontabs.stable.example.com" },
      spec: {
        group: "stable.example.com",
        scope: "Namespaced",
        names: { plural: "crontabs", kind: "CronTab" },
        versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } }],
      },
    },
    columns: ["AGE"],
  },
  "apiregistration.k8s.io/v1 APIService": {
    body: {
      metadata: { name: "v1beta1.metrics.example.com" },
      spec: {
        group: "metrics.example.com",
        version: "v1beta1",
        groupPriorityMinimum: 100,
        versionPriority: 100,
        service: { namespace: "kube-system", name: "metrics" },
        insecureSkipTLSVerify: true,
      },
    },
    until: "condition=Available=False",
    columns: ["kube-system/metrics", "False (ServiceNotFound)", "AGE"],
  },
  "networking.k8s.io/v1 IPAddress": {
    body: {
      metadata: { name: "10.96.77.7" },
      spec: { parentRef: { resource: "services", namespace: "default", name: "web" } },
    },
    columns: ["services/default/web"],
  },
  "networking.k8s.io/v1 ServiceCIDR": {
    body: { spec: { cidrs: ["10.200.0.0/24"] } },
    columns: ["10.200.0.0/24", "AGE"],
  },
};
