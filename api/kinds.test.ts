import { describe, expect, test } from "vitest";
import { errorText } from "../apimachinery/field-error.ts";
import type { KubernetesObject } from "../apimachinery/object.ts";
import { parseSchedule } from "./batch/cron-schedule.ts";
import { examples } from "./examples.testing.ts";
import { resources } from "./resources.ts";

/** The example of a kind with its spec changed: what upstream says to it. */
const row = (kind: string) => resources().find((r) => r.kind === kind)!;
const make = (kind: string, change: object = {}): KubernetesObject => {
  const [, example] = Object.entries(examples).find(([title]) => title.endsWith(` ${kind}`))!;
  const { spec, ...rest } = structuredClone(example.body) as { spec?: object };
  const metadata = { name: "x", uid: "u", ...(row(kind).namespaced ? { namespace: "default" } : {}) };
  const changed = spec ? { ...rest, spec: { ...spec, ...change } } : { ...rest, ...change };
  const object = { metadata, ...changed } as KubernetesObject;
  row(kind).defaults(object);
  row(kind).prepareForCreate(object);
  return object;
};

describe("every problem is told, with its path", () => {
  test.each<[string, string, object, string[]]>([
    [
      "a set whose order is unknown",
      "StatefulSet",
      { podManagementPolicy: "Any", replicas: -1 },
      [
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        `spec.podManagementPolicy: Invalid value: "Any": must be 'OrderedReady' or 'Parallel'`,
      ],
    ],
    [
      "daemons that can neither be away nor double",
      "DaemonSet",
      { updateStrategy: { rollingUpdate: { maxUnavailable: 0 } } },
      ["spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"],
    ],
    [
      "a Job whose Pods never end",
      "Job",
      { template: { spec: { containers: [{ name: "c", image: "i" }] } }, backoffLimit: -1 },
      [
        "spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0",
        'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
      ],
    ],
    [
      "a selector that the client made up",
      "Job",
      { selector: { matchLabels: { a: "b" } } },
      [
        'spec.selector: Invalid value: {"matchLabels":{"batch.kubernetes.io/controller-uid":"u","a":"b"}}: `selector` not auto-generated',
        'spec.template.metadata.labels: Invalid value: {"batch.kubernetes.io/job-name":"x","job-name":"x","batch.kubernetes.io/controller-uid":"u","controller-uid":"u"}: `selector` does not match template `labels`',
      ],
    ],
    [
      "a schedule and a time zone that are none",
      "CronJob",
      { schedule: "61 * * * *", timeZone: "Mars/Base" },
      [
        'spec.schedule: Invalid value: "61 * * * *": end of range (61) above maximum (59): 61',
        'spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base',
      ],
    ],
    [
      "a limit below its floor",
      "LimitRange",
      { limits: [{ type: "Container", min: { cpu: "2" }, max: { cpu: "1" } }] },
      [
        'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
        'spec.limits[0].defaultRequest[cpu]: Invalid value: "1": min value 2 is greater than default request value 1',
        'spec.limits[0].default[cpu]: Invalid value: "1": min value 2 is greater than default value 1',
      ],
    ],
    [
      "half a Pod",
      "ResourceQuota",
      { hard: { pods: "500m" } },
      ['spec.hard[pods]: Invalid value: "500m": must be an integer'],
    ],
    [
      "a volume of nothing",
      "PersistentVolume",
      { hostPath: undefined, accessModes: [] },
      ["spec.accessModes: Required value", "spec: Required value: must specify a volume type"]
        .toReversed()
        .toReversed(),
    ],
    [
      "a claim for nothing",
      "PersistentVolumeClaim",
      { accessModes: [], resources: {} },
      [
        "spec.accessModes: Required value: at least 1 access mode is required",
        "spec.resources[storage]: Required value",
      ],
    ],
    [
      "a role without verbs over URLs of the cluster",
      "Role",
      { rules: [{ verbs: [], nonResourceURLs: ["/x"] }] },
      [
        "rules[0].verbs: Required value: verbs must contain at least one value",
        'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs',
      ],
    ],
    [
      "a binding to another kind",
      "ClusterRoleBinding",
      { roleRef: { kind: "Role", name: "" } },
      ['roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"', "roleRef.name: Required value"],
    ],
    [
      "a priority above the system's",
      "PriorityClass",
      { value: 2_000_000_000 },
      ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
    ],
    [
      "a path that climbs",
      "Ingress",
      { rules: [{ http: { paths: [{ path: "/a/../b", pathType: "Prefix", backend: {} }] } }] },
      [
        `spec.rules[0].http.paths[0].path: Invalid value: "/a/../b": must not contain '/../'`,
        "spec.rules[0].http.paths[0].backend: Required value: resource or service backend is required",
      ],
    ],
    [
      "an exception outside of its block",
      "NetworkPolicy",
      { ingress: [{ from: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["11.0.0.0/16", "10.0.0.0/8"] } }, {}] }] },
      [
        'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
        'spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`',
        "spec.ingress[0].from[1]: Required value: must specify a peer",
      ],
    ],
    [
      "more than all Pods",
      "PodDisruptionBudget",
      { minAvailable: "101%" },
      ['spec.minAvailable: Invalid value: "101%": must not be greater than 100%'],
    ],
    [
      "fewer at most than at least",
      "HorizontalPodAutoscaler",
      { minReplicas: 6 },
      ["spec.maxReplicas: Invalid value: 5: must be greater than or equal to `minReplicas`"],
    ],
    [
      "a certificate for a minute",
      "CertificateSigningRequest",
      { expirationSeconds: 60, usages: ["all"], signerName: "x" },
      [
        expect.stringMatching(
          /^spec.usages\[0\]: Unsupported value: "all": supported values: "any", /,
        ) as unknown as string,
        'spec.signerName: Invalid value: "x": must be a fully qualified domain and path of the form "example.com/signer-name"',
        "spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 600 seconds (10 minutes)",
      ],
    ],
    [
      "a hand larger than the deck",
      "PriorityLevelConfiguration",
      { limited: { limitResponse: { type: "Queue", queuing: { queues: 2 } } } },
      ["spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (2)"],
    ],
    [
      "a webhook that nobody can call",
      "ValidatingWebhookConfiguration",
      { webhooks: [{ name: "a", sideEffects: "Some", admissionReviewVersions: ["v1"] }] },
      [
        'webhooks[0].name: Invalid value: "a": should be a domain with at least three segments separated by dots',
        'webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"',
        "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
      ],
    ],
    [
      "a policy that says nothing",
      "ValidatingAdmissionPolicy",
      { validations: [] },
      [
        "spec.validations: Required value: validations or auditAnnotations must be non-empty",
        "spec.auditAnnotations: Required value: validations or auditAnnotations must be non-empty",
      ],
    ],
  ])("%s", (_, kind, change, expected) => {
    expect(row(kind).validate(make(kind, change)).map(errorText)).toEqual(expected);
  });
});

describe("what may not change", () => {
  test.each<[string, string, object, string]>([
    [
      "a StatefulSet's service",
      "StatefulSet",
      { serviceName: "y" },
      "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
    ],
    ["a Job's completions", "Job", { completions: 9 }, "spec.completions: Invalid value: 9: field is immutable"],
    [
      "an unbound claim's size",
      "PersistentVolumeClaim",
      { resources: { requests: { storage: "2Gi" } } },
      "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
    ],
    ["a priority", "PriorityClass", { value: 1 }, "value: Forbidden: may not be changed in an update."],
    [
      "a class's provisioner",
      "StorageClass",
      { provisioner: "p" },
      "provisioner: Forbidden: updates to provisioner are forbidden.",
    ],
    [
      "a binding's role",
      "RoleBinding",
      { roleRef: { kind: "Role", name: "other" } },
      'roleRef: Invalid value: {"kind":"Role","name":"other","apiGroup":"rbac.authorization.k8s.io"}: cannot change roleRef',
    ],
    [
      "a runtime's handler",
      "RuntimeClass",
      { handler: "other" },
      'handler: Invalid value: "other": field is immutable',
    ],
  ])("%s", (_, kind, change, expected) => {
    expect(row(kind).validateUpdate(make(kind, change), make(kind)).map(errorText)).toEqual([expected]);
  });
});

test("a bound claim may ask for more", () => {
  const bound = (storage: string) => {
    const claim = make("PersistentVolumeClaim", { volumeName: "v", resources: { requests: { storage } } });
    return { ...claim, status: { phase: "Bound", capacity: { storage: "1Gi" } } } as KubernetesObject;
  };
  const { validateUpdate } = row("PersistentVolumeClaim");
  expect(validateUpdate(bound("2Gi"), bound("1Gi"))).toEqual([]);
  expect(validateUpdate(bound("1Mi"), bound("1Gi")).map(errorText)).toEqual([
    "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity",
  ]);
});

test("a DaemonSet counts the changes of its template", () => {
  const { prepareForUpdate } = row("DaemonSet");
  const old = make("DaemonSet");
  const next = structuredClone(old) as KubernetesObject & { spec: { template: { spec: { hostNetwork?: boolean } } } };
  next.spec.template.spec.hostNetwork = true;
  prepareForUpdate(next, old);
  expect([next.metadata.generation, next.metadata.annotations]).toEqual([
    2,
    { "deprecated.daemonset.template.generation": "2" },
  ]);
});

test("who asks for a certificate is not the client's to say", () => {
  expect(make("CertificateSigningRequest", { username: "admin", groups: ["system:masters"] })).not.toMatchObject({
    spec: { username: expect.anything() as unknown },
  });
});

describe("schedules", () => {
  const minutes = (text: string) => {
    const schedule = parseSchedule(text);
    return "fields" in schedule ? [...schedule.fields[0]!.values] : schedule.everyMs;
  };
  test.each<[string, number[] | number]>([
    ["5 4 * * *", [5]],
    ["10-14/2,40 * * * *", [10, 12, 14, 40]],
    ["50/5 * * * *", [50, 55]],
    ["@hourly", [0]],
    ["@every 1h30m", 5_400_000],
  ])("%s", (text, expected) => expect(minutes(text)).toEqual(expected));

  test.each<[string, string]>([
    ["* * * *", "expected exactly 5 fields, found 4: [* * * *]"],
    ["x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'],
    ["9-3 * * * *", "beginning of range (9) beyond end of range (3): 9-3"],
    ["*/0 * * * *", "step of range should be a positive number: */0"],
    ["* * 0 * *", "beginning of range (0) below minimum (1): 0"],
    ["@never", "unrecognized descriptor: @never"],
  ])("%s is refused", (text, message) => expect(() => parseSchedule(text)).toThrow(message));
});
