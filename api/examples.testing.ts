/** One manifest a kind (apiVersion, kind and a name are added), and the cells behind its name in `kubectl get -o wide`. */
export interface Example {
  body: object;
  /** Ages and times are `AGE`. */
  columns: readonly string[];
}

const selector = { matchLabels: { app: "web" } };
const containers = [{ name: "echo", image: "kubelab/echo" }];
const template = { metadata: { labels: { app: "web" } }, spec: { containers } };

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
};
