import { describe, expect, test } from "vitest";
import { errorText } from "../../apimachinery/field-error.ts";
import type { Container, Pod, PodSpec, PodStatus } from "../generated/core-v1.ts";
import { pods } from "./pod.ts";
import { summarize } from "./pod-columns.ts";
import { podResources } from "./pod-resources.ts";
import { availableAtMs, isPodActive, isPodReady, qosClass } from "./pod-status.ts";

const now = Date.parse("2026-11-21T12:00:00Z");
const metadata = { name: "p", namespace: "default" };
const bare = (spec: Partial<PodSpec> = {}, more: Partial<Pod> = {}): Pod => {
  const pod: Pod = structuredClone({
    metadata,
    spec: { containers: [{ name: "c", image: "nginx" }], ...spec },
    ...more,
  });
  pods.defaults(pod);
  return pod;
};
const problems = (pod: Pod) => pods.validate(pod).map(errorText);

describe("defaults", () => {
  test("a bare Pod gets exactly what upstream adds", () => {
    expect(bare()).toEqual({
      metadata,
      spec: {
        containers: [
          {
            name: "c",
            image: "nginx",
            imagePullPolicy: "Always",
            resources: {},
            terminationMessagePath: "/dev/termination-log",
            terminationMessagePolicy: "File",
          },
        ],
        dnsPolicy: "ClusterFirst",
        enableServiceLinks: true,
        restartPolicy: "Always",
        schedulerName: "default-scheduler",
        securityContext: {},
        terminationGracePeriodSeconds: 30,
      },
    });
  });

  test.each([
    ["nginx", "Always"],
    ["nginx:latest", "Always"],
    ["nginx:1.27", "IfNotPresent"],
    ["host:5000/nginx", "Always"],
    ["host:5000/nginx:1", "IfNotPresent"],
    ["nginx@sha256:abc", "IfNotPresent"],
  ])("the image %s is pulled %s", (image, policy) => {
    expect(bare({ containers: [{ name: "c", image }] }).spec.containers[0]!.imagePullPolicy).toBe(policy);
  });

  test("limits become requests where there are none; ports, probes, volumes and accounts are completed", () => {
    const { spec } = bare({
      serviceAccountName: "sa",
      hostNetwork: true,
      volumes: [{ name: "e" }, { name: "s", secret: { secretName: "x" } }, { name: "h", hostPath: { path: "/" } }],
      containers: [
        {
          name: "c",
          image: "i",
          resources: { limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "100m" } },
          ports: [{ containerPort: 80 }],
          livenessProbe: { httpGet: { port: 80 } },
        },
      ],
    });
    expect(spec.containers[0]).toMatchObject({
      resources: { requests: { cpu: "100m", memory: "1Gi" } },
      ports: [{ containerPort: 80, hostPort: 80, protocol: "TCP" }],
      livenessProbe: {
        httpGet: { port: 80, path: "/", scheme: "HTTP" },
        timeoutSeconds: 1,
        periodSeconds: 10,
        successThreshold: 1,
        failureThreshold: 3,
      },
    });
    expect(spec.volumes).toEqual([
      { name: "e", emptyDir: {} },
      { name: "s", secret: { secretName: "x", defaultMode: 420 } },
      { name: "h", hostPath: { path: "/", type: "" } },
    ]);
    expect(spec.serviceAccount).toBe("sa");
  });

  test("creation starts the status and drops what a client wrote there", () => {
    const pod = bare({}, { status: { phase: "Running" } });
    pods.prepareForCreate(pod);
    expect(pod.status).toEqual({ phase: "Pending", qosClass: "BestEffort" });
    expect(pod.metadata.generation).toBe(1);
  });
});

describe("validation tells every problem, in upstream's words", () => {
  const container = (more: Partial<Container>): Partial<PodSpec> => ({
    containers: [{ name: "c", image: "i", ...more }],
  });
  test.each<[string, Partial<PodSpec>, string[]]>([
    ["a good Pod has none", {}, []],
    [
      "affinity to nodes and Pods",
      {
        affinity: {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: {
              nodeSelectorTerms: [
                {
                  matchExpressions: [
                    { key: "zone", operator: "In" },
                    { key: "zone", operator: "Exists", values: ["a"] },
                    { key: "-", operator: "Near" as "In" },
                  ],
                  matchFields: [{ key: "spec.x", operator: "In", values: ["a"] }],
                },
              ],
            },
            preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 101, preference: {} }],
          },
          podAntiAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "", labelSelector: {} }],
          },
        },
      },
      [
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[2].operator: Invalid value: "Near": not a valid selector operator',
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[2].key: Invalid value: \"-\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].key: Invalid value: "spec.x": not a valid field selector key',
        "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101: must be in the range 1-100",
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty",
      ],
    ],
    [
      "users, sysctls and DNS",
      {
        securityContext: { runAsUser: -1, sysctls: [{ name: "foo-", value: "1" }] },
        dnsConfig: { nameservers: ["x"] },
      },
      [
        "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
        'spec.securityContext.sysctls[0].name: Invalid value: "foo-": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$',
        'spec.dnsConfig.nameservers[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
      ],
    ],
    [
      "the parts of volumes, and where they are mounted",
      {
        volumes: [
          { name: "e", emptyDir: { sizeLimit: "-1" } },
          { name: "d", downwardAPI: { items: [{ path: "../x" }] } },
          { name: "p", projected: { sources: [{ serviceAccountToken: { path: "", expirationSeconds: 5 } }] } },
        ],
        containers: [
          {
            name: "c",
            image: "i",
            volumeMounts: [{ name: "e", mountPath: "/e", subPath: "/x" }],
            securityContext: { privileged: true, allowPrivilegeEscalation: false },
          },
        ],
      },
      [
        "spec.volumes[0].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity",
        "spec.volumes[1].downwardAPI.path: Invalid value: \"../x\": must not contain '..'",
        "spec.volumes[1].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required",
        "spec.volumes[2].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
        "spec.volumes[2].projected.path: Required value",
        'spec.containers[0].volumeMounts.subPath: Invalid value: "/x": must be a relative path',
        'spec.containers[0].securityContext: Invalid value: {"privileged":true,"allowPrivilegeEscalation":false}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true',
      ],
    ],
    [
      "profiles of seccomp and AppArmor",
      {
        securityContext: {
          seccompProfile: { type: "Localhost" },
          appArmorProfile: { type: "Unconfined", localhostProfile: "p" },
          supplementalGroups: [1, -2],
          fsGroupChangePolicy: "Never",
        },
        ...container({
          securityContext: {
            seccompProfile: { type: "Localhost", localhostProfile: "../p" },
            appArmorProfile: { type: "Localhost", localhostProfile: " p" },
            procMount: "Unmasked",
          },
        }),
      },
      [
        'spec.containers[0].securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`',
        "spec.containers[0].securityContext.seccompProfile.localhostProfile: Invalid value: \"../p\": must not contain '..'",
        'spec.containers[0].securityContext.appArmorProfile.localhostProfile: Invalid value: " p": must not be padded with whitespace',
        "spec.securityContext.supplementalGroups[1]: Invalid value: -2: must be between 0 and 2147483647, inclusive",
        'spec.securityContext.fsGroupChangePolicy: Unsupported value: "Never": supported values: "Always", "OnRootMismatch"',
        "spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
        'spec.securityContext.appArmorProfile.localhostProfile: Invalid value: "p": can only be set when AppArmor type is Localhost',
      ],
    ],
    [
      "what hooks and probes may not say",
      {
        terminationGracePeriodSeconds: 5,
        ...container({
          restartPolicy: "Always",
          lifecycle: { preStop: { sleep: { seconds: 6 } }, postStart: { sleep: { seconds: 5 } } },
          readinessProbe: { httpGet: { port: 0 }, terminationGracePeriodSeconds: 1 },
        }),
      },
      [
        "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 6: must be non-negative and less than terminationGracePeriodSeconds (5)",
        "spec.containers[0].readinessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
        "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for readinessProbes",
        "spec.containers[0].restartPolicy: Forbidden: may not be set for non-init containers",
      ],
    ],
    [
      "sources of variables, and mounts",
      {
        volumes: [{ name: "v", emptyDir: {} }],
        ...container({
          env: [
            { name: "A", valueFrom: { fieldRef: { fieldPath: "spec.x" } } },
            { name: "B", valueFrom: { fieldRef: { fieldPath: "status.phase" } } },
            { name: "C", valueFrom: { fieldRef: { fieldPath: "metadata.labels['-']" } } },
            {
              name: "D",
              valueFrom: { resourceFieldRef: { resource: "limits.gpu" }, secretKeyRef: { name: "s", key: "k" } },
            },
          ],
          envFrom: [{}, { configMapRef: { name: "" }, secretRef: { name: "s" } }],
          volumeMounts: [
            { name: "v", mountPath: "/a", subPath: "b", subPathExpr: "/c", mountPropagation: "Bidirectional" },
          ],
        }),
      },
      [
        'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.x": error converting fieldPath: field label not supported: spec.x',
        'spec.containers[0].env[1].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"',
        expect.stringMatching(
          /^spec.containers\[0\].env\[2\].valueFrom.fieldRef: Invalid value: "-": name part must/,
        ) as string,
        expect.stringMatching(
          /env\[3\].valueFrom.resourceFieldRef.resource: Unsupported value: "limits.gpu"/,
        ) as string,
        'spec.containers[0].env[3].valueFrom: Invalid value: "": may not have more than one field specified at a time',
        'spec.containers[0].envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`',
        "spec.containers[0].envFrom[1].configMapRef.name: Required value",
        'spec.containers[0].envFrom: Invalid value: "": may not have more than one field specified at a time',
        'spec.containers[0].volumeMounts[0].subPathExpr: Invalid value: "/c": subPathExpr and subPath are mutually exclusive',
        'spec.containers[0].volumeMounts.subPathExpr: Invalid value: "/c": must be a relative path',
        "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers",
      ],
    ],
    [
      "ports of the host's network, gates, and where Pods are spread",
      {
        hostNetwork: true,
        ...container({ ports: [{ containerPort: 80, hostPort: 81 }] }),
        schedulingGates: [{ name: "a" }, { name: "a" }],
        readinessGates: [{ conditionType: "/" }],
        preemptionPolicy: "Sometimes" as "Never",
        topologySpreadConstraints: [
          { maxSkew: 0, topologyKey: "z", whenUnsatisfiable: "ScheduleAnyway", minDomains: 2 },
          { maxSkew: 1, topologyKey: "z", whenUnsatisfiable: "ScheduleAnyway", nodeTaintsPolicy: "Heed" as "Honor" },
        ],
      },
      [
        "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true",
        expect.stringMatching(
          /^spec.readinessGates\[0\].conditionType: Invalid value: "\/": prefix part must be/,
        ) as string,
        expect.stringMatching(
          /^spec.readinessGates\[0\].conditionType: Invalid value: "\/": name part must be/,
        ) as string,
        expect.stringMatching(
          /^spec.readinessGates\[0\].conditionType: Invalid value: "\/": name part must consist/,
        ) as string,
        'spec.schedulingGates[1]: Duplicate value: "a"',
        "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
        'spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{z, ScheduleAnyway}"',
        "spec.topologySpreadConstraints[0].minDomains: Invalid value: 2: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
        'spec.topologySpreadConstraints[1].nodeTaintsPolicy: Unsupported value: "Heed": supported values: "Honor", "Ignore"',
        'spec.preemptionPolicy: Unsupported value: "Sometimes": supported values: "PreemptLowerPriority", "Never"',
      ],
    ],
    [
      "a grace below nothing, and secrets without a name, which upstream only warns of",
      { terminationGracePeriodSeconds: -1, imagePullSecrets: [{}] as never },
      [],
    ],
    [
      "searches since v1.34, and no DNS at all",
      { dnsPolicy: "None", dnsConfig: { nameservers: ["1.1.1.1"], searches: [".", "_a.b.", "A"] } },
      [
        expect.stringMatching(
          /^spec.dnsConfig.searches\[2\]: Invalid value: "A": a lowercase RFC 1123 subdomain/,
        ) as string,
      ],
    ],
    ["no containers", { containers: [] }, ["spec.containers: Required value"]],
    [
      "names and images",
      { containers: [{ name: "" }, { name: "A", image: " i" }, { name: "x", image: "i" }, { name: "x", image: "i" }] },
      [
        "spec.containers[0].name: Required value",
        "spec.containers[0].image: Required value",
        `spec.containers[1].name: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`,
        'spec.containers[3].name: Duplicate value: "x"',
        'spec.containers[1].image: Invalid value: " i": must not have leading or trailing whitespace',
      ],
    ],
    [
      "ports",
      container({
        ports: [
          { containerPort: 0 },
          { containerPort: 65536, name: "80" },
          { containerPort: 1, protocol: "ICMP" as "TCP" },
        ],
      }),
      [
        "spec.containers[0].ports[0].containerPort: Required value",
        'spec.containers[0].ports[1].name: Invalid value: "80": must contain at least one letter (a-z)',
        "spec.containers[0].ports[1].containerPort: Invalid value: 65536: must be between 1 and 65535, inclusive",
        'spec.containers[0].ports[2].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
      ],
    ],
    [
      "mounts of volumes that are not there",
      container({
        volumeMounts: [
          { name: "v", mountPath: "/a" },
          { name: "v", mountPath: "/a" },
        ],
      }),
      [
        'spec.containers[0].volumeMounts[0].name: Not found: "v"',
        'spec.containers[0].volumeMounts[1].name: Not found: "v"',
        'spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/a": must be unique',
      ],
    ],
    [
      "requests beyond limits, and below nothing",
      container({ resources: { limits: { cpu: "1" }, requests: { cpu: "2", memory: "-1" } } }),
      [
        'spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0',
        'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
      ],
    ],
    [
      "probes",
      container({
        livenessProbe: { successThreshold: 2 },
        readinessProbe: { exec: { command: [] }, tcpSocket: { port: 1 } },
      }),
      [
        "spec.containers[0].livenessProbe: Required value: must specify a handler type",
        "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        "spec.containers[0].readinessProbe.exec.command: Required value",
        "spec.containers[0].readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
      ],
    ],
    [
      "variables",
      container({
        env: [{ name: "A=B" }, { name: "X", value: "1", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }],
      }),
      [
        "spec.containers[0].env[0].name: Invalid value: \"A=B\": a valid environment variable name must consist only of printable ASCII characters other than '='",
        'spec.containers[0].env[1].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
      ],
    ],
    [
      "policies",
      { restartPolicy: "Sometimes" as "Always", dnsPolicy: "x" as "None" },
      [
        'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
        'spec.dnsPolicy: Unsupported value: "x": supported values: "ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"',
      ],
    ],
    [
      "tolerations",
      {
        tolerations: [
          { operator: "Equal" },
          { key: "a", operator: "Exists", tolerationSeconds: 1, effect: "NoSchedule" },
        ],
      },
      [
        'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"',
        "spec.tolerations[1].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set",
      ],
    ],
    [
      "volumes",
      {
        volumes: [
          { name: "a", emptyDir: {}, hostPath: { path: "/.." } },
          { name: "a", configMap: {} },
        ],
      },
      [
        "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        "spec.volumes[0].hostPath.path: Invalid value: \"/..\": must not contain '..'",
        'spec.volumes[1].name: Duplicate value: "a"',
        "spec.volumes[1].configMap.name: Required value",
      ],
    ],
    [
      "init containers have no probes unless they keep running",
      {
        initContainers: [
          { name: "i", image: "i", readinessProbe: { tcpSocket: { port: 1 } } },
          { name: "s", image: "i", restartPolicy: "Always", readinessProbe: { tcpSocket: { port: 1 } } },
        ],
      },
      [
        "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
      ],
    ],
  ])("%s", (_, spec, expected) => expect(problems(bare(spec))).toEqual(expected));

  test.each([
    ["+1", 1],
    ["007", 1],
    ["2147483648", 1],
    ["-2147483648", 0],
  ])("a cost of deletion that is %s has %d problems", (cost, count) => {
    const annotations = { "controller.kubernetes.io/pod-deletion-cost": cost };
    const told = problems(bare({}, { metadata: { ...metadata, annotations } }));
    expect(told).toEqual(
      Array(count).fill(
        `metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "${cost}": must be a 32bit integer`,
      ),
    );
  });

  test("metadata's rules are told too", () => {
    const pod = bare({}, { metadata: { name: "P", namespace: "default", labels: { "-": "x" }, finalizers: ["mine"] } });
    expect(problems(pod).map((p) => p.slice(0, 50))).toEqual([
      'metadata.name: Invalid value: "P": a lowercase RFC',
      'metadata.labels: Invalid value: "-": name part mus',
      'metadata.finalizers: Invalid value: "mine": name i',
    ]);
  });
});

describe("a Pod's spec is what runs", () => {
  const update = (change: (pod: Pod) => void, old = bare()) => {
    const pod = structuredClone(old);
    change(pod);
    pods.defaults(pod);
    return pods.validateUpdate(pod, old).map(errorText);
  };
  test.each<[string, (pod: Pod) => void]>([
    [
      "the image may change",
      (pod) => {
        pod.spec.containers[0]!.image = "other";
      },
    ],
    [
      "a toleration may be added",
      (pod) => {
        pod.spec.tolerations = [{ operator: "Exists" }];
      },
    ],
    [
      "a deadline may be set",
      (pod) => {
        pod.spec.activeDeadlineSeconds = 5;
      },
    ],
    [
      "labels may change",
      (pod) => {
        pod.metadata.labels = { a: "b" };
      },
    ],
  ])("%s", (_, change) => expect(update(change)).toEqual([]));

  test.each<[string, (pod: Pod) => void, string]>([
    [
      "no other field",
      (pod) => {
        pod.spec.nodeName = "n";
      },
      "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`",
    ],
    [
      "no container more",
      (pod) => void pod.spec.containers.push({ name: "d", image: "i" }),
      "spec.containers: Forbidden: pod updates may not add or remove containers",
    ],
    [
      "no image with spaces around it",
      (pod) => {
        pod.spec.containers[0]!.image = "other ";
      },
      'spec.containers[0].image: Invalid value: "other ": must not have leading or trailing whitespace',
    ],
    [
      "not its name",
      (pod) => {
        pod.metadata.name = "q";
      },
      'metadata.name: Invalid value: "q": field is immutable',
    ],
  ])("%s", (_, change, message) => expect(update(change)[0]).toContain(message));

  test("the spec counts generations, the status does not", () => {
    const old = bare({}, { status: { phase: "Running" } });
    old.metadata.generation = 3;
    const image = structuredClone(old);
    image.spec.containers[0]!.image = "other";
    image.status = { phase: "Failed" };
    pods.prepareForUpdate(image, old);
    expect([image.metadata.generation, image.status]).toEqual([4, { phase: "Running" }]);
    const status = structuredClone(old);
    status.spec.nodeName = "n";
    status.status = { phase: "Failed" };
    pods.prepareForStatusUpdate(status, old);
    expect([status.metadata.generation, status.spec.nodeName, status.status]).toEqual([
      3,
      undefined,
      { phase: "Failed" },
    ]);
  });

  test("the class of service stays, whoever leaves it out; who says another is refused", () => {
    const old = bare({}, { status: { qosClass: "Burstable" } });
    const silent = { ...structuredClone(old), status: {} };
    pods.prepareForStatusUpdate(silent, old);
    expect(silent.status).toEqual({ qosClass: "Burstable" });
    const other = { ...structuredClone(old), status: { qosClass: "Guaranteed" as const } };
    pods.prepareForStatusUpdate(other, old);
    expect([...pods.validateStatusUpdate(other, old)].map(errorText)).toEqual([
      'status.qosClass: Invalid value: "Guaranteed": field is immutable',
    ]);
  });

  test.each([
    ["what was asked", { nodeName: "n" }, "Running", 5, 5],
    ["the Pod's own", { nodeName: "n" }, "Running", undefined, 30],
    ["at once before it was scheduled", {}, "Pending", undefined, 0],
    ["at once when it has ended", { nodeName: "n" }, "Succeeded", 5, 0],
    ["a second for less than nothing", { nodeName: "n" }, "Running", -1, 1],
  ] as const)("grace: %s", (_, spec, phase, requested, seconds) => {
    expect(pods.gracePeriodSeconds!(bare(spec, { status: { phase } }), requested)).toBe(seconds);
  });
});

describe("the Status cell", () => {
  const running = { state: { running: {} }, ready: true, restartCount: 0, name: "c", image: "", imageID: "" };
  const waiting = (reason: string) => ({ ...running, ready: false, state: { waiting: { reason } } });
  const ended = (exitCode: number, reason?: string) => ({
    ...running,
    ready: false,
    state: { terminated: { exitCode, ...(reason ? { reason } : {}) } },
  });
  const init: Partial<PodSpec> = { initContainers: [{ name: "i", image: "i" }] };
  test.each<[string, Partial<PodSpec>, PodStatus, Partial<Pod["metadata"]>, string, string]>([
    ["the phase when there is nothing else", {}, { phase: "Pending" }, {}, "Pending", "0/1"],
    ["running", {}, { phase: "Running", containerStatuses: [running] }, {}, "Running", "1/1"],
    [
      "why a container waits",
      {},
      { phase: "Pending", containerStatuses: [waiting("CrashLoopBackOff")] },
      {},
      "CrashLoopBackOff",
      "0/1",
    ],
    ["why a container ended", {}, { phase: "Failed", containerStatuses: [ended(1, "Error")] }, {}, "Error", "0/1"],
    ["its exit code otherwise", {}, { phase: "Failed", containerStatuses: [ended(7)] }, {}, "ExitCode:7", "0/1"],
    [
      "how many init containers are done",
      init,
      { phase: "Pending", initContainerStatuses: [waiting("PodInitializing")] },
      {},
      "Init:0/1",
      "0/1",
    ],
    [
      "why an init container waits",
      init,
      { phase: "Pending", initContainerStatuses: [waiting("ErrImagePull")] },
      {},
      "Init:ErrImagePull",
      "0/1",
    ],
    [
      "Terminating while it is being deleted",
      {},
      { phase: "Running", containerStatuses: [running] },
      { deletionTimestamp: "2026-11-21T11:00:00Z" },
      "Terminating",
      "1/1",
    ],
    ["the Pod's own reason", {}, { phase: "Failed", reason: "Evicted" }, {}, "Evicted", "0/1"],
    [
      "gated",
      {},
      { phase: "Pending", conditions: [{ type: "PodScheduled", status: "False", reason: "SchedulingGated" }] },
      {},
      "SchedulingGated",
      "0/1",
    ],
  ])("%s", (_, spec, status, meta, text, ready) => {
    const summary = summarize(bare(spec, { status, metadata: { ...metadata, ...meta } }), now);
    expect([summary.status, summary.ready]).toEqual([text, ready]);
  });

  test("restarts tell when the last one was", () => {
    const state = {
      ...running,
      restartCount: 3,
      lastState: { terminated: { exitCode: 1, finishedAt: "2026-11-21T11:55:00Z" } },
    };
    expect(summarize(bare({}, { status: { containerStatuses: [state] } }), now).restarts).toBe("3 (5m ago)");
  });
});

describe("shared readers", () => {
  test.each<[string, Container["resources"][], string]>([
    ["nothing asked", [{}], "BestEffort"],
    ["some asked", [{ requests: { cpu: "1" } }], "Burstable"],
    ["all limited", [{ limits: { cpu: "1", memory: "1Gi" } }], "Guaranteed"],
    ["one of two limited", [{ limits: { cpu: "1", memory: "1Gi" } }, {}], "Burstable"],
    ["less requested than limited", [{ limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "500m" } }], "Burstable"],
  ])("%s is %s", (_, resources, qos) => {
    expect(qosClass({ containers: resources.map((r, i) => ({ name: `c${i}`, resources: r! })) })).toBe(qos);
  });

  test("requests are the sum of containers or the greatest init container, and sidecars count for both", () => {
    const cpu = (name: string, amount: string, more: Partial<Container> = {}): Container => ({
      name,
      resources: { requests: { cpu: amount, memory: "1Mi" } },
      ...more,
    });
    const containers = [cpu("a", "100m"), cpu("b", "200m")];
    expect(podResources({ containers }, "requests")).toEqual({ cpu: "300m", memory: "2Mi" });
    expect(podResources({ containers, initContainers: [cpu("i", "1")] }, "requests")["cpu"]).toBe("1");
    const sidecar = cpu("s", "50m", { restartPolicy: "Always" });
    const initContainers = [sidecar, cpu("i", "1")];
    expect(podResources({ containers, initContainers, overhead: { cpu: "10m" } }, "requests")["cpu"]).toBe("1060m");
  });

  test("ready, available after a while, active until ended or deleted", () => {
    const ready = { type: "Ready", status: "True" as const, lastTransitionTime: "2026-11-21T11:59:50Z" };
    const pod = bare({}, { status: { phase: "Running", conditions: [ready] } });
    expect([isPodReady(pod), availableAtMs(pod, 10) <= now, availableAtMs(pod, 11) <= now, isPodActive(pod)]).toEqual([
      true,
      true,
      false,
      true,
    ]);
    expect(isPodActive({ ...pod, metadata: { ...metadata, deletionTimestamp: "x" } })).toBe(false);
    expect(isPodActive(bare({}, { status: { phase: "Failed" } }))).toBe(false);
  });
});
