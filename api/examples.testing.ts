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
};
