import { describe, expect, test } from "vitest";
import type { Container, PodSpec } from "../generated/core-v1.ts";
import { make, told, toldOfStatus } from "../testing.ts";
import { qosClass } from "./pod-status.ts";

const container = (more: object): Partial<PodSpec> => ({
  containers: [{ name: "c", image: "i", ...more } as Container],
});
const claim = { name: "v", persistentVolumeClaim: { claimName: "x" } };
const disk = { name: "v", devicePath: "/dev/x" };

const devices: [string, Partial<PodSpec>, string[]][] = [
  ["a claim may be a device", { volumes: [claim], ...container({ volumeDevices: [disk] }) }, []],
  [
    "a generic ephemeral volume too",
    {
      volumes: [
        {
          name: "v",
          ephemeral: {
            volumeClaimTemplate: {
              spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
            },
          },
        },
      ] as never,
      ...container({ volumeDevices: [disk] }),
    },
    [],
  ],
  [
    "nothing else may",
    { volumes: [{ name: "v", emptyDir: {} }], ...container({ volumeDevices: [disk, { name: "w", devicePath: "" }] }) },
    [
      'spec.containers[0].volumeDevices[0].name: Invalid value: "v": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode',
      'spec.containers[0].volumeDevices[1].name: Not found: "w"',
      "spec.containers[0].volumeDevices[1].devicePath: Required value",
    ],
  ],
  [
    "no two share a name or a path, and none goes up",
    { volumes: [claim], ...container({ volumeDevices: [disk, disk, { name: "", devicePath: "/dev/../x" }] }) },
    [
      'spec.containers[0].volumeDevices[1].name: Invalid value: "v": must be unique',
      'spec.containers[0].volumeDevices[1].devicePath: Invalid value: "/dev/x": must be unique',
      "spec.containers[0].volumeDevices[2].name: Required value",
      'spec.containers[0].volumeDevices[2].name: Not found: ""',
      "spec.containers[0].volumeDevices[2].devicePath: Invalid value: \"/dev/../x\": can not contain backsteps ('..')",
    ],
  ],
  [
    "mounts and devices keep apart, and both are told",
    { volumes: [claim], ...container({ volumeDevices: [disk], volumeMounts: [{ name: "v", mountPath: "/dev/x" }] }) },
    [
      'spec.containers[0].volumeMounts[0].name: Invalid value: "v": must not already exist in volumeDevices',
      'spec.containers[0].volumeMounts[0].mountPath: Invalid value: "/dev/x": must not already exist as a path in volumeDevices',
      'spec.containers[0].volumeDevices[0].name: Invalid value: "v": must not already exist in volumeMounts',
      'spec.containers[0].volumeDevices[0].devicePath: Invalid value: "/dev/x": must not already exist as a path in volumeMounts',
    ],
  ],
];
const policies: [string, Partial<PodSpec>, string[]][] = [
  [
    "how a resize is done is said of cpu and memory",
    container({
      resizePolicy: [
        { resourceName: "cpu", restartPolicy: "NotRequired" },
        { resourceName: "memory", restartPolicy: "RestartContainer" },
      ],
    }),
    [],
  ],
  [
    "of nothing else, not twice, and in known words",
    container({
      resizePolicy: [
        { resourceName: "gpu", restartPolicy: "Sometimes" },
        { resourceName: "cpu", restartPolicy: "" },
        { resourceName: "cpu", restartPolicy: "NotRequired" },
      ],
    }),
    [
      'spec.containers[0].resizePolicy: Unsupported value: "gpu": supported values: "cpu", "memory"',
      'spec.containers[0].resizePolicy: Unsupported value: "Sometimes": supported values: "NotRequired", "RestartContainer"',
      "spec.containers[0].resizePolicy: Required value",
      'spec.containers[0].resizePolicy[2]: Duplicate value: "cpu"',
    ],
  ],
  [
    "what never restarts is not restarted for it",
    {
      restartPolicy: "Never",
      ...container({ resizePolicy: [{ resourceName: "memory", restartPolicy: "RestartContainer" }] }),
    },
    [
      "spec.containers[0].resizePolicy: Invalid value: \"RestartContainer\": must be 'NotRequired' when `restartPolicy` is 'Never'",
    ],
  ],
];
const claims: [string, object, string[]][] = [
  [
    "a claim of the Pod's, or one made for it",
    {
      resourceClaims: [
        { name: "a", resourceClaimName: "x" },
        { name: "b", resourceClaimTemplateName: "y" },
      ],
      ...container({ resources: { claims: [{ name: "a" }, { name: "b", request: "r" }] } }),
    },
    [],
  ],
  [
    "both, neither, and names that are none",
    {
      resourceClaims: [
        { name: "a", resourceClaimName: "x", resourceClaimTemplateName: "Y" },
        { name: "a" },
        { name: "", resourceClaimName: "x" },
      ],
    },
    [
      'spec.resourceClaims[0]: Invalid value: {"name":"a","resourceClaimName":"x","resourceClaimTemplateName":"Y"}: at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified',
      expect.stringMatching(
        /^spec.resourceClaims\[0\].resourceClaimTemplateName: Invalid value: "Y": a lowercase RFC 1123 subdomain/,
      ) as never,
      'spec.resourceClaims[1].name: Duplicate value: "a"',
      'spec.resourceClaims[1]: Invalid value: {"name":"a"}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`',
      "spec.resourceClaims[2].name: Required value",
    ],
  ],
  [
    "containers name claims of their Pod, each once",
    {
      resourceClaims: [
        { name: "b", resourceClaimName: "x" },
        { name: "a", resourceClaimName: "y" },
      ],
      ...container({
        resources: {
          claims: [
            { name: "a", request: "r" },
            { name: "a", request: "r" },
            { name: "a" },
            { name: "c" },
            { name: "" },
          ],
        },
      }),
    },
    [
      'spec.containers[0].resources.claims[1]: Duplicate value: "a/r"',
      'spec.containers[0].resources.claims[2]: Duplicate value: "a"',
      'spec.containers[0].resources.claims[3]: Not found: "c": must be one of the names in pod.spec.resourceClaims: a, b',
      "spec.containers[0].resources.claims[4]: Required value",
    ],
  ],
  [
    "of a Pod that has none",
    container({ resources: { claims: [{ name: "c" }] } }),
    [
      'spec.containers[0].resources.claims[0]: Not found: "c": must be one of the names in pod.spec.resourceClaims which is empty',
    ],
  ],
];
const podLevel: [string, object, string[]][] = [
  [
    "the Pod's resources go before its containers'",
    { resources: { limits: { cpu: "1", memory: "1Gi" } }, ...container({ resources: { requests: { cpu: "1" } } }) },
    [],
  ],
  [
    "only those that it has",
    { resources: { limits: { "ephemeral-storage": "1Gi", gpu: "1" }, claims: [{ name: "x" }] } },
    [
      "spec.resources.claims: Forbidden: claims cannot be set for Resources at pod-level",
      'spec.resources.limits[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: "cpu", "hugepages-", "memory"',
      'spec.resources.limits[gpu]: Invalid value: "gpu": must be a standard resource type or fully qualified',
      'spec.resources.claims[0]: Not found: "x": must be one of the names in pod.spec.resourceClaims which is empty',
    ],
  ],
  [
    "at least what its containers request, and no container more than it",
    {
      resources: { requests: { cpu: "1" }, limits: { cpu: "1" } },
      containers: [
        { name: "a", image: "i", resources: { requests: { cpu: "1" }, limits: { cpu: "2" } } },
        { name: "b", image: "i", resources: { requests: { cpu: "500m" } } },
      ],
    },
    [
      'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 1500m',
      'spec.resources.containers[0][cpu].limits: Invalid value: "2": must be less than or equal to pod limits of 1',
    ],
  ],
  [
    "huge pages are not shared out twice",
    {
      resources: { limits: { cpu: "1", "hugepages-2Mi": "2Mi" }, requests: { "hugepages-2Mi": "2Mi" } },
      ...container({ resources: { limits: { cpu: "1", "hugepages-2Mi": "4Mi" } } }),
    },
    [
      'spec.resources.requests[hugepages-2Mi]: Invalid value: "2Mi": must be greater than or equal to aggregate container requests of 4Mi',
      'spec.resources.limits[hugepages-2Mi]: Invalid value: "2Mi": must be greater than or equal to aggregate container limits of 4Mi',
      'spec.resources.containers[0][hugepages-2Mi].limits: Invalid value: "4Mi": must be less than or equal to pod limits of 2Mi',
    ],
  ],
  [
    "not on Windows",
    { os: { name: "windows" }, resources: { limits: { cpu: "1" } } },
    ["spec.resources: Forbidden: may not be set for a windows pod"],
  ],
];

describe("upstream's words", () => {
  test.each([...devices, ...policies, ...claims, ...podLevel])("%s", (_, spec, expected) => {
    expect(told("Pod", spec)).toEqual(expected);
  });

  test("a claim's status names an object, and a claim of the Pod", () => {
    const resourceClaimStatuses = [{ name: "a", resourceClaimName: "X" }, { name: "b" }];
    const spec = { resourceClaims: [{ name: "a", resourceClaimTemplateName: "y" }] };
    expect(toldOfStatus("Pod", { resourceClaimStatuses }, {}, spec)).toEqual([
      expect.stringMatching(/^resourceClaimStatuses\[0\].name: Invalid value: "X": a lowercase RFC 1123 subdomain/),
      'resourceClaimStatuses[1].name: Invalid value: "b": must match the name of an entry in `spec.resourceClaims`',
    ]);
  });
});

describe("what a Pod gets that names some of its resources", () => {
  test.each<[string, object, object | undefined, object]>([
    ["nothing when it names none", {}, {}, {}],
    ["its limits are its requests", {}, { limits: { cpu: "1" } }, { limits: { cpu: "1" }, requests: { cpu: "1" } }],
    ["requests alone stay alone", { limits: { cpu: "1" } }, { requests: { cpu: "2" } }, { requests: { cpu: "2" } }],
    [
      "what containers request goes before limits",
      { requests: { cpu: "500m", memory: "1Mi" } },
      { limits: { cpu: "1" } },
      { limits: { cpu: "1" }, requests: { cpu: "500m", memory: "1Mi" } },
    ],
    [
      "huge pages are limited to what containers are",
      { limits: { "hugepages-2Mi": "4Mi" } },
      { requests: { cpu: "1" } },
      { limits: { "hugepages-2Mi": "4Mi" }, requests: { cpu: "1", "hugepages-2Mi": "4Mi" } },
    ],
  ])("%s", (_, resources, own, expected) => {
    const pod = make("Pod", { resources: own, ...container({ resources }) }) as unknown as { spec: PodSpec };
    expect(pod.spec.resources).toEqual(expected);
  });

  test("its class is by its own resources", () => {
    const amounts = { cpu: "1", memory: "1Gi" };
    const containers = [{ name: "c" }];
    const classes = [{ limits: amounts, requests: amounts }, { requests: amounts }, {}].map((resources) =>
      qosClass({ containers, resources }),
    );
    expect(classes).toEqual(["Guaranteed", "Burstable", "BestEffort"]);
  });
});
