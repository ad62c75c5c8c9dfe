import { describe, expect, test } from "vitest";
import { errorText } from "../../apimachinery/field-error.ts";
import type { Pod, PodSpec } from "../generated/core-v1.ts";
import { pods } from "./pod.ts";
import { validateTemplate } from "./pod-validation.ts";

const seccomp = "seccomp.security.alpha.kubernetes.io/pod";
const [seccompC, appArmorC] = [
  "container.seccomp.security.alpha.kubernetes.io/c",
  "container.apparmor.security.beta.kubernetes.io/c",
];
const bare = (annotations: Record<string, string>, spec: object = {}): Pod => {
  const containers = [{ name: "c", image: "i" }];
  const pod: Pod = { metadata: { name: "p", namespace: "n", annotations }, spec: { containers, ...spec } };
  pods.defaults(pod);
  return pod;
};
const created = (annotations: Record<string, string>, spec: object = {}): Pod => {
  const pod = bare(annotations, spec);
  pods.prepareForCreate(pod);
  return pod;
};
const told = (...given: Parameters<typeof created>) => pods.validate(created(...given)).map(errorText);
const own = (securityContext: object) => ({ containers: [{ name: "c", image: "i", securityContext }] });
const local = (localhostProfile: string) => ({ type: "Localhost", localhostProfile });

describe("validation", () => {
  test.each<[string, Record<string, string>, object, string[]]>([
    ["known profiles", { [seccomp]: "docker/default", [seccompC]: "localhost/a/b", [appArmorC]: "" }, {}, []],
    [
      "unknown ones",
      { [seccomp]: "strict", [seccompC]: "localhost/../b", [appArmorC]: "strict" },
      {},
      [
        `metadata.annotations.${seccomp}: Invalid value: "strict": must be a valid seccomp profile`,
        `metadata.annotations.${seccompC}: Invalid value: "../b": must not contain '..'`,
        `metadata.annotations[${appArmorC}]: Invalid value: "strict": invalid AppArmor profile name: "strict"`,
      ],
    ],
    [
      "of a container that is not there",
      { "container.apparmor.security.beta.kubernetes.io/d": "unconfined" },
      {},
      [
        'metadata.annotations[container.apparmor.security.beta.kubernetes.io/d]: Invalid value: "d": container not found',
      ],
    ],
    [
      "fields and annotations that say the same",
      { [seccomp]: "docker/default", [seccompC]: "localhost/p", [appArmorC]: "localhost/q" },
      {
        securityContext: { seccompProfile: { type: "RuntimeDefault" } },
        ...own({ seccompProfile: local("p"), appArmorProfile: local("q") }),
      },
      [],
    ],
    [
      "and that do not",
      { [seccomp]: "unconfined", [seccompC]: "localhost/p", [appArmorC]: "localhost/p" },
      {
        securityContext: { seccompProfile: { type: "RuntimeDefault" } },
        ...own({ seccompProfile: local("q"), appArmorProfile: { type: "Unconfined" } }),
      },
      [
        "spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match",
        "spec.containers[0].securityContext.seccompProfile.localhostProfile: Forbidden: seccomp profile in annotation and field must match",
        "spec.containers[0].securityContext.appArmorProfile.type: Forbidden: apparmor type in annotation and field must match",
      ],
    ],
  ])("%s", (_, annotations, spec, expected) => expect(told(annotations, spec)).toEqual(expected));

  test("templates are asked, too", () => {
    const template = { metadata: { annotations: { [seccomp]: "strict" } }, spec: bare({}).spec };
    expect([...validateTemplate(template, "spec.template")].map(errorText)).toEqual([
      `spec.template.annotations.${seccomp}: Invalid value: "strict": must be a valid seccomp profile`,
    ]);
  });

  test.each<[string, Record<string, string>, Record<string, string>, string]>([
    ["added", {}, { [appArmorC]: "unconfined" }, "may not add AppArmor annotations"],
    ["removed", { [appArmorC]: "unconfined" }, {}, "may not remove or update AppArmor annotations"],
    [
      "changed",
      { [appArmorC]: "unconfined" },
      { [appArmorC]: "runtime/default" },
      "may not remove or update AppArmor annotations",
    ],
  ])("AppArmor's is not %s later", (_, before, after, text) => {
    const told = pods.validateUpdate(bare(after), bare(before)).map(errorText);
    expect(told).toEqual([`metadata.annotations[${appArmorC}]: Forbidden: ${text}`]);
  });
});

describe("AppArmor's annotation becomes the field", () => {
  test.each<[string, string, object, PodSpec["securityContext"] | undefined]>([
    ["a profile of the node", "localhost/p", {}, { appArmorProfile: local("p") } as never],
    ["the runtime's", "runtime/default", {}, { appArmorProfile: { type: "RuntimeDefault" } }],
    [
      "not when it is the Pod's",
      "unconfined",
      { securityContext: { appArmorProfile: { type: "Unconfined" } } },
      undefined,
    ],
    ["not over another", "unconfined", own({ appArmorProfile: local("q") }), { appArmorProfile: local("q") } as never],
    ["not when it is no name", "localhost/", {}, undefined],
    ["not on Windows", "unconfined", { os: { name: "windows" } }, undefined],
  ])("%s", (_, text, spec, expected) => {
    expect(created({ [appArmorC]: text }, spec).spec.containers[0]!.securityContext).toEqual(expected);
  });
});
